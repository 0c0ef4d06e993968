"""The one way to the truth: ask the PG where a payment stands, and write what it says.

The webhook, the buyer who looks again, the operator's repair and the reconciler all come through here.
"""

import logging
from datetime import datetime, timedelta

from app import payments, receipts, refunds
from app.clock import now
from app.folder import Folder, change
from app.gateways import InDoubt
from app.models import Payment, Status
from app.till import BREATH, Till, find

log = logging.getLogger(__name__)

DEPOSIT_LOOK = timedelta(minutes=1)


async def settle(till: Till, order_id: str, actor: str) -> Payment:
    """Raises InDoubt when the PG does not answer: nothing changes then, and the payment stays due."""
    async with till.db.read() as session:
        payment = await find(session, order_id)
        asked_for = await refunds.under_way(session, payment)
    receipt = await till.gateway_for(payment).find(payment)
    if receipt.status == "authenticated" and payment.status in (Status.CONFIRMING, Status.IN_DOUBT):
        # Our confirm never arrived, or its answer got lost: the same key brings the first answer, or makes the first.
        return await payments.ask_to_confirm(till, payment, actor, repeat=True)
    payment = await receipts.write(till, order_id, receipt, actor, asked_at=payment.status)
    return await refunds.settle(till, payment, receipt, asked_for, actor)


async def lease(till: Till, order_id: str, actor: str, *, early: bool = False) -> bool:
    """One caller asks the PG about one payment at a time: when its time has come or, `early`, after a breath."""

    def take(folder: Folder) -> bool:
        payment = folder.payment
        if payment.next_check_at is None:
            return False
        if (breath_after(payment) if early else payment.next_check_at) > now():
            return False
        payment.checks += 1
        payment.checked_at = now()
        payment.awaiting_answer = True
        payment.check_later()
        if payment.status == Status.IN_DOUBT or payment.refunded_amount:
            folder.add(payment.tell("checked", actor))
        return True

    return await change(till, order_id, take)


def breath_after(payment: Payment) -> datetime:
    """Within a breath a reloaded page or a repeated webhook does not make us ask the PG again."""
    return payment.checked_at + BREATH if payment.checked_at else payment.created_at


async def reopen(till: Till, payment: Payment, actor: str) -> Payment:
    """Somebody looks at an unsettled payment: ask the PG now, unless it was asked a moment ago."""
    if payment.unsettled and await lease(till, payment.order_id, actor, early=_early(payment)):
        try:
            return await settle(till, payment.order_id, actor)
        except InDoubt as silence:
            log.warning("%s: PG에 물었으나 답이 없습니다 (%s)", payment.order_id, silence.code)
    return payment


def _early(payment: Payment) -> bool:
    """While we still wait for an answer, only when it is overdue; a deposit that no webhook tells of, by the minute."""
    if payment.status == Status.WAITING:
        return (payment.checked_at or payment.created_at) + DEPOSIT_LOOK < now()
    return payment.status == Status.IN_DOUBT
