"""The process that dies. A forkserver: warm, without threads or connections, it forks one life after the other.

A life is `os.fork` away from the warm process, opens connections of its own, and ends by `os._exit(137)` at the point
it was told: nothing of it is closed, flushed or rolled back. A job comes as a JSON line on stdin: schedules, each a
scene and its lives; a line goes out for every schedule.
"""

import asyncio
import functools
import gc
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from app import audit, gateways
from app.clock import now
from app.config import Settings
from app.db import Database
from app.models import CLOSED
from app.till import Till
from tests.proofs import books, gates
from tests.proofs.crash_ground import settings
from tests.proofs.crash_points import Points, Wire
from tests.proofs.crash_scenes import HELPERS, SCENES, Facts, Stage, attempt, unsettled
from tests.sandboxes import Sandbox

DEAD = 137
LONGEST = 60  # seconds a life may take before SIGALRM ends it
ROUNDS = 6  # passes of the reconciler, at most, until everything must be at rest
Tell = Callable[[str, Any], None]
Life = Callable[[Tell], Awaitable[None]]


def stage_on(known: Settings, db: Database, points: Points, pg_url: str) -> Stage:
    client = httpx.AsyncClient(transport=Wire(points), timeout=known.pg_timeout)
    till = Till(db, gateways.load(known, client), settle_after=known.settle_after, patience=0.05)
    return Stage(till, Sandbox(pg_url), gates.outside(pg_url))


@dataclass
class Lives:
    """What happens between birth and death."""

    stage: Stage
    points: Points

    async def first(self, scene: str, crash: int, tell: Tell) -> None:
        await self.stage.clear()
        facts = await SCENES[scene].prepare(self.stage)
        tell("facts", facts)
        self.points.arm(dying(crash, tell))
        await attempt(SCENES[scene].act, self.stage, facts)

    async def next(self, scene: str, facts: Facts, who: str, crash: int, tell: Tell) -> None:
        """Time has passed, and somebody takes it up: the reconciler, the buyer, or who had asked."""
        await self.stage.time_passes()
        self.points.arm(dying(crash, tell))
        await attempt(HELPERS.get(who, SCENES[scene].act), self.stage, facts)

    async def last(self, scene: str, facts: Facts, ends: Sequence[str], tell: Tell) -> None:
        """`alone`: only the reconciler comes back. `back`: whoever had asked asks again. Both leave true books."""
        wrong: dict[str, list[str]] = {}
        left = [row for row in await unsettled(self.stage) if row.status not in CLOSED]  # only a last look at those
        waits = [row.next_check_at - now() for row in left if row.next_check_at]
        passes = 0
        for end in ends:
            if end == "back":
                await attempt(SCENES[scene].act, self.stage, facts)
            passes += await self.to_rest(facts)
            ledger = self.stage.pg.total()
            found = (await books.compare(self.stage.till.db, ledger)).wrong()
            if rest := await unsettled(self.stage):
                found["never at rest"] = [f"{row.order_id} {row.status}" for row in rest]
            moved = tuple(ledger["orders"][facts["order_id"]][way] for way in ("charged", "refunded"))
            if end == "back" and moved != (SCENES[scene].charged, SCENES[scene].refunded):
                found["another end"] = [f"{facts['order_id']}: {moved}"]
            wrong |= {f"{rule} ({end})": rows for rule, rows in found.items()}
        wait = max((wait.total_seconds() for wait in waits), default=0)
        tell("end", {"wrong": wrong, "passes": passes, "wait": wait})

    async def to_rest(self, facts: Facts) -> int:
        """Passes of the reconciler, at least one, until nothing is open any more."""
        passes = 0
        while passes < ROUNDS and (not passes or await unsettled(self.stage)):
            passes += 1
            await self.stage.time_passes()
            await attempt(HELPERS["reconciler"], self.stage, facts)
        return passes

    async def warm_up(self, scenes: Sequence[str]) -> None:
        """Every module imported and every query compiled before the first fork."""
        for name, scene in ((name, SCENES[name]) for name in scenes):
            await self.stage.clear()
            facts = await scene.prepare(self.stage)
            await attempt(scene.act, self.stage, facts)
            await self.last(name, facts, ("alone", "back"), lambda _key, _value: None)
        await self.stage.till.db.close()


def dying(crash: int, tell: Tell) -> Callable[[int, str], None]:
    def meet(number: int, name: str) -> None:
        tell("point", name)
        if number == crash:
            os._exit(DEAD)

    return meet


def schedules(lives: Lives, job: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The last life of a schedule is the first of the next one: a fork less."""
    end: Life | None = None
    report: dict[str, Any] = {}
    for planned in job:
        scene, crash = planned["scene"], planned["lives"][0][1]

        async def first(tell: Tell, end: Life | None = end, scene: str = scene, crash: int = crash) -> None:
            if end:
                await end(tell)
            await lives.first(scene, crash, tell)

        told = fork(first)
        if end:
            yield report | told["end"]
        facts, report = told["facts"], {"passed": [told["passed"]], "deaths": told["died"]}
        for who, number in planned["lives"][1:]:
            told = fork(functools.partial(lives.next, scene, facts, who, number))
            report["passed"].append(told["passed"])
            report["deaths"] += told["died"]
        end = functools.partial(lives.last, scene, facts, planned["ends"])
    if end:
        yield report | fork(end)["end"]


def fork(life: Life) -> dict[str, Any]:
    """Everything a life has told before it ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _live(life, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = [json.loads(line) for line in pipe]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status not in (0, DEAD):
        raise RuntimeError(f"a life ended by {status}, not at a point")
    passed = [value for key, value in lines if key == "point"]
    return dict(lines) | {"passed": passed, "died": int(status == DEAD)}


def _live(life: Life, writing: int) -> None:
    def tell(key: str, value: Any) -> None:
        os.write(writing, (json.dumps([key, value]) + "\n").encode())

    async def run() -> None:
        await life(tell)

    code = 1
    try:
        gc.disable()
        signal.alarm(LONGEST)
        asyncio.run(run())
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def main(url: str, pg_url: str, *scenes: str) -> None:
    logging.disable(logging.CRITICAL)  # the app complains about every accident, rightly
    audit.rules = functools.cache(audit.rules)
    db, points = Database(url), Points(lambda _number, _name: None)
    known = settings(url, Sandbox(pg_url), **gates.keys(pg_url))
    asyncio.run(Lives(stage_on(known, db, points, pg_url), points).warm_up(scenes))
    points.watch(db)
    lives = Lives(stage_on(known, db, points, pg_url), points)  # with clients that have no connection yet
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        for answer in schedules(lives, json.loads(line)):
            print(json.dumps(answer), flush=True)  # a life that ends otherwise ends us: the parent tells of it


if __name__ == "__main__":
    main(*sys.argv[1:])
