"""What the PG says of a payment, written down: money first, then content, in one transaction."""

import logging
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from app import refunds
from app.clock import now
from app.folder import Folder, change
from app.gateways import Receipt
from app.models import Event, Payment, Purchase, Refund, RefundStatus, Status
from app.till import Till

log = logging.getLogger(__name__)

# Toss keeps a window open for 30 minutes and waits 10 more for our confirm (pg/toss.md §2.4); then the PG itself has
# forgotten an order that was never approved. Five minutes for clocks that disagree.
# It counts anew from our confirm: a buyer may open the window late, and a PG that is still at work may deny the order.
APPROVAL_WINDOW = timedelta(minutes=45)
CANCELED_AT_PG, DEPOSIT_RETURNED = "CANCELED_AT_PG", "DEPOSIT_RETURNED"
RETURNED = "은행에서 입금이 취소되어 프롬프트를 닫았습니다. 다시 입금하면 바로 열립니다."
ANOTHER_ORDER = "다른 주문의 결제라 이 주문은 결제되지 않았습니다. 다시 결제해 주세요."
NOTHING_TO_RETURN = "은행에서 입금이 취소되어 돌려줄 돈이 없습니다."


async def write(till: Till, order_id: str, receipt: Receipt, actor: str, *, asked_at: Status | None = None) -> Payment:
    """Bring our row to what the PG says, in one transaction, and give back what we cannot deliver.

    `asked_at` is where the payment stood when the PG was asked: a deposit can be taken back only where it was in.
    """

    def write(folder: Folder) -> tuple[Payment, Refund | None]:
        return folder.payment, _write(folder, receipt, actor, asked_at)

    try:
        payment, owed = await change(till, order_id, write)
    except IntegrityError:  # uq_purchase_live: another payment for this prompt was faster by a moment, and is there now
        payment, owed = await change(till, order_id, write)
    if owed:
        payment, _ = await refunds.send(till, payment, owed)
    return payment


def _write(folder: Folder, receipt: Receipt, actor: str, asked_at: Status | None) -> Refund | None:
    """The refund of what we cannot deliver."""
    payment = folder.payment
    was = payment.status
    payment.awaiting_answer = False
    sentence = folder.till.gateway_for(payment).sentence
    unpaid = receipt.status in ("waiting", "expired") or (receipt.status == "canceled" and not receipt.paid)
    taken_back = unpaid and asked_at == payment.status == Status.COMPLETED
    event = _return(folder, receipt, actor) if taken_back else _move_to(payment, receipt, actor, sentence)
    if event:
        folder.add(event)
    completed = event is not None and event.kind == "completed"
    owed = _deliver(folder, was, receipt) if completed else None
    _read_webhooks(folder, receipt)
    folder.rest()
    if payment.next_check_at is None and payment.refundable and refunds.unclaimed(folder.refunds, receipt):
        payment.check_later()  # given back without us: not at rest before it is a refund of ours
    return owed


def _read_webhooks(folder: Folder, receipt: Receipt) -> None:
    """What was told before we asked is answered by what the PG has just said, in the transaction that writes it."""
    checked_at = folder.payment.checked_at
    for webhook in folder.unread:
        if checked_at and webhook.received_at <= min(checked_at, receipt.asked):
            webhook.handled_at = now()


def _move_to(payment: Payment, receipt: Receipt, actor: str, sentence: Callable[[str], str]) -> Event | None:
    closes = (payment.claimed_at or payment.created_at) + APPROVAL_WINDOW
    over = receipt.asked > closes  # not: written down after it
    if receipt.order_id != payment.order_id:
        return _mistrust(payment, receipt, actor, over=over)
    kind = {
        "paid": "completed",
        "waiting": "waiting",
        "failed": "declined",
        "canceled": "canceled",
        "expired": "expired",
    }.get(receipt.status)
    if receipt.status in ("absent", "open") and over:
        kind = "expired"
    if kind is None or not payment.can(kind):
        return None
    if kind in ("completed", "waiting"):
        return _take(payment, receipt, kind, actor)
    code, why = receipt.code, sentence(receipt.code) if receipt.code else receipt.message
    if receipt.canceled:
        code, why = (
            CANCELED_AT_PG,
            f"결제사에서 취소되어 ₩{receipt.paid - receipt.left:,}을 모두 돌려드렸습니다.",
        )
    return payment.move(kind, actor, failure_code=code, failure_message=why)


