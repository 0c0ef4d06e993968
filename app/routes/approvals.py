"""Refunds that wait: asked for by buyers, large ones for a second person, deposits for an account to go back to."""

from starlette.requests import Request
from starlette.responses import Response

from app import approvals, deposits, pleas
from app.auth import admin_required, permission_required
from app.forms import DecisionForm, typed
from app.render import redirect, render
from app.roles import Permission
from app.till import Refused, Till


@admin_required
async def index(request: Request) -> Response:
    till: Till = request.state.till
    async with till.db.read() as session:
        owed, pleaded = await deposits.owed(session), await pleas.waiting(session)
    return render(
        request,
        "admin/approvals/index.html",
        rows=await approvals.waiting(till),
        owed=owed,
        pleas=pleaded,
        more=len(pleaded) == pleas.LISTED,
        typed={},
        errors={},
    )


@permission_required(Permission.REFUND)
async def decide(request: Request) -> Response:
    till, by = request.state.till, request.state.user.email
    form, _ = DecisionForm.read(await typed(request))
    if form is None:
        raise Refused("INVALID", "승인 화면을 다시 열어 주세요.", 422)
    approval_id = int(request.path_params["id"])
    if form.decision == "grant":
        payment, _ = await approvals.grant(till, approval_id, amount=form.amount, by=by)
    else:
        payment = await approvals.refuse(till, approval_id, by=by)
    return redirect(request, request.url_for("admin_payment", order_id=payment.order_id).path)
