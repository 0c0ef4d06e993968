"""The one way to the truth: ask the PG where a payment stands, and write what it says.

The return page, the webhook, the buyer who looks again, the operator's repair and the reconciler all come through here.
"""

import logging
from datetime import timedelta

from app import payments, refunds
from app.clock import now
from app.gateways import InDoubt
from app.models import Payment, Status
from app.till import Till, find

log = logging.getLogger(__name__)

BREATH = timedelta(seconds=2)
"""Within a breath a reloaded page or a repeated webhook does not make us ask the PG again."""


async def settle(till: Till, order_id: str, actor: str) -> Payment:
    """Where the PG cannot be asked, nothing changes and the payment stays due."""
    async with till.db.read() as session:
        payment = await find(session, order_id)
    try:
        receipt = await till.gateway_for(payment).find(payment)
    except InDoubt as silence:
        log.warning("%s: PG에 물었으나 답이 없습니다 (%s)", order_id, silence.code)
        return payment
    if receipt.status == "authenticated" and payment.status in (Status.CONFIRMING, Status.IN_DOUBT):
        # Our confirm never arrived, or its answer got lost: the same key brings the first answer, or makes the first.
        return await payments.ask_to_confirm(till, payment, actor)
    payment = await payments.write(till, order_id, receipt, actor)
    return await refunds.settle(till, payment, receipt, actor)


async def lease(till: Till, order_id: str, *, early: bool = False) -> bool:
    """One caller asks the PG about one payment at a time: when its time has come or, `early`, after a breath."""
    async with till.db.write() as session:
        payment = await find(session, order_id, lock=True)
        if early:
            ready = payment.checked_at is None or payment.checked_at + BREATH <= now()
        else:
            ready = payment.next_check_at is not None and payment.next_check_at <= now()
        if not ready:
            return False
        payment.checks += 1
        payment.checked_at = now()
        if payment.next_check_at:
            payment.check_later()
            if payment.status == Status.IN_DOUBT or payment.refunded_amount:
                session.add(payment.tell("checked", "reconciler"))
    return True


async def reopen(till: Till, payment: Payment, actor: str) -> Payment:
    """Somebody looks at an unsettled payment: ask the PG now, unless it was asked a moment ago."""
    early = payment.status == Status.IN_DOUBT  # while we still wait for an answer, only when it is overdue
    if payment.unsettled and await lease(till, payment.order_id, early=early):
        return await settle(till, payment.order_id, actor)
    return payment
