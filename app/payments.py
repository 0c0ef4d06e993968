"""Taking money: start, come back, confirm, and writing down what the PG says.

Every verb has the same three phases: write the intent and commit; ask the PG with no transaction open; write the
answer and commit. A process that dies in between leaves a row that says what was asked; `app.settlement` finishes it.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app import refunds
from app.clock import now
from app.gateways import Declined, Handed, InDoubt, Receipt
from app.models import Event, Payment, Prompt, Purchase, Refund, Status, User, Webhook
from app.till import Refused, Till, find, owned, rest

log = logging.getLogger(__name__)

CONSENT = (
    "주문할 상품과 금액을 확인했고, 결제하면 프롬프트가 바로 공개되어 "
    "단순 변심으로는 청약철회가 제한된다는 점에 동의합니다."
)
CONSENT_DIGEST = hashlib.sha256(CONSENT.encode()).hexdigest()

# Toss keeps a window open for 30 minutes and waits 10 more for our confirm (pg/toss.md §2.4); then the PG itself has
# forgotten an order that was never approved. Five minutes for clocks that disagree.
# It counts anew from our confirm: a buyer may open the window late, and a PG that is still at work may deny the order.
APPROVAL_WINDOW = timedelta(minutes=45)
LONGEST_ID = 200  # letters of a PG's transaction id (pg/toss.md §3.1)
OWNED = "이미 보유한 프롬프트입니다."


@dataclass(frozen=True)
class Order:
    """What a buyer asks for. `amount` is the price they were shown, in whole won; None when none was shown."""

    prompt_id: int
    payment_method: str
    buyer_name: str
    buyer_phone: str
    amount: int | None = None


# ── start ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def start(till: Till, user: User, order: Order) -> Payment:
    """A pending payment at our price. Raises Refused: no such prompt or method, owned already, another price shown."""
    assert user.id is not None, "only people with an account buy"
    gateway = till.gateway_of_method(order.payment_method)
    if gateway is None:
        raise Refused("METHOD_UNAVAILABLE", "지금은 쓸 수 없는 결제수단입니다. 다른 결제수단을 골라 주세요.", 422)
    async with till.db.write() as session:
        prompt = await session.get(Prompt, order.prompt_id)
        if prompt is None or prompt.id is None:
            raise Refused("NOT_FOUND", "그런 프롬프트가 없습니다.", 404)
        if await owned(session, user.id, prompt.id):
            raise Refused("ALREADY_OWNED", OWNED)
        amount = prompt.price_for(user)
        if order.amount not in (None, amount):
            raise Refused("AMOUNT_MISMATCH", f"가격이 ₩{amount:,}입니다. 금액을 확인하고 다시 눌러 주세요.", 400)
        payment = Payment(
            user_id=user.id,
            prompt_id=prompt.id,
            gateway=gateway.name,
            payment_method=order.payment_method,
            amount=amount,
            list_price=prompt.price,
            buyer_name=order.buyer_name,
            buyer_email=user.email,
            buyer_phone=order.buyer_phone,
            item_name=prompt.title,
            consent_digest=CONSENT_DIGEST,
            consented_at=now(),
            next_check_at=now() + timedelta(seconds=till.settle_after),
        )
        session.add(payment)
        await session.flush()
        session.add(payment.tell("created", "buyer", before=Status.PENDING))
    return payment


# ── confirm ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def come_back(till: Till, order_id: str, query: Mapping[str, str]) -> Payment:
    """The PG sent the buyer back with this query: confirm, or write down why not. Raises Refused."""
    async with till.db.read() as session:
        payment = await find(session, order_id)
    handed = till.gateway_for(payment).handed(query)
    if handed.transaction_id:
        return await confirm(till, order_id, handed)
    if handed.code and payment.status == Status.PENDING:
        return await _turn_back(till, order_id, handed.code)
    return payment


async def confirm(till: Till, order_id: str, handed: Handed) -> Payment:
    """Take the money once, however often and from wherever this is called; everyone gets the same answer.

    Raises Refused when what the browser brings does not fit our row: another order, amount or transaction.
    """
    async with till.db.read() as session:
        payment = await find(session, order_id)
    _compare(payment, handed)
    if payment.status != Status.PENDING or not await _claim(till, order_id, handed):
        payment = await _answer(till, order_id)
        _compare(payment, handed)
        return payment
    async with till.db.read() as session:
        payment = await find(session, order_id)
    return await ask_to_confirm(till, payment, "buyer")


def _compare(payment: Payment, handed: Handed) -> None:
    if handed.transaction_id and len(handed.transaction_id) > LONGEST_ID:
        raise Refused("TRANSACTION_MISMATCH", "결제 거래번호가 올바르지 않습니다. 결제하지 않았습니다.", 400)
    if handed.order_id not in (None, payment.order_id):
        raise Refused("ORDER_MISMATCH", "다른 주문의 결제입니다. 결제하지 않았습니다.", 400)
    if handed.amount not in (None, str(payment.amount)):
        raise Refused("AMOUNT_MISMATCH", "결제창의 금액이 주문 금액과 다릅니다. 결제하지 않았습니다.", 400)
    if payment.pg_transaction_id not in (None, handed.transaction_id):
        raise Refused("TRANSACTION_MISMATCH", "이 주문은 다른 결제로 이미 처리되었습니다.")


async def _claim(till: Till, order_id: str, handed: Handed) -> bool:
    """Commit that we are about to ask. False: someone was faster. Raises Refused when the prompt is theirs already."""
    try:
        async with till.db.write() as session:
            payment = await find(session, order_id, lock=True)
            if payment.status != Status.PENDING:
                return False
            if await owned(session, payment.user_id, payment.prompt_id):
                session.add(payment.move("canceled", "buyer", failure_code="ALREADY_OWNED", failure_message=OWNED))
                await rest(session, payment)
                return False
            soon = now() + timedelta(seconds=till.settle_after)
            asked = {"pg_transaction_id": handed.transaction_id, "next_check_at": soon, "awaiting_answer": True}
            payment.claimed_at = now()
            session.add(payment.move("claimed", "buyer", **asked))
    except IntegrityError as error:  # uq_payment_in_flight
        raise Refused(
            "IN_FLIGHT", "다른 창에서 이 프롬프트의 결제를 확인하고 있습니다. 이 결제는 진행하지 않았습니다."
        ) from error
    return True


async def ask_to_confirm(till: Till, payment: Payment, actor: str, *, repeat: bool = False) -> Payment:
    """A "not now" to a repeat says nothing of the first request, which may still be on its way."""
    try:
        receipt = await till.gateway_for(payment).confirm(payment)
    except Declined as no:
        if repeat and no.why != "declined":
            return await _doubt(till, payment.order_id, InDoubt(no.code, no.message), actor)
        return await _decline(till, payment.order_id, no, actor)
    except InDoubt as silence:
        return await _doubt(till, payment.order_id, silence, actor)
    return await write(till, payment.order_id, receipt, actor)


async def _answer(till: Till, order_id: str) -> Payment:
    """What became of a call that someone else has made; still `confirming` when patience runs out."""
    deadline = asyncio.get_running_loop().time() + till.patience
    pause = 0.02
    while True:
        async with till.db.read() as session:
            payment = await find(session, order_id)
        if payment.status != Status.CONFIRMING or asyncio.get_running_loop().time() > deadline:
            return payment
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.5)


async def _turn_back(till: Till, order_id: str, code: str) -> Payment:
    """The PG's window ended without an approval. Nothing was asked of the PG, so nothing can have been taken."""
    async with till.db.write() as session:
        payment = await find(session, order_id, lock=True)
        if payment.status == Status.PENDING:
            gateway = till.gateway_for(payment)
            kind = "canceled" if code in gateway.canceled_codes else "declined"
            sentence = gateway.sentence(code)
            session.add(payment.move(kind, "buyer", failure_code=code, failure_message=sentence))
            await rest(session, payment)
    return payment


