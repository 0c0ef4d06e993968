"""From the PGs."""

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app import inbox
from app.gateways import Forged
from app.till import Till


async def hear(request: Request) -> Response:
    """200 once it is stored; the PG is asked after that. A gateway without keys has no webhook."""
    till: Till = request.state.till
    gateway = till.gateways.get(request.path_params["gateway"])
    if gateway is None:
        raise HTTPException(404)
    try:
        order_id = await inbox.receive(till, gateway, request.headers, await request.body())
    except Forged as forged:
        raise HTTPException(400, str(forged)) from forged
    then = BackgroundTask(inbox.look, till, order_id) if order_id else None
    return JSONResponse({"status": "ok"}, background=then)
