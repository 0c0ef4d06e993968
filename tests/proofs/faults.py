"""The PG charges and goes silent: every accident × before and after its effect × confirm, find and cancel.

While the PG is silent the buyer reads "확인 중" and never "failed"; once it answers, everything ends in its truth.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import httpx
import time_machine
from sqlmodel import select

from app import payments, refunds
from app.clock import now
from app.gateways.toss import CODES
from app.main import open_till
from app.models import Payment, RefundStatus, User
from app.reconciler import reconcile
from app.till import Refused, Till
from tests.conftest import CASHIERS
from tests.proofs import faults_recovery, gates
from tests.proofs.books import compare
from tests.proofs.concurrency_callers import around
from tests.proofs.report import Report
from tests.proofs.world_house import databases, frozen, people, settings
from tests.sandboxes import Sandbox, serve_sandbox

NAME = "faults"
PATIENCE = "0.3"  # PG_TIMEOUT of those who shall meet an accident
CALLS = ("confirm", "find", "cancel whole", "cancel part")
SILENT: dict[str, dict[str, Any]] = {
    "timeout": {"kind": "timeout", "seconds": 2},
    "reset": {"kind": "reset"},
    **{f"status {status}": {"kind": "status", "status": status} for status in (500, 502, 503)},
    "html": {"kind": "html"},
    "half body": {"kind": "half_body"},
    "delay": {"kind": "delay", "seconds": 1},
}
# Codes that say neither yes nor no. At KakaoPay none does before order has spoken (pg/kakaopay.md §11).
UNSURE = {
    "toss": CODES["unknown"].split(),
    "portone": "PG_PROVIDER IDEMPOTENCY_OUTSTANDING_REQUEST A_TYPE_OF_TOMORROW".split(),
    "portone_v1": "PG_PROVIDER A_TYPE_OF_TOMORROW".split(),  # a refusal under HTTP 200, and one look later
    "kakaopay": "-701 -702 -708 -783 -785 -780:8521 -780:USER_LOCKED -780:BANK_FIRM_UNKNOWN -781:6666 -429".split(),
}
KINDS = {at: SILENT | {code: {"kind": "code", "code": code} for code in UNSURE[gates.pg_of(at)]} for at in gates.WAYS}
ASKING = "결제를 확인하고 있습니다"
FAILED = "결제되지 않았습니다"
BOUND = 16 * 86400.0  # seconds: Toss keeps the answer of an Idempotency-Key for 15 days


@dataclass
class Case:
    call: str
    kind: str
    when: str
    at: str = "toss"
    order_id: str = ""
    back: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.at}: {self.call}, {self.kind} {self.when} ({self.order_id})"

    def faults(self) -> dict[str, list[dict[str, Any]]]:
        """The accident, and the silence after it. Where the window takes the money, we confirm by looking."""
        its = {"order_id": self.order_id}
        accident = {**KINDS[self.at][self.kind], "when": self.when, **its}
        first = CASHIERS[self.at].confirm if self.call in ("confirm", "find") else "cancel"
        if self.call == "find":
            steps = [(first, {"kind": "reset", "when": "after", **its}), ("find", {**accident, "times": None})]
        else:
            steps = [(first, accident), ("find", {"kind": "status", "status": 503, "times": None, **its})]
        told: dict[str, list[dict[str, Any]]] = {}
        for call, fault in steps:
            told.setdefault(call, []).append(fault)
        return told


@dataclass
class Ground:
    pg: Sandbox
    clock: time_machine.Traveller
    calm: Till
    hasty: Till
    browser: httpx.AsyncClient
    page: httpx.AsyncClient
    """The app whose calls meet the accidents."""

    async def set_up(self, case: Case, user: User) -> None:
        case.order_id, case.back = await gates.authenticated(self.calm, self.browser, case.at, user)
        if case.call.startswith("cancel"):
            await payments.come_back(self.calm, case.order_id, case.back)

    async def play(self, case: Case) -> list[str]:
        """The accident; what is wrong with what the people are told meanwhile."""
        if case.call.startswith("cancel"):
            return await self.refund(case)
        answer = await self.page.get(f"/payments/{case.order_id}/return", params=case.back)
        seen = (await self.page.get(f"/payments/{case.order_id}")).text
        if answer.status_code == 303 and ASKING in seen and FAILED not in seen:
            return []
        return [f"the buyer is told something else: {answer.status_code}, {seen[:200]}"]

    async def refund(self, case: Case) -> list[str]:
        words = {"amount": 3000 if case.call == "cancel part" else None, "reason": "변심", "by": "admin"}
        _, entry = await refunds.refund(self.hasty, case.order_id, key="press", **words)  # type: ignore[arg-type]
        _, again = await refunds.refund(self.hasty, case.order_id, key="press", **words)  # type: ignore[arg-type]
        try:
            await refunds.refund(self.hasty, case.order_id, key="another press", amount=1000, reason="x", by="admin")
        except Refused:
            locked = True
        else:
            locked = False
        if (entry.status, again.id, locked) == (RefundStatus.IN_DOUBT, entry.id, True):
            return []
        return [f"{entry.status}, pressed again {again.id} for {entry.id}, locked: {locked}"]

    async def due(self) -> list[Payment]:
        async with self.calm.db.read() as session:
            return [it for it in (await session.exec(select(Payment))).all() if it.next_check_at]

    async def settle(self, passes: int) -> list[Payment]:
        """Time and the reconciler; what is still open after so many passes."""
        for _ in range(passes):
            left = await self.due()
            if not left:
                break
            wait = min(it.next_check_at for it in left if it.next_check_at) - now()
            self.clock.shift(max(wait.total_seconds(), 0) + 15)
            await reconcile(self.calm, limit=1000)
        return await self.due()


def cases(long: bool, dice: random.Random, at: str, turn: int = 0) -> list[Case]:
    """Short: every fifth kind by `turn`, calls and moments by the seed."""
    kinds = list(KINDS[at]) if long else list(KINDS[at])[turn % 5 :: 5]
    every = [Case(call, kind, when, at) for kind, call, when in product(kinds, CALLS, ("before", "after"))]
    return every if long else [dice.choice([case for case in every if case.kind == kind]) for kind in kinds]


async def _all(pg: Sandbox, url: str, clock: time_machine.Traveller, wanted: Sequence[Case], report: Report) -> None:
    hasty_settings = settings(url, PG_TIMEOUT=PATIENCE, **gates.keys(pg.url))
    async with (
        open_till(settings(url, PG_TIMEOUT="20", **gates.keys(pg.url))) as calm,
        open_till(hasty_settings) as hasty,
        around(hasty_settings, hasty) as page,
        gates.outside(pg.url) as browser,
    ):
        ground = Ground(pg, clock, calm, hasty, browser, page)
        users = iter(await people(calm.db, len(wanted)))
        for at in gates.WAYS:  # one after the other: PortOne's two share a channel
            await _side_by_side(ground.set_up(case, next(users)) for case in wanted if case.at == at)
        for name, call in product(gates.PGS, ("confirm", "find", "cancel")):
            here = [case for case in wanted if gates.pg_of(case.at) == name]
            waiting = [fault for case in here for fault in case.faults().get(call, [])]
            pg.http.put(f"/_faults/{name}/{call}", json=waiting).raise_for_status()
        for case, wrong in zip(wanted, await _side_by_side(map(ground.play, wanted)), strict=True):
            report.wrong.update({str(case): wrong} if wrong else {})
        pg.http.delete("/_faults").raise_for_status()
        await asyncio.sleep(1)  # real: what was delayed arrives
        clock.shift(3)
        at_once = await _reopened(ground, wanted)
        left = await ground.settle(25)
        await _keys_that_say_no(ground, left, wanted, report)
        books = await compare(calm.db, pg.total())
    names = {case.order_id: str(case) for case in wanted}
    for kind, orders in books.wrong().items():
        report.wrong.setdefault(kind, []).extend(names.get(it, it) for it in orders)
    for name, number in {"accidents": len(wanted), "settled by reopening the page": at_once}.items():
        report.counts[name] = report.counts.get(name, 0) + number


async def _side_by_side(verbs: Any) -> list[Any]:
    turn = asyncio.Semaphore(16)

    async def one(verb: Awaitable[Any]) -> Any:
        async with turn:
            return await verb

    return list(await asyncio.gather(*map(one, verbs)))


async def _reopened(ground: Ground, wanted: Sequence[Case]) -> int:
    """Every other buyer looks again; one look is enough wherever the PG has an answer."""
    async with around(settings("sqlite://"), ground.calm) as page:
        asking = [case for case in wanted if not case.call.startswith("cancel")][::2]
        seen = [(await page.get(f"/payments/{case.order_id}")).text for case in asking]
    return sum(ASKING not in text for text in seen)


async def _keys_that_say_no(ground: Ground, left: Sequence[Payment], wanted: Sequence[Case], report: Report) -> None:
    """An unknown code before its effect is bound to our key: until the PG forgets the key it can say nothing else."""
    if not left:
        return
    names = {case.order_id: case for case in wanted}
    ground.clock.shift(BOUND)
    still = await ground.settle(3)
    if still:
        report.wrong["never at rest"] = [str(names[it.order_id]) for it in still]
    codes = sorted({names[it.order_id].kind for it in left})
    report.notes.append(f"open until the PG forgot our Idempotency-Key (15 days): {len(left)} refunds, {codes}")


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Callable[[str], None] = print
) -> Report:
    began, report, dice = time.monotonic(), Report(NAME, seed), random.Random(seed)
    for turn, engine in enumerate(engines):
        # The PG starts in real time: it shall not look for its port in a clock that jumps.
        wanted = [case for number, at in enumerate(gates.WAYS) for case in cases(long, dice, at, seed + number + turn)]
        with databases(engine) as kept, kept.fresh() as url, serve_sandbox() as pg, frozen(seed, tick=True) as clock:
            asyncio.run(_all(pg, url, clock, wanted if long else wanted[turn :: len(engines)], report))
        say(f"{NAME}: {engine} {report.counts}")
    faults_recovery.measure(seed, long, report, say)
    report.seconds = time.monotonic() - began
    return report
