"""From the PGs."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app import payments
from app.gateways import Forged
from app.till import Till


async def hear(request: Request) -> Response:
    """200 only after what the PG says is committed. A gateway without keys has no webhook."""
    till: Till = request.state.till
    gateway = till.gateways.get(request.path_params["gateway"])
    if gateway is None:
        raise HTTPException(404)
    try:
        await payments.hear(till, gateway, request.headers, await request.body())
    except Forged as forged:
        raise HTTPException(400, str(forged)) from forged
    return JSONResponse({"status": "ok"})
