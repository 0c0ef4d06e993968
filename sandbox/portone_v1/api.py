"""The server API of PortOne V1: an envelope whose code tells, also under HTTP 200 (pg/portone.md §13)."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.faults import Fault, meet
from sandbox.portone import moves, refunds
from sandbox.portone.errors import ERRORS, Refused, pg_message
from sandbox.portone.transaction import Transaction
from sandbox.portone_v1.payment import STATUSES, shown
from sandbox.portone_v1.store import PortOneV1

Act = Callable[[dict[str, Any]], Any]
HTTP = {"UNAUTHORIZED": 401, "PAYMENT_NOT_FOUND": 404}  # everything else is refused under 200


def books(request: Request) -> PortOneV1:
    its = request.app.state.world.gateways["portone_v1"]
    assert isinstance(its, PortOneV1)
    return its


def envelope(response: Any, code: int = 0, message: str | None = None, status: int = 200) -> Response:
    return JSONResponse({"code": code, "message": message, "response": response}, status)


def refuse(refused: Refused) -> Response:
    message = refused.why or ERRORS.get(refused.kind, (0, pg_message(refused.kind)))[1]
    status = HTTP.get(refused.kind, 200)
    return envelope(None, 1 if status == 200 else -1, message, status)


async def sent(request: Request) -> dict[str, Any]:
    """JSON or a form."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return dict(await request.form())
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}


@dataclass
class Call:
    """One call from its arrival to its answer: accident, token, effect."""

    request: Request
    name: str
    tx: Transaction | None
    act: Act
    open_to_all: bool = False

    async def serve(self) -> Response:
        its = books(self.request)
        its.count(self.tx, self.name)
        fault = its.world.faults.take(its.name, self.name, self.tx.payment_id if self.tx else None)
        return await meet(self.request, fault, self.answer, lambda code: refuse(Refused(code)))

    async def answer(self, fault: Fault | None) -> Response:
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        try:
            if not self.open_to_all:
                self.check_token()
            if fault and fault.kind == "code":
                raise Refused(fault.code or "")
            body = await sent(self.request) if self.request.method != "GET" else {}
            return envelope(self.act(body))
        except Refused as refused:
            return refuse(refused)

    def check_token(self) -> None:
        """With or without the word Bearer."""
        its, token = books(self.request), self.request.headers.get("authorization", "").removeprefix("Bearer ")
        if its.tokens.get(token, 0) <= its.world.clock.now():
            raise Refused("UNAUTHORIZED")


async def get_token(request: Request) -> Response:
    its = books(request)

    def act(body: dict[str, Any]) -> Any:
        key, secret = body.get("imp_key"), body.get("imp_secret")
        pairs = its.world.settings.portone_v1_keys
        if not key or not secret or (pairs and pairs.get(str(key)) != secret):
            raise Refused("UNAUTHORIZED")
        token, end = its.token(str(key))
        return {"access_token": token, "now": int(its.world.clock.now()), "expired_at": int(end)}

    return await Call(request, "login", None, act, open_to_all=True).serve()


def visible(request: Request, tx: Transaction | None) -> Transaction:
    """Since 2026-01-26 a test channel's payments are shown only to those who ask for them."""
    test = books(request).switches.text("portone_channel_type") == "TEST"
    if tx is None or (test and request.query_params.get("include_sandbox") != "true"):
        raise Refused("PAYMENT_NOT_FOUND")
    return tx


async def by_imp_uid(request: Request) -> Response:
    """`confirm` among the faults: what a shop asks when the browser is back."""
    its = books(request)
    tx = its.attempts.get(request.path_params["imp_uid"])
    return await Call(request, "confirm", tx, lambda _: shown(visible(request, tx), its.switches)).serve()


async def by_merchant_uid(request: Request) -> Response:
    its, status = books(request), request.path_params.get("status", "all")
    attempts = its.payments.get(request.path_params["merchant_uid"], [])

    def act(_: dict[str, Any]) -> Any:
        for tx in attempts:
            its.expire(tx)
        fitting = [tx for tx in attempts if status in ("all", STATUSES[tx.status])]
        newest_first = request.query_params.get("sorting", "-started") == "-started"
        fitting.sort(key=lambda tx: tx.requested_at, reverse=newest_first)
        return shown(visible(request, fitting[0] if fitting else None), its.switches)

    return await Call(request, "find", attempts[-1] if attempts else None, act).serve()


async def prepare(request: Request) -> Response:
    its = books(request)

    def act(body: dict[str, Any]) -> Any:
        uid, amount = str(body.get("merchant_uid", "")), body.get("amount")
        if not uid or isinstance(amount, bool) or not isinstance(amount, int):
            raise Refused("INVALID_REQUEST")
        known = uid in its.registered
        if request.method == "PUT" and not known:
            raise Refused("PAYMENT_NOT_FOUND")
        if request.method == "POST" and known and its.switches.text("portone_v1_prepare_again") == "refuse":
            raise Refused("INVALID_REQUEST", why="이미 등록된 merchant_uid입니다.")
        moves.register(its, uid, {"totalAmount": amount})
        return {"merchant_uid": uid, "amount": amount}

    return await Call(request, "start", None, act).serve()


async def prepared(request: Request) -> Response:
    its, uid = books(request), request.path_params["merchant_uid"]

    def act(_: dict[str, Any]) -> Any:
        if uid not in its.registered:
            raise Refused("PAYMENT_NOT_FOUND")
        return {"merchant_uid": uid, "amount": its.registered[uid]["totalAmount"]}

    return await Call(request, "start", None, act).serve()


async def cancel(request: Request) -> Response:
    """§13: `amount` 0 or nothing means all; `checksum` is what can still be cancelled before this call."""
    its, body = books(request), await sent(request)
    tx = its.attempts.get(str(body.get("imp_uid"))) or its.current(str(body.get("merchant_uid")))

    def act(_: dict[str, Any]) -> Any:
        if tx is None:
            raise Refused("PAYMENT_NOT_FOUND")
        account = {"bank": "KOOKMIN", "number": body.get("refund_account"), "holderName": body.get("refund_holder")}
        asked = {
            "reason": body.get("reason") or "취소",
            "amount": body.get("amount") or None,
            "currentCancellableAmount": body.get("checksum"),
            "refundAccount": account,
            "skipWebhook": not body.get("enable_webhook"),
        }
        refunds.cancel(its, tx, asked)
        return shown(tx, its.switches)

    return await Call(request, "cancel", tx, act).serve()
