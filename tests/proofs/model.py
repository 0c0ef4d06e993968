"""Every (state × event) walked through the real verbs: whatever the PG says, whenever, no verb breaks the books.

A payment is brought to each state by legal moves. Then each verb meets it, with each answer that a PG can give.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import audit, payments, receipts, refunds, settlement
from app.clock import now
from app.gateways import Declined, Gateway, Handed, InDoubt
from app.models import MOVES, UNSETTLED, Payment, Purchase, Refund, RefundStatus, Status, User
from app.till import Refused, Till, find
from tests import story
from tests.proofs.model_answers import KEY, PRICE, Script, answers
from tests.proofs.report import Report
from tests.proofs.world_house import databases, frozen, one_thread
from tests.proofs.world_stage import StagedDatabase

NAME = "model"
SIBLINGS = ("alone", "owned", "in flight")  # another payment of the same buyer for the same prompt

Verb = Callable[[Till, str], Awaitable[Any]]
log = logging.getLogger(__name__)


def verbs() -> dict[str, Verb]:
    async def write(till: Till, order_id: str) -> None:
        async with till.db.read() as session:
            payment = await find(session, order_id)
        await receipts.write(till, order_id, await till.gateway_for(payment).find(payment), "webhook")

    async def reopen(till: Till, order_id: str) -> None:
        async with till.db.read() as session:
            payment = await find(session, order_id)
        await settlement.reopen(till, payment, "buyer")

    def refund(amount: int | None) -> Verb:
        words = {"amount": amount, "reason": "변심", "key": f"k{amount}", "by": "admin"}
        return lambda till, order_id: refunds.refund(till, order_id, **words)  # type: ignore[arg-type]

    def turn_back(code: str) -> Verb:
        return lambda till, order_id: payments._turn_back(till, order_id, code)

    return {
        "write": write,
        "settle": lambda till, order_id: settlement.settle(till, order_id, "reconciler"),
        "reopen": reopen,
        "confirm": lambda till, order_id: payments.confirm(till, order_id, Handed(KEY)),
        "doubt": lambda till, order_id: payments._doubt(till, order_id, InDoubt("X"), "buyer"),
        "decline": lambda till, order_id: payments._decline(till, order_id, Declined("X", "x"), "buyer"),
        "turn back, closed": turn_back("USER_CANCEL"),
        "turn back, aborted": turn_back("PAY_PROCESS_ABORTED"),
        "refund part": refund(3000),
        "refund all": refund(None),
    }


FINAL = ("paid", "paid, part gone", "paid, all gone in parts", "paid, another amount", "canceled", "expired")
ASKING = ("write", "settle", "reopen", "confirm", "refund part", "refund all")  # the others ask no PG


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
    status: Status
    sibling: str
    verb: str
    answer: str
    order_id: str = ""

    def __str__(self) -> str:
        return f"{self.status}, {self.sibling}: {self.verb} hears {self.answer} ({self.order_id})"


def cases(long: bool) -> list[Case]:
    found = []
    for status in Status:
        for verb in verbs():
            for answer in answers() if verb in ASKING else ("absent",):
                for sibling in SIBLINGS if long or (verb == "write" and answer.startswith("paid")) else ("alone",):
                    busy = status in (Status.CONFIRMING, Status.IN_DOUBT)
                    if not (sibling == "in flight" and busy) and not (sibling == "owned" and status == "completed"):
                        found.append(Case(status, sibling, verb, answer))
    return found


async def bring_to(session: AsyncSession, status: Status, user: User) -> Payment:
    """By legal moves, with the rows that belong to it."""
    assert user.id
    person = {"buyer_name": user.name, "buyer_email": user.email, "buyer_phone": user.phone, "item_name": "x"}
    asked = {"gateway": "toss", "payment_method": "card", "amount": PRICE, "list_price": PRICE, "consent_digest": "x"}
    payment = Payment(user_id=user.id, prompt_id=story.PROMPT, consented_at=now(), **person, **asked)  # type: ignore[arg-type]
    session.add(payment)
    await session.flush()
    session.add(payment.tell("created", "buyer", before=Status.PENDING))
    for kind in way_to(status):
        session.add(payment.move(kind, "buyer"))
    if status not in (Status.PENDING, Status.CANCELED):
        payment.pg_transaction_id = KEY
    assert payment.id
    if status in (Status.COMPLETED, Status.REFUNDED):
        payment.paid_amount, payment.completed_at = PRICE, now()
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


async def walk(url: str, wanted: Sequence[Case], report: Report) -> None:
    db = StagedDatabase(url)
    script = Script()
    till = Till(db, {"toss": cast(Gateway, script)}, patience=-1)
    async with db.write() as session:
        for number, case in enumerate(wanted):
            session.add(user := User(email=f"{number}@x", password_hash="x", name="김찐", phone="010"))
            await session.flush()
            if case.sibling != "alone":
                await bring_to(session, Status.COMPLETED if case.sibling == "owned" else Status.CONFIRMING, user)
            case.order_id = (await bring_to(session, case.status, user)).order_id
    known = answers()
    for case in wanted:
        script.says = known[case.answer]
        try:
            await verbs()[case.verb](till, case.order_id)
        except Refused:
            report.counts["refused"] = report.counts.get("refused", 0) + 1
        except InDoubt:
            assert case.verb in ("write", "settle"), case
        except Exception as error:
            report.wrong.setdefault("an exception", []).append(f"{case}: {error!r}")
    await judge(db, wanted, report)
    await db.close()


async def judge(db: StagedDatabase, wanted: Sequence[Case], report: Report) -> None:
    by_order = {case.order_id: case for case in wanted}
    async with db.read() as session:
        for found in await audit.audit(session):
            names = [str(by_order.get(order_id, order_id)) for order_id in found.order_ids]
            report.wrong.setdefault(found.rule, []).extend(names)
        rows = (await session.exec(select(Payment).where(col(Payment.order_id).in_(by_order)))).all()
    for payment in rows:
        case = by_order[payment.order_id]
        good = (Status.COMPLETED, Status.REFUNDED)
        if case.status in good and payment.status not in good:
            report.wrong.setdefault("a settled state was downgraded", []).append(str(case))
        if case.answer == "paid" and case.verb in ("write", "settle") and payment.paid_amount != PRICE:
            report.wrong.setdefault("money at the PG and no evidence of it here", []).append(str(case))
        if case.verb == "settle" and case.answer in FINAL and payment.unsettled:
            report.wrong.setdefault("the PG's last word left it open", []).append(str(case))


def run(*, seed: int, long: bool, engines: Sequence[str] = ("sqlite",), say: Callable[[str], None] = print) -> Report:
    """Exhaustive, so the seed decides nothing. SQLite only: what differs between engines is not the machine."""
    began, report, wanted = time.monotonic(), Report(NAME, seed), cases(long)
    with one_thread(), databases("sqlite") as kept, kept.fresh() as url, frozen(seed):
        asyncio.run(walk(url, wanted, report))
    walked = {(case.status, case.verb, case.answer) for case in wanted}
    report.counts |= {"states": len(Status), "verbs": len(verbs()), "answers": len(answers())}
    report.counts |= {"state × verb × answer": len(walked), "walked": len(wanted)}
    report.seconds = time.monotonic() - began
    say(f"{NAME}: {len(wanted)} walked")
    return report
