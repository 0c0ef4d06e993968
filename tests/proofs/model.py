"""Every (state × event) walked through the real verbs: whatever the PG says, whenever, no verb breaks the books.

A payment is brought to each state by legal moves. Then each verb meets it, with each answer that a PG can give.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import audit, deposits, payments, receipts, refunds, settlement
from app.clock import now
from app.gateways import Declined, Gateway, InDoubt, RefundAccount
from app.models import MOVES, UNSETTLED, Payment, Purchase, Refund, RefundStatus, Status, User
from app.till import Refused, Till, find
from tests import story
from tests.proofs.model_answers import KEY, KINDS, PRICE, Kind, Script, answers
from tests.proofs.report import Report
from tests.proofs.world_house import databases, frozen, one_at_a_time, settings
from tests.proofs.world_stage import StagedDatabase

NAME = "model"
SOME = 8  # of a PG, in a short run
SIBLINGS = ("alone", "owned", "in flight")  # another payment of the same buyer for the same prompt

Verb = Callable[[Till, str], Awaitable[Any]]
log = logging.getLogger(__name__)


def verbs(kind: Kind = KINDS["toss"]) -> dict[str, Verb]:
    account = ACCOUNT if kind.method.endswith("virtual_account") else None

    async def write(till: Till, order_id: str) -> None:
        async with till.db.read() as session:
            payment = await find(session, order_id)
        await receipts.write(till, order_id, await till.gateway_for(payment).find(payment), "webhook")

    async def reopen(till: Till, order_id: str) -> None:
        async with till.db.read() as session:
            payment = await find(session, order_id)
        await settlement.reopen(till, payment, "buyer")

    def refund(amount: int | None) -> Verb:
        words = {"amount": amount, "reason": "변심", "key": f"k{amount}", "by": "admin", "account": account}
        return lambda till, order_id: refunds.refund(till, order_id, **words)  # type: ignore[arg-type]

    def turn_back(code: str) -> Verb:
        return lambda till, order_id: payments._turn_back(till, order_id, code)

    return {
        "write": write,
        "settle": lambda till, order_id: settlement.settle(till, order_id, "reconciler"),
        "reopen": reopen,
        "confirm": lambda till, order_id: payments.confirm(till, order_id, kind.handed),
        "doubt": lambda till, order_id: payments._doubt(till, order_id, InDoubt("X"), "buyer"),
        "decline": lambda till, order_id: payments._decline(till, order_id, Declined("X", "x"), "buyer"),
        "turn back, closed": turn_back("USER_CANCEL"),
        "turn back, aborted": turn_back("PAY_PROCESS_ABORTED"),
        "refund part": refund(3000),
        "refund all": refund(None),
        "come back, closed": lambda till, order_id: payments.come_back(till, order_id, {"code": "USER_CANCEL"}),
        "withdraw": lambda till, order_id: deposits.withdraw(till, order_id, "buyer"),
    }


FINAL = ("paid", "paid, part gone", "paid, all gone in parts", "paid, another amount", "canceled", "expired")
ASKING = ("write", "settle", "reopen", "confirm", "refund part", "refund all")
ACCOUNT = RefundAccount("국민은행", "12345678", "김찐")


def way_to(status: Status) -> list[str]:
    """The shortest legal life that ends there."""
    seen: dict[Status, list[str]] = {Status.PENDING: []}
    line = deque([Status.PENDING])
    while line:
        at = line.popleft()
        for kind, ways in MOVES.items():
            if at in ways and ways[at] not in seen:
                seen[ways[at]] = [*seen[at], kind]
                line.append(ways[at])
    return seen[status]


@dataclass
class Case:
    kind: str
    status: Status
    sibling: str
    verb: str
    answer: str
    order_id: str = ""

    def __str__(self) -> str:
        return f"{self.kind}, {self.status}, {self.sibling}: {self.verb} hears {self.answer} ({self.order_id})"


def cases(kind: str, long: bool) -> list[Case]:
    found = []
    for status in Status:
        for verb in verbs():
            for answer in answers() if asks(KINDS[kind], status, verb) else ("absent",):
                for sibling in SIBLINGS if long or (verb == "write" and answer.startswith("paid")) else ("alone",):
                    busy = status in (Status.CONFIRMING, Status.IN_DOUBT)
                    if not (sibling == "in flight" and busy) and not (sibling == "owned" and status == "completed"):
                        found.append(Case(kind, status, sibling, verb, answer))
    return found


def asks(kind: Kind, status: Status, verb: str) -> bool:
    """Does the PG hear of it?"""
    if verb == "withdraw":
        return status == Status.WAITING
    return verb in ASKING or (verb == "come back, closed" and kind.charges_in_window)


def wanted(engine: str, seed: int, long: bool) -> dict[str, list[Case]]:
    """All of them, in the long run. In the short one all of Toss's, and of each other PG and engine some."""
    known, dice = {kind: cases(kind, long) for kind in KINDS}, random.Random(seed)
    if long:
        return known
    some = {kind: dice.sample(its, SOME) for kind, its in known.items()}
    return some | {"toss": known["toss"]} if engine == "sqlite" else dict(list(some.items())[:: len(some) - 1])


