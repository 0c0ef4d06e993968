"""A buyer buys: the order, the PG's window, the way back, the receipt."""

from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import deposits, orders, payments, pleas, settlement
from app.auth import anyone, login_required
from app.desk import Approval
from app.forms import OrderForm, PleaForm, typed
from app.gateways import Redirect, Window
from app.guard import window_headers
from app.models import OPEN_REFUND, Payment, Prompt, Refund, Status
from app.orders import Order
from app.render import redirect, render, wants_fragment
from app.till import Refused, Till, find, owned

IN_APP = {"KAKAOTALK": "카카오톡", "NAVER(inapp": "네이버 앱", "Instagram": "인스타그램"}
"""Apps that open links themselves, by a word in their user agent. Not every PG's app finds its way back to them."""


@login_required
async def new(request: Request) -> Response:
    """The order: what you get, the final price, how to pay, one un-ticked box."""
    prompt_id = request.query_params.get("prompt_id", "")
    user = request.state.user
    values = {"prompt_id": prompt_id, "buyer_name": user.name, "buyer_phone": user.phone}
    return await _order(request, values, {})


@login_required
async def create(request: Request) -> Response:
    till: Till = request.state.till
    values = await typed(request)
    form, errors = OrderForm.read(values)
    if form is None:
        return await _order(request, values, errors, 422)
    try:
        payment = await orders.start(till, request.state.user, Order(**form.model_dump(exclude={"agree"})))
        next_step = await payments.open_window(till, payment, return_url(request, payment))
    except Refused as refused:
        return await _order(request, values, {"form": str(refused)}, refused.status)
    if isinstance(next_step, Window):
        return redirect(request, request.url_for("payment_window", order_id=payment.order_id).path)
    return redirect(request, next_step.for_browser(request.headers.get("user-agent", "")))


async def _order(request: Request, values: dict[str, Any], errors: dict[str, str], status: int = 200) -> Response:
    till: Till = request.state.till
    raw = str(values.get("prompt_id", ""))
    async with till.db.read() as session:
        known = raw.isascii() and raw.isdigit() and len(raw) < 10
        prompt = await session.get(Prompt, int(raw)) if known else None
        if prompt is None or prompt.id is None:
            raise HTTPException(404)
        if await owned(session, request.state.user.id, prompt.id) and status == 200:
            return redirect(request, request.url_for("prompt", id=prompt.id).path)
        earlier = await orders.in_flight(session, request.state.user.id, prompt.id)
        if earlier and status == 200:
            return redirect(request, request.url_for("payment", order_id=earlier.order_id).path)
        last = await _last_method(session, request.state.user.id)
    silent = {key for name, gateway in till.gateways.items() if till.circuits[name].open for key in gateway.methods}
    offered = [key for key in till.methods if key not in silent]
    redirecting = [gateway for gateway in till.gateways.values() if gateway.redirects]
    wanted = values.get("payment_method", last)
    chosen = {"payment_method": wanted if wanted in offered else next(iter(offered), "")}
    return render(
        request,
        "payments/new.html",
        "payments/_order.html",
        status=status,
        prompt=prompt,
        amount=prompt.price_for(request.state.user),
        methods=till.methods,
        silent=silent,
        without_script=[method.label for gateway in redirecting for method in gateway.methods.values()],
        in_app=next((app for sign, app in IN_APP.items() if sign in request.headers.get("user-agent", "")), None),
        consent=orders.CONSENT,
        contact=request.state.settings.seller_contact,
        typed={"buyer_name": "", "buyer_phone": "", "agree": ""} | values | chosen,
        errors=errors,
    )


async def _last_method(session: AsyncSession, user_id: int) -> str | None:
    """How this buyer has paid last, on whatever device."""
    mine = (col(Payment.user_id) == user_id, col(Payment.completed_at).is_not(None))
    query = select(Payment.payment_method).where(*mine).order_by(col(Payment.completed_at).desc())
    return (await session.exec(query.limit(1))).first()


def return_url(request: Request, payment: Payment) -> str:
    path = request.url_for("payment_return", order_id=payment.order_id).path
    return f"{request.state.settings.base_url}{path}"


async def _own(request: Request) -> Payment:
    """Raises HTTPException 404 for somebody else's."""
    till: Till = request.state.till
    async with till.db.read() as session:
        payment = await find(session, request.path_params["order_id"])
    if payment.user_id != request.state.user.id:
        raise HTTPException(404)
    return payment


