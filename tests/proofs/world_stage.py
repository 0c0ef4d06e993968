"""A stage on which verbs run in any order we like: each stops at every commit and every call of the PG.

One runs at a time and all the others stand still, so that a seed decides everything; no sleeps, no luck.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import ASGIApp

from app.db import Database
from app.together import Serve, Wish

SILENT = httpx.ReadTimeout("no answer")
BUSY: dict[str, tuple[int, dict[str, Any]]] = {
    "toss": (403, {"code": "FORBIDDEN_CONSECUTIVE_REQUEST", "message": "반복적인 요청은 허용되지 않습니다."}),
    "kakaopay": (400, {"error_code": -785, "error_message": "payment or cancel is requested twice!"}),
    "portone": (429, {"type": "TOO_MANY_REQUESTS", "message": "요청이 너무 많습니다."}),
    "portone_v1": (429, {"code": -1, "message": "요청이 너무 많습니다.", "response": None}),
}
CALLS = {  # the last word of an address -> what is asked for there, in one word for all PGs
    **{word: word for word in ("confirm", "cancel", "transactions")},
    **{"approve": "confirm", "ready": "start", "pre-register": "start", "prepare": "start"},
    **{"close": "withdraw", "getToken": "login", "payments": "transactions"},
}
playing: ContextVar["Act | None"] = ContextVar("playing", default=None)


@dataclass(eq=False)
class Act:
    """A verb under way. `advance` lets it run to its next stop; what is handed over is what happens to it there."""

    name: str
    verb: Coroutine[Any, Any, Any]
    order_id: str | None = None
    where: str = "begin"
    stops: list[str] = field(default_factory=list)
    since: float = field(default_factory=time.time)  # when it came to where it stands
    task: asyncio.Task[Any] | None = None
    _stopped: asyncio.Future[None] | None = None
    _go: asyncio.Future[str] | None = None

    async def advance(self, fate: str = "") -> bool:
        """False once it has ended."""
        loop = asyncio.get_running_loop()
        self._stopped = loop.create_future()
        if self.task is None:
            self.task = asyncio.create_task(self._play())
        elif self._go:
            self._go.set_result(fate)
        await asyncio.wait({self.task, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
        return not self.task.done()

    async def _play(self) -> Any:
        playing.set(self)
        return await self.verb

    async def stop(self, where: str) -> str:
        self.where, self.since = where, time.time()
        self.stops.append(where)
        self._go = asyncio.get_running_loop().create_future()
        assert self._stopped, "somebody advanced it"
        self._stopped.set_result(None)
        return await self._go

    async def finish(self) -> Any:
        """Nothing happens to it any more. Raises what it raises."""
        while await self.advance():
            pass
        assert self.task
        return self.task.result()

    async def die(self) -> None:
        """The process ends here."""
        if self.task is None:
            self.verb.close()
            return
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def result(self) -> Any:
        """Raises what it raised."""
        assert self.task
        return self.task.result()


async def stop(where: str) -> str:
    act = playing.get()
    return await act.stop(where) if act else ""


class StagedDatabase(Database):
    """Everybody on stage stops before a transaction begins and after it is committed."""

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        await stop("before a commit")
        async with super().write() as session:
            yield session
        await stop("after a commit")

    async def write_together(self, serve: Serve[Wish], wish: Wish, key: Hashable) -> Any:
        """Who stops here must not stop those who would be served with it."""
        await stop("before a commit")
        on_stage = playing.set(None)
        try:
            answer = await super().write_together(serve, wish, key)
        finally:
            playing.reset(on_stage)
        await stop("after a commit")
        return answer


class Network(httpx.AsyncBaseTransport):
    """To the PG and back, without sockets. The fate of a call, told at its stops:

    before: "" goes through · "lost" never arrives · "late" arrives when its sender has given up · "twice" does twice ·
    "busy" is refused at the door for coming too often, which says nothing of what was sent before.
    after: "" the answer arrives · "lost" it does not · "torn" half of it does · "502" a proxy answers instead.
    "hang" is lost, as it feels to those who wait.
    """

    def __init__(self, pg: ASGIApp) -> None:
        self.inner = httpx.ASGITransport(pg)
        self.late: list[httpx.Request] = []
        self.weather: Callable[[str], str] = lambda _where: ""  # the fate of those who are not on stage
        self.calls = 0
        self.slowness = 0.0  # real seconds that the PG thinks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        call = CALLS.get(path.rpartition("/")[2], "find")
        fate = await self.fate(f"{call}: before")
        request.extensions["sent"] = time.time()
        if fate == "late":
            self.late.append(request)
        await self.hang(fate)
        if fate in ("late", "lost"):
            raise SILENT
        if fate == "busy":
            status, answer = BUSY[path.split("/")[1]]
            return httpx.Response(status, json=answer)
        self.calls += 1
        if self.slowness:
            await asyncio.sleep(self.slowness)
        response = await self.inner.handle_async_request(request)
        if fate == "twice":
            await self.inner.handle_async_request(request)
        fate = await self.fate(f"{call}: after")
        await self.hang(fate)
        if fate == "lost":
            raise SILENT
        if fate == "torn":
            body = await response.aread()
            return httpx.Response(response.status_code, content=body[: len(body) // 2])
        if fate == "502":
            return httpx.Response(502, html="<h1>Bad Gateway</h1>")
        return response

    async def hang(self, fate: str) -> None:
        if fate == "hang":
            await asyncio.Event().wait()

    async def fate(self, where: str) -> str:
        return await stop(where) if playing.get() else self.weather(where)

    async def arrive(self, request: httpx.Request) -> None:
        """What was sent long ago reaches the PG now; nobody waits for the answer."""
        self.late.remove(request)
        await self.inner.handle_async_request(request)
