"""Two people for a large refund: one asks, another agrees to exactly that, and only then does money move."""

from collections.abc import Sequence

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from app import refunds
from app.clock import now
from app.desk import Approval
from app.gateways import RefundAccount
from app.models import Payment, Refund
from app.seal import unseal
from app.till import Refused, Till, find

OWN = "자기가 요청한 환불은 승인할 수 없습니다. 다른 관리자에게 부탁해 주세요."
DECIDED = "이미 처리된 요청입니다. 새로고침해서 확인해 주세요."


async def ask(
    till: Till, order_id: str, *, amount: int | None, reason: str, by: str, account: RefundAccount | None = None
) -> Approval:
    """Ask for `amount` won, or all that is left. Raises Refused when another request waits for this payment."""
    try:
        async with till.db.write() as session:
            payment = await find(session, order_id, lock=True)
            assert payment.id is not None, "a payment with money is stored"
            amount = payment.remaining if amount is None else amount
            approval = Approval(
                payment_id=payment.id,
                amount=amount,
                remaining=payment.remaining,
                reason=reason,
                account_sealed=refunds.sealed_for(till, payment, account),
                asked_by=by,
            )
            session.add(approval)
            session.add(payment.tell("approval_asked", by, amount=amount, note=reason))
            await session.flush()
    except IntegrityError as error:
        raise Refused("APPROVAL_WAITING", "이 결제에는 승인을 기다리는 환불이 이미 있습니다.") from error
    return approval


async def grant(till: Till, approval_id: int, *, amount: int, by: str) -> tuple[Payment, Refund]:
    """Agree, and give back. Safe to repeat: should we die in between, pressing again carries on.

    Raises Refused: one's own request, another amount than was asked for, refused by somebody, stale, or nobody to ask.
    """
    payment, approval = await _decide(till, approval_id, by, granted=True, amount=amount)
    sealed = approval.account_sealed
    answer = await refunds.refund(
        till,
        payment.order_id,
        amount=approval.amount,
        reason=approval.reason,
        key=approval.key,
        by=by,
        account=unseal(till.gateway_for(payment).settings, sealed) if sealed else None,
        shown=approval.remaining,
        approved=True,
    )
    async with till.db.write() as session:  # the refund has a copy as long as it needs one
        (await session.get_one(Approval, approval_id)).account_sealed = None
    return answer


async def refuse(till: Till, approval_id: int, *, by: str) -> Payment:
    """Whoever asked may take it back, too. Raises Refused when it was decided before."""
    payment, _ = await _decide(till, approval_id, by, granted=False)
    return payment


async def _decide(
    till: Till, approval_id: int, by: str, *, granted: bool, amount: int | None = None
) -> tuple[Payment, Approval]:
    async with till.db.write() as session:
        query = select(Approval, Payment).join(Payment).where(col(Approval.id) == approval_id)
        row = (await session.exec(query.with_for_update())).one_or_none()
        if row is None:
            raise Refused("NOT_FOUND", "그런 요청이 없습니다.", 404)
        approval, payment = row
        if granted and approval.asked_by == by:
            raise Refused("OWN_REQUEST", OWN, 403)
        if granted and approval.amount != amount:
            raise Refused("OTHER_AMOUNT", DECIDED)
        if approval.decided_at and not (granted and approval.granted):
            raise Refused("DECIDED", DECIDED)
        if not approval.decided_at:
            if granted:
                refunds.gateway_of(till, payment)
            approval.decided_at, approval.decided_by, approval.granted = now(), by, granted
            approval.account_sealed = approval.account_sealed if granted else None
            kind = "approval_given" if granted else "approval_refused"
            session.add(payment.tell(kind, by, amount=approval.amount))
    return payment, approval


async def waiting(till: Till) -> Sequence[tuple[Approval, Payment]]:
    """The requests that nobody has decided yet, the oldest first."""
    query = select(Approval, Payment).join(Payment).where(col(Approval.decided_at).is_(None))
    async with till.db.read() as session:
        return (await session.exec(query.order_by(col(Approval.id)).limit(200))).all()