@login_required
async def window(request: Request) -> Response:
    """The one page that loads a PG's script. There is none of a settled payment, nor while another is in flight."""
    till: Till = request.state.till
    payment = await _own(request)
    async with till.db.read() as session:
        earlier = await orders.in_flight(session, payment.user_id, payment.prompt_id)
    if payment.status != Status.PENDING or earlier:
        return redirect(request, request.url_for("payment", order_id=(earlier or payment).order_id).path)
    gateway, back = till.gateway_for(payment), return_url(request, payment)
    next_step = await payments.open_window(till, payment, back)
    if isinstance(next_step, Redirect):
        return redirect(request, next_step.for_browser(request.headers.get("user-agent", "")))
    answer = render(request, "payments/window.html", payment=payment, gateway=gateway, window=next_step, back=back)
    answer.headers.update(window_headers(gateway))
    return answer


@anyone
async def come_back(request: Request) -> Response:
    """Where the PG sends the buyer. The order id proves the order, the PG proves the payment; no session needed."""
    order_id = request.path_params["order_id"]
    handed = {name: "".join(filter(str.isprintable, value)) for name, value in request.query_params.items()}
    try:
        await payments.come_back(request.state.till, order_id, handed)
    except Refused as refused:
        if refused.status == 404:
            raise
        return render(request, "payments/refused.html", order_id=order_id, refused=refused, status=refused.status)
    return RedirectResponse(request.url_for("payment", order_id=order_id).path, 303)


@login_required
async def cancel(request: Request) -> Response:
    """The buyer does not want the virtual account any more."""
    till: Till = request.state.till
    payment = await _own(request)
    payment = await deposits.withdraw(till, payment.order_id, "buyer")
    if not wants_fragment(request):
        return redirect(request, request.url_for("payment", order_id=payment.order_id).path)
    return await _payment(request, payment)


@login_required
async def plead(request: Request) -> Response:
    """The buyer asks for their money back; an operator decides."""
    till: Till = request.state.till
    payment = await _own(request)
    values = await typed(request)
    form, errors = PleaForm.read(values)
    if form:
        await pleas.make(till, payment.order_id, reason=form.reason)
        if not wants_fragment(request):
            return redirect(request, request.url_for("payment", order_id=payment.order_id).path)
    return await _payment(request, payment, values, errors)


@anyone
async def show(request: Request) -> Response:
    """The payment as its buyer sees it. Whoever holds the order id may see how it stands; content needs the buyer."""
    till: Till = request.state.till
    user = request.state.user
    async with till.db.read() as session:
        payment = await find(session, request.path_params["order_id"])
    if user and payment.user_id != user.id and not user.is_admin:
        raise HTTPException(404)
    return await _payment(request, await settlement.reopen(till, payment, "buyer"))


async def _payment(
    request: Request, payment: Payment, values: dict[str, str] | None = None, errors: dict[str, str] | None = None
) -> Response:
    till: Till = request.state.till
    user = request.state.user
    is_buyer = user is not None and payment.user_id == user.id
    gateway = till.gateways.get(payment.gateway)
    async with till.db.read() as session:
        prompt = (await session.exec(select(Prompt).where(col(Prompt.id) == payment.prompt_id))).one()
        purchase = await owned(session, payment.user_id, payment.prompt_id)
        under_way = select(Refund.amount).where(Refund.payment_id == payment.id, col(Refund.status).in_(OPEN_REFUND))
        refunding = (await session.exec(under_way)).first() or 0
        asked = select(Approval.id).where(Approval.payment_id == payment.id, col(Approval.decided_at).is_(None))
        refund_asked = (await session.exec(asked)).first() is not None
        made = await pleas.of(session, payment.id) if is_buyer and payment.completed_at else []
    closed = refunding or refund_asked or any(is_open for _, is_open in made) or len(made) >= pleas.MOST
    return render(
        request,
        "payments/show.html",
        "payments/_payment.html",
        status=422 if errors else 200,
        payment=payment,
        prompt=prompt,
        is_buyer=is_buyer,
        charges_in_window=gateway is None or gateway.charges_in_window,
        unlocked=is_buyer and purchase is not None,
        refunding=refunding,
        refund_asked=refund_asked,
        owned_by_other_payment=purchase is not None and purchase.payment_id != payment.id,
        pleas=made,
        may_plead=is_buyer and payment.refundable and not closed,
        typed={"reason": ""} | (values or {}),
        errors=errors or {},
    )
