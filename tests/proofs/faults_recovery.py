"""How long money stays in doubt once the PG answers again: the app's own reconciler, with default settings.

Every PG goes silent at once and speaks again at once, as when our own line is cut: none may wait for another.
The event loop's clock is the simulated one, so that a silence of hours takes no time and every second counts.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import cycle, product
from typing import Any
from unittest.mock import patch

import httpx
import time_machine
from sqlmodel import select

from app import payments, refunds, settlement
from app.models import CLOSED, Payment, Status, User
from app.reconciler import AT_ONCE, keep_reconciling
from tests.proofs import gates
from tests.proofs.report import Report
from tests.proofs.world_house import House, databases, frozen, house, one_thread

OUTAGES = {"30 s": 30, "5 min": 300, "1 h": 3600}  # by then the pauses have grown to their longest
SILENCES = {"hang": "hung", "refuse": "refused"}
SHORT = (("30 s", "hang"), ("5 min", "refuse"))
MOST = 900.0  # seconds after which we stop looking
PROMISED = {"p95": 15.0, "max": 60.0}  # seconds in doubt after the PG answers again
waits: ContextVar[bool] = ContextVar("waits", default=False)
"""Somebody stands before the PG for the first time with this payment or refund; else we ask how it stands."""


class SimulatedTime(asyncio.SelectorEventLoop):
    """Where nothing is left to do, the clock jumps to the next appointment."""

    def __init__(self, clock: time_machine.Traveller) -> None:
        self.clock = clock
        super().__init__()

    def time(self) -> float:
        return time.time()

    def _run_once(self) -> None:
        its: Any = self
        if not its._ready and its._scheduled:
            gap = its._scheduled[0]._when - self.time()
            if gap > 0:
                self.clock.shift(gap + 1e-6)
        super()._run_once()  # type: ignore[misc]


@dataclass
class Rest:
    """How one payment came to rest."""

    at: str
    took: float  # seconds, after the PG answers again
    doubted: float  # the same, but since its caller gave up where that was later


@dataclass
class Outage:
    house: House
    pg: httpx.AsyncClient
    dice: random.Random
    how: str
    until: float
    ways: dict[str, str] = field(default_factory=dict)  # order -> where it pays
    gave_up: dict[str, float] = field(default_factory=dict)  # when the caller had waited for PG_TIMEOUT
    rests: list[Rest] = field(default_factory=list)
    reopened: list[float] = field(default_factory=list)

    def weather(self, where: str) -> str:
        """Half of what is asked for the first time still arrives, and is done; no answer comes out."""
        if time.time() >= self.until:
            return ""
        if where.endswith("before") and waits.get() and self.dice.random() < 0.5:
            return ""
        if self.how == "refuse":
            raise httpx.ConnectError("refused") if where.endswith("before") else httpx.ReadError("cut off")
        return self.how

    async def pay(self, order_id: str, back: dict[str, str], wait: float) -> None:
        """A purchase whose answer does not come."""
        await self.ask(order_id, wait, lambda: payments.come_back(self.house.till, order_id, back))

    async def give_back(self, order_id: str, wait: float) -> None:
        words: Any = {"amount": 1000, "reason": "변심", "key": "k", "by": "admin"}
        await self.ask(order_id, wait, lambda: refunds.refund(self.house.till, order_id, **words))

    async def ask(self, order_id: str, wait: float, verb: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(wait)
        waits.set(True)
        await verb()
        self.gave_up[order_id] = time.time()

    async def authenticated(self, at: str, user: User) -> tuple[str, dict[str, str]]:
        order_id, back = await gates.authenticated(self.house.till, self.pg, at, user)
        self.ways[order_id] = at
        return order_id, back

    async def open(self) -> list[Payment]:
        """Without what has ended: that is looked at once more when its windows are closed, and nobody waits for it."""
        async with self.house.db.read() as session:
            rows = (await session.exec(select(Payment))).all()
        return [row for row in rows if row.next_check_at and row.status not in CLOSED]

    async def watch(self) -> None:
        """From the moment the PG answers; one buyer looks at the page as soon as it does."""
        await asyncio.sleep(self.until - time.time() + 0.01)
        looking = next((row for row in await self.open() if row.status == Status.IN_DOUBT), None)
        while looking:
            payment = await settlement.reopen(self.house.till, await self.house.payment(looking.order_id), "buyer")
            if payment.next_check_at is None:
                self.reopened.append(time.time() - self.until)
                break
            await asyncio.sleep(2)  # as the page does
        left = {row.order_id for row in await self.open()}
        while left and time.time() < self.until + MOST:
            await asyncio.sleep(0.5)
            still = {row.order_id for row in await self.open()}
            for order_id in left - still:
                self.rested(order_id, time.time())
            left = still
        for order_id in left:
            self.rested(order_id, self.until + MOST)

    def rested(self, order_id: str, when: float) -> None:
        since = max(self.until, self.gave_up.get(order_id, self.until))
        self.rests.append(Rest(self.ways[order_id], when - self.until, when - since))


async def _outage(url: str, clock: time_machine.Traveller, seed: int, seconds: float, how: str, many: int) -> Outage:
    keys = gates.keys(gates.INSIDE)
    async with house(url, clock=clock, patience=25, PG_TIMEOUT="20", **keys) as its, gates.inside(its) as pg:
        await its.people(2 * many, 0)
        outage = Outage(its, pg, random.Random(seed), how, time.time() + seconds)
        buyers = zip(cycle(gates.WAYS), await its.buyers(), strict=False)
        ready = [await outage.authenticated(at, user) for at, user in buyers]
        for order_id, back in ready[:many]:
            await payments.come_back(its.till, order_id, back)
        its.network.weather = outage.weather
        beside = asyncio.create_task(keep_reconciling(its.till, its.settings.reconcile_every))
        # An approval that never arrived lives ten minutes at Toss: what is older than that is settled by its end.
        moments = [outage.dice.random() * min(seconds, 300) for _ in ready]
        verbs = [
            outage.pay(order_id, back, wait) if number >= many else outage.give_back(order_id, wait)
            for number, ((order_id, back), wait) in enumerate(zip(ready, moments, strict=True))
        ]
        watching = asyncio.create_task(outage.watch())
        await asyncio.gather(*verbs)
        await watching
        left = {beside, *asyncio.all_tasks()} - {asyncio.current_task()}  # with the questions that still hang
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    return outage


def measure(seed: int, long: bool, report: Report, say: Callable[[str], None]) -> None:
    many, rests = (50 if long else len(gates.WAYS)), list[Rest]()
    with one_thread(), patch("app.reconciler.AT_ONCE", AT_ONCE), databases("sqlite") as kept:
        for name, how in product(OUTAGES, SILENCES) if long else SHORT:
            with kept.fresh() as url, frozen(seed) as clock:
                loop = SimulatedTime(clock)
                outage = loop.run_until_complete(_outage(url, clock, seed, OUTAGES[name], how, many))
                loop.close()
            rests += outage.rests
            looked = ", ".join(f"{it:.1f} s" for it in outage.reopened) or "-"
            said = f"{SILENCES[how]} for {name}: {spread(outage.rests)}; a page that looks: {looked}"
            report.notes.append(said)
            say(f"faults: {said}")
            if too_long := late([it.doubted for it in outage.rests]):
                report.wrong[f"in doubt for too long after {name}"] = [f"{said}: {too_long}"]
    report.counts["measured recoveries"] = len(rests)
    report.notes += [f"{at}, all silences: {spread([it for it in rests if it.at == at])}" for at in gates.WAYS]


def spread(rests: Sequence[Rest]) -> str:
    """In doubt: the PG answers again, and nobody waits for an answer of before any more."""
    since, doubted = [it.took for it in rests], [it.doubted for it in rests]
    said = f"{len(rests)} in doubt p95 {p95(doubted):.1f} s, max {max(doubted, default=0):.1f} s"
    hangs = f"p95 {p95(since):.1f} s, max {max(since, default=0):.1f} s"
    return f"{said} (with the calls of before that still hung, up to PG_TIMEOUT: {hangs})"


def p95(seconds: Sequence[float]) -> float:
    row = sorted(seconds) or [0.0]
    return row[int(len(row) * 0.95)]


def late(seconds: Sequence[float]) -> list[str]:
    """Which of the promises do not hold."""
    found = {"p95": p95(seconds), "max": max(seconds, default=0.0)}
    return [f"{name} {found[name]:.1f} s" for name, most in PROMISED.items() if found[name] > most]
