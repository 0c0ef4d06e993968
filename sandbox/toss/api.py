"""The server API of Toss: confirm, find, cancel, transactions (pg/toss.md §2)."""

import json
import math
import re
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.clock import KST
from sandbox.toss import moves, refunds
from sandbox.toss.call import serve, toss_of
from sandbox.toss.errors import Refused
from sandbox.toss.merchants import merchant, refuse
from sandbox.toss.payment import OPEN, Payment
from sandbox.toss.store import Toss, required

MOST_ROWS = 5000


async def body_of(request: Request) -> dict[str, Any]:
    """An unreadable body counts as an empty one: its fields are missing."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def number(value: object, toss: Toss) -> float | None:
    """Toss takes 9900, and "9900" as its own samples send it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and toss.world.switches.text("string_amount") == "accept":
        return float(value) if re.fullmatch(r"\d+(\.\d+)?", value) else None
    return value if isinstance(value, int | float) and math.isfinite(value) else None


async def confirm(request: Request) -> Response:
    toss, body = toss_of(request), await body_of(request)
    key, order_id = body.get("paymentKey"), body.get("orderId")
    payment = toss.find(key) if isinstance(key, str) else None

    def act(secret: str, forced: str | None) -> Any:
        if forced:
            moves.decline(toss, payment, forced)
        amount = number(body.get("amount"), toss)
        if not isinstance(key, str) or not isinstance(order_id, str) or amount is None:
            raise Refused(toss.world.switches.text("missing_field_code"))
        found = moves.check_confirm(toss, toss.find(key), secret, order_id, amount)
        moves.confirm(toss, found)
        return toss.shown(found)

    return await serve(request, "confirm", payment, act)


async def find(request: Request) -> Response:
    toss = toss_of(request)
    return await look_up(request, toss.find(request.path_params["payment_key"]))


async def find_order(request: Request) -> Response:
    toss = toss_of(request)
    return await look_up(request, toss.find_order(request.path_params["order_id"]))


async def look_up(request: Request, found: Payment | None) -> Response:
    toss = toss_of(request)

    def act(secret: str, forced: str | None) -> Any:
        if forced:
            raise Refused(forced)
        payment = theirs(toss, found, secret)
        toss.expire(payment)
        if payment.status in OPEN and toss.world.switches.text("lookup_before_confirm") == "not_found":
            raise Refused("NOT_FOUND_PAYMENT")
        return toss.shown(payment)

    return await serve(request, "find", found, act)


def theirs(toss: Toss, payment: Payment | None, secret: str) -> Payment:
    return required(payment if payment and toss.owns(secret, payment) else None, "NOT_FOUND_PAYMENT")


async def cancel(request: Request) -> Response:
    toss, body = toss_of(request), await body_of(request)
    found = toss.find(request.path_params["payment_key"])

    def act(secret: str, forced: str | None) -> Any:
        if forced:
            raise Refused(forced)
        payment = theirs(toss, found, secret)
        reason = body.get("cancelReason")
        if not isinstance(reason, str) or not 1 <= len(reason) <= 200:
            raise Refused(toss.world.switches.text("missing_field_code"))
        refunds.cancel(toss, payment, body, cancel_amount(toss, body))
        return toss.shown(payment)

    return await serve(request, "cancel", found, act)


def cancel_amount(toss: Toss, body: dict[str, Any]) -> int | None:
    if body.get("cancelAmount") is None:
        return None
    amount = number(body["cancelAmount"], toss)
    if amount is None or amount != int(amount):
        raise Refused("INVALID_REQUEST")
    return int(amount)


async def transactions(request: Request) -> Response:
    toss, query = toss_of(request), request.query_params

    def act(secret: str, forced: str | None) -> Any:
        if forced:
            raise Refused(forced)
        start, end = (moment(query.get(name)) for name in ("startDate", "endDate"))
        rows = [row for row in toss.transactions if toss.owns(secret, toss.payments[row["paymentKey"]])]
        rows = [row for row in rows if start <= datetime.fromisoformat(row["transactionAt"]) <= end]
        return after(rows, query.get("startingAfter"))[: limit(query.get("limit", "100"))]

    return await serve(request, "transactions", None, act)


def moment(text: str | None) -> datetime:
    """Korean time without an offset; a bare date is its midnight."""
    if text is None:
        raise Refused("INVALID_REQUEST")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d)?", text):
        raise Refused("INVALID_DATE")
    try:
        return datetime.fromisoformat(text).replace(tzinfo=KST)
    except ValueError:
        raise Refused("INVALID_DATE") from None


def after(rows: list[dict[str, Any]], key: str | None) -> list[dict[str, Any]]:
    if key is None:
        return rows
    place = next((place for place, row in enumerate(rows) if row["transactionKey"] == key), None)
    if place is None:
        raise Refused("INVALID_PAGING_KEY")
    return rows[place + 1 :]


def limit(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise Refused("INVALID_REQUEST")
    if int(text) > MOST_ROWS:
        raise Refused("EXCEED_MAX_QUERY_LIMIT")
    return int(text)


async def nothing(request: Request) -> Response:
    toss = toss_of(request)
    try:
        merchant(request, toss)
    except Refused as refused:
        return refuse(toss, refused.code)
    return refuse(toss, "NOT_FOUND")
