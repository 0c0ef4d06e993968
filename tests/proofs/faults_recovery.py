"""How long money stays in doubt once the PG answers again: the app's own reconciler, with default settings.

The event loop's clock is the simulated one, so that a silence of hours takes no time and every second counts.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import time_machine
from sqlmodel import select

from app import payments, refunds, settlement
from app.models import Payment, Status, User
from app.reconciler import keep_reconciling
from tests.proofs.report import Report
from tests.proofs.world_house import House, databases, frozen, house, one_thread

OUTAGES = {"30 s": 30, "5 min": 300, "1 h": 3600, "8 h": 8 * 3600}
SILENCES = {"hang": "no answer within PG_TIMEOUT", "lost": "no connection"}
MOST = 900.0  # seconds after which we stop looking


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
class Outage:
    house: House
    dice: random.Random
    how: str
    until: float
    orders: list[str] = field(default_factory=list)
    gave_up: dict[str, float] = field(default_factory=dict)  # when the caller had waited for PG_TIMEOUT
    took: list[float] = field(default_factory=list)  # seconds to rest, after the PG answers again
    doubted: list[float] = field(default_factory=list)  # the same, of those who gave up later: since then
    reopened: list[float] = field(default_factory=list)

    def weather(self, where: str) -> str:
        if time.time() >= self.until:
            return ""
        if where.endswith("before"):
            return "" if where[:4] != "find" and self.dice.random() < 0.5 else self.how
        return self.how

    async def pay(self, user: User, wait: float) -> None:
        """A purchase or a refund whose answer does not come."""
        await asyncio.sleep(wait)
        order_id, back = await self.house.authenticated(user)
        self.orders.append(order_id)
        await payments.come_back(self.house.till, order_id, back)
        self.gave_up[order_id] = time.time()

    async def give_back(self, order_id: str, wait: float) -> None:
        await asyncio.sleep(wait)
        self.orders.append(order_id)
        await refunds.refund(self.house.till, order_id, amount=1000, reason="변심", key="k", by="admin")
        self.gave_up[order_id] = time.time()

    async def open(self) -> list[Payment]:
        async with self.house.db.read() as session:
            rows = (await session.exec(select(Payment))).all()
        return [row for row in rows if row.order_id in self.orders and row.next_check_at]

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

    def rested(self, order_id: str, at: float) -> None:
        self.took.append(at - self.until)
        self.doubted.append(at - max(self.until, self.gave_up.get(order_id, self.until)))


async def _outage(url: str, clock: time_machine.Traveller, seed: int, seconds: float, how: str, many: int) -> Outage:
    async with house(url, clock=clock, patience=25, PG_TIMEOUT="20") as its:
        await its.people(2 * many, 0)
        users = await its.buyers()
        bought = [await its.bought(user) for user in users[:many]]
        outage = Outage(its, random.Random(seed), how, time.time() + seconds)
        its.network.weather = outage.weather
        beside = asyncio.create_task(keep_reconciling(its.till, its.settings.reconcile_every))
        # An approval that never arrived lives ten minutes at Toss: what is older than that is settled by its end.
        waits = [outage.dice.random() * min(seconds, 300) for _ in users]
        verbs = [outage.pay(user, wait) for user, wait in zip(users[many:], waits, strict=False)]
        verbs += [outage.give_back(order_id, wait) for order_id, wait in zip(bought, waits[many:], strict=True)]
        watching = asyncio.create_task(outage.watch())
        await asyncio.gather(*verbs)
        await watching
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
    return outage


def measure(seed: int, long: bool, report: Report, say: Callable[[str], None]) -> None:
    many, took, doubted = (50 if long else 4), list[float](), list[float]()
    chosen = list(OUTAGES.items()) if long else list(OUTAGES.items())[:2]
    with one_thread(), databases("sqlite") as kept:
        for (name, seconds), (how, meaning) in product(chosen, SILENCES.items()):
            with kept.fresh() as url, frozen(seed) as clock:
                loop = SimulatedTime(clock)
                outage = loop.run_until_complete(_outage(url, clock, seed, seconds, how, many))
                loop.close()
            took += outage.took
            doubted += outage.doubted
            looked = ", ".join(f"{it:.1f} s" for it in outage.reopened) or "-"
            said = (
                f"silent for {name} ({meaning}), {len(outage.took)} in doubt: at rest {spread(outage.took)} "
                f"after the PG answers again, {spread(outage.doubted)} after we also gave up waiting; "
                f"a page that looks: {looked}"
            )
            report.notes.append(said)
            say(f"faults: {said}")
            if max(outage.took, default=0) > 60:
                report.wrong[f"in doubt for more than a minute after {name}"] = [said]
    report.counts["measured recoveries"] = len(took)
    report.notes.append(
        f"all outages: at rest {spread(took)} after the PG answers again, "
        f"{spread(doubted)} after we also gave up waiting"
    )


def spread(seconds: Sequence[float]) -> str:
    row = sorted(seconds) or [0.0]
    return f"p95 {row[int(len(row) * 0.95)]:.1f} s, max {row[-1]:.1f} s"
