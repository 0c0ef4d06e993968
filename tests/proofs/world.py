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
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app import settlement
from app.clock import now
from app.gateways import Forged
from app.reconciler import reconcile
from app.sweep import sweep
from tests.proofs.books import compare
from tests.proofs.report import Report
from tests.proofs.world_actors import Actors
from tests.proofs.world_checks import Watch, watch
from tests.proofs.world_house import BEGIN, House, databases, every_pg, frozen, house, one_at_a_time

NAME = "world"
WINDOW = 50 * 60.0  # seconds after which every window at the PG has ended
ROUNDS = 400  # passes of the reconciler after which everything must have settled
WORLDS = {  # by engine: payments a world, how many worlds, how many of them one after the other in one process
    False: {"sqlite": (60, 1, 1), "postgresql": (15, 1, 1)},
    True: {"sqlite": (400, 225, 9), "postgresql": (250, 40, 4)},
}

# How often, and who.
CAST: dict[str, tuple[int, Callable[[Actors], Awaitable[str | None]]]] = {
    "order": (24, Actors.order),
    "window": (1, Actors.window),
    "press": (2, Actors.pressed),
    "return": (19, Actors.come_back),
    "reopen": (2, Actors.reopen),
    "go on": (20, Actors.go_on),
    "refund": (6, Actors.refund),
    "withdraw": (1, Actors.withdraw),
    "console": (1, Actors.console),
    "bank": (3, Actors.bank),
    "webhook": (8, Actors.webhook),
    "forge": (1, Actors.forge),
    "reconcile": (2, Actors.reconcile),
    "late": (2, Actors.late),
    "time": (2, Actors.time_passes),
    "weather": (1, Actors.weather_turns),
    "restart": (1, Actors.restart),
}


@dataclass
class Outcome:
    seed: int
    steps: int = 0
    milliseconds: float = 0  # of this process's CPU
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
            self.actors.letters += self.house.letters()
            await self.look(name, touched)
        if not self.outcome.wrong:
            await self.end()

    async def look(self, name: str, touched: str | None) -> None:
        broken = [*self.actors.crashed, *self.complaints.heard]
        if touched:
            order = self.actors.orders[touched]
            its = self.actors.door(order).entries(touched, order.keys)
            broken += [f"{touched}: {rule}" for rule in await self.watch.order(touched, its)]
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
        for order in actors.orders.values():
            actors.decide(order, deposit=dice.random() < 0.5)
        for told in actors.letters + self.house.letters():
            if dice.random() < 0.5:
                with contextlib.suppress(Forged):
                    await actors.hear(told, self.house.doors[told.gateway].headers(told))
        if not (await self.settle() and await self.give_back_deposits()):
            return
        await self.judge("without the sweep", actors.consoled)
        found = await sweep(self.house.till, BEGIN - timedelta(days=1), now() + timedelta(days=1))
        for difference in found.differences:
            actors.done["repaired by the sweep"] += 1
            await settlement.settle(self.house.till, difference.order_id, "operator")
        await self.settle()
        await self.give_back_deposits()
        await self.judge("in the end", set())
        actors.done["orders canceled at the console"] += len(actors.consoled)
        actors.done["PG calls"] += self.house.network.calls

    async def give_back_deposits(self) -> bool:
        """Money that came in by hand and opens nothing waits for an account to go back to."""
        for order_id in await self.watch.owed():
            self.actors.done["deposits given back"] += 1
            await self.actors.give_back(self.actors.orders[order_id].payment, None, "owed")
        return await self.settle()

    async def settle(self) -> bool:
        """Time and the reconciler. False, and wrong, when they do not bring everything to rest."""
        self.house.pass_time(WINDOW)
        for _ in range(ROUNDS):
            due = await self.watch.next_check()
            if due is None and not await self.watch.unread():
                return True
            self.house.pass_time(max(((due or now()) - now()).total_seconds(), 2) + 1)
            await reconcile(self.house.till)
        self.outcome.wrong.append(f"not settled after {ROUNDS} passes: {await self.watch.unsettled()}")
        return False

    async def judge(self, when: str, apart: set[str]) -> None:
        """`apart`: orders that changed at the PG while at rest here, and whose webhooks may have been lost."""
        books = await compare(self.house.db, dict(self.house.ledger()))
        self.actors.done["came and went unseen"] += books.unseen if not apart else 0
        for kind, orders in books.wrong().items():
            mine = [it for it in orders if it not in apart]
            if mine and not (kind == "broken" and apart):
                self.outcome.wrong.append(f"{when}, {kind}: {mine}")
        self.outcome.wrong += [f"{when}: {it}" for it in [*self.complaints.heard, *self.actors.crashed]]


