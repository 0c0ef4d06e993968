"""The live table: one tailer a process reads the event log, each event is drawn once, every viewer gets what fits."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import and_, or_
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.responses import PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from app.clock import now
from app.db import Database
from app.filters import Filter
from app.models import Event, Payment, RefundStatus, Status
from app.render import draw
from app.search import latest_refunds

log = logging.getLogger(__name__)

POLL = 0.25  # seconds between two looks at the log: one small indexed query a process, however many watch
# PostgreSQL hands ids out before commit, so event 8 may become visible after 9: look back as far as this.
OVERLAP = 200  # events
LATE = timedelta(seconds=10)
CATCH_UP = 500  # events after which a page that slept is asked to reload instead
HEARTBEAT = 15.0  # seconds
LIFETIME = 600.0  # seconds after which a connection ends, to come back by itself and show its session again
BACKLOG = 2 * CATCH_UP  # messages a slow viewer may lag behind; then it is cut, and comes back with Last-Event-ID


NEWEST = select(func.max(col(Event.id)))


@dataclass(frozen=True)
class News:
    """One event with the payment as it stands now, drawn once for everyone."""

    event_id: int
    payment: Payment
    before: Status
    refund: RefundStatus | None
    is_new: bool
    row: str

    def message(self, cursor: int, wanted: Filter) -> bytes | None:
        """What a viewer with this filter gets. A row that comes to fit goes to its place, a changed one morphs."""
        fits = wanted.fits(self.payment, self.payment.status, self.refund)
        fitted = not self.is_new and wanted.fits(self.payment, self.before, self.refund)
        if fits and not fitted and not wanted.cursor:
            key = "data-amount" if "amount" in wanted.sort else "data-created"
            order = ":desc" if wanted.sort.startswith("-") else ""
            return _wrap(cursor, "#payment-rows", f"upsert key:{key} sort{order}", self.row)
        if fitted or fits:
            return _wrap(cursor, f"#payment-{self.payment.order_id}", "outerMorph", self.row)
        return None


def _wrap(cursor: int, target: str, swap: str, html: str) -> bytes:
    lines = f'<hx-partial hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'.splitlines()
    return "".join((f"id: {cursor}\n", *(f"data: {line}\n" for line in lines), "\n")).encode()


@dataclass(eq=False)
class Viewer:
    wanted: Filter
    after: int
    """The events up to here are on the page already."""
    items: list[bytes] = field(default_factory=list)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    caught_up: set[int] = field(default_factory=set)
    done: bool = False

    def hear(self, news: News, cursor: int) -> None:
        if news.event_id in self.caught_up or news.event_id <= self.after:
            return
        if chunk := news.message(cursor, self.wanted):
            self.push(chunk)

    def push(self, chunk: bytes) -> None:
        if len(self.items) >= BACKLOG:
            self.end()
        else:
            self.items.append(chunk)
            self.wake.set()

    def end(self) -> None:
        self.done = True
        self.wake.set()


class Live:
    """The hub of one process. `run` is its tailer."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.viewers: set[Viewer] = set()
        self.closed = False
        self.cursor = 0
        self.told: deque[int] = deque(maxlen=2 * OVERLAP)

    async def run(self) -> None:
        """Tail the log for ever. A database that is away for a while is asked again."""
        loop = asyncio.get_running_loop()
        beat = loop.time()
        while not self.closed:
            try:
                await self._look()
            except Exception:
                log.exception("실시간 목록: 이벤트를 읽지 못했습니다")
            if loop.time() - beat > HEARTBEAT:
                beat = loop.time()
                for viewer in self.viewers:
                    viewer.push(b": .\n\n")
            await asyncio.sleep(POLL)

    def close(self) -> None:
        """End every stream and refuse new ones: uvicorn waits for open answers before it stops."""
        self.closed = True
        for viewer in self.viewers:
            viewer.end()

    async def _look(self) -> None:
        async with self.db.read() as session:
            if not self.viewers:
                self.cursor = await newest_event(session)
                return
            events = [event for event in await self._events(session, self.cursor) if event.id not in self.told]
            news = await _draw(session, events)
        for item in news:
            self.told.append(item.event_id)
            self.cursor = max(self.cursor, item.event_id)
            for viewer in self.viewers:
                viewer.hear(item, self.cursor)

    async def catch_up(self, viewer: Viewer, after: int) -> None:
        """What happened since the page, or the last message that arrived. What it tells, the hub need not."""
        async with self.db.read() as session:
            events = await self._events(session, after)
            if len(events) > CATCH_UP:
                viewer.push(_wrap(self.cursor, "#notice", "innerHTML", draw("admin/payments/_missed.html")))
                return
            news = await _draw(session, events)
        for item in news:
            viewer.hear(item, max(after, item.event_id))
        viewer.caught_up = {item.event_id for item in news}

    async def _events(self, session: AsyncSession, after: int) -> Sequence[Event]:
        newer = col(Event.id) > after
        if not self.db.is_sqlite:  # SQLite has one writer: its ids become visible in order
            late = and_(col(Event.id) > after - OVERLAP, col(Event.at) > now() - LATE)
            newer = or_(newer, late)
        return (await session.exec(select(Event).where(newer).order_by(col(Event.id)).limit(CATCH_UP + 1))).all()


async def newest_event(session: AsyncSession) -> int:
    """Where a page that is drawn now starts to listen."""
    newest: int | None = await (await session.connection()).scalar(NEWEST)
    return newest or 0


async def _draw(session: AsyncSession, events: Sequence[Event]) -> list[News]:
    ids = {event.payment_id for event in events}
    found = (await session.exec(select(Payment).where(col(Payment.id).in_(ids)))).all() if ids else []
    refunds = await latest_refunds(session, found)
    payments = {payment.id: payment for payment in found}
    rows = {payment.id: draw("admin/payments/_row.html", payment=payment, refunds=refunds) for payment in found}
    return [
        News(
            event.id or 0,
            payments[event.payment_id],
            event.before,
            refunds.get(event.payment_id),
            event.kind == "created",
            rows[event.payment_id],
        )
        for event in events
    ]


class Stream(Response):
    """`text/event-stream` for one viewer, until it leaves, lags too far behind, or has had its time."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, wanted: Filter, after: int) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.live, self.wanted, self.after = live, wanted, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.live.closed:
            return await PlainTextResponse("종료하는 중입니다.", 503, {"Retry-After": "1"})(scope, receive, send)
        # PostgreSQL's events may come late, below the page's place in the log.
        viewer = Viewer(self.wanted, self.after - (0 if self.live.db.is_sqlite else OVERLAP))
        self.live.viewers.add(viewer)
        watcher = asyncio.ensure_future(_watch(receive, viewer))
        ending = asyncio.get_running_loop().call_later(LIFETIME, viewer.end)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send(_body(b"retry: 1000\n\n"))
            await self.live.catch_up(viewer, self.after)
            while not viewer.done:
                await viewer.wake.wait()
                viewer.wake.clear()
                chunk, viewer.items = b"".join(viewer.items), []
                if chunk:
                    await send(_body(chunk))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.live.viewers.discard(viewer)
            ending.cancel()
            watcher.cancel()


def _body(chunk: bytes) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": True}


async def _watch(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.end()
