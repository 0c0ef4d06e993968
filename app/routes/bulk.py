"""Refunds of many payments: pick, look over, start, watch, try again what failed, take the result away."""

import re

from starlette.requests import Request
from starlette.responses import Response

from app import bulk
from app.auth import admin_required, permission_required
from app.exports import Csv
from app.filters import Filter
from app.forms import BulkForm, typed
from app.order_id import ORDER_ID
from app.render import REFUND_WORDS, kst, redirect, render, wants_fragment
from app.roles import Permission
from app.search import search
from app.till import Refused, Till

COLUMNS = ("주문번호", "금액", "결과", "까닭", "환불 시각(KST)")
OUTCOMES = {
    "waiting": "환불 예정",
    **REFUND_WORDS,
    "refused": "환불하지 않음",
    "excluded": "제외",
}


@admin_required
async def index(request: Request) -> Response:
    return render(request, "admin/bulk/index.html", jobs=await bulk.jobs(request.state.till))


@permission_required(Permission.REFUND)
async def matching(request: Request) -> Response:
    """How many payments the list's filter leaves, also below what is on the screen."""
    wanted, errors = Filter.read({**request.query_params, "cursor": ""})
    if wanted is None:
        raise Refused("INVALID", next(iter(errors.values())), 422)
    found = await _matching(request.state.till, wanted)
    return render(
        request,
        "admin/bulk/new.html",
        "admin/bulk/_matching.html",
        wanted=wanted,
        count=len(found),
        too_many=_too_many() if len(found) > bulk.MOST else "",
    )


def _too_many() -> str:
    most = f"{bulk.MOST:,}건"
    return f"조건에 맞는 결제가 {most}을 넘어 한 번에 고를 수 없습니다. 기간이나 금액으로 조건을 좁혀 주세요."


@permission_required(Permission.REFUND)
async def draw_up(request: Request) -> Response:
    """What was picked one by one; or, with `matching`, all that this filter leaves now."""
    till: Till = request.state.till
    async with request.form(max_files=0, max_fields=2 * bulk.MOST) as form:
        picked = [it for it in form.getlist("order_id") if isinstance(it, str) and re.fullmatch(ORDER_ID, it)]
        query = form.get("matching")
    if isinstance(query, str):
        wanted, errors = Filter.read_query(query)
        if wanted is None:
            raise Refused("INVALID", next(iter(errors.values())), 422)
        picked = await _matching(till, wanted)
        if len(picked) > bulk.MOST:
            raise Refused("TOO_MANY", _too_many(), 422)
    job = await bulk.draw_up(till, picked, request.state.user.email)
    return redirect(request, request.url_for("bulk_job", id=job.id).path)


async def _matching(till: Till, wanted: Filter) -> list[str]:
    """Order numbers, one more than a job may hold when there are too many."""
    async with till.db.read() as session:
        found = await search(session, wanted, limit=bulk.MOST + 1)
    return [payment.order_id for payment in found.payments]


@admin_required
async def show(request: Request) -> Response:
    return await _page(request)


@permission_required(Permission.REFUND)
async def start(request: Request) -> Response:
    till: Till = request.state.till
    job_id, values = int(request.path_params["id"]), await typed(request)
    form, errors = BulkForm.read(values)
    if form is None:
        return await _page(request, values, errors)
    await bulk.start(till, job_id, reason=form.reason, total=form.total, by=request.state.user.email)
    return redirect(request, request.url_for("bulk_job", id=job_id).path)


@permission_required(Permission.REFUND)
async def retry(request: Request) -> Response:
    job_id = int(request.path_params["id"])
    await bulk.retry(request.state.till, job_id)
    return redirect(request, request.url_for("bulk_job", id=job_id).path)


async def _page(
    request: Request, values: dict[str, str] | None = None, errors: dict[str, str] | None = None
) -> Response:
    till, job_id = request.state.till, int(request.path_params["id"])
    report = await bulk.report(till, job_id)
    if wants_fragment(request) and report.job.finished_at:  # done: the whole page, with every row's outcome
        return redirect(request, request.url.path)
    return render(
        request,
        "admin/bulk/show.html",
        "admin/bulk/_progress.html",
        status=422 if errors else 200,
        report=report,
        lines=[] if wants_fragment(request) else await bulk.lines(till, job_id, bulk.SHOWN),
        typed={"reason": ""} | (values or {}),
        errors=errors or {},
        outcomes=OUTCOMES,
    )


@permission_required(Permission.REFUND)
async def result(request: Request) -> Response:
    """Every row with its outcome, as a file that Excel opens."""
    till, job_id = request.state.till, int(request.path_params["id"])
    report = await bulk.report(till, job_id)
    rows = [
        (
            line.payment.order_id,
            line.row.amount,
            OUTCOMES[line.outcome],
            line.why,
            kst(line.refund.done_at) if line.refund and line.refund.done_at else "",
        )
        for line in await bulk.lines(till, job_id)
    ]
    name = f"bulk-refund-{report.job.id}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(Csv(COLUMNS).add(rows), media_type="text/csv; charset=utf-8", headers=headers)
