"""N callers of one order at one moment: the return page, the API and, where the PG tells of itself, its webhook."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from sqlmodel import col, select

from app import auth
from app.config import Settings
from app.live import Live
from app.main import create_app
from app.models import ApiToken, Payment, Purchase, User
from app.till import Till
from tests.proofs import gates
from tests.proofs.books import compare
from tests.proofs.report import Report
from tests.proofs.world_house import House, frozen, house

TOKEN = "a token that only this proof knows, of number {}"


@dataclass(frozen=True)
class Coming:
    """A buyer on the way back from the window."""

    at: str
    user: User
    order_id: str
    back: dict[str, str]


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


async def confirm(url: str, rounds: Sequence[tuple[Sequence[str], int]], name: str, report: Report) -> None:
    """In each round so many callers come for one order of each of these ways to pay, all at one moment."""
    with frozen() as clock:
        async with house(url, clock=clock, patience=60, **gates.keys(gates.INSIDE)) as its, browser(its) as client:
            await its.people(sum(len(ways) for ways, _ in rounds), 0)
            buyers = iter(await its.buyers())
            for ways, callers in rounds:
                coming = [await _comes(its, at, next(buyers)) for at in ways]
                its.network.slowness = 0.05  # seconds that the PG thinks, so that all of them come while it does
                answers = await asyncio.gather(
                    *(_call(client, one, number) for one in coming for number in range(callers))
                )
                its.network.slowness = 0
                said = [Counter(answers[at * callers : (at + 1) * callers]) for at in range(len(coming))]
                await _judge(its, list(zip(coming, said, strict=True)), f"{name}, {callers} callers", report)


async def _comes(its: House, at: str, user: User) -> Coming:
    async with its.db.write() as session:
        session.add(ApiToken(user_id=user.id or 0, digest=auth.digest(TOKEN.format(user.id))))
    async with gates.inside(its) as pg:
        return Coming(at, user, *await gates.authenticated(its.till, pg, at, user))


async def _call(client: httpx.AsyncClient, one: Coming, number: int) -> str:
    told, handed = gates.told(one.at, one.order_id, one.back, number), gates.handed(one.at, one.order_id, one.back)
    ways = [_return, *([_complete] if handed else []), *([_webhook] if told else [])]
    return await ways[number % len(ways)](client, one, number)


async def _return(client: httpx.AsyncClient, one: Coming, _number: int) -> str:
    answer = await client.get(f"/payments/{one.order_id}/return", params=one.back)
    return f"return {answer.status_code} {answer.headers.get('location') == f'/payments/{one.order_id}'}"


async def _complete(client: httpx.AsyncClient, one: Coming, _number: int) -> str:
    body: dict[str, Any] = {"order_id": one.order_id, "amount": 10_000}
    body["pg_transaction_id"] = gates.handed(one.at, one.order_id, one.back)
    headers = {"authorization": f"Bearer {TOKEN.format(one.user.id)}"}
    answer = await client.post("/api/payment/complete", json=body, headers=headers)
    return f"api {answer.status_code} {answer.json().get('payment', {}).get('status')}"


async def _webhook(client: httpx.AsyncClient, one: Coming, number: int) -> str:
    body = gates.told(one.at, one.order_id, one.back, number)
    answer = await client.post(f"/webhooks/{gates.pg_of(one.at)}", content=body)
    return f"webhook {answer.status_code}"


async def _judge(its: House, found: Sequence[tuple[Coming, Counter[str]]], name: str, report: Report) -> None:
    ledger = gates.whole_ledger(its)
    books = (await compare(its.db, ledger)).wrong()
    for one, answers in found:
        async with its.db.read() as session:
            mine = select(Purchase.id).join(Payment).where(col(Payment.order_id) == one.order_id)
            bought = len((await session.exec(mine.where(col(Purchase.revoked_at).is_(None)))).all())
        confirms = ledger["orders"][one.order_id]["confirms"]
        strange = set(answers) - {"return 303 True", "api 200 completed", "webhook 200"}
        if (confirms, bought) != (1, 1) or strange or books:
            report.wrong[f"{name} at {one.at}"] = [f"{confirms} confirms, {bought} purchases, {dict(answers)}, {books}"]
        report.counts["callers"] = report.counts.get("callers", 0) + answers.total()
        report.counts["confirms at the PGs"] = report.counts.get("confirms at the PGs", 0) + confirms
