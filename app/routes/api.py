"""The same verbs for programs."""

import functools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy.orm import Session
from sqlmodel import select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app import auth, orders, payments, refunds
from app import openapi as description
from app.db import among
from app.filters import Filter
from app.forms import Form, WrongFields
from app.gateways import Redirect, RefundAccount
from app.models import Payment, Prompt, Purchase, RefundStatus, Status, User
from app.problems import problem
from app.roles import Permission
from app.routes.checkout import return_url
from app.routes.errors import SENTENCES
from app.schemas import (
    AccountOut,
    CompleteBody,
    CompletedOut,
    OnePaymentOut,
    PaymentOut,
    PaymentsOut,
    PrepareBody,
    PreparedOut,
    PurchaseOut,
    RedirectOut,
    RefundBody,
    RefundedOut,
    RefundOut,
    WindowOut,
)
from app.search import search
from app.till import NO_ORDER, Refused, Till, look_up

FormT = TypeVar("FormT", bound=Form)
Endpoint = Callable[[Request], Awaitable[Response]]


def signed_in(endpoint: Endpoint) -> Endpoint:
    """A session cookie or a bearer token; one that is no good is not made up for by a cookie beside it."""

    @functools.wraps(endpoint)
    async def enter(request: Request) -> Response:
        user_of = auth.user_of_token if auth.bears_token(request) else auth.user_of
        request.state.user = await user_of(request)
        if request.state.user is None:
            return problem(401, "UNAUTHORIZED", SENTENCES[401])
        return await endpoint(request)

    return enter


def admin_only(endpoint: Endpoint) -> Endpoint:
    @functools.wraps(endpoint)
    async def enter(request: Request) -> Response:
        if not request.state.user.is_admin:
            return problem(403, "FORBIDDEN", SENTENCES[403])
        return await endpoint(request)

    return signed_in(enter)


