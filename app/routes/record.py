"""One payment as operators see it: why it stands where it stands, who bought, what happened, what they noted."""

from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from app import exchanges, pleas
from app.auth import admin_required, permission_required
from app.desk import Approval, Note
from app.forms import AnswerForm, NoteForm, RevealForm, typed
from app.models import Event, Payment, Refund
from app.render import redirect, render, wants_fragment
from app.roles import Permission
from app.routes.refunding import alone, banks_of, blank_refund, masked_accounts
from app.till import Till, find


@admin_required
async def show(request: Request) -> Response:
    return await _page(request, "admin/payments/_glance.html")


@permission_required(Permission.REVEAL)
async def reveal(request: Request) -> Response:
    """The buyer unmasked, in this one answer. That it was seen, by whom and what for, is told on the timeline first."""
    till: Till = request.state.till
    values = await typed(request)
    form, errors = RevealForm.read(values)
    if form:
        async with till.db.write() as session:
            payment = await find(session, request.path_params["order_id"])
            session.add(payment.tell("revealed", request.state.user.email, note=form.purpose))
    fragment = "admin/payments/_revealed.html" if form else "admin/payments/_buyer.html"
    return await _page(request, fragment, values, errors, revealed=form is not None)


@permission_required(Permission.NOTE)
async def add_note(request: Request) -> Response:
    till: Till = request.state.till
    order_id = request.path_params["order_id"]
    values = await typed(request)
    form, errors = NoteForm.read(values)
    if form:
        async with till.db.write() as session:
            payment = await find(session, order_id)
            assert payment.id is not None, "a payment that was found is stored"
            session.add(Note(payment_id=payment.id, author=request.state.user.email, text=form.note))
        if not wants_fragment(request):
            return redirect(request, request.url_for("admin_payment", order_id=order_id).path)
        values = {}
    return await _page(request, "admin/payments/_notes.html", values, errors)


@permission_required(Permission.REFUND)
async def decline_plea(request: Request) -> Response:
    """The buyer reads why nothing is given back."""
    order_id, plea_id = request.path_params["order_id"], int(request.path_params["id"])
    values = await typed(request)
    form, errors = AnswerForm.read(values)
    if form is None:
        return await _page(request, "admin/payments/_glance.html", values, errors)
    await pleas.decline(request.state.till, order_id, plea_id, answer=form.answer, by=request.state.user.email)
    return redirect(request, request.url_for("admin_payment", order_id=order_id).path)


async def _page(
    request: Request,
    fragment: str,
    values: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    *,
    revealed: bool = False,
) -> Response:
    till: Till = request.state.till
    await exchanges.write(till)
    async with till.db.read() as session:
        payment = await find(session, request.path_params["order_id"])
        about = await _about(session, payment)
    about |= {"banks": banks_of(till, payment), "accounts": masked_accounts(till, payment, about["given"])}
    return render(
        request,
        "admin/payments/show.html",
        fragment,
        status=422 if errors else 200,
        payment=payment,
        alone=alone(till, payment),
        typed=blank_refund(payment) | {"note": "", "purpose": ""} | (values or {}),
        errors=errors or {},
        revealed=revealed,
        **about,
    )


async def _about(session: AsyncSession, payment: Payment) -> dict[str, Any]:
    """All that stands beside a payment."""
    twins = (
        select(Payment)
        .where(
            col(Payment.user_id) == payment.user_id,
            col(Payment.prompt_id) == payment.prompt_id,
            col(Payment.paid_amount) > 0,
            col(Payment.id) != payment.id,
        )
        .order_by(col(Payment.id).desc())
        .limit(10)
    )
    mine: Any = {
        kind: select(kind).where(col(kind.payment_id) == payment.id).order_by(col(kind.id))
        for kind in (Refund, Event, Note, Approval)
    }
    return {
        "given": (await session.exec(mine[Refund])).all(),
        "events": (await session.exec(mine[Event])).all(),
        "notes": (await session.exec(mine[Note])).all(),
        "pleas": await pleas.of(session, payment.id),
        "asked": (await session.exec(mine[Approval])).all(),
        "twins": (await session.exec(twins)).all(),
        "exchanges": await exchanges.of(session, payment.id or 0),
    }
