"""Webhooks repeated, reordered, lost, late, doubled and forged: nothing changes that the PG does not confirm.

Toss's carry a secret, PortOne's are signed, PortOne V1's are nobody's word, and KakaoPay sends none.
"""

import asyncio
import contextlib
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import permutations

import httpx
from sqlmodel import select

from app import inbox
from app.clock import now
from app.models import Payment, User
from app.reconciler import reconcile
from sandbox.webhooks import Delivery
from tests.proofs.at_once import at_once
from tests.proofs.books import compare
from tests.proofs.concurrency_callers import browser
from tests.proofs.report import Report
from tests.proofs.webhooks_forged import forgeries
from tests.proofs.webhooks_stories import happen, resigned, stories, told_of
from tests.proofs.world_house import House, databases, every_pg, frozen, house

NAME = "webhooks"
LATE = (3 * 24 + 19) * 3600.0  # seconds: when Toss sends the last time
PGS = ("toss", "portone", "portone_v1")
MOST = {"sqlite": 720, "postgresql": 60}  # orders of one story that are tried; 720 are all of six
Part = tuple[str, Sequence[str], int, bool]  # engine, PGs, seed, long


async def deliver(client: httpx.AsyncClient, its: House, told: Delivery) -> int:
    headers = its.doors[told.gateway].headers(told)
    return (await client.post(f"/webhooks/{told.gateway}", content=told.body, headers=headers)).status_code


async def hear(its: House, told: Delivery) -> None:
    """As routes/webhooks.py does it, without a request."""
    headers = its.doors[told.gateway].headers(told)
    order_id = await inbox.receive(its.till, its.till.gateways[told.gateway], headers, told.body.encode())
    if order_id:
        await inbox.look(its.till, order_id)


async def settle(its: House) -> None:
    waits = select(Payment.next_check_at).where(Payment.next_check_at != None)  # noqa: E711 (SQL)
    for _ in range(60):
        async with its.db.read() as session:
            due = [at for at in (await session.exec(waits)).all() if at]
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


async def replay(its: House, user: User, pg: str, times: int, name: str, report: Report) -> None:
    """One body, 20 at a time; PortOne signs it anew each time, under the same webhook-id."""
    order_id, told = await happen(its, user, pg, ("done",))
    took: list[float] = []
    turn = asyncio.Semaphore(20)
    async with browser(its) as client:

        async def again() -> int:
            async with turn:
                began = time.perf_counter()
                status = await deliver(client, its, told[-1])
                took.append(1000 * (time.perf_counter() - began))
                return status

        answers = await asyncio.gather(*(again() for _ in range(times)))
    entry = its.ledger()["orders"][order_id]
    if set(answers) != {200} or entry["find_calls"] != 1 or (await its.payment(order_id)).status != "completed":
        report.wrong[f"{name}: replay"] = [f"{set(answers)}, {entry}"]
    await settle(its)  # what does not say whether it was sent before has made us look once more
    await judge(its, f"{name}, replay", report)
    count(report, replays=times)
    p99 = sorted(took)[int(len(took) * 0.99)]
    report.notes.append(
        f"{name}: ×{times} replay, 20 at a time in one process with the PG: p99 {p99:.0f} ms a round, its share "
        f"{p99 / 20:.1f} ms; 1 question to the PG"
    )


async def orders(
    its: House, users: Iterator[User], pg: str, dice: random.Random, most: int, name: str, report: Report
) -> None:
    """Every order in which a story can be told, with repeats; short: one of each."""
    told = 0
    for story in stories(pg):
        ways = list(permutations(range(told_of(pg, story))))
        for way in ways if len(ways) <= most else dice.sample(ways, most):
            _, letters = await happen(its, next(users), pg, story)
            for place in way:
                for _ in range(dice.choice((1, 1, 2))):
                    await hear(its, letters[place])
                its.clock.shift(dice.choice((0, 1, 3)))
            told += 1
            await settle(its)
    await judge(its, f"{name}, reordered", report)
    count(report, stories=len(stories(pg)), orders_of_delivery=told)


async def lost_late_doubled(its: House, users: Sequence[User], pg: str, name: str, report: Report) -> None:
    """No webhook arrives; everything settles without them. After 3 days 19 hours all arrive, twice."""
    letters: list[Delivery] = []
    silent = [story for story in stories(pg) if not {"part", "rest", "deposit"} & set(story)]
    for number, user in enumerate(users):
        letters += (await happen(its, user, pg, silent[number % len(silent)]))[1]
    await settle(its)
    await judge(its, f"{name}, all lost", report)
    before = await standing(its)
    its.pass_time(LATE)
    async with browser(its) as client:
        for told in letters:
            await asyncio.gather(deliver(client, its, told), deliver(client, its, told))
    await settle(its)
    if await standing(its) != before:
        report.wrong[f"{name}: a late webhook changed something"] = [str(before), str(await standing(its))]
    await judge(its, f"{name}, late", report)
    count(report, all_lost=len(users), late_and_doubled=2 * len(letters))


async def standing(its: House) -> list[tuple[str, str, int, int]]:
    async with its.db.read() as session:
        rows = (await session.exec(select(Payment).order_by(Payment.order_id))).all()
    return [(row.order_id, str(row.status), row.paid_amount, row.refunded_amount) for row in rows]


