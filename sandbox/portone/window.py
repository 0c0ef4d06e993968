"""The payment window: where the buyer pays, is declined, or walks away (pg/portone.md §6, §18)."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.browser import extended
from sandbox.pages import page
from sandbox.portone import moves
from sandbox.portone.call import body_of, portone_of
from sandbox.portone.codes import BANKS, CARDS, EASY_PAYS, METHODS, SHOWN_BANKS
from sandbox.portone.errors import THROWN, Refused
from sandbox.portone.store import PortOne
from sandbox.portone.transaction import Transaction

DECLINES = {
    "over-limit": ("한도초과로 거절", "REJECT_CARD_PAYMENT"),
    "no-balance": ("잔액부족으로 거절", "REJECT_ACCOUNT_PAYMENT"),
    "stopped-card": ("정지된 카드로 거절", "INVALID_STOPPED_CARD"),
}
STOPS = {"abort": "PAY_PROCESS_ABORTED", "close": "PAY_PROCESS_CANCELED"}
PASSED = ("PAID", "VIRTUAL_ACCOUNT_ISSUED", "PAY_PENDING")
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


def thrown(refused: Refused) -> Response:
    """What the SDK throws; nothing is ever redirected before a window has opened."""
    message = refused.why or THROWN.get(refused.kind, "결제 요청을 처리하지 못했습니다.")
    return JSONResponse({"code": refused.kind, "message": message}, 400, CORS)


async def open_window(request: Request) -> Response:
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=CORS)
    portone, origin = portone_of(request), request.headers.get("origin", "null")
    base = str(request.base_url).rstrip("/")
    try:
        wanted = portone.wanted(await body_of(request))
        tx = moves.request(portone, wanted, base, "*" if origin == "null" else origin)
    except Refused as refused:
        return thrown(refused)
    window = f"{base}/{portone.name}/_window/{tx.id}"
    return JSONResponse({"paymentKey": tx.id, "paymentId": tx.payment_id, "window": window}, headers=CORS)


def found(request: Request) -> Transaction | None:
    return portone_of(request).attempts.get(request.path_params["tx_id"])


async def show(request: Request) -> Response:
    portone, tx = portone_of(request), found(request)
    if tx is None:
        return page("portone_ended.html", 404, tx=None, at="")
    at = f"/{portone.name}/_window/{tx.id}/"
    if tx.status != "READY" or tx.token:
        return page("portone_ended.html", 200 if passed(tx) else 410, tx=tx, at=at, passed=passed(tx))
    banks = {code: BANKS[code] for code in SHOWN_BANKS}
    facts: dict[str, Any] = {"tx": tx, "at": at, "method": METHODS[tx.method], "declines": DECLINES}
    return page("portone_window.html", cards=CARDS, easy_pays=EASY_PAYS, banks=banks, **facts)


def passed(tx: Transaction) -> bool:
    return bool(tx.token) or tx.status in PASSED


async def act(request: Request) -> Response:
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=CORS)
    portone, tx, action = portone_of(request), found(request), request.path_params["action"]
    is_json = request.headers.get("content-type", "").startswith("application/json")
    try:
        chosen = await body_of(request) if is_json else {k: str(v) for k, v in (await request.form()).items()}
        if tx is None:
            raise Refused("TransactionNotFound")
        ending = play(portone, tx, action, chosen)
    except Refused as refused:
        at = f"/{portone.name}/_window/{request.path_params['tx_id']}/"
        ended = page("portone_ended.html", 410, tx=tx, at=at, passed=tx is not None and passed(tx))
        return thrown(refused) if is_json else ended
    if is_json:
        told = {"paymentKey": tx.id, "paymentId": tx.payment_id, "status": tx.status}
        return JSONResponse(told | asdict(ending), headers=CORS)
    return end(portone, tx, ending)


def play(portone: PortOne, tx: Transaction, action: str, chosen: dict[str, str]) -> Ending:
    """What the buyer does. A second press of a button ends as the first did."""
    if action in ("authenticate", "stay", "pend", "return") and passed(tx):
        return Ending() if action == "stay" else ended(portone, tx, None)
    if action in STOPS:
        if not passed(tx) and tx.status != "FAILED":
            moves.stop(portone, tx, STOPS[action])
        return ended(portone, tx, None if passed(tx) else tx.failure)
    if action in DECLINES or "decline" in chosen:
        moves.decline(portone, tx, chosen.get("decline") or DECLINES[action][1])
        return ended(portone, tx, tx.failure)
    if action not in ("authenticate", "stay", "pend"):
        raise Refused("TransactionNotFound")
    if action == "pend":
        moves.pend(portone, tx)
    else:
        moves.approve(portone, tx, chosen)
    return Ending() if action == "stay" else ended(portone, tx, None)


def ended(portone: PortOne, tx: Transaction, code: str | None) -> Ending:
    """With forceRedirect, on a phone or as a whole page the browser is sent back; else the promise answers."""
    url, told = tx.asked.get("redirectUrl"), portone.told(tx, code)
    if url and (tx.asked.get("forceRedirect") or tx.platform == "MOBILE" or not tx.framed):
        return Ending(redirect=extended(url, told))
    return Ending(result=told)


def end(portone: PortOne, tx: Transaction, ending: Ending) -> Response:
    if ending == Ending():  # stays: the window says that the buyer has paid
        return RedirectResponse(f"/{portone.name}/_window/{tx.id}", 303)
    if not tx.framed and ending.redirect:
        return RedirectResponse(ending.redirect, 303)
    return page("done.html", opener=tx.opener, told=json.dumps({"portone": tx.id} | asdict(ending)))


async def receipt(request: Request) -> Response:
    tx = found(request)
    if tx is None or tx.paid_at is None:
        return page("portone_ended.html", 404, tx=None, at="")
    return page("portone_receipt.html", tx=tx, method=METHODS[tx.method])


routes = [
    Route("/_open", open_window, methods=["POST", "OPTIONS"]),
    Route("/_window/{tx_id}", show, methods=["GET"]),
    Route("/_window/{tx_id}/{action}", act, methods=["POST", "OPTIONS"]),
]
