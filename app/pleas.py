"""A buyer asks for their money back. Giving it back is done as ever (app.refunds); here somebody may say why not.

A refund that was begun after a plea answers it, by whomever and for whatever it was; unless it fails: then the plea is
open again. So that is read from the refunds, and who gives money back needs to know nothing of pleas.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, not_, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import refunds
from app.clock import now
from app.desk import Approval, Plea
from app.models import Payment, Refund, RefundStatus
from app.till import Refused, Till, find

MOST = 3  # pleas of one payment, whatever became of them
LISTED = 50


def _given_since(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    since = (col(Refund.payment_id) == col(Plea.payment_id), col(Refund.created_at) > col(Plea.asked_at))
    return select(Refund.id).where(*since, *conditions).exists()


OPEN = and_(col(Plea.answered_at).is_(None), not_(_given_since(col(Refund.status) != RefundStatus.FAILED)))
# Others may be at it: they are left to them.
_GIVEN_BACK = (
    select(Plea.id)
    .where(col(Plea.answered_at).is_(None), _given_since(col(Refund.status) == RefundStatus.DONE))
    .with_for_update(skip_locked=True)
)


async def make(till: Till, order_id: str, *, reason: str) -> None:
    """Raises Refused: nothing is left to give back, it is under way, asked for already, or has been too often."""
    async with till.db.write() as session:
        payment = await find(session, order_id, lock=True)
        assert payment.id is not None, "a payment that was found is stored"
        # Whatever was given back since is closed now, so that the index of open ones stays as small as they are few.
        await session.exec(update(Plea).where(col(Plea.id).in_(_GIVEN_BACK)).values(answered_at=now()))
        made = await of(session, payment.id)
        if not payment.refundable:
            raise Refused("NOT_REFUNDABLE", "돌려받을 금액이 남지 않은 결제입니다. 새로고침해서 상태를 확인해 주세요.")
        if await under_way(session, payment):
            raise Refused("UNDER_WAY", "환불을 이미 처리하고 있습니다. 다시 요청하지 않아도 됩니다.")
        if any(is_open for _, is_open in made):
            raise Refused("ASKED", "환불을 이미 요청했습니다. 새로고침하면 언제까지 답을 드리는지 볼 수 있습니다.")
        if len(made) >= MOST:
            raise Refused("TOO_OFTEN", f"환불은 한 결제에서 {MOST}번까지 요청할 수 있습니다. 판매자에게 문의해 주세요.")
        session.add(Plea(payment_id=payment.id, reason=reason))
        session.add(payment.tell("plea_made", "buyer", note=reason))


async def decline(till: Till, order_id: str, plea_id: int, *, answer: str, by: str) -> None:
    """Say why nothing is given back. Raises Refused when there is no such plea, or it is not open any more."""
    async with till.db.write() as session:
        payment = await find(session, order_id, lock=True)
        made = {plea.id: (plea, is_open) for plea, is_open in await of(session, payment.id)}
        if plea_id not in made:
            raise Refused("NOT_FOUND", "그런 요청이 없습니다.", 404)
        plea, is_open = made[plea_id]
        if not is_open:
            raise Refused("ANSWERED", "이미 답했거나 환불한 요청입니다. 새로고침해서 확인해 주세요.")
        plea.answered_at, plea.answered_by, plea.answer = now(), by, answer
        session.add(payment.tell("plea_answered", by, note=answer))


async def of(session: AsyncSession, payment_id: int | None) -> Sequence[tuple[Plea, bool]]:
    """A payment's pleas, the oldest first, and whether each is open."""
    query = select(Plea, OPEN).where(col(Plea.payment_id) == payment_id).order_by(col(Plea.id))
    return (await session.exec(query)).all()


async def under_way(session: AsyncSession, payment: Payment) -> bool:
    """Is money being given back already, or does it wait for a second person?"""
    waiting = select(Approval.id).where(col(Approval.payment_id) == payment.id, col(Approval.decided_at).is_(None))
    return bool(await refunds.under_way(session, payment) or (await session.exec(waiting)).first())


async def waiting(session: AsyncSession) -> Sequence[tuple[Plea, Payment]]:
    """Those that nobody has answered yet: what has waited longest is due first."""
    query = select(Plea, Payment).join(Payment).where(OPEN)
    return (await session.exec(query.order_by(col(Plea.id)).limit(LISTED))).all()
