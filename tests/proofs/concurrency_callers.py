"""N callers of one order at one moment: the return page, the API and the webhook, in turn."""

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
from sqlmodel import col, select

from app import auth
from app.config import Settings
from app.live import Live
from app.main import create_app
from app.models import ApiToken, Purchase
from app.till import Till
from tests.proofs.books import compare
from tests.proofs.report import Report
from tests.proofs.world_house import House, frozen, house

TOKEN = "a token that only this proof knows"


def browser(its: House) -> httpx.AsyncClient:
    return around(its.settings, its.till)


def around(settings: Settings, till: Till) -> httpx.AsyncClient:
    """The real app around this till, without sockets."""
    app = create_app(settings)
    state = {"settings": settings, "till": till, "live": Live(till.db), "throttle": auth.Throttle()}

    async def enter(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    transport = httpx.ASGITransport(enter, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", trust_env=False, timeout=None)


async def confirm(url: str, callers: int, name: str, report: Report) -> None:
    with frozen() as clock:
        async with house(url, clock=clock, patience=60) as its, browser(its) as client:
            await its.people(1, 0)
            [user] = await its.buyers()
            async with its.db.write() as session:
                session.add(ApiToken(user_id=user.id or 0, digest=auth.digest(TOKEN)))
            order_id, back = await its.authenticated(user)
            its.network.slowness = 0.05  # seconds that the PG thinks, so that all of them come while it does
            ways = (_return, _complete, _webhook)
            answers = await asyncio.gather(
                *(ways[number % 3](client, order_id, back, number) for number in range(callers))
            )
            await _judge(its, order_id, Counter(answers), name, report)


async def _return(client: httpx.AsyncClient, order_id: str, back: dict[str, str], _number: int) -> str:
    answer = await client.get(f"/payments/{order_id}/return", params=back)
    return f"return {answer.status_code} {answer.headers.get('location') == f'/payments/{order_id}'}"


async def _complete(client: httpx.AsyncClient, order_id: str, back: dict[str, str], _number: int) -> str:
    body = {"order_id": order_id, "pg_transaction_id": back["paymentKey"], "amount": int(back["amount"])}
    answer = await client.post("/api/payment/complete", json=body, headers={"authorization": f"Bearer {TOKEN}"})
    return f"api {answer.status_code} {answer.json().get('payment', {}).get('status')}"


async def _webhook(client: httpx.AsyncClient, order_id: str, _back: dict[str, str], number: int) -> str:
    told = {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": order_id, "status": "DONE", "n": number}}
    answer = await client.post("/webhooks/toss", content=json.dumps(told))
    return f"webhook {answer.status_code}"


async def _judge(its: House, order_id: str, answers: Counter[str], name: str, report: Report) -> None:
    books = await compare(its.db, dict(its.ledger()))
    async with its.db.read() as session:
        bought = len((await session.exec(select(Purchase.id).where(col(Purchase.revoked_at).is_(None)))).all())
    confirms = its.ledger()["orders"][order_id]["confirms"]
    strange = set(answers) - {"return 303 True", "api 200 completed", "webhook 200"}
    if (confirms, bought) != (1, 1) or strange or books.wrong():
        report.wrong[name] = [f"{confirms} confirms, {bought} purchases, {dict(answers)}, {books.wrong()}"]
    report.counts["callers"] = report.counts.get("callers", 0) + answers.total()
    report.counts["confirms at the PG"] = report.counts.get("confirms at the PG", 0) + confirms