async def forged(
    its: House, users: Sequence[User], pg: str, dice: random.Random, many: int, name: str, report: Report
) -> None:
    """Other secrets, unknown orders, other people's orders, old words, garbage."""
    known: list[tuple[bytes, dict[str, str]]] = []
    for number, user in enumerate(users):
        story = ("done",) if number % 2 or pg == "portone_v1" else ("aborted",)
        for told in (await happen(its, user, pg, story))[1]:
            known.append((told.body.encode(), its.doors[pg].headers(told)))
    open_orders = [await opened(its, user, pg) for user in users[::2]]
    began, asked, strange = time.time(), its.calls("find"), dict[str, int]()
    async with browser(its) as client:
        for body, headers in forgeries(pg, known, open_orders, dice, many):
            status = (await client.post(f"/webhooks/{pg}", content=body, headers=headers)).status_code
            if status not in (200, 400, 413):
                strange[f"{status} {body[:80]!r}"] = strange.get(f"{status} {body[:80]!r}", 0) + 1
            its.clock.shift(0.05)
    a_look = 3 if pg == "portone_v1" else 1  # V1 is asked for what was paid, then what was canceled, then the rest
    allowed = a_look * int((len(users) + len(open_orders)) * ((time.time() - began) / 2 + 1))
    asked = its.calls("find") - asked
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


async def opened(its: House, user: User, pg: str) -> str:
    """An order whose window stands open."""
    method = next(iter(its.doors[pg].ways))
    payment = await its.order(user, method=method)
    await its.doors[pg].open(its.till, payment)
    its.letters()
    return payment.order_id


async def signed(its: House, user: User, name: str, report: Report) -> None:
    """PortOne's own: five minutes early or late is the most, and of a kind nobody knows yet is heard and left."""
    _, [_, paid] = await happen(its, user, "portone", ("done",))
    its.pass_time(1)
    async with browser(its) as client:
        for age, wanted in ((301, 400), (-302, 400), (295, 200), (-295, 200)):
            headers = resigned(its, paid, age)
            status = (await client.post("/webhooks/portone", content=paid.body, headers=headers)).status_code
            if status != wanted:
                report.wrong[f"{name}: signed {age} s ago"] = [str(status)]
        for kind in ("BillingKey.Issued", "Tomorrow", "Transaction.Tomorrow"):
            paid.body = paid.body.replace("Transaction.Paid", kind)
            if (status := await deliver(client, its, paid)) != 200:
                report.wrong[f"{name}: {kind}"] = [str(status)]
            paid.body = paid.body.replace(kind, "Transaction.Paid")
    await settle(its)
    await judge(its, f"{name}, signed", report)
    count(report, signatures_at_the_edge=4, unknown_kinds=3)


async def _concurrent(url: str, pg: str, seed: int, long: bool, name: str, report: Report) -> None:
    with frozen(seed) as clock:
        async with house(url, clock=clock, **every_pg()) as its:  # type: ignore[arg-type]
            await its.people(1, 0)
            [user] = await its.buyers()
            await replay(its, user, pg, 1000 if long else 20, name, report)


async def _all(url: str, pg: str, seed: int, long: bool, name: str, report: Report) -> None:
    """One after the other."""
    dice, most = random.Random(seed), MOST[name.split(maxsplit=1)[0]] if long else 1
    with frozen(seed) as clock:
        async with house(url, clock=clock, **every_pg()) as its:  # type: ignore[arg-type]
            await its.people(2000 if long else 50, 0)
            users = await its.buyers()
            if pg == "portone":
                await signed(its, users[0], name, report)
            await lost_late_doubled(its, users[1:101] if long else users[1:5], pg, name, report)
            await forged(its, users[101:121] if long else users[7:11], pg, dice, 5000 if long else 20, name, report)
            await orders(its, iter(users[121:] if long else users[11:]), pg, dice, most, name, report)


def play(part: Part) -> Report:
    engine, pgs, seed, long = part
    report = Report(NAME, seed)
    alone = at_once if engine == "sqlite" else contextlib.nullcontext
    with databases(engine) as kept:
        for pg in pgs:
            name = f"{engine} {pg}"
            with kept.fresh() as url:
                asyncio.run(_concurrent(url, pg, seed, long, name, report))
            with kept.fresh() as url, alone():
                asyncio.run(_all(url, pg, seed, long, name, report))
    return report


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Callable[[str], None] = print
) -> Report:
    """Every order of six on SQLite, a sample of them on PostgreSQL; in the short run Toss alone is there."""
    began, report = time.monotonic(), Report(NAME, seed)
    known: list[Part] = [(engine, PGS if engine == "sqlite" else PGS[:1], seed, long) for engine in engines]
    if long:  # PostgreSQL first: it takes longer
        known = [(engine, (pg,), seed, long) for engine in sorted(engines) for pg in PGS]
    for part, its in zip(known, _played(known, long), strict=True):
        count(report, **its.counts)
        report.wrong |= its.wrong
        report.notes += its.notes
        say(f"{NAME}: {part[0]} {', '.join(part[1])} {its.counts}")
    report.notes.append("kakaopay: sends no webhooks")
    report.seconds = time.monotonic() - began
    return report


def _played(known: Sequence[Part], long: bool) -> Iterator[Report]:
    if not long:
        yield from map(play, known)
        return
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(play, known)