async def _read(request: Request, kind: type[FormT]) -> FormT:
    """The JSON body. Raises Refused 400 when it is not a JSON object, WrongFields when a field is wrong."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Refused("BAD_JSON", "본문이 JSON이 아닙니다.", 400) from error
    if not isinstance(body, dict):
        raise Refused("BAD_JSON", "본문은 JSON 객체여야 합니다.", 400)
    form, errors = kind.read(body)
    if form is None:
        raise WrongFields(errors)
    return form


def _answer(model: BaseModel, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status, media_type="application/json")


@signed_in
async def prepare(request: Request) -> Response:
    till: Till = request.state.till
    user: User = request.state.user
    body = await _read(request, PrepareBody)
    name, phone = body.buyer_name or user.name, body.buyer_phone or user.phone
    order = orders.Order(body.prompt_id, body.payment_method, name, phone, body.amount)
    payment = await orders.start(till, user, order)
    next_step = await payments.open_window(till, payment, return_url(request, payment))
    if next_step.transaction_id:  # written down by now
        payment = await look_up(till, payment.order_id)
    return _answer(
        PreparedOut(
            order_id=payment.order_id,
            amount=payment.amount,
            item_name=payment.item_name,
            payment=PaymentOut.of(payment),
            next=RedirectOut(redirect=next_step.for_browser(request.headers.get("user-agent", "")))
            if isinstance(next_step, Redirect)
            else WindowOut(script=next_step.script, steps=next_step.steps),
        ),
        201,
    )


@signed_in
async def complete(request: Request) -> Response:
    till: Till = request.state.till
    body = await _read(request, CompleteBody)
    payment = await _visible(request, body.order_id)
    gateway = till.gateway_for(payment)
    handed = gateway.handed({gateway.hands: body.pg_transaction_id})
    amount = None if body.amount is None else str(body.amount)
    handed = replace(handed, amount=amount, token=body.payment_token or handed.token)
    payment = await payments.confirm(till, body.order_id, handed, payment)
    match payment.status:
        case Status.COMPLETED | Status.REFUNDED:
            return _answer(CompletedOut(payment=_shown(request, payment), purchase=await _purchase(till, payment)))
        case Status.FAILED | Status.CANCELED | Status.EXPIRED:
            status = 409 if payment.failure_code == "ALREADY_OWNED" else 402
            code = payment.failure_code or payment.status.upper()
            sentence = payment.failure_message or "결제되지 않았습니다. 새 주문으로 다시 결제해 주세요."
            return problem(status, code, sentence, payment=_shown(request, payment).model_dump(mode="json"))
        case _:
            return _answer(CompletedOut(payment=_shown(request, payment), account=AccountOut.of(payment)), 202)


async def _visible(request: Request, order_id: str) -> Payment:
    """The buyer's own payment, or any for an admin; another's does not exist. Raises Refused 404."""
    till: Till = request.state.till
    payment = await look_up(till, order_id)
    if payment.user_id != request.state.user.id and not request.state.user.is_admin:
        raise Refused("NOT_FOUND", NO_ORDER, 404)
    return payment


def _shown(request: Request, payment: Payment) -> PaymentOut:
    """In full for the buyer, and for an admin who may see that on the page, too."""
    user: User = request.state.user
    shown = PaymentOut.of(payment)
    return shown if payment.user_id == user.id or user.may(Permission.REVEAL) else shown.masked()


_BOUGHT = select(Purchase, Prompt.body).join(Prompt).where(among(Purchase.payment_id, "payment_ids"))


def _bought(session: Session, payment_ids: Sequence[int | None]) -> Sequence[Any]:
    """By what each of these was opened, and what it opens."""
    rows = session.execute(_BOUGHT, {"payment_ids": list(payment_ids)})
    found: dict[int | None, Any] = {row[0].payment_id: row for row in rows}
    return [found.get(payment_id) for payment_id in payment_ids]


async def _purchase(till: Till, payment: Payment) -> PurchaseOut | None:
    row = await till.db.read_together(_bought, payment.id)
    if row is None:
        return None
    purchase, text = row
    return PurchaseOut.of(purchase, payment, text if purchase.revoked_at is None else None)


@admin_only
async def refund(request: Request) -> Response:
    if not request.state.user.may(Permission.REFUND):
        return problem(403, "FORBIDDEN", auth.NOT_ALLOWED)
    key = request.headers.get("idempotency-key", "").strip()
    if not key or len(key) > 100 or not key.isprintable():
        sentence = "Idempotency-Key 헤더(100자 이하)가 필요합니다. 같은 환불을 다시 보낼 때는 같은 키를 쓰세요."
        return problem(400, "IDEMPOTENCY_KEY_REQUIRED", sentence)
    body = await _read(request, RefundBody)
    payment, entry = await refunds.refund(
        request.state.till,
        request.path_params["order_id"],
        amount=body.amount,
        reason=body.reason,
        key=key,
        by=request.state.user.email,
        account=RefundAccount(**body.refund_account.model_dump()) if body.refund_account else None,
    )
    answer = RefundedOut(payment=PaymentOut.of(payment), refund=RefundOut.of(entry))
    if entry.status == RefundStatus.FAILED:
        code, sentence = entry.failure_code or "DECLINED", entry.failure_message or "환불이 거절되었습니다."
        return problem(402, code, sentence, **answer.model_dump(mode="json"))
    return _answer(answer, 200 if entry.status == RefundStatus.DONE else 202)


@signed_in
async def show(request: Request) -> Response:
    payment = await _visible(request, request.path_params["order_id"])
    return _answer(OnePaymentOut(payment=_shown(request, payment), account=AccountOut.of(payment)))


@admin_only
async def index(request: Request) -> Response:
    till: Till = request.state.till
    query = dict(request.query_params)
    raw = query.pop("limit", "") or "50"
    wanted, errors = Filter.read(query)
    if not (raw.isascii() and raw.isdigit() and 1 <= int(raw[:4]) <= 200 and len(raw) < 4):
        errors["limit"] = "limit은 1 이상 200 이하의 정수여야 합니다."
    if wanted is None or errors:
        raise WrongFields(errors)
    try:
        async with till.db.read() as session:
            page = await search(session, wanted, limit=int(raw))
    except ValueError as error:
        raise WrongFields({"cursor": Filter.sentences["cursor"]}) from error
    shown = [PaymentOut.of(payment) for payment in page.payments]
    if not request.state.user.may(Permission.EXPORT):
        shown = [payment.masked() for payment in shown]
    return _answer(PaymentsOut(payments=shown, next=page.next))


async def openapi(_request: Request) -> Response:
    return JSONResponse(description.description())