def switches(dice: random.Random) -> dict[str, Any]:
    """What the fact sheets leave open, one way or the other."""
    turned: dict[str, Any] = {"lookup_before_confirm": "not_found"} if dice.random() < 0.3 else {}
    return turned | {"portone_manual_confirm": dice.random() < 0.2}


async def _play(url: str, seed: int, payments: int, clock: object, trace: Callable[[str], None]) -> Outcome:
    dice, outcome, complaints = random.Random(seed), Outcome(seed), Complaints()
    seen = await watch(url)
    logging.getLogger("app").addHandler(complaints)
    try:
        async with house(url, clock=clock, **every_pg()) as its:  # type: ignore[arg-type]
            its.toss.world.switches.turn(switches(dice))
            await its.people(14, 12)
            prompts = range(3, 15)
            world = World(its, Actors(its, dice, await its.buyers(), prompts), seen, outcome, complaints, trace)
            await world.run(payments)
            outcome.done = world.actors.done + Counter({"payments": len(world.actors.orders)})
    finally:
        logging.getLogger("app").removeHandler(complaints)
        await seen.close()
    return outcome


def worlds(
    seeds: Sequence[int], payments: int, trace: Callable[[str], None] = lambda _: None, engine: str = "sqlite"
) -> list[Outcome]:
    """One after the other, in this process."""
    outcomes = []
    gc.disable()  # a tenth of the time, and a world is small
    with databases(engine) as kept, one_at_a_time(engine):
        gc.freeze()
        for seed in seeds:
            with kept.fresh() as url, frozen(seed) as clock:
                began = time.process_time()
                outcomes.append(asyncio.run(_play(url, seed, payments, clock, trace)))
                outcomes[-1].milliseconds = 1000 * (time.process_time() - began)
            gc.collect()
        gc.unfreeze()
    gc.enable()
    return outcomes


Part = tuple[str, list[int], int]  # engine, seeds, payments a world


def parts(seed: int, long: bool, engines: Sequence[str]) -> list[Part]:
    """What PostgreSQL does comes first: it takes longer."""
    found = list[Part]()
    for engine in sorted(engines):
        size, count, together = WORLDS[long][engine]
        first = seed * 1_000_000 + (500_000 if engine == "postgresql" else 0)
        seeds = list(range(first, first + count))
        found += [(engine, seeds[start : start + together], size) for start in range(0, count, together)]
    return found


def play(part: Part) -> list[Outcome]:
    engine, seeds, size = part
    return worlds(seeds, size, engine=engine)


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Callable[[str], None] = print
) -> Report:
    """Most of it on SQLite in memory, which is quick; on PostgreSQL the same worlds with other seeds."""
    began, report = time.monotonic(), Report(NAME, seed)
    known = parts(seed, long, engines)
    done, steps, spent = Counter[str](), 0, Counter[str]()
    for (engine, seeds, size), outcomes in zip(known, _played(known, long, say), strict=True):
        report.counts[f"worlds on {engine}"] = report.counts.get(f"worlds on {engine}", 0) + len(seeds)
        for outcome in outcomes:
            done += outcome.done
            done[f"payments on {engine}"] += outcome.done["payments"]
            spent[engine] += round(outcome.milliseconds)
            steps += outcome.steps
            for wrong in outcome.wrong:
                report.wrong.setdefault(f"{engine}, world {outcome.seed}", []).append(wrong)
                replay = f"--seed {outcome.seed} --payments {size} --engine {engine}"
                say(f"python -m tests.proofs.world {replay}: {wrong}")
    report.seconds = time.monotonic() - began
    report.counts |= {"steps": steps, **dict(sorted(done.items()))}
    report.notes = [
        f"{engine}: {spent[engine] / done[f'payments on {engine}']:.1f} ms of CPU a payment" for engine in engines
    ]
    return report


def _played(known: Sequence[Part], long: bool, say: Callable[[str], None]) -> Iterator[list[Outcome]]:
    if not long:
        yield from map(play, known)
        return
    payments = 0
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for outcomes in pool.map(play, known):
            payments += sum(outcome.done["payments"] for outcome in outcomes)
            say(f"world: {payments} payments")
            yield outcomes


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--seed", type=int, required=True)
    words.add_argument("--payments", type=int, default=60)
    words.add_argument("--count", type=int, default=1)
    words.add_argument("--engine", default="sqlite")
    words.add_argument("--quiet", action="store_true")
    said = words.parse_args()
    for seed in range(said.seed, said.seed + said.count):
        trace = (lambda _: None) if said.quiet else print
        [outcome] = worlds([seed], said.payments, trace, said.engine)
        print(outcome.seed, outcome.steps, "steps", outcome.wrong or "nothing wrong", dict(outcome.done), flush=True)
        print(f"{outcome.milliseconds / 1000:.1f} s of CPU")


if __name__ == "__main__":
    main()
