"""F10: clocks that jump, disagree, or stand at midnight in Seoul. Ours is time-machine's, the PG's its own process'."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product

import time_machine

from app import reconciler
from app.clock import now
from app.db import Database
from app.models import Payment
from tests.proofs import books, clock_stories, gates
from tests.proofs.crash_child import stage_on
from tests.proofs.crash_ground import database, sandbox, settings
from tests.proofs.crash_points import Points
from tests.proofs.crash_scenes import OTHERS, SCENES, TOSS, Facts, Stage, attempt, unsettled
from tests.proofs.report import Report

NAME = "clock"
JUMPS = (600.0, -600.0)  # seconds
# Several at once pass now more points, now fewer: only the long run is long enough for them.
SHORT = [*[name for name in TOSS if "at once" not in name][::3], *list(OTHERS)[::12]]
STRIDE = {False: 29, True: 2}  # every so many points: what one engine leaves out, the next one plays
PASSES = 12
Say = Callable[[str], None]


class Died(BaseException):
    """The end of whoever was at a point; nothing of ours may catch it."""


def run(*, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Say = print) -> Report:
    """One engine after the other: the clock is the whole process'."""
    began = time.monotonic()
    report = Report(NAME, seed)
    for turn, engine in enumerate(engines):
        with database(engine) as url, sandbox() as pg:
            db, points = Database(url), Points(lambda _number, _name: None)
            trial = Trial(stage_on(settings(url, pg, **gates.keys(pg.url), PG_TIMEOUT="1"), db, points, pg.url), points)
            unwatch = points.watch(db)
            try:
                asyncio.run(trial.run(seed + turn, STRIDE[long], list(SCENES) if long else SHORT))
            finally:
                unwatch()
        say(f"{engine}: {dict(trial.counts)}")
        report.counts |= {f"{engine} {name}": number for name, number in trial.counts.items()}
        report.wrong |= {f"{engine}, {what}": rows for what, rows in trial.wrong.items()}
    report.notes.append("longest wait: seconds by our clock from the end of a scene until everything was at rest")
    report.seconds = time.monotonic() - began
    return report


@dataclass
class Trial:
    """`clock` is the clock of this process while a story is told."""

    stage: Stage
    points: Points
    counts: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    async def run(self, seed: int, stride: int, scenes: Sequence[str]) -> None:
        number = seed
        for scene, jump, dies in product(scenes, JUMPS, (False, True)):
            await self.in_time(partial(self.jumping, scene, jump, dies, 0))
            for point in range(1, len(self.points.passed) + 1):
                number += 1
                if number % stride == 0:
                    await self.in_time(partial(self.jumping, scene, jump, dies, point))
        for scene, jump in product(scenes, JUMPS):
            await self.in_time(partial(self.two_clocks, scene, jump))
        for story in clock_stories.ALL:
            await self.in_time(partial(story, self))
        await self.stage.till.db.close()

    async def in_time(self, story: Callable[[], Awaitable[None]]) -> None:
        with time_machine.travel(datetime.now(UTC), tick=True) as self.clock:
            await self.stage.clear()
            await story()

    async def jumping(self, scene: str, jump: float, dies: bool, at: int) -> None:
        """The clock jumps at this point. Who is there lives on beside a worker who takes up what seems due, or dies."""
        facts = await SCENES[scene].prepare(self.stage)
        workers: list[asyncio.Task[list[Payment]]] = []

        def meet(number: int, name: str) -> None:
            if number == at and not (dies and name.endswith("commit")):  # dead beside a commit is dead beside a call
                self.counts["jumps"] += 1
                self.clock.shift(jump)
                if dies:
                    raise Died
                workers.append(asyncio.ensure_future(reconciler.reconcile(self.stage.till)))

        self.points.arm(meet)
        with contextlib.suppress(Died):
            await attempt(SCENES[scene].act, self.stage, facts)
        self.points.disarm()
        await asyncio.gather(*workers)
        await self.must_rest(f"{scene}, {jump:+.0f} s at point {at}{', dead' * dies}", scene, facts, not dies)
        if dies:  # and who had asked comes back
            await attempt(SCENES[scene].act, self.stage, facts)
            await self.must_rest(f"{scene}, {jump:+.0f} s at point {at}, dead, and back", scene, facts)

    async def two_clocks(self, scene: str, ahead: float) -> None:
        """The PG's clock is not ours from the beginning."""
        self.stage.pg.advance(ahead)
        facts = await SCENES[scene].prepare(self.stage)
        await attempt(SCENES[scene].act, self.stage, facts)
        self.counts["clocks that disagree"] += 1
        await self.must_rest(f"{scene}, the PG {ahead:+.0f} s", scene, facts)

    async def must_rest(self, what: str, scene: str, facts: Facts, ended: bool = True) -> None:
        waited = await self.to_rest()
        self.counts["longest wait"] = max(self.counts["longest wait"], round(waited))
        ledger = self.stage.pg.total()
        found = (await books.compare(self.stage.till.db, ledger)).wrong()
        if rest := await unsettled(self.stage):
            found["never at rest"] = [f"{row.order_id} {row.status}" for row in rest]
        order = ledger["orders"][facts["order_id"]]
        if ended and (order["charged"], order["refunded"]) != (SCENES[scene].charged, SCENES[scene].refunded):
            found["another end"] = [f"{facts['order_id']}: {order['charged']} - {order['refunded']}"]
        self.wrong |= {f"{what}: {rule}": rows for rule, rows in found.items()}

    async def to_rest(self) -> float:
        """Nothing is written into the table: our clock goes on to the next question, whenever that is."""
        began = now()
        for _ in range(PASSES):
            due = [row.next_check_at for row in await unsettled(self.stage) if row.next_check_at]
            if not due:
                break
            self.clock.shift(max(timedelta(), min(due) - now() + timedelta(milliseconds=10)))
            await reconciler.reconcile(self.stage.till)
        return (now() - began).total_seconds()

    def both(self, minutes: float) -> None:
        """Time passes here and there."""
        self.clock.shift(minutes * 60)
        self.stage.pg.advance(minutes * 60)

    async def ask_everyone(self) -> None:
        await self.stage.time_passes()
        await reconciler.reconcile(self.stage.till)
