"""A simulated world: buyers, operators, the PG, clocks and the network in one process, driven by one seed.

After every step the order it touched is compared with the PG's book; at the end of a world the PG answers, time passes,
and everything must have settled. A world that breaks is played again by `python -m tests.proofs.world --seed N`.
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from app import settlement
from app.clock import now
from app.gateways import Forged
from app.reconciler import reconcile
from app.sweep import sweep
from tests.proofs.books import compare
from tests.proofs.report import Report
from tests.proofs.world_actors import Actors
from tests.proofs.world_checks import Watch
from tests.proofs.world_house import BEGIN, House, databases, frozen, house, one_thread

NAME = "world"
SIZES = {False: 75, True: 250}  # payments a world, in a short run and in a long one
WINDOW = 50 * 60.0  # seconds after which every window at the PG has ended
ROUNDS = 400  # passes of the reconciler after which everything must have settled
SHORT, LONG = 75, 100_000  # payments

# How often, and who.
CAST: dict[str, tuple[int, Callable[[Actors], Awaitable[str | None]]]] = {
    "order": (16, Actors.order),
    "window": (1, Actors.window),
    "press": (3, Actors.pressed),
    "return": (24, Actors.come_back),
    "reopen": (4, Actors.reopen),
    "go on": (24, Actors.go_on),
    "refund": (7, Actors.refund),
    "console": (1, Actors.console),
    "webhook": (10, Actors.webhook),
    "forge": (2, Actors.forge),
    "reconcile": (4, Actors.reconcile),
    "late": (3, Actors.late),
    "time": (3, Actors.time_passes),
    "weather": (1, Actors.weather_turns),
    "restart": (1, Actors.restart),
}


@dataclass
class Outcome:
    seed: int
    steps: int = 0
    wrong: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)


class Complaints(logging.Handler):
    """Exceptions that the reconciler survives are still our bugs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.heard.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@dataclass
class World:
    house: House
    actors: Actors
    watch: Watch
    outcome: Outcome
    complaints: Complaints
    trace: Callable[[str], None]

    async def run(self, payments: int) -> None:
        names, weights = list(CAST), [weight for weight, _ in CAST.values()]
        dice = self.actors.dice
        while len(self.actors.orders) < payments and not self.outcome.wrong:
            self.outcome.steps += 1
            self.house.pass_time(dice.random() * 2)
            [name] = dice.choices(names, weights)
            touched = await CAST[name][1](self.actors)
            self.actors.letters += self.house.webhooks()
            self.look(name, touched)
        if not self.outcome.wrong:
            await self.end()

    def look(self, name: str, touched: str | None) -> None:
        broken = [*self.actors.crashed, *self.complaints.heard]
        if touched:
            broken += [
                f"{touched}: {rule}" for rule in self.watch.order(touched, self.house.toss.orders.get(touched, []))
            ]
        self.trace(f"{self.outcome.steps:5} {now():%d %H:%M:%S} {name:10} {touched or ''} {' '.join(broken)}")
        self.outcome.wrong += [f"step {self.outcome.steps}, {name}: {it}" for it in broken]

    async def end(self) -> None:
        """Half of what is under way dies, the rest comes through; then nothing but time and the reconciler."""
        actors, dice = self.actors, self.actors.dice
        actors.calm = True
        for act in list(actors.acts):
            if dice.random() < 0.5:
                await act.die()
            else:
                while await actors.forward(act):
                    pass
        self.house.network.late.clear()
        for _, body in actors.letters + self.house.webhooks():
            if dice.random() < 0.5:
                with contextlib.suppress(Forged):
                    await actors.hear(body)
        await self.settle()
        await self.judge("without the sweep", actors.consoled)
        found = await sweep(self.house.till, BEGIN - timedelta(days=1), now() + timedelta(days=1))
        for difference in found.differences:
            actors.done["repaired by the sweep"] += 1
            await settlement.settle(self.house.till, difference.order_id, "operator")
        await self.settle()
        await self.judge("in the end", set())
        actors.done["orders canceled at the console"] += len(actors.consoled)
        actors.done["PG calls"] += self.house.network.calls

    async def settle(self) -> None:
        self.house.pass_time(WINDOW)
        for _ in range(ROUNDS):
            due = self.watch.next_check()
            if due is None and not self.watch.unread():
                return
            at = datetime.fromisoformat(due).replace(tzinfo=UTC) if due else now()
            self.house.pass_time(max((at - now()).total_seconds(), 2) + 1)
            await reconcile(self.house.till)
        self.outcome.wrong.append(f"not settled after {ROUNDS} passes: {self.watch.unsettled()}")

    async def judge(self, when: str, apart: set[str]) -> None:
        """`apart`: orders that were changed in the PG's console and whose webhooks may have been lost."""
        books = await compare(self.house.db, dict(self.house.ledger()))
        self.actors.done["came and went unseen"] += books.unseen if not apart else 0
        for kind, orders in books.wrong().items():
            mine = [it for it in orders if it not in apart]
            if mine and not (kind == "broken" and apart):
                self.outcome.wrong.append(f"{when}, {kind}: {mine}")
        self.outcome.wrong += [f"{when}: {it}" for it in [*self.complaints.heard, *self.actors.crashed]]


