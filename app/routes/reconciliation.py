"""An operator compares our books with the PG's, and mends what differs; and reads what the PGs have sent."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlmodel import col, select
from starlette.requests import Request
from starlette.responses import Response

from app import inbox, settlement
from app.auth import admin_required, permission_required
from app.clock import KST, now
from app.forms import Form, empty_as_none
from app.gateways import Declined, InDoubt
from app.hearing import hearing
from app.models import Payment, Webhook
from app.render import redirect, render
from app.roles import Permission
from app.sweep import Bucket, sweep
from app.till import Till

LONGEST = timedelta(days=31)


class Days(Form):
    """Days in KST, both included; today and yesterday when nothing is said."""

    from_: Annotated[date | None, BeforeValidator(empty_as_none), Field(alias="from")] = None
    to: Annotated[date | None, BeforeValidator(empty_as_none)] = None
    sentences: ClassVar = {
        "from": "시작일을 2026-01-31처럼 입력해 주세요.",
        "to": "종료일을 2026-01-31처럼 입력해 주세요.",
    }

    @model_validator(mode="after")
    def _within_reason(self) -> Self:
        if self.last < self.first or self.last - self.first > LONGEST or not 2000 < self.first.year < 2200:
            raise PydanticCustomError("dates", "시작일부터 종료일까지 31일 안으로 골라 주세요.")
        return self

    @property
    def last(self) -> date:
        return self.to or now().astimezone(KST).date()

    @property
    def first(self) -> date:
        return self.from_ or max(self.last, date.min + timedelta(days=1)) - timedelta(days=1)

    def moments(self) -> tuple[datetime, datetime]:
        since = datetime.combine(self.first, time(), KST)
        return since, datetime.combine(self.last, time(), KST) + timedelta(days=1) - timedelta(seconds=1)


@admin_required
async def index(request: Request) -> Response:
    """Four buckets: only there, only here, other amounts, other states."""
    typed = {"from": "", "to": ""} | dict(request.query_params)
    days, errors = Days.read(typed)
    found = None
    if days and typed["from"]:
        try:
            found = await sweep(request.state.till, *days.moments())
        except (Declined, InDoubt) as error:
            errors = {"from": f"PG가 거래 내역을 보여 주지 않습니다 ({error.code}). 잠시 뒤 다시 해 주세요."}
    days = days or Days()
    return render(
        request,
        "admin/reconciliation/index.html",
        status=422 if errors else 200,
        typed={"from": typed["from"] or days.first.isoformat(), "to": typed["to"] or days.last.isoformat()},
        errors=errors,
        found=found,
        buckets=list(Bucket),
    )


@permission_required(Permission.MEND)
async def repair(request: Request) -> Response:
    """Bring our row to what the PG says, through the same door as everything else."""
    payment = await settlement.settle(request.state.till, request.path_params["order_id"], request.state.user.email)
    return redirect(request, request.url_for("admin_payment", order_id=payment.order_id).path)


@admin_required
async def webhooks(request: Request) -> Response:
    till: Till = request.state.till
    query = select(Webhook, Payment.order_id).join(Payment).order_by(col(Webhook.id).desc()).limit(100)
    async with till.db.read() as session:
        rows = (await session.exec(query)).all()
        heard = await hearing(session, till)
    return render(request, "admin/webhooks/index.html", rows=rows, hearing=heard)


@permission_required(Permission.MEND)
async def replay(request: Request) -> Response:
    await inbox.replay(request.state.till, int(request.path_params["id"]))
    return redirect(request, request.url_for("admin_webhooks").path)
