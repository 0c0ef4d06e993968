"""KakaoPay's waiting page, and the phone beside it: where the buyer types the PIN or walks away (pg/kakaopay.md §5)."""

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from sandbox.browser import extended, is_program, sent
from sandbox.kakaopay import moves
from sandbox.kakaopay.asked import registered
from sandbox.kakaopay.call import kakaopay_of
from sandbox.kakaopay.errors import Refused, refusal
from sandbox.kakaopay.payment import PENDING, Payment
from sandbox.kakaopay.picture import squares
from sandbox.kakaopay.store import KakaoPay
from sandbox.pages import page

METHODS = {"CARD": "카드로 결제", "MONEY": "카카오페이머니로 결제"}
# The PIN is right, and approve answers this.
AT_APPROVE = {
    "over-limit": ("한도초과로 거절", "CARD", "8521"),
    "no-balance": ("잔액부족으로 거절", "MONEY", "LACK_BALANCE"),
    "user-locked": ("다른 거래 진행 중", "MONEY", "USER_LOCKED"),
    "bank-unknown": ("은행 응답 지연 (나중에 결제됨)", "MONEY", "BANK_FIRM_UNKNOWN"),
}
# The page itself ends: the status, and where the buyer goes.
AT_PAGE = {
    "wrong-pin": ("비밀번호(PIN) 틀림", "FAIL_AUTH_PASSWORD"),
    "quit": ("결제 취소", "QUIT_PAYMENT"),
    "expire": ("시간 만료", None),
}


async def show(request: Request) -> Response:
    kakaopay, path = kakaopay_of(request), request.path_params
    payment = kakaopay.pages.get(path["key"]) if "key" in path else kakaopay.find(path["tid"])
    if payment is None:
        return page("kakaopay_ended.html", 404, payment=None)
    left = math.ceil(payment.expires_at - kakaopay.world.clock.now())
    if payment.expired(kakaopay.world.clock.now()):
        return RedirectResponse(failed(kakaopay, payment), 303)
    if payment.status not in PENDING or payment.is_authenticated:
        return page("kakaopay_ended.html", 200 if payment.is_authenticated else 410, payment=payment)
    payment.status = "OPEN_PAYMENT"
    methods = {payment.only: METHODS[payment.only]} if payment.only else METHODS
    return page(
        "kakaopay_window.html",
        payment=payment,
        left=left,
        squares=squares(payment.key),
        methods=methods,
        at_approve=AT_APPROVE,
        at_page=AT_PAGE,
    )


async def act(request: Request) -> Response:
    """`POST /kakaopay/_window/{tid}/{action}`: a form -> 303, JSON -> JSON."""
    kakaopay, action = kakaopay_of(request), request.path_params["action"]
    payment = kakaopay.find(request.path_params["tid"])
    try:
        redirect = play(kakaopay, payment, action, await sent(request))
    except (Refused, ValueError) as error:
        if is_program(request):
            refused = error if isinstance(error, Refused) else Refused(-2)
            return refusal(refused, kakaopay.world.switches)
        return page("kakaopay_ended.html", 404 if payment is None else 410, payment=payment)
    assert payment, "nobody plays at a page that is not there"
    if is_program(request):
        return JSONResponse({"tid": payment.tid, "status": kakaopay.status(payment), "redirect": redirect})
    return RedirectResponse(redirect or f"/kakaopay/_window/{payment.tid}", 303)


def play(kakaopay: KakaoPay, payment: Payment | None, action: str, chosen: dict[str, Any]) -> str | None:
    """What the buyer does; answers where the browser goes, if anywhere."""
    if payment is None:
        raise Refused(-721)
    if action not in ("authenticate", "stay", *AT_APPROVE, *AT_PAGE):
        raise Refused(-404)
    if payment.expired(kakaopay.world.clock.now()):
        return failed(kakaopay, payment)
    if payment.status not in PENDING or payment.settles_at is not None:  # the bank has been asked: the page is over
        raise Refused(-783)
    if action in AT_PAGE:
        return end(kakaopay, payment, AT_PAGE[action][1])
    _, method, decline = AT_APPROVE.get(action, ("", chosen.get("method"), chosen.get("decline")))
    moves.authenticate(kakaopay, payment, method, decline)
    return None if action == "stay" else approved(kakaopay, payment)


def end(kakaopay: KakaoPay, payment: Payment, status: str | None) -> str:
    if status is None:
        payment.ended = True
    else:
        payment.status = status
    return back(kakaopay, payment.cancel_url) if status == "QUIT_PAYMENT" else failed(kakaopay, payment)


def approved(kakaopay: KakaoPay, payment: Payment) -> str:
    """`pg_token` joins the query of approval_url; a naive join puts it behind a fragment, where no server sees it."""
    url, token = returning(kakaopay, payment.approval_url), payment.pg_token or ""
    if kakaopay.world.switches.text("return_fragment") == "naive":
        return f"{url}{'&' if '?' in url else '?'}pg_token={token}"
    return extended(url, {"pg_token": token})


def failed(kakaopay: KakaoPay, payment: Payment) -> str:
    return back(kakaopay, payment.fail_url)


def back(kakaopay: KakaoPay, url: str) -> str:
    """Nobody knows whether these two get a query (§13)."""
    query = kakaopay.world.switches.text("return_query")
    return extended(returning(kakaopay, url), {name: value for name, _, value in [query.partition("=")] if name})


def returning(kakaopay: KakaoPay, url: str) -> str:
    switches = kakaopay.world.switches
    if switches.text("domain_check") == "ready_and_return" and not registered(url, switches):
        raise Refused(switches.text("unregistered_domain_code"))
    return url
