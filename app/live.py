"""The live table: one tailer a process reads the event log, each event is drawn once, every viewer gets what fits."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import and_, or_
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.beside import tell
from app.clock import now
from app.db import Database
from app.filters import Filter, is_stuck, why_attention
from app.models import Event, Payment, RefundStatus, Status
from app.render import draw
from app.search import margin_of

POLL = 0.25  # seconds between two looks at the log: one small indexed query a process, however many watch
POLL_BESIDE_BELL = 2.0  # the same when other workers ring: then it is only there for what they forget
GAP = 0.05  # seconds between two looks, however much is written; with many viewers more, for each was written to
REST = 1.0  # seconds after a look that failed
LISTEN_AGAIN = 5.0  # seconds after which a lost ear is put back
# PostgreSQL hands ids out before commit, so event 8 may become visible after 9: look back as far as this.
OVERLAP = 200  # events
LATE = timedelta(seconds=10)
CATCH_UP = 500  # events after which a page that slept is asked to reload instead
QUIET = frozenset({"revealed"})  # kinds of events that change nothing in a row
HEARTBEAT = 15.0  # seconds
BACKLOG = 1000  # messages a slow viewer may lag behind; then it is cut, and comes back with Last-Event-ID


NEWEST = select(func.max(col(Event.id)))


@dataclass(frozen=True)
class News:
    """One event with the payment as it stands now, drawn once for everyone."""

    event_id: int
    payment: Payment
    before: Status
    why: Collection[str]
    """Why a person should look at it now; and why before this event, as far as can be told."""
    why_before: Collection[str]
    is_new: bool
    is_quiet: bool
    row: str

    def part(self, wanted: Filter) -> str:
        """What a viewer with this filter gets. A row that comes to fit goes to its place, a changed one morphs."""
        fits = wanted.fits(self.payment, self.payment.status, self.why)
        fitted = not self.is_new and wanted.fits(self.payment, self.before, self.why_before)
        if self.is_quiet or not (fits or fitted):
            return ""
        if fits and not fitted and not wanted.cursor:
            key = "data-amount" if "amount" in wanted.sort else "data-created"
            order = ":desc" if wanted.sort.startswith("-") else ""
            return _part("#payment-rows", f"upsert key:{key} sort{order}", self.row)
        return _part(f"#payment-{self.payment.order_id}", "outerMorph", self.row, leaves=not fits)


def _part(target: str, swap: str, html: str, *, leaves: bool = False) -> str:
    """A row that `leaves` shows what became of it first; the page lets it go when nobody works on it."""
    mark = " data-leaves" if leaves else ""
    return f'<hx-partial{mark} hx-target="{target}" hx-swap="{swap}">{html}</hx-partial>'


def _message(cursor: int, html: str) -> bytes:
    data = "".join(f"data: {line}\n" for line in html.splitlines())
    return f"id: {cursor}\n{data}\n".encode()


@dataclass(frozen=True)
class Batch:
    """What one look at the log has found: one message, written once for all who want the same."""

    news: Sequence[News]
    cursor: int
    written: dict[Filter, bytes] = field(default_factory=dict)

    def message(self, wanted: Filter) -> bytes:
        """Empty when nothing in it is for this filter. All events of a payment show the same row: the first counts."""
        message = self.written.get(wanted)
        if message is None:
            parts: dict[str, str] = {}
            for news in self.news:
                if part := news.part(wanted):
                    parts.setdefault(news.payment.order_id, part)
            message = self.written[wanted] = _message(self.cursor, "".join(parts.values())) if parts else b""
        return message

    def after(self, event_id: int, told: Collection[int] = ()) -> "Batch":
        """Without what the viewer knows already."""
        fresh = [news for news in self.news if news.event_id > event_id and news.event_id not in told]
        return self if len(fresh) == len(self.news) else Batch(fresh, self.cursor)


@dataclass(eq=False, slots=True)
class Viewer:
    """Thousands of them wait on one worker: as little as can be."""

    wanted: Filter
    after: int
    """The events up to here are on the page already."""
    items: list[bytes] = field(default_factory=list)
    waiting: asyncio.Future[None] | None = None
    caught_up: Collection[int] = ()
    meanwhile: list[Batch] | None = field(default_factory=list)
    """What the hub tells while this viewer catches up; told after it, so that an older state never covers a newer."""
    done: bool = False

    def catch_up(self, missed: Batch) -> None:
        self.push(missed.after(self.after).message(self.wanted))
        self.caught_up = {news.event_id for news in missed.news}
        meanwhile, self.meanwhile = self.meanwhile or [], None
        for batch in meanwhile:
            self.hear(batch)

    def hear(self, batch: Batch) -> None:
        if self.meanwhile is not None:
            self.meanwhile.append(batch)
        else:
            self.push(batch.after(self.after, self.caught_up).message(self.wanted))

    def push(self, chunk: bytes) -> None:
        if len(self.items) >= BACKLOG:
            self.end()
        elif chunk:
            self.items.append(chunk)
            self._wake()

    def end(self) -> None:
        self.done = True
        self._wake()

    def _wake(self) -> None:
        if self.waiting and not self.waiting.done():
            self.waiting.set_result(None)

    async def next(self) -> bytes:
        """All that is there, as soon as something is; empty when this has ended."""
        if not (self.items or self.done):
            self.waiting = asyncio.get_running_loop().create_future()
            await self.waiting
            self.waiting = None
        chunk, self.items = b"".join(self.items), []
        return chunk


class Live:
    """The hub of one process. `run` is its tailer."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.viewers: set[Viewer] = set()
        self.closed = False
        self.cursor = 0
        self.told: deque[int] = deque(maxlen=2 * OVERLAP)
        self.wake = asyncio.Event()
        self.wrote = self.listening = False
        db.after_write = self._after_write

    def _after_write(self) -> None:
        self.wrote = True
        self.wake.set()

    async def run(self) -> None:
        """Tail the log for ever. A database that is away for a while is asked again."""
        loop = asyncio.get_running_loop()
        beat = loop.time()
        while not self.closed:
            self.wake.clear()
            told = False
            try:
                await self._tell_others()
                told = await self._look()
            except Exception as error:
                tell("실시간 목록: 이벤트를 읽지 못했습니다", error)
                await asyncio.sleep(REST)
            if loop.time() - beat > HEARTBEAT:
                beat = loop.time()
                for viewer in self.viewers:
                    viewer.push(b": .\n\n")
            await asyncio.sleep(min(POLL, GAP + len(self.viewers) / 1000) if told else GAP)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), POLL_BESIDE_BELL if self.listening else POLL)

    async def hear_others(self) -> None:
        """PostgreSQL: look at once when another worker has written. Without it, or on SQLite, we poll."""
        while not (self.db.is_sqlite or self.closed):
            try:
                self.listening = True
                await self.db.listen(self.wake.set)
            except Exception as error:
                tell("실시간 목록: 다른 프로세스의 소식을 듣지 못합니다", error)
            finally:
                self.listening = False
            await asyncio.sleep(LISTEN_AGAIN)

    async def _tell_others(self) -> None:
        wrote, self.wrote = self.wrote, False
        if wrote and self.listening:
            await self.db.ring()

    def close(self) -> None:
        """End every stream and refuse new ones: uvicorn waits for open answers before it stops."""
        self.closed = True
        for viewer in self.viewers:
            viewer.end()

    async def _look(self) -> bool:
        """Was there anything to tell?"""
        if not self.viewers:
            return False
        async with self.db.read() as session:
            events = [event for event in await self._events(session, self.cursor) if event.id not in self.told]
            news = await _draw(session, events)
        if not news:
            return False
        self.told.extend(item.event_id for item in news)
        self.cursor = max(self.cursor, *self.told)
        batch = Batch(news, self.cursor)
        for viewer in self.viewers:
            viewer.hear(batch)
        return True

    async def newest(self) -> int:
        """The end of the log."""
        async with self.db.read() as session:
            newest: int | None = await (await session.connection()).scalar(NEWEST)
        return newest or 0

    async def welcome(self, viewer: Viewer) -> None:
        """The first viewer makes us look again, from here on: while nobody watched, nothing was read."""
        if not self.viewers:
            newest = await self.newest()
            if not self.viewers:  # nor did anybody come meanwhile
                self.cursor = newest
        self.viewers.add(viewer)
        if self.closed:  # meanwhile
            viewer.end()

    async def catch_up(self, viewer: Viewer, after: int) -> None:
        """What happened since the page, or the last message that arrived. What it tells, the hub need not."""
        async with self.db.read() as session:
            events = await self._events(session, after)
            if len(events) > CATCH_UP:
                missed = draw("admin/payments/_missed.html")
                viewer.push(_message(self.cursor, _part("#notice", "innerHTML", missed)))
                events = []
            news = await _draw(session, events)
        viewer.catch_up(Batch(news, max([after, *(item.event_id for item in news)])))

    async def _events(self, session: AsyncSession, after: int) -> Sequence[Event]:
        newer = col(Event.id) > after
        if not self.db.is_sqlite:  # SQLite has one writer: its ids become visible in order
            late = and_(col(Event.id) > after - OVERLAP, col(Event.at) > now() - LATE)
            newer = or_(newer, late)
        return (await session.exec(select(Event).where(newer).order_by(col(Event.id)).limit(CATCH_UP + 1))).all()


