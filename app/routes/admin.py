"""An operator watches payments arrive, filters them, looks into one, and gives money back."""

import secrets
from collections.abc import Sequence
from contextlib import suppress

from sqlmodel import col, select
from starlette.requests import Request
from starlette.responses import Response

from app import counts, deposits, refunds
from app.auth import admin_required
from app.filters import Filter
from app.forms import MAX_ID, AccountForm, RefundForm, typed
from app.gateways import Declined, InDoubt, RefundAccount
from app.live import Stream, newest_event
from app.models import Event, Payment, Refund, RefundStatus, Status
from app.render import redirect, render, wants_fragment
from app.search import Page, latest_refunds, search
from app.till import Refused, Till, find

TYPED = [field.alias or name for name, field in Filter.model_fields.items() if name != "cursor"]
BESIDE = {"ACCOUNT_REQUIRED": "number", "UNKNOWN_BANK": "bank"}  # beside which field of the refund form a no stands


@admin_required
async def index(request: Request) -> Response:
    till: Till = request.state.till
    typed_query = dict(request.query_params)
    wanted, errors = Filter.read(typed_query)
    page, after, totals, attention = Page([]), 0, {}, {}
    async with till.db.read() as session:
        after = await newest_event(session)  # before the page is read: what comes in between is told by the stream
        try:
            if wanted:
                page = await search(session, wanted)
                if not (wanted.cursor and wants_fragment(request)):  # more rows come alone
                    totals, attention = await counts.by_status(session, wanted), await counts.needing_attention(session)
        except ValueError:
            errors = {"cursor": Filter.sentences["cursor"]}
    answer = render(
        request,
        "admin/payments/index.html",
        "admin/payments/_list.html" if errors or not typed_query.get("cursor") else "admin/payments/_rows.html",
        status=422 if errors else 200,
        wanted=wanted or Filter(),
        typed=dict.fromkeys(TYPED, "") | typed_query,
        errors=errors,
        page=page,
        refunds=page.refunds,
        after=after,
        statuses=list(Status),
        methods=till.methods,
        gateways={gateway.name: gateway.label for gateway in till.gateways.values()},
        counts=totals,
        attention=attention,
    )
    if wanted and not wanted.cursor and wants_fragment(request):
        # Without what is empty: an address that can be passed on.
        answer.headers["HX-Replace-Url"] = f"{request.url.path}?{wanted.query_string()}".rstrip("?")
    return answer


@admin_required
async def count(request: Request) -> Response:
    """What the list asks for every few seconds: the numbers on its tabs."""
    wanted, errors = Filter.read(request.query_params)
    if wanted is None:
        return render(request, "errors/error.html", "errors/_notice.html", status=422, message=_first(errors))
    till: Till = request.state.till
    async with till.db.read() as session:
        totals, attention = await counts.by_status(session, wanted), await counts.needing_attention(session)
    return render(request, "admin/payments/_counts.html", wanted=wanted, counts=totals, attention=attention)


@admin_required
async def live(request: Request) -> Response:
    """The stream behind the list. `after` is the page's place in the log; a browser that returns says where it was."""
    wanted, errors = Filter.read(request.query_params)
    after = request.headers.get("last-event-id") or request.query_params.get("after", "")
    if wanted is None or not (after.isascii() and after.isdigit() and int(after[:11]) <= MAX_ID):
        return render(request, "errors/error.html", "errors/_notice.html", status=422, message=_first(errors))
    return Stream(request.state.live, wanted, int(after))


def _first(errors: dict[str, str]) -> str:
    return next(iter(errors.values()), "실시간 목록의 주소가 올바르지 않습니다. 새로고침해 주세요.")


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
    return render(
        request,
        "admin/payments/show.html",
        payment=payment,
        given=given,
        accounts=_masked(till, payment, given),
        events=events,
        banks=_banks(till, payment),
        typed=_blank(),
        errors={},
    )


def _blank() -> dict[str, str]:
    """A refund form no one has typed into; its key makes two presses of the button one refund."""
    return dict.fromkeys(("amount", "reason", "bank", "number", "holder"), "") | {"key": secrets.token_hex(16)}


def _banks(till: Till, payment: Payment) -> Sequence[str]:
    """Where its money can go back to, if it came in by hand."""
    gateway = till.gateways.get(payment.gateway)
    return gateway.banks if gateway and payment.needs_account else ()


def _masked(till: Till, payment: Payment, given: Sequence[Refund]) -> dict[int | None, str]:
    """Where the open refunds go, by their ids: the bank and the last four digits."""
    masked = {}
    for entry in given:
        with suppress(Declined, InDoubt):
            if account := refunds.account_of(till, payment, entry):
                masked[entry.id] = f"{account.bank} ····{account.number[-4:]}"
    return masked


@admin_required
async def new_refund(request: Request) -> Response:
    till: Till = request.state.till
    async with till.db.read() as session:
        payment = await find(session, request.path_params["order_id"])
    return _refund_form(request, payment, _blank(), {})


def _refund_form(
    request: Request, payment: Payment, values: dict[str, str], errors: dict[str, str], status: int = 200
) -> Response:
    return render(
        request,
        "admin/refunds/new.html",
        "admin/refunds/_row.html",
        status=status,
        payment=payment,
        banks=_banks(request.state.till, payment),
        typed=values,
        errors=errors,
    )


@admin_required
async def create_refund(request: Request) -> Response:
    till: Till = request.state.till
    order_id = request.path_params["order_id"]
    values = dict.fromkeys(_blank(), "") | await typed(request)
    async with till.db.read() as session:
        payment = await find(session, order_id)
    form, errors = RefundForm.read(values)
    to, wrong = AccountForm.read(values) if payment.needs_account else (None, {})
    status = 422
    if form and not wrong:
        try:
            payment, entry = await refunds.refund(
                till,
                order_id,
                amount=form.amount,
                reason=form.reason,
                key=form.key,
                by=request.state.user.email,
                account=RefundAccount(**to.model_dump()) if to else None,
            )
        except Refused as refused:
            wrong, status = {BESIDE.get(refused.code, "amount"): str(refused)}, refused.status
        else:
            if not (to and entry.status == RefundStatus.FAILED):
                return await _refunded(request, payment, entry)
            # Most likely the account is not theirs. What was typed stays, and the next press is another refund.
            wrong, status = {"number": entry.failure_message or "결제사가 환불을 거절했습니다."}, 402
            values["key"] = _blank()["key"]
    return _refund_form(request, payment, values, errors | wrong, status)


async def _refunded(request: Request, payment: Payment, entry: Refund) -> Response:
    if not wants_fragment(request):
        return redirect(request, request.url_for("admin_payment", order_id=payment.order_id).path)
    till: Till = request.state.till
    async with till.db.read() as session:
        latest = await latest_refunds(session, [payment])
    status = 402 if entry.status == RefundStatus.FAILED else 202 if entry.status != RefundStatus.DONE else 200
    return render(request, "admin/refunds/_done.html", payment=payment, entry=entry, refunds=latest, status=status)


@admin_required
async def cancel(request: Request) -> Response:
    """Close an account that nothing was paid into yet."""
    till: Till = request.state.till
    payment = await deposits.withdraw(till, request.path_params["order_id"], request.state.user.email)
    if not wants_fragment(request):
        return redirect(request, request.url_for("admin_payment", order_id=payment.order_id).path)
    async with till.db.read() as session:
        latest = await latest_refunds(session, [payment])
    return render(request, "admin/payments/_canceled.html", payment=payment, refunds=latest)
