"""My prompts."""

from sqlmodel import col, select
from starlette.requests import Request
from starlette.responses import Response

from app.auth import login_required
from app.models import Payment, Prompt, Purchase
from app.render import render
from app.till import Till


@login_required
async def index(request: Request) -> Response:
    till: Till = request.state.till
    mine = (col(Purchase.user_id) == request.state.user.id, col(Purchase.revoked_at).is_(None))
    query = (
        select(Purchase, Prompt, Payment)
        .join(Prompt, col(Prompt.id) == col(Purchase.prompt_id))
        .join(Payment, col(Payment.id) == col(Purchase.payment_id))
    )
    async with till.db.read() as session:
        rows = (await session.exec(query.where(*mine).order_by(col(Purchase.id).desc()))).all()
    return render(request, "purchases/index.html", rows=rows)
