"""Webhooks repeated, reordered, lost, late, doubled and forged: nothing changes that the PG does not confirm."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from itertools import permutations

import httpx
from sqlmodel import select

from app import payments
from app.clock import now
from app.models import Payment, User
from app.reconciler import reconcile
from sandbox.toss import moves
from tests.proofs.books import compare
from tests.proofs.concurrency_callers import browser
from tests.proofs.report import Report
from tests.proofs.webhooks_forged import forgeries
from tests.proofs.world_house import House, databases, frozen, house
from tests.proofs.world_stage import Act

NAME = "webhooks"
LATE = (3 * 24 + 19) * 3600.0  # seconds: when Toss sends the last time
ACCOUNT = {"method": "VIRTUAL_ACCOUNT", "card": None}

# What can happen to one payment at the PG, in its order. "part" and "rest" are cancels in the PG's own console.
STORIES: tuple[tuple[str, ...], ...] = (
    ("aborted",),
    ("expired",),
    ("done",),
    ("done", "rest"),
    *(("done", *("part",) * parts, *end) for parts in range(1, 6) for end in ((), ("rest",)) if parts + len(end) < 6),
    ("waiting", "deposit"),
)


async def happen(its: House, user: User, story: Sequence[str]) -> tuple[str, list[bytes]]:
    """The PG's truth comes about, and we hear nothing of it: the answer of our confirm is lost."""
    payment = await its.order(user)
    key = its.open(payment, **(ACCOUNT if story[0] == "waiting" else {}))
    for event in story:
        if event == "aborted":
            its.press(key, "reject")
        elif event == "expired":
            its.toss.close(its.toss.payments[key], "EXPIRED", "EXPIRED_PAYMENT")
        elif event == "deposit":
            moves.deposit(its.toss, its.toss.payments[key], undo=False)
        elif event in ("part", "rest"):
            its.console(payment.order_id, 1000 if event == "part" else None)
        else:
            act = Act("confirm", payments.come_back(its.till, payment.order_id, its.press(key)))
            while await act.advance("lost" if act.where == "confirm: after" else ""):
                pass
    return payment.order_id, [body for order_id, body in its.webhooks() if order_id == payment.order_id]


async def deliver(client: httpx.AsyncClient, body: bytes) -> int:
    return (await client.post("/webhooks/toss", content=body)).status_code


async def settle(its: House) -> None:
    for _ in range(60):
        async with its.db.read() as session:
            due = [at for at in (await session.exec(select(Payment.next_check_at))).all() if at]
        if not due:
            return
        its.pass_time(max((min(due) - now()).total_seconds(), 0) + 1)
        await reconcile(its.till)


async def judge(its: House, name: str, report: Report) -> None:
    books = await compare(its.db, dict(its.ledger()))
    for kind, orders in books.wrong().items():
        report.wrong.setdefault(f"{name}: {kind}", []).extend(orders)
    if books.unsettled:
        report.wrong[f"{name}: never at rest"] = [str(books.unsettled)]


def count(report: Report, **more: int) -> None:
    for name, number in more.items():
        report.counts[name.replace("_", " ")] = report.counts.get(name.replace("_", " "), 0) + number


async def replay(its: House, user: User, times: int, name: str, report: Report) -> None:
    """One body, 20 at a time."""
    order_id, [body] = await happen(its, user, ("done",))
    took: list[float] = []
    turn = asyncio.Semaphore(20)
    async with browser(its) as client:

        async def again() -> int:
            async with turn:
                began = time.perf_counter()
                status = await deliver(client, body)
                took.append(1000 * (time.perf_counter() - began))
                return status

        answers = await asyncio.gather(*(again() for _ in range(times)))
    entry = its.ledger()["orders"][order_id]
    if set(answers) != {200} or entry["find_calls"] != 1 or (await its.payment(order_id)).status != "completed":
        report.wrong[f"{name}: replay"] = [f"{set(answers)}, {entry}"]
    await judge(its, f"{name}, replay", report)
    count(report, replays=times)
    p99 = sorted(took)[int(len(took) * 0.99)]
    report.notes.append(
        f"{name}: ×{times} replay, 20 at a time in one process with the PG: p99 {p99:.0f} ms a round, its share "
        f"{p99 / 20:.1f} ms; 1 question to the PG"
    )