async def bring_to(session: AsyncSession, kind: Kind, status: Status, user: User) -> Payment:
    """By legal moves, with the rows that belong to it."""
    assert user.id
    person = {"buyer_name": user.name, "buyer_email": user.email, "buyer_phone": user.phone, "item_name": "x"}
    asked = {
        "gateway": kind.gateway,
        "payment_method": kind.method,
        "amount": PRICE,
        "list_price": PRICE,
        "consent_digest": "x",
    }
    payment = Payment(user_id=user.id, prompt_id=story.PROMPT, consented_at=now(), **person, **asked)  # type: ignore[arg-type]
    session.add(payment)
    await session.flush()
    session.add(payment.tell("created", "buyer", before=Status.PENDING))
    for move in way_to(status):
        paid = {"paid_amount": PRICE, "completed_at": now()} if move == "completed" else {}
        session.add(payment.move(move, "buyer", **paid))
    if status not in (Status.PENDING, Status.CANCELED) or not kind.found_by_our_id:
        payment.pg_transaction_id = KEY  # there it is known before the buyer is sent to the PG
    assert payment.id
    if status in (Status.COMPLETED, Status.REFUNDED):
        gone = now() if status == Status.REFUNDED else None
        session.add(
            Purchase(user_id=user.id, prompt_id=story.PROMPT, payment_id=payment.id, created_at=now(), revoked_at=gone)
        )
        if gone:
            payment.refunded_amount = PRICE
            done = Refund(payment_id=payment.id, key="before", amount=PRICE, reason="x", requested_by="admin")
            done.status, done.pg_transaction_id, done.done_at = RefundStatus.DONE, "back-0", gone
            session.add(done)
    payment.next_check_at = now() if status in UNSETTLED else None
    return payment


async def walk_all(url: str, wanted: Mapping[str, Sequence[Case]], report: Report) -> None:
    db = StagedDatabase(url)
    for kind, its in wanted.items():
        await walk(db, KINDS[kind], its, report)
    await judge(db, {case.order_id: case for its in wanted.values() for case in its}, report)
    await db.close()


async def walk(db: StagedDatabase, kind: Kind, wanted: Sequence[Case], report: Report) -> None:
    script = Script(kind, settings(str(db.url)))
    till = Till(db, {kind.gateway: cast(Gateway, script)}, patience=-1)
    async with db.write() as session:
        for number, case in enumerate(wanted):
            session.add(user := User(email=f"{case.kind}{number}@x", password_hash="x", name="김찐", phone="010"))
            await session.flush()
            if case.sibling != "alone":
                await bring_to(session, kind, Status.COMPLETED if case.sibling == "owned" else Status.CONFIRMING, user)
            case.order_id = (await bring_to(session, kind, case.status, user)).order_id
    known, acts = answers(), verbs(kind)
    for case in wanted:
        script.says = known[case.answer]
        try:
            await acts[case.verb](till, case.order_id)
        except Refused:
            report.counts["refused"] = report.counts.get("refused", 0) + 1
        except InDoubt:
            assert case.verb in ("write", "settle", "come back, closed"), case
        except Exception as error:
            report.wrong.setdefault("an exception", []).append(f"{case}: {error!r}")


def waits_for_account(case: Case | str, rule: str) -> bool:
    """A deposit that opens nothing goes back when somebody has said where to: the audit reminds us of it, rightly."""
    return isinstance(case, Case) and "account" in case.kind and rule.startswith("완료된 결제는 프롬프트를 열었거나")


async def judge(db: StagedDatabase, by_order: Mapping[str, Case], report: Report) -> None:
    async with db.read() as session:
        for found in await audit.audit(session):
            broken = [by_order.get(it, it) for it in found.order_ids]
            if names := [str(it) for it in broken if not waits_for_account(it, found.rule)]:
                report.wrong.setdefault(found.rule, []).extend(names)
        rows = (await session.exec(select(Payment).where(col(Payment.order_id).in_(by_order)))).all()
    for payment in rows:
        case = by_order[payment.order_id]
        good = (Status.COMPLETED, Status.REFUNDED)
        # By the bank, which is legal. It waits again, even after its time: the next look ends that.
        taken_back = "account" in case.kind and case.status in good and case.answer in ("waiting", "expired")
        if case.status in good and payment.status not in (*good, *([Status.WAITING] if taken_back else [])):
            report.wrong.setdefault("a settled state was downgraded", []).append(str(case))
        if case.answer == "paid" and case.verb in ("write", "settle") and payment.paid_amount != PRICE:
            report.wrong.setdefault("money at the PG and no evidence of it here", []).append(str(case))
        if case.verb == "settle" and case.answer in FINAL and payment.unsettled and not taken_back:
            report.wrong.setdefault("the PG's last word left it open", []).append(str(case))


def play(engine: str, seed: int, long: bool) -> Report:
    report = Report(NAME, seed)
    with one_at_a_time(engine), databases(engine) as kept:
        known = wanted(engine, seed, long)
        for account in (False, True):  # apart: the audit names a few of those who break a rule, and these break one
            its = {kind: cases for kind, cases in known.items() if account == ("account" in kind)}
            with kept.fresh() as url, frozen(seed):
                asyncio.run(walk_all(url, its, report))
        report.counts |= {f"walked at {kind} on {engine}": len(cases) for kind, cases in known.items()}
    return report


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Callable[[str], None] = print
) -> Report:
    """Exhaustive when it is long, so that the seed decides nothing."""
    began, report = time.monotonic(), Report(NAME, seed)
    report.counts |= {"states": len(Status), "verbs": len(verbs()), "answers": len(answers())}
    walked = {(case.status, case.verb, case.answer) for case in cases("toss", long)}
    report.counts |= {"state × verb × answer": len(walked)}
    for engine in engines:
        its = play(engine, seed, long)
        for name, number in its.counts.items():
            report.counts[name] = report.counts.get(name, 0) + number
        for rule, names in its.wrong.items():
            report.wrong.setdefault(rule, []).extend(names)
        say(f"{NAME}: {engine} {its.counts}")
    report.seconds = time.monotonic() - began
    return report