def _return(folder: Folder, receipt: Receipt, actor: str) -> Event | None:
    """The bank has taken the deposit back: nothing is paid any more, and the prompt closes.

    So does a refund that waits for an answer, unless some of the money went back: there is nothing left to give.
    """
    payment, entry = folder.payment, folder.open_refund
    in_vain = entry and entry.created_at < receipt.asked and not receipt.canceled
    if payment.refunded_amount != (entry.amount if entry and in_vain else 0) or not payment.needs_account:
        log.error("%s: PG가 받은 돈을 받지 않았다고 합니다", payment.order_id)
        return None
    if entry:
        refunds.close(folder, entry, RefundStatus.FAILED, code=DEPOSIT_RETURNED, message=NOTHING_TO_RETURN)
    refunds.revoke(folder)
    _keep_account(payment, receipt)
    nothing = {"completed_at": None, "paid_amount": 0}
    return payment.move("returned", actor, failure_code=DEPOSIT_RETURNED, failure_message=RETURNED, **nothing)


def _take(payment: Payment, receipt: Receipt, kind: str, actor: str) -> Event | None:
    """The PG holds money, or an account for it. What it took is kept as evidence even when it is not what we asked."""
    if receipt.currency != "KRW":
        return _mistrust(payment, receipt, actor)
    _keep_account(payment, receipt)
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


def _mistrust(payment: Payment, receipt: Receipt, actor: str, *, over: bool = False) -> Event | None:
    """Another currency, or another order, whose key the browser brought: how that one ended says nothing of ours."""
    said = f"{receipt.order_id} {receipt.currency}"
    log.error("PG가 다른 결제를 말합니다: 주문 %s, PG %s", payment.order_id, said)
    kind, why = ("expired", ANOTHER_ORDER) if over else ("doubted", f"PG: {said}")
    if not payment.can(kind):
        return None
    return payment.move(kind, actor, failure_code="ORDER_MISMATCH", failure_message=why)


def _keep_account(payment: Payment, receipt: Receipt) -> None:
    if account := receipt.account:
        payment.account_bank, payment.account_number = account.bank, account.number
        payment.account_holder, payment.deposit_due_at = account.holder, account.due


def _deliver(folder: Folder, was: Status, receipt: Receipt) -> Refund | None:
    """Unlock the prompt; when we cannot keep the money for it, a whole refund instead, once, with the reason."""
    payment = folder.payment
    if receipt.left <= 0:
        return None  # all of it went back already
    if payment.paid_amount != payment.amount:
        reason = f"PG가 받은 금액 ₩{payment.paid_amount:,}이 주문과 달라 자동 환불"
    elif was == Status.CANCELED:
        reason = "취소한 주문이라 자동 환불"
    elif folder.owned:
        reason = "이미 보유한 상품이라 자동 환불"
    else:
        _unlock(folder)
        return None
    if payment.needs_account:
        folder.add(payment.tell("refund_owed", "system", amount=payment.paid_amount, note=reason))
        return None
    return refunds.reserve(folder, payment.paid_amount, reason, refunds.UNDELIVERABLE, "system")


def _unlock(folder: Folder) -> None:
    """One payment is one purchase: a deposit that comes in again opens the same one again."""
    payment = folder.payment
    assert payment.id is not None, "a completed payment is stored"
    if folder.purchase:
        folder.purchase.revoked_at = None
    else:
        folder.add(
            Purchase(  # with its time: SQLModel looks long at what has a default_factory
                user_id=payment.user_id, prompt_id=payment.prompt_id, payment_id=payment.id, created_at=now()
            )
        )
    folder.opened = True
