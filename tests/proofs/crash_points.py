"""Numbered points on the way of a verb: around every commit, and around and inside every answer of the PG.

The app knows nothing of them: commits are heard from SQLAlchemy, bytes from httpx. What happens at a point is up to
the proof: the process dies, the clock jumps, the disk fills up.
"""

import select
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.db import Database

PATIENCE = 5.0  # seconds for the first byte of an answer that somebody shall not see

CALLS = (
    *(("/cancel", "cancel"), ("/confirm", "confirm"), ("/transactions", "transactions")),
    *(("/ready", "start"), ("/approve", "confirm")),  # as KakaoPay calls them
)

OURS: ContextVar[bool] = ContextVar("OURS", default=True)
"""False in what runs beside the verb, and passes no points of it."""


@dataclass
class Points:
    """`meet` is called with the number (from 1) and the name of every point, as it is passed."""

    meet: Callable[[int, str], None]
    passed: list[str] = field(default_factory=list)
    armed: bool = False

    def at(self, name: str) -> None:
        if self.armed and OURS.get():
            self.passed.append(name)
            self.meet(len(self.passed), name)

    def arm(self, meet: Callable[[int, str], None] | None = None) -> None:
        self.meet, self.armed = meet or self.meet, True
        self.passed.clear()

    def disarm(self) -> None:
        self.armed = False

    def watch(self, db: Database) -> Callable[[], None]:
        """From now on every commit of this database is two points. Call the answer to end it."""

        def before(_connection: object) -> None:
            self.at("before a commit")

        def after(_session: object) -> None:
            self.at("after a commit")

        listened = ((db._writer.sync_engine, "commit", before), (Session, "after_commit", after))
        for where, what, ear in listened:
            event.listen(where, what, ear)

        def end() -> None:
            for where, what, ear in listened:
                event.remove(where, what, ear)

        return end


class Wire(httpx.AsyncBaseTransport):
    """The way to the PG, with four points a call."""

    def __init__(self, points: Points) -> None:
        self.points = points
        # A connection for every call: whose socket it waits at must be known when several are under way.
        self.inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = next((call for end, call in CALLS if request.url.path.endswith(end)), "find")
        sockets: list[Any] = []

        async def trace(name: str, info: dict[str, Any]) -> None:
            if name == "connection.connect_tcp.complete":
                sockets.append(info["return_value"].get_extra_info("socket"))
            elif name == "http11.send_request_body.complete":
                # Who dies here has asked: wait until the PG has done it and its answer lies unread in the kernel.
                select.select(sockets, [], [], PATIENCE if self.points.armed else 0)
                self.points.at(f"{call}: sent, nothing read")

        self.points.at(f"{call}: not sent")
        request.extensions = {**request.extensions, "trace": trace}
        answer = await self.inner.handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        stream = Halves(answer.stream, self.points, call)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self.inner.aclose()


class Halves(httpx.AsyncByteStream):
    """A body in two pieces, with a point between them and one behind them."""

    def __init__(self, inner: httpx.AsyncByteStream, points: Points, call: str) -> None:
        self.inner, self.points, self.call = inner, points, call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = b"".join([piece async for piece in self.inner])
        yield body[: len(body) // 2]
        self.points.at(f"{self.call}: half read")
        yield body[len(body) // 2 :]
        self.points.at(f"{self.call}: read, not seen")

    async def aclose(self) -> None:
        await self.inner.aclose()