async def orders(its: House, users: list[User], dice: random.Random, most: int, name: str, report: Report) -> None:
    """Every order in which a story can be told, with repeats; short: one of each."""
    told = 0
    async with browser(its) as client:
        for story in STORIES:
            events = len(story) * (2 if "waiting" in story else 1)  # of an account Toss tells in two words
            ways = list(permutations(range(events)))
            for way in ways if len(ways) <= most else dice.sample(ways, most):
                _, bodies = await happen(its, users[told], story)
                for place in way:
                    for _ in range(dice.choice((1, 1, 2))):
                        await deliver(client, bodies[place])
                    its.clock.shift(dice.choice((0, 1, 3)))
                told += 1
                await settle(its)
    await judge(its, f"{name}, reordered", report)
    count(report, stories=len(STORIES), orders_of_delivery=told)


async def lost_late_doubled(its: House, users: list[User], name: str, report: Report) -> None:
    """No webhook arrives; everything settles without them. After 3 days 19 hours all arrive, twice."""
    letters: list[bytes] = []
    silent = [story for story in STORIES if not {"part", "rest", "deposit"} & set(story)]
    for number, user in enumerate(users):
        letters += (await happen(its, user, silent[number % len(silent)]))[1]
    await settle(its)
    await judge(its, f"{name}, all lost", report)
    before = await standing(its)
    its.pass_time(LATE)
    async with browser(its) as client:
        for body in letters:
            await asyncio.gather(deliver(client, body), deliver(client, body))
    await settle(its)
    if await standing(its) != before:
        report.wrong[f"{name}: a late webhook changed something"] = [str(before), str(await standing(its))]
    await judge(its, f"{name}, late", report)
    count(report, all_lost=len(users), late_and_doubled=2 * len(letters))


async def standing(its: House) -> list[tuple[str, str, int, int]]:
    async with its.db.read() as session:
        rows = (await session.exec(select(Payment).order_by(Payment.order_id))).all()
    return [(row.order_id, str(row.status), row.paid_amount, row.refunded_amount) for row in rows]


async def forged(its: House, users: list[User], dice: random.Random, many: int, name: str, report: Report) -> None:
    """Other secrets, unknown orders, other people's orders, old words, garbage."""
    known: list[bytes] = []
    for number, user in enumerate(users):
        known += (await happen(its, user, ("done",) if number % 2 else ("aborted",)))[1]
    open_orders = [(await its.authenticated(user))[0] for user in users[::2]]
    began, asked, strange = time.time(), its.calls("find"), dict[str, int]()
    async with browser(its) as client:
        for body in forgeries(known, open_orders, dice, many):
            status = await deliver(client, body)
            if status not in (200, 400, 413):
                strange[f"{status} {body[:80]!r}"] = strange.get(f"{status} {body[:80]!r}", 0) + 1
            its.clock.shift(0.05)
    asked, allowed = its.calls("find") - asked, int((len(users) + len(open_orders)) * ((time.time() - began) / 2 + 1))
    if strange:
        report.wrong[f"{name}: forged, neither 200 nor 400"] = list(strange)[:20]
    if asked > allowed:
        report.wrong[f"{name}: forged bodies hammer the PG"] = [f"{asked} questions, {allowed} allowed"]
    wrong = [row for row in await standing(its) if row[0] in open_orders and row[1] != "pending"]
    if wrong:
        report.wrong[f"{name}: a forged webhook moved a payment"] = [str(row) for row in wrong]
    await settle(its)
    await judge(its, f"{name}, forged", report)
    count(report, forged=many, PG_questions_caused_by_forgeries=asked)


async def _all(url: str, seed: int, long: bool, name: str, report: Report) -> None:
    dice = random.Random(seed)
    with frozen(seed) as clock:
        async with house(url, clock=clock) as its:
            await its.people(2000 if long else 50, 0)
            users = await its.buyers()
            await replay(its, users[0], 1000 if long else 60 if name == "sqlite" else 20, name, report)
            await lost_late_doubled(its, users[1:101] if long else users[1:13], name, report)
            await forged(its, users[101:121] if long else users[13:19], dice, 10_000 if long else 40, name, report)
            await orders(its, users[121:] if long else users[19:], dice, 720 if long else 1, name, report)


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Callable[[str], None] = print
) -> Report:
    began, report = time.monotonic(), Report(NAME, seed)
    for engine in engines:
        with databases(engine) as kept, kept.fresh() as url:
            asyncio.run(_all(url, seed, long, engine, report))
        say(f"{NAME}: {engine} {report.counts}")
    report.seconds = time.monotonic() - began
    return report
