"""Deposits that nobody wants: accounts closed before anything is paid in, and money that waits for where to go back."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import literal_column
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import receipts, settlement
from app.clock import now
from app.folder import Folder, change
from app.gateways import Declined, InDoubt
from app.models import Event, Payment, Purchase, Status
from app.till import Refused, Till, owned

EVER_OWED = select(Event.payment_id).where(col(Event.kind) == literal_column("'refund_owed'")).distinct()


async def withdraw(till: Till, order_id: str, by: str) -> Payment:
    """The payment as it stands then: canceled; or whatever it has become, when the deposit was faster.

    Raises Refused: no deposit is awaited, or the PG says no, or nothing.
    """

    def intend(folder: Folder) -> Payment:
        payment = folder.payment
        if payment.status != Status.WAITING:
            raise Refused("NOT_WAITING", "입금을 기다리는 주문이 아닙니다. 새로고침해서 상태를 확인해 주세요.")
        payment.next_check_at, payment.awaiting_answer = now() + timedelta(seconds=till.settle_after), True
        folder.add(payment.tell("withdraw_requested", by))
        return payment

    payment = await change(till, order_id, intend)
    try:
        receipt = await till.gateway_for(payment).withdraw(payment)
    except (Declined, InDoubt) as error:
        return await _look(till, order_id, error, by)
    return await receipts.write(till, order_id, receipt, by)


async def _look(till: Till, order_id: str, error: Declined | InDoubt, by: str) -> Payment:
    """It may be paid, closed already, or closed by the request that got no answer."""
    try:
        payment = await settlement.settle(till, order_id, by)
    except InDoubt as silence:
        error = silence
    else:
        if payment.status != Status.WAITING:
            return payment
    if isinstance(error, Declined):
        raise Refused("WITHDRAW_DECLINED", f"결제사가 주문을 취소하지 않았습니다: {error.message}")
    raise Refused("WITHDRAW_IN_DOUBT", "결제사의 답을 받지 못했습니다. 취소되었는지 자동으로 확인하고 있습니다.", 502)


async def close_owned(till: Till, payment: Payment) -> Payment:
    """Whoever has bought the prompt another way must not pay for it again. Raises Refused, as `withdraw`."""
    if payment.status != Status.WAITING:
        return payment
    async with till.db.read() as session:
        purchase = await owned(session, payment.user_id, payment.prompt_id)
    return await withdraw(till, payment.order_id, "system") if purchase else payment


async def owed(session: AsyncSession) -> Sequence[Payment]:
    """Paid in and not deliverable: an operator must ask the buyer for an account. The oldest first."""
    ever = (await session.exec(EVER_OWED)).all()
    query = (
        select(Payment)
        .outerjoin(Purchase, col(Purchase.payment_id) == col(Payment.id))
        .where(col(Payment.id).in_(ever), col(Payment.status) == Status.COMPLETED, col(Purchase.id).is_(None))
        .where(col(Payment.paid_amount) > col(Payment.refunded_amount))
    )
    return (await session.exec(query.order_by(col(Payment.id)))).all()