async def _play(url: str, seed: int, payments: int, clock: object, trace: Callable[[str], None]) -> Outcome:
    dice, outcome, complaints = random.Random(seed), Outcome(seed), Complaints()
    watch = Watch(url)
    logging.getLogger("app").addHandler(complaints)
    try:
        async with house(url, clock=clock) as its:  # type: ignore[arg-type]
            if dice.random() < 0.3:
                its.toss.world.switches.turn({"lookup_before_confirm": "not_found"})
            await its.people(10, 8)
            prompts = range(3, 11)
            world = World(its, Actors(its, dice, await its.buyers(), prompts), watch, outcome, complaints, trace)
            await world.run(payments)
            outcome.done = world.actors.done + Counter({"payments": len(world.actors.orders)})
    finally:
        logging.getLogger("app").removeHandler(complaints)
        watch.close()
    return outcome


def worlds(seeds: Sequence[int], payments: int, trace: Callable[[str], None] = lambda _: None) -> list[Outcome]:
    """One after the other, in this process."""
    outcomes = []
    with one_thread(), databases("sqlite") as kept:
        for seed in seeds:
            with kept.fresh() as url, frozen(seed) as clock:
                gc.disable()  # a tenth of the time, and a world is small
                outcomes.append(asyncio.run(_play(url, seed, payments, clock, trace)))
            gc.enable()
            gc.collect()
    return outcomes


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Callable[[str], None] = print
) -> Report:
    """On SQLite in memory only: the other proofs put the same verbs on both engines."""
    began, report = time.monotonic(), Report(NAME, seed)
    size = SIZES[long]
    seeds = [seed * 1_000_000 + number for number in range((LONG if long else SHORT) // size)]
    done, steps = Counter[str](), 0
    for outcome in _in_two_processes(seeds, size, say) if long else worlds(seeds, size):
        done += outcome.done
        steps += outcome.steps
        for wrong in outcome.wrong:
            report.wrong.setdefault(f"world {outcome.seed}", []).append(wrong)
            say(f"python -m tests.proofs.world --seed {outcome.seed} --payments {size}: {wrong}")
    report.seconds = time.monotonic() - began
    report.counts = {"worlds": len(seeds), "steps": steps, **dict(sorted(done.items()))}
    report.notes = [f"{done['payments'] / report.seconds:.0f} payments/s; SQLite in memory, synchronous=OFF"]
    return report


def _in_two_processes(seeds: Sequence[int], size: int, say: Callable[[str], None]) -> list[Outcome]:
    parts = [seeds[start : start + 10] for start in range(0, len(seeds), 10)]
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for part in pool.map(worlds, parts, [size] * len(parts)):
            outcomes += part
            say(f"world: {sum(outcome.done['payments'] for outcome in outcomes)} payments")
    return outcomes


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--seed", type=int, required=True)
    words.add_argument("--payments", type=int, default=SIZES[False])
    words.add_argument("--count", type=int, default=1)
    words.add_argument("--quiet", action="store_true")
    said = words.parse_args()
    began = time.process_time()
    seeds = range(said.seed, said.seed + said.count)
    for seed in seeds:
        [outcome] = worlds([seed], said.payments, (lambda _: None) if said.quiet else print)
        print(outcome.seed, outcome.steps, "steps", outcome.wrong or "nothing wrong", dict(outcome.done), flush=True)
    print(f"{time.process_time() - began:.1f} s of CPU")


if __name__ == "__main__":
    main()
