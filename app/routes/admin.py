"""An operator watches payments arrive, filters them, looks into one, and gives money back."""

import csv
import io
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.auth import admin_required, permission_required
from app.clock import now
from app.forms import MAX_ID
from app.live import Stream, newest_event
from app.models import Payment, Status
from app.render import kst, render, wants_fragment
from app.roles import Permission
from app.search import Filter, Page, latest_refunds, search
from app.till import Till

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


@permission_required(Permission.EXPORT)
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
