"""An operator watches payments arrive, filters them, looks into one, and gives money back."""

import csv
import io
import secrets
from collections.abc import AsyncIterator
from typing import Any

from sqlmodel import col, select
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app import refunds
from app.auth import admin_required
from app.clock import now
from app.forms import MAX_ID, RefundForm, typed
from app.live import Stream, newest_event
from app.models import Event, Payment, Refund, RefundStatus, Status
from app.render import kst, redirect, render, wants_fragment
from app.search import Filter, Page, latest_refunds, search
from app.till import Refused, Till, find

BOM = "\ufeff"  # Excel reads Korean only with it


@admin_required
async def index(request: Request) -> Response:
    till: Till = request.state.till
    typed_query = dict(request.query_params)
    wanted, errors = Filter.read(typed_query)
    page, after, latest = Page([], None), 0, {}
    async with till.db.read() as session:
        after = await newest_event(session)  # before the page is read: what comes in between is told by the stream
        try:
            if wanted:
                page = await search(session, wanted)
                latest = await latest_refunds(session, page.payments)
        except ValueError:
            errors = {"cursor": Filter.sentences["cursor"]}
    answer = render(
        request,
        "admin/payments/index.html",
        "admin/payments/_list.html" if errors or not typed_query.get("cursor") else "admin/payments/_rows.html",
        status=422 if errors else 200,
        wanted=wanted or Filter(),
        typed={"status": "", "payment_method": "", "q": "", "from": "", "to": "", "sort": ""} | typed_query,
        errors=errors,
        page=page,
        refunds=latest,
        after=after,
        statuses=list(Status),
        methods=till.methods,
    )
    if wanted and not wanted.cursor and wants_fragment(request):
        # Without what is empty: an address that can be passed on.
        answer.headers["HX-Replace-Url"] = f"{request.url.path}?{wanted.query_string()}".rstrip("?")
    return answer


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
        request, "admin/payments/show.html", payment=payment, given=given, events=events, typed=_blank(), errors={}
    )


def _blank() -> dict[str, str]:
    """A refund form no one has typed into; its key makes two presses of the button one refund."""
    return {"amount": "", "reason": "", "key": secrets.token_hex(16)}


@admin_required
async def new_refund(request: Request) -> Response:
    till: Till = request.state.till
    async with till.db.read() as session:
        payment = await find(session, request.path_params["order_id"])
    known: dict[str, Any] = {"payment": payment, "typed": _blank(), "errors": {}}
    return render(request, "admin/refunds/new.html", "admin/refunds/_row.html", **known)


@admin_required
async def create_refund(request: Request) -> Response:
    till: Till = request.state.till
    order_id = request.path_params["order_id"]
    values = {"amount": "", "reason": "", "key": ""} | await typed(request)
    form, errors = RefundForm.read(values)
    status = 422
    if form:
        try:
            payment, entry = await refunds.refund(
                till, order_id, amount=form.amount, reason=form.reason, key=form.key, by=request.state.user.email
            )
        except Refused as refused:
            if refused.status == 404:
                raise
            errors, status = {"amount": str(refused)}, refused.status
        else:
            return await _refunded(request, payment, entry)
    async with till.db.read() as session:
        payment = await find(session, order_id)
    return render(
        request,
        "admin/refunds/new.html",
        "admin/refunds/_row.html",
        status=status,
        payment=payment,
        typed=values,
        errors=errors,
    )


async def _refunded(request: Request, payment: Payment, entry: Refund) -> Response:
    if not wants_fragment(request):
        return redirect(request, request.url_for("admin_payment", order_id=payment.order_id).path)
    till: Till = request.state.till
    async with till.db.read() as session:
        latest = await latest_refunds(session, [payment])
    status = 402 if entry.status == RefundStatus.FAILED else 202 if entry.status != RefundStatus.DONE else 200
    return render(request, "admin/refunds/_done.html", payment=payment, entry=entry, refunds=latest, status=status)


@admin_required
async def export(request: Request) -> Response:
    """The filtered list as a file that Excel opens; read page by page, so that its size does not matter."""
    wanted, errors = Filter.read({**request.query_params, "cursor": ""})
    if wanted is None:
        return render(request, "errors/error.html", "errors/_notice.html", status=422, message=_first(errors))
    name = f"payments-{kst(now())[:10]}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_lines(request.state.till, wanted), media_type="text/csv", headers=headers)


COLUMNS = ("주문번호", "시각(KST)", "상태", "결제수단", "상품", "구매자", "이메일", "결제 금액", "환불 금액")


async def _lines(till: Till, wanted: Filter) -> AsyncIterator[str]:
    yield BOM + _line(COLUMNS)
    while True:
        async with till.db.read() as session:
            page = await search(session, wanted, limit=1000)
        yield "".join(_line(_cells(payment)) for payment in page.payments)
        if page.next is None:
            return
        wanted = wanted.model_copy(update={"cursor": page.next})


def _cells(payment: Payment) -> tuple[object, ...]:
    return (
        payment.order_id,
        kst(payment.created_at),
        payment.status,
        payment.payment_method,
        payment.item_name,
        payment.buyer_name,
        payment.buyer_email,
        payment.amount,
        payment.refunded_amount,
    )


def _line(cells: tuple[object, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([_harmless(cell) for cell in cells])
    return line.getvalue()


def _harmless(cell: object) -> object:
    """A cell that a spreadsheet would run as a formula is made text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
