"""The server API of PortOne V2 (pg/portone.md §2, §3)."""

import json
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.portone import hooks, moves, refunds
from sandbox.portone.call import portone_of, serve
from sandbox.portone.errors import Refused
from sandbox.portone.store import PortOne
from sandbox.portone.transaction import Transaction

MOST_ROWS = 60_000
LIST_DAYS = 90
ORDERS = {"REQUESTED_AT": "requested_at", "CREATED_AT": "requested_at", "STATUS_CHANGED_AT": "changed_at"}


async def log_in(request: Request) -> Response:
    portone = portone_of(request)

    def act(body: dict[str, Any]) -> Any:
        secret, known = body.get("apiSecret"), portone.world.settings.portone_api_secret
        if not isinstance(secret, str) or not secret:
            raise Refused("INVALID_REQUEST")
        if known and secret != known:
            raise Refused("UNAUTHORIZED")
        return portone.login()

    return await serve(request, "login", act, open_to_all=True)


async def refresh(request: Request) -> Response:
    portone = portone_of(request)

    def act(body: dict[str, Any]) -> Any:
        token = str(body.get("refreshToken"))
        if not token.startswith("refresh.") or portone.tokens.pop(token, 0) < portone.world.clock.now():
            raise Refused("UNAUTHORIZED")
        return portone.login()

    return await serve(request, "login", act, open_to_all=True)


def asked_for(request: Request, store_id: object) -> Transaction:
    return portone_of(request).theirs(request.path_params["payment_id"], store_id)


async def find(request: Request) -> Response:
    portone, store_id = portone_of(request), request.query_params.get("storeId")
    return await serve(request, "find", lambda _: portone.shown(asked_for(request, store_id)))


async def attempts(request: Request) -> Response:
    portone, store_id = portone_of(request), request.query_params.get("storeId")

    def act(_: dict[str, Any]) -> Any:
        its = portone.payments[asked_for(request, store_id).payment_id]
        return {"items": [tx.shown_attempt(portone.switches) for tx in its]}

    return await serve(request, "find", act)


async def pre_register(request: Request) -> Response:
    def act(body: dict[str, Any]) -> Any:
        moves.register(portone_of(request), request.path_params["payment_id"], body)
        return {}

    return await serve(request, "start", act)


async def confirm(request: Request) -> Response:
    payment_id = request.path_params["payment_id"]
    return await serve(request, "confirm", lambda body: moves.confirm(portone_of(request), payment_id, body))


async def cancel(request: Request) -> Response:
    def act(body: dict[str, Any]) -> Any:
        tx = asked_for(request, body.get("storeId"))
        return {"cancellation": dict(refunds.cancel(portone_of(request), tx, body))}

    return await serve(request, "cancel", act)


async def close_account(request: Request) -> Response:
    portone, store_id = portone_of(request), request.query_params.get("storeId")
    return await serve(request, "close", lambda _: moves.close_account(portone, asked_for(request, store_id)))


async def resend(request: Request) -> Response:
    portone = portone_of(request)

    def act(body: dict[str, Any]) -> Any:
        tx = asked_for(request, body.get("storeId"))
        wanted = body.get("webhookId")
        its = [it for it in portone.deliveries(tx) if wanted in (None, hooks.webhook_id(it))]
        if not its:
            raise Refused("WEBHOOK_NOT_FOUND")
        portone.world.outbox.resend(its[-1])
        return {"webhook": portone.webhook_shown(tx, its[-1]) | {"trigger": "MANUAL"}}

    return await serve(request, "resend", act)


async def find_many(request: Request) -> Response:
    """GET with a JSON body, or with the same JSON in ?requestBody=."""
    portone, asked = portone_of(request), request.query_params.get("requestBody")

    def act(body: dict[str, Any]) -> Any:
        wanted = body if asked is None else parsed(asked)
        page, its = wanted.get("page") or {}, wanted.get("filter") or {}
        number, size = page.get("number", 0), page.get("size", 10)
        if number < 0 or size < 1 or (number + 1) * size > MOST_ROWS:
            raise Refused("INVALID_REQUEST")
        found = listed(portone, its)
        items = [portone.shown(tx) for tx in found[number * size : (number + 1) * size]]
        return {"items": items, "page": {"number": number, "size": size, "totalCount": len(found)}}

    return await serve(request, "transactions", act)


def parsed(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused("INVALID_REQUEST")
    return body


def listed(portone: PortOne, wanted: dict[str, Any]) -> list[Transaction]:
    """Without a time: the last 90 days, by the latest change of status."""
    until = moment(wanted.get("until")) or portone.world.clock.now()
    start = moment(wanted.get("from")) or until - LIST_DAYS * 24 * 3600
    at = ORDERS[wanted.get("timestampType", "STATUS_CHANGED_AT")]
    statuses = [{"PENDING": "PAY_PENDING"}.get(status, status) for status in wanted.get("status") or []]
    test = portone.switches.text("portone_channel_type") == "TEST"

    def fits(tx: Transaction) -> bool:
        return (
            start <= (getattr(tx, at) or tx.requested_at) <= until
            and (not statuses or tx.status in statuses)
            and wanted.get("storeId") in (None, tx.store_id)
            and wanted.get("version") in (None, tx.version)
            and wanted.get("isTest") in (None, test)
            and tx.method in (wanted.get("methods") or [tx.method])
        )

    found = [tx for payment_id in portone.payments if (tx := portone.current(payment_id)) and fits(tx)]
    order = ORDERS[wanted.get("sortBy", "REQUESTED_AT")]
    newest_first = wanted.get("sortOrder", "DESC") == "DESC"
    return sorted(found, key=lambda tx: (getattr(tx, order) or tx.requested_at, tx.id), reverse=newest_first)


def moment(text: object) -> float | None:
    """An RFC 3339 time; anything else is refused."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise Refused("INVALID_REQUEST") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


async def nothing(request: Request) -> Response:
    def act(_: dict[str, Any]) -> Any:
        raise Refused("PAYMENT_NOT_FOUND")

    return await serve(request, "find", act)
