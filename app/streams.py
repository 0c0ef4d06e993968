"""One viewer's `text/event-stream`: what the hub tells, for as long as it stays."""

import asyncio
import functools

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.filters import Filter
from app.live import OVERLAP, Live, Viewer

LIFETIME = 600.0  # seconds after which a connection ends, to come back by itself and show its session again
ALIKE = 500  # filters


@functools.lru_cache(maxsize=ALIKE)
def _first_alike(wanted: Filter) -> Filter:
    """Thousands of viewers want the same: one filter does for all of them."""
    return wanted


class Stream(Response):
    """Begins as any answer does; `Streams` goes on, until the viewer leaves, lags too far behind, or had its time."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, wanted: Filter, after: int) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.live, self.wanted, self.after = live, wanted, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.live.closed:
            return await PlainTextResponse("종료하는 중입니다.", 503, {"Retry-After": "1"})(scope, receive, send)
        # PostgreSQL's events may come late, below the page's place in the log.
        viewer = Viewer(_first_alike(self.wanted), self.after - (0 if self.live.db.is_sqlite else OVERLAP))
        await self.live.welcome(viewer)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send(_body(b"retry: 1000\n\n"))
        except BaseException:
            self.live.viewers.discard(viewer)
            raise
        scope["state"]["goes_on"] = functools.partial(_go_on, self.live, viewer, self.after)


class Streams:
    """The outermost layer: a viewer waits for minutes, and nothing of its request or of the other layers with it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
        if go_on := scope.get("state", {}).pop("goes_on", None):
            scope["state"].clear()
            await go_on(receive, send)


async def _go_on(live: Live, viewer: Viewer, after: int, receive: Receive, send: Send) -> None:
    watcher = asyncio.ensure_future(_watch(receive, viewer))
    ending = asyncio.get_running_loop().call_later(LIFETIME, viewer.end)
    try:
        await live.catch_up(viewer, after)
        while not viewer.done:
            if chunk := await viewer.next():
                await send(_body(chunk))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        live.viewers.discard(viewer)
        ending.cancel()
        watcher.cancel()


def _body(chunk: bytes) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


async def _watch(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.end()
