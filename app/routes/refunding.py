"""An operator gives money back: the form, what it says when it cannot, and the question to a second person."""

import secrets
from collections.abc import Sequence
from contextlib import suppress

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from app import approvals, deposits, refunds
from app.auth import permission_required
from app.forms import AccountForm, RefundForm, cleaned, typed
from app.gateways import Declined, InDoubt, RefundAccount
from app.models import Payment, Refund, RefundStatus, User
from app.render import SOURCES, redirect, render, subject, wants_fragment, won
from app.roles import Permission
from app.search import margin_of
from app.till import Refused, Till, find

BESIDE = {"ACCOUNT_REQUIRED": "number", "UNKNOWN_BANK": "bank"}  # beside which field of the refund form a no stands


def blank_refund(payment: Payment, reason: str = "") -> dict[str, str]:
    """A refund form no one has typed into; its key makes two presses of the button one refund."""
    amount = f"{payment.remaining:,}" if payment.refundable else ""
    account = dict.fromkeys(("bank", "number", "holder"), "")
    return account | {"amount": amount, "reason": reason, "key": secrets.token_hex(16)}


def alone(till: Till, payment: Payment) -> int:
    """Whole won that one person may give back of it; more needs a second one (`refunds.refund`)."""
    if not till.approval_above:
        return payment.remaining
    return min(payment.remaining, max(0, till.approval_above - payment.refunded_amount))


def banks_of(till: Till, payment: Payment) -> Sequence[str]:
    """Where its money can go back to, if it came in by hand."""
    gateway = till.gateways.get(payment.gateway)
    return gateway.banks if gateway and payment.needs_account else ()


def masked_accounts(till: Till, payment: Payment, given: Sequence[Refund]) -> dict[int | None, str]:
    """Where the open refunds go, by their ids: the bank and the last four digits."""
    masked = {}
    for entry in given:
        with suppress(Declined, InDoubt):
            if account := refunds.account_of(till, payment, entry):
                masked[entry.id] = f"{account.bank} ····{account.number[-4:]}"
    return masked


@permission_required(Permission.REFUND)
async def new_refund(request: Request) -> Response:
    till: Till = request.state.till
    async with till.db.read() as session:
        payment = await find(session, request.path_params["order_id"])
    return _form(request, payment, blank_refund(payment, cleaned(request.query_params.get("reason"))), {})


def _form(
    request: Request, payment: Payment, values: dict[str, str], errors: dict[str, str], status: int = 200
) -> Response:
    return render(
        request,
        "admin/refunds/new.html",
        "admin/refunds/_row.html",
        status=status,
        payment=payment,
        alone=alone(request.state.till, payment),
        banks=banks_of(request.state.till, payment),
        typed=values,
        errors=errors,
    )


@permission_required(Permission.REFUND)
async def create_refund(request: Request) -> Response:
    till: Till = request.state.till
    order_id = request.path_params["order_id"]
    async with till.db.read() as session:
        payment = await find(session, order_id)
    values = dict.fromkeys(blank_refund(payment), "") | await typed(request)
    form, errors = RefundForm.read(values)
    to, wrong = AccountForm.read(values) if payment.needs_account else (None, {})
    status = 422
    if form and not wrong:
        account = RefundAccount(**to.model_dump()) if to else None
        try:
            payment, entry = await refunds.refund(
                till,
                order_id,
                amount=form.amount,
                reason=form.reason,
                key=form.key,
                by=request.state.user.email,
                account=account,
                shown=form.remaining,
            )
        except Refused as refused:
            if refused.code == "APPROVAL_REQUIRED":
                return await _ask(request, form, account)
            wrong, status = {BESIDE.get(refused.code, "amount"): str(refused)}, refused.status
            if refused.code == "STALE" and form.remaining:
                payment, wrong = await _refresh(till, order_id, form, form.remaining, values)
        else:
            if not (to and entry.status == RefundStatus.FAILED):
                return await _refunded(request, payment, entry)
            # Most likely the account is not theirs. What was typed stays, and the next press is another refund.
            wrong, status = {"number": entry.failure_message or "결제사가 환불을 거절했습니다."}, 402
            values["key"] = blank_refund(payment)["key"]
    return _form(request, payment, values, errors | wrong, status)


async def _refresh(
    till: Till, order_id: str, form: RefundForm, shown: int, values: dict[str, str]
) -> tuple[Payment, dict[str, str]]:
    """The payment as it stands now, and who was faster than this form."""
    async with till.db.read() as session:
        payment = await find(session, order_id)
        wrong = {"amount": await _what_came_between(session, payment, shown)}
    if form.amount == shown:  # "all", as it was offered: all is less now
        values["amount"] = f"{payment.remaining:,}"
    return payment, wrong


async def _what_came_between(session: AsyncSession, payment: Payment, shown: int) -> str:
    """Why there is less left than the form showed."""
    query = (
        select(Refund, User.name)
        .outerjoin(User, col(User.email) == col(Refund.requested_by))
        .where(col(Refund.payment_id) == payment.id, col(Refund.status) != RefundStatus.FAILED)
    )
    last = (await session.exec(query.order_by(col(Refund.id).desc()).limit(1))).first()
    if last is None or shown <= payment.remaining:
        return f"그 사이 남은 금액이 {won(payment.remaining)}으로 바뀌었습니다."
    entry, name = last
    who = name or SOURCES.get(entry.requested_by, entry.requested_by)
    deed = "환불함" if entry.status == RefundStatus.DONE else "환불 요청함"
    return f"그 사이 {subject(who)} {won(shown - payment.remaining)} {deed} · 남은 금액 {won(payment.remaining)}"


async def _ask(request: Request, form: RefundForm, account: RefundAccount | None) -> Response:
    """Above the limit, a refund becomes a question to a second person."""
    order_id, by = request.path_params["order_id"], request.state.user.email
    till: Till = request.state.till
    await approvals.ask(till, order_id, amount=form.amount, reason=form.reason, by=by, account=account)
    if not wants_fragment(request):
        return redirect(request, request.url_for("admin_payment", order_id=order_id).path)
    message = "한 사람이 정할 수 있는 금액을 넘어 승인을 요청했습니다. 다른 관리자가 승인하면 환불됩니다."
    async with till.db.read() as session:
        payment = await find(session, order_id)
        margin = await margin_of(session, [payment])
    said = {"message": message, "role": "status"}
    return render(request, "admin/refunds/_asked.html", payment=payment, status=202, **said, **vars(margin))


async def _refunded(request: Request, payment: Payment, entry: Refund) -> Response:
    if not wants_fragment(request):
        return redirect(request, request.url_for("admin_payment", order_id=payment.order_id).path)
    till: Till = request.state.till
    async with till.db.read() as session:
        margin = await margin_of(session, [payment])
    status = 402 if entry.status == RefundStatus.FAILED else 202 if entry.status != RefundStatus.DONE else 200
    return render(request, "admin/refunds/_done.html", payment=payment, entry=entry, status=status, **vars(margin))


@permission_required(Permission.REFUND)
async def cancel(request: Request) -> Response:
    """Close an account that nothing was paid into yet."""
    till: Till = request.state.till
    payment = await deposits.withdraw(till, request.path_params["order_id"], request.state.user.email)
    if not wants_fragment(request):
        return redirect(request, request.url_for("admin_payment", order_id=payment.order_id).path)
    async with till.db.read() as session:
        margin = await margin_of(session, [payment])
    return render(request, "admin/payments/_canceled.html", payment=payment, **vars(margin))
