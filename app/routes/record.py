"""One payment as operators see it: why it stands where it stands, what happened, and who else bought the same."""

from sqlmodel import col, select
from starlette.requests import Request
from starlette.responses import Response

from app.auth import admin_required
from app.models import Event, Payment, Refund
from app.render import render
from app.routes.admin import blank_refund
from app.till import Till, find


@admin_required
async def show(request: Request) -> Response:
    till: Till = request.state.till
    async with till.db.read() as session:
        payment = await find(session, request.path_params["order_id"])
        given = (
            await session.exec(select(Refund).where(col(Refund.payment_id) == payment.id).order_by(col(Refund.id)))
        ).all()
        events = (
            await session.exec(select(Event).where(col(Event.payment_id) == payment.id).order_by(col(Event.id)))
        ).all()
        same = (
            await session.exec(
                select(Payment)
                .where(
                    col(Payment.user_id) == payment.user_id,
                    col(Payment.prompt_id) == payment.prompt_id,
                    col(Payment.id) != payment.id,
                )
                .order_by(col(Payment.id).desc())
                .limit(10)
            )
        ).all()
    return render(
        request,
        "admin/payments/show.html",
        "admin/payments/_glance.html",
        payment=payment,
        given=given,
        events=events,
        same=same,
        typed=blank_refund(payment),
        errors={},
    )
