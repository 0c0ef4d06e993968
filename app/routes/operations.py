"""For whoever watches over the process."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.migrate import head
from app.till import Till


async def healthz(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def readyz(request: Request) -> Response:
    """503 while the database cannot be reached or stands at another migration than this code."""
    till: Till = request.state.till
    ready = not request.state.live.closed and await till.db.version() == head()
    return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)
