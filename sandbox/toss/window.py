"""The payment window: where the buyer authenticates, is declined, or walks away (pg/toss.md §1.4)."""

import json
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sandbox.browser import extended, is_program, sent
from sandbox.pages import page
from sandbox.toss import moves
from sandbox.toss.call import toss_of
from sandbox.toss.codes import BANKS, CARDS, CARRIERS, SHOWN_BANKS, SHOWN_CARDS, SHOWN_EASY_PAYS, code_of
from sandbox.toss.errors import Refused, message, refusal
from sandbox.toss.payment import Payment, direct_easy_pay
from sandbox.toss.store import Toss, required

# The window succeeds, and confirm answers the code.
AT_CONFIRM = {
    "over-limit": ("한도초과로 거절", "REJECT_CARD_PAYMENT"),
    "no-balance": ("잔액부족으로 거절", "REJECT_CARD_PAYMENT"),
    "stopped-card": ("정지된 카드로 거절", "INVALID_STOPPED_CARD"),
    "lost-card": ("분실·도난 카드로 거절", "INVALID_CARD_LOST_OR_STOLEN"),
    "system-error": ("승인 중 시스템 오류", "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING"),
}
# The window itself fails: the buyer lands on failUrl.
AT_WINDOW = {
    "reject": ("카드사 인증 거절", "REJECT_CARD_COMPANY"),
    "abort": ("결제 중단", "PAY_PROCESS_ABORTED"),
}
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, OPTIONS",
    "access-control-allow-headers": "content-type",
    "access-control-max-age": "600",
}


@dataclass
class Ending:
    """How the window ends: the page goes somewhere, or the SDK's promise answers."""

    redirect: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None


async def open_window(request: Request) -> Response:
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=CORS)
    base, origin = str(request.base_url).rstrip("/"), request.headers.get("origin", "null")
    try:
        payment = moves.open_window(
            toss_of(request), await wanted_by(request), base, "*" if origin == "null" else origin
        )
    except Refused as refused:
        answer = refusal(refused.code)
        answer.headers.update(CORS)
        return answer
    window = f"{base}/toss/_window/{payment.payment_key}"
    return JSONResponse({"paymentKey": payment.payment_key, "window": window}, headers=CORS)


async def wanted_by(request: Request) -> dict[str, Any]:
    try:
        return await sent(request)
    except ValueError:
        raise Refused("INVALID_PARAMETERS") from None


async def show(request: Request) -> Response:
    toss = toss_of(request)
    payment = toss.find(request.path_params["payment_key"])
    if payment is None:
        return page("toss_ended.html", 404, payment=None)
    if payment.status != "READY":
        return page("toss_ended.html", 200 if payment.status == "IN_PROGRESS" else 410, payment=payment)
    return page("toss_window.html", payment=payment, **endings(payment), **choices(payment))


def endings(payment: Payment) -> dict[str, Any]:
    """The bad ends that this method knows: issuing an account takes no money, so nothing there is over a limit."""
    known = set(AT_CONFIRM) | set(AT_WINDOW)
    if payment.method != "CARD" or direct_easy_pay(payment):
        known -= {"stopped-card", "lost-card", "reject"}
    if payment.method == "VIRTUAL_ACCOUNT":
        known -= {"over-limit", "no-balance"}
    return {
        "at_confirm": {action: words for action, words in AT_CONFIRM.items() if action in known},
        "at_window": {action: words for action, words in AT_WINDOW.items() if action in known},
    }


def choices(payment: Payment) -> dict[str, Any]:
    """What the buyer may pay with; DIRECT leaves one card or one easy pay."""
    cards = {code: CARDS[code][0] for code in SHOWN_CARDS}
    banks = {code: BANKS[code][0] for code in SHOWN_BANKS}
    easy_pays, options = list(SHOWN_EASY_PAYS), payment.options
    if company := code_of(str(options.get("cardCompany", "")), CARDS):
        cards = {company: CARDS[company][0]}
    direct = direct_easy_pay(payment)
    if options.get("flowMode") == "DIRECT":
        easy_pays = []
        cards = {} if direct else cards
    carriers = {code: CARRIERS[code] for code in options.get("mobileCarriers") or CARRIERS}
    return {"cards": cards, "easy_pays": easy_pays, "direct": direct, "banks": banks, "carriers": carriers}


