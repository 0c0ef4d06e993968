"""My prompts, and my orders that are not over yet."""

from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import and_, col, exists, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from app.auth import login_required
from app.clock import now
from app.forms import cleaned
from app.models import Payment, Prompt, Purchase, Status
from app.render import render
from app.till import Till

GOING_ON = (Status.WAITING, Status.CONFIRMING, Status.IN_DOUBT)
FRESH = timedelta(hours=1)
"""How long an order that was never paid is shown: its window may have closed behind the buyer's back."""
MANY = 10
"""More purchases than this are searched, not looked through."""


@login_required
async def index(request: Request) -> Response:
    till: Till = request.state.till
    q = cleaned(request.query_params.get("q"))
    mine = (col(Purchase.user_id) == request.state.user.id, col(Purchase.revoked_at).is_(None))
    query = (
        select(Purchase, Prompt, Payment)
        .join(Prompt, col(Prompt.id) == col(Purchase.prompt_id))
        .join(Payment, col(Payment.id) == col(Purchase.payment_id))
    )
    async with till.db.read() as session:
        orders = await _going_on(session, request.state.user.id)
        rows = (await session.exec(query.where(*mine).order_by(col(Purchase.id).desc()))).all()
    return render(
        request,
        "purchases/index.html",
        orders=orders,
        rows=[row for row in rows if all(word in row[1].title.casefold() for word in q.casefold().split())],
        searchable=len(rows) > MANY or bool(q),
        q=q,
    )


async def _going_on(session: AsyncSession, user_id: int) -> Sequence[Payment]:
    """Where this buyer finds an account to pay into again, or a payment that lost its way back. The newest first."""
    owned = exists().where(
        col(Purchase.user_id) == user_id,
        col(Purchase.prompt_id) == col(Payment.prompt_id),
        col(Purchase.revoked_at).is_(None),
    )
    begun = and_(col(Payment.status) == Status.PENDING, col(Payment.created_at) > now() - FRESH, ~owned)
    query = select(Payment).where(col(Payment.user_id) == user_id, or_(col(Payment.status).in_(GOING_ON), begun))
    return (await session.exec(query.order_by(col(Payment.id).desc()).limit(20))).all()