async def _decline(till: Till, order_id: str, no: Declined, actor: str) -> Payment:
    async with till.db.write() as session:
        payment = await find(session, order_id, lock=True)
        if payment.can("declined"):
            sentence = till.gateway_for(payment).sentence(no.code)
            session.add(payment.move("declined", actor, failure_code=no.code, failure_message=sentence))
            payment.awaiting_answer = False
            await rest(session, payment)
    return payment


async def _doubt(till: Till, order_id: str, silence: InDoubt, actor: str) -> Payment:
    async with till.db.write() as session:
        payment = await find(session, order_id, lock=True)
        if payment.can("doubted"):
            session.add(payment.move("doubted", actor, failure_code=silence.code))
            payment.check_later()
        payment.awaiting_answer = payment.unsettled
    return payment


# ── what the PG says, written down ───────────────────────────────────────────────────────────────────────────────────


async def write(till: Till, order_id: str, receipt: Receipt, actor: str) -> Payment:
    """Bring our row to what the PG says, in one transaction, and give back what we cannot deliver."""
    async with till.db.write() as session:
        payment = await find(session, order_id, lock=True)
        was = payment.status
        payment.awaiting_answer = False
        event = _move_to(payment, receipt, actor)
        if event:
            session.add(event)
        completed = event is not None and event.kind == "completed"
        owed = await _deliver(till, session, payment, was, receipt) if completed else None
        await _read_webhooks(session, payment)
        await rest(session, payment)
        if payment.next_check_at is None and payment.refundable and await refunds.unclaimed(session, payment, receipt):
            payment.check_later()  # given back without us: not at rest before it is a refund of ours
    if owed:
        payment, _ = await refunds.send(till, payment, owed)
    return payment


