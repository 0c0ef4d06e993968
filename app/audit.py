"""Proves over the whole database that the books are right. Every rule is a query for the rows that break it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ScalarSelect, and_, case, exists, func, or_
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from app.daily import miscounted
from app.models import MOVES, OPEN_REFUND, UNSETTLED, Event, Payment, Purchase, Refund, RefundStatus, Status

HELD = (*OPEN_REFUND, RefundStatus.DONE)
"""Refunds whose amount is reserved or gone."""
SHOWN = 20  # rows a rule names; a broken rule breaks often


@dataclass(frozen=True)
class Finding:
    rule: str
    order_ids: Sequence[str]
    """Or, where a day's totals are wrong, the day with its gateway and method."""


async def audit(session: AsyncSession) -> list[Finding]:
    """The rules that are broken, each with the orders that break it."""
    findings = []
    for rule, query in rules().items():
        order_ids = (await session.exec(query.limit(SHOWN))).all()
        if order_ids:
            findings.append(Finding(rule, order_ids))
    return findings


def rules() -> dict[str, SelectOfScalar[str]]:
    order = select(Payment.order_id)
    held, done = _sum(HELD), _sum((RefundStatus.DONE,))
    live = exists().where(col(Purchase.payment_id) == Payment.id, col(Purchase.revoked_at).is_(None))
    open_refund = exists().where(col(Refund.payment_id) == Payment.id, col(Refund.status).in_(OPEN_REFUND))
    settled_well = col(Payment.status).in_((Status.COMPLETED, Status.REFUNDED))
    return {
        "환불 합계가 예약된 금액과 같다": order.where(held != col(Payment.refunded_amount)),
        "환불 합계가 받은 금액을 넘지 않는다": order.where(held > col(Payment.paid_amount)),
        "돈을 받은 결제만 완료나 환불이다": order.where(settled_well != (col(Payment.paid_amount) > 0)),
        "완료된 결제는 프롬프트를 열었거나 전액을 돌려주는 중이다": order.where(
            col(Payment.status) == Status.COMPLETED,
            ~live,
            held < col(Payment.paid_amount),
            col(Payment.next_check_at).is_(None),  # what the PG gave back by itself is on its way into our books
        ),
        "열린 프롬프트에는 완료된 결제가 있다": order.where(live, col(Payment.status) != Status.COMPLETED),
        "주문과 다른 금액으로는 프롬프트를 열지 않는다": order.where(
            live, col(Payment.paid_amount) != col(Payment.amount)
        ),
        "환불 완료는 받은 돈을 모두 돌려준 것이다": order.where(
            (col(Payment.status) == Status.REFUNDED) != and_(settled_well, done == col(Payment.paid_amount))
        ),
        "끝나지 않은 것은 다시 물을 때가 정해져 있다": order.where(
            or_(col(Payment.status).in_(UNSETTLED), open_refund), col(Payment.next_check_at).is_(None)
        ),
        "끝난 환불에는 PG의 거래번호가 있다": order.join(Refund).where(
            col(Refund.status) == RefundStatus.DONE, col(Refund.pg_transaction_id).is_(None)
        ),
        "돈이 움직인 결제에는 PG의 거래번호가 있다": order.where(
            col(Payment.paid_amount) > 0, col(Payment.pg_transaction_id).is_(None)
        ),
        "모든 상태 변화는 정해진 길이다": order.join(Event).where(
            col(Event.before) != col(Event.after),
            ~or_(
                *(
                    and_(col(Event.kind) == kind, col(Event.before) == before, col(Event.after) == after)
                    for kind, ways in MOVES.items()
                    for before, after in ways.items()
                )
            ),
        ),
        "기록은 끊기지 않는다": _broken_chain(),
        "마지막 기록이 지금 상태다": order.where(col(Payment.status) != _last_after()),
        "날마다의 합계가 기록과 같다": miscounted(),
    }


def _sum(status: tuple[RefundStatus, ...]) -> ScalarSelect[int]:
    amount = func.coalesce(func.sum(case((col(Refund.status).in_(status), col(Refund.amount)), else_=0)), 0)
    return select(amount).where(col(Refund.payment_id) == Payment.id).correlate(Payment).scalar_subquery()


def _broken_chain() -> SelectOfScalar[str]:
    """Each event begins where the one before it ended."""
    before = (
        select(
            Event.payment_id,
            Event.before,
            func.lag(col(Event.after)).over(partition_by=col(Event.payment_id), order_by=col(Event.id)).label("ended"),
        )
    ).subquery()
    broken = and_(before.c.ended.is_not(None), before.c.ended != before.c.before)
    return select(Payment.order_id).join(before, before.c.payment_id == Payment.id).where(broken)


def _last_after() -> ScalarSelect[Status]:
    other = aliased(Event)
    last = select(func.max(other.id)).where(other.payment_id == Payment.id).correlate(Payment).scalar_subquery()
    return select(Event.after).where(col(Event.id) == last).correlate(Payment).scalar_subquery()