async def _draw(session: AsyncSession, events: Sequence[Event]) -> list[News]:
    ids = {event.payment_id for event in events}
    found = (await session.exec(select(Payment).where(col(Payment.id).in_(ids)))).all() if ids else []
    margin = await margin_of(session, found)
    payments = {payment.id: payment for payment in found}
    rows = {payment.id: draw("admin/payments/_row.html", payment=payment, **vars(margin)) for payment in found}
    return [_news(event, payments[event.payment_id], margin.refunds.get(event.payment_id), rows) for event in events]


def _news(event: Event, payment: Payment, refund: RefundStatus | None, rows: Mapping[int | None, str]) -> News:
    return News(
        event.id or 0,
        payment,
        event.before,
        why_attention(payment, refund),
        _why_before(event, payment, refund),
        is_new=event.kind == "created",
        is_quiet=event.kind in QUIET,
        row=rows[payment.id],
    )


def _why_before(event: Event, payment: Payment, refund: RefundStatus | None) -> set[str]:
    """Where the event does not say, more rather than less: a row that was not there is not missed when it leaves."""
    beginning = event.kind in ("refund_requested", "refund_in_doubt")
    ending = event.kind in ("refund_done", "refund_failed", "refunded")
    why = {"in_doubt", "mismatch"} if event.before == Status.IN_DOUBT else set()
    if is_stuck(payment, event.before):
        why.add("stuck")
    if ending or (refund == RefundStatus.IN_DOUBT and not beginning):
        why.add("refund")
    return why