async def _read_webhooks(session: AsyncSession, payment: Payment) -> None:
    """What was told before we asked is answered by what the PG has just said, in the transaction that writes it."""
    if payment.checked_at:
        told = (col(Webhook.payment_id) == payment.id, col(Webhook.received_at) <= payment.checked_at)
        unread = update(Webhook).where(*told, col(Webhook.handled_at).is_(None))
        await session.exec(unread.values(handled_at=now()))


def _move_to(payment: Payment, receipt: Receipt, actor: str) -> Event | None:
    kind = {
        "paid": "completed",
        "waiting": "waiting",
        "failed": "declined",
        "canceled": "canceled",
        "expired": "expired",
    }.get(receipt.status)
    if receipt.status == "absent" and now() > (payment.claimed_at or payment.created_at) + APPROVAL_WINDOW:
        kind = "expired"
    if kind is None or not payment.can(kind):
        return None
    if kind in ("completed", "waiting"):
        return _take(payment, receipt, kind, actor)
    return payment.move(kind, actor, failure_code=receipt.code, failure_message=receipt.message)


def _take(payment: Payment, receipt: Receipt, kind: str, actor: str) -> Event | None:
    """The PG holds money, or an account for it. What it took is kept as evidence even when it is not what we asked."""
    if (receipt.order_id, receipt.currency) != (payment.order_id, "KRW"):
        said = f"{receipt.order_id} {receipt.currency}"
        log.error("PG가 다른 결제를 말합니다: 주문 %s, PG %s", payment.order_id, said)
        if not payment.can("doubted"):
            return None
        return payment.move("doubted", actor, failure_code="ORDER_MISMATCH", failure_message=f"PG: {said}")
    paid = kind == "completed"
    return payment.move(
        kind,
        actor,
        completed_at=now() if paid else None,
        paid_amount=receipt.paid if paid else 0,
        pg_transaction_id=receipt.transaction_id,
        pg_secret=receipt.secret,
        receipt_url=receipt.receipt_url,
        failure_code=None,
        failure_message=None,
    )


async def _deliver(till: Till, session: AsyncSession, payment: Payment, was: Status, receipt: Receipt) -> Refund | None:
    """Unlock the prompt; when we cannot keep the money for it, a whole refund instead, once, with the reason."""
    assert payment.id is not None, "a completed payment is stored"
    if receipt.left <= 0:
        return None  # all of it went back already
    if payment.paid_amount != payment.amount:
        reason = f"PG가 받은 금액 ₩{payment.paid_amount:,}이 주문과 달라 자동 환불"
    elif was == Status.CANCELED:
        reason = "취소한 주문이라 자동 환불"
    elif await owned(session, payment.user_id, payment.prompt_id):
        reason = "이미 보유한 상품이라 자동 환불"
    else:
        session.add(Purchase(user_id=payment.user_id, prompt_id=payment.prompt_id, payment_id=payment.id))
        return None
    return await refunds.reserve(till, session, payment, payment.paid_amount, reason, refunds.UNDELIVERABLE, "system")