async def act(request: Request) -> Response:
    toss, action = toss_of(request), request.path_params["action"]
    as_json = is_program(request)
    try:
        chosen = await wanted_by(request)
        payment = required(toss.find(request.path_params["payment_key"]), "NOT_FOUND_PAYMENT")
        ending = play(toss, payment, action, chosen)
    except Refused as refused:
        if as_json:
            return refusal(refused.code)
        return page("toss_ended.html", 410, payment=toss.find(request.path_params["payment_key"]))
    if as_json:
        return JSONResponse({"paymentKey": payment.payment_key, "status": payment.status} | asdict(ending))
    return end(payment, ending)


def play(toss: Toss, payment: Payment, action: str, chosen: dict[str, Any]) -> Ending:
    """What the buyer does."""
    if action == "close":
        return closed(toss, payment)
    if action in AT_WINDOW:
        return declined(toss, payment, AT_WINDOW[action][1])
    if action not in ("authenticate", "stay", *AT_CONFIRM):
        raise Refused("NOT_FOUND")
    if payment.status not in ("READY", "IN_PROGRESS"):
        raise Refused("NOT_FOUND_PAYMENT_SESSION")
    decline = AT_CONFIRM[action][1] if action in AT_CONFIRM else chosen.get("decline")
    if decline == "REJECT_CARD_PAYMENT" and payment.method in moves.ACCOUNT_METHODS:
        decline = "REJECT_ACCOUNT_PAYMENT"
    moves.authenticate(toss, payment, chosen, decline)
    return Ending() if action == "stay" else succeeded(toss, payment)


def succeeded(toss: Toss, payment: Payment) -> Ending:
    amount = {"currency": payment.currency, "value": payment.amount}
    if payment.success_url is None:
        return Ending(result={"paymentKey": payment.payment_key, "orderId": payment.order_id, "amount": amount})
    query = {"orderId": payment.order_id, "paymentKey": payment.payment_key, "amount": str(payment.amount)}
    if toss.world.switches.on("payment_type_in_redirect"):
        query = {"paymentType": "NORMAL"} | query
    return Ending(redirect=back(toss, payment.success_url, query))


def closed(toss: Toss, payment: Payment) -> Ending:
    """Closing changes nothing. An iframe rejects its promise; a whole page goes to failUrl, without the orderId."""
    if payment.target == "iframe" or payment.fail_url is None:
        return Ending(error={"code": "USER_CANCEL", "message": message("USER_CANCEL")})
    return failed(toss, payment, "PAY_PROCESS_CANCELED", {})


def declined(toss: Toss, payment: Payment, code: str) -> Ending:
    if payment.status != "READY":
        raise Refused("NOT_FOUND_PAYMENT_SESSION")
    moves.decline_at_window(toss, payment, code)
    return failed(toss, payment, code, {"orderId": payment.order_id})


def failed(toss: Toss, payment: Payment, code: str, more: dict[str, str]) -> Ending:
    error = {"code": code, "message": message(code)}
    if payment.fail_url is None:
        return Ending(error=error)
    return Ending(redirect=back(toss, payment.fail_url, error | more))


def back(toss: Toss, url: str, query: dict[str, str]) -> str:
    how = quote_plus if toss.world.switches.text("redirect_encoding") == "plus" else quote
    return extended(url, query, how)


def end(payment: Payment, ending: Ending) -> Response:
    if ending == Ending():  # stays: the window says that the buyer is authenticated
        return RedirectResponse(f"/toss/_window/{payment.payment_key}", 303)
    if payment.target == "self" and ending.redirect:
        return RedirectResponse(ending.redirect, 303)
    told = {"tossPayments": payment.payment_key} | asdict(ending)
    return page("done.html", opener=payment.opener, told=json.dumps(told))


async def receipt(request: Request) -> Response:
    toss = toss_of(request)
    payment = toss.find(request.query_params.get("transactionId", ""))
    if payment is None or payment.last_transaction_key is None:
        return page("toss_ended.html", 404, payment=None)
    return page("toss_receipt.html", payment=payment, shown=toss.shown(payment))


async def deposit(request: Request) -> Response:
    """The bank's part of a virtual account: the money comes in, or {"undo": true} goes back."""
    toss = toss_of(request)
    try:
        wanted = await wanted_by(request)
        payment = required(toss.find_order(request.path_params["order_id"]), "NOT_FOUND_PAYMENT")
        moves.deposit(toss, payment, undo=bool(wanted.get("undo")))
    except Refused as refused:
        return refusal(refused.code)
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/", 303)
    return JSONResponse(toss.shown(payment))
