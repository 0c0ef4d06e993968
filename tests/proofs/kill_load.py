"""Buyers and admins who keep coming while the server dies: each step is bounded, and tried again as people do."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlmodel import col, select

from app import auth
from app.db import Database
from app.gateways import Redirect, Window
from app.models import ApiToken, Payment, Prompt, Refund, RefundStatus, Status, User
from app.roles import Role
from tests.conftest import CASHIERS
from tests.proofs import gates

PROMPTS = 40
TRIES = 40
FAULTS = (("confirm", "reset", "after"), ("confirm", "status", "before"), ("cancel", "reset", "after"))
WAYS = (*gates.WAYS, "virtual_account")
METHODS = {"virtual_account": "virtual_account"} | {at: CASHIERS[at].method for at in gates.WAYS}
ACCOUNT = {"bank": "신한은행", "number": "110123456789", "holder": "김찐"}


async def people(url: str, buyers: int) -> None:
    """Buyers and one admin with tokens for the API, and a shop large enough that they do not run out of wishes."""
    db = Database(url)
    async with db.write() as session:
        for name in (*(f"buyer{number}" for number in range(buyers)), "boss"):
            person = User(email=f"{name}@load.example", password_hash="-", name="김찐", phone="01012345678")
            person.is_admin, person.role = name == "boss", Role.OWNER if name == "boss" else Role.VIEWER
            session.add(person)
            await session.flush()
            assert person.id
            session.add(ApiToken(user_id=person.id, digest=auth.digest(name)))
        for number in range(PROMPTS):
            price = 1_000 * (number % 9 + 1)
            title = f"프롬프트 {number}"
            session.add(Prompt(title=title, category="글", summary="-", preview="-", body="본문", price=price))
    await db.close()


@dataclass
class Load:
    shop: str
    pg: str
    dice: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)  # how often each was paid by
    taken: dict[str, str] = field(default_factory=dict)  # order that was paid, as far as its buyer knows -> the way
    promised: dict[str, str] = field(default_factory=dict)  # refund key -> its order: the server said "done"
    over: bool = False

    async def run(self, buyers: int, admins: int) -> None:
        limits = httpx.Limits(max_connections=4 * (buyers + admins))
        async with (
            httpx.AsyncClient(timeout=8, limits=limits, verify=False) as self.client,  # noqa: S501 (no TLS here)
            gates.outside(self.pg) as self.windows,
        ):
            crowd = [self.keep(self.buy, f"buyer{number}") for number in range(buyers)]
            crowd += [self.keep(self.refund, "boss") for _ in range(admins)]
            await asyncio.gather(*crowd, self.keep(self.spoil, ""))

    async def keep(self, act: Callable[[str], Awaitable[None]], who: str) -> None:
        while not self.over:
            await act(who)
            await asyncio.sleep(self.dice.uniform(0, 0.1))

    async def ask(self, method: str, path: str, who: str = "", **options: Any) -> httpx.Response | None:
        """Of our server; again and again while it is down. None when somebody gives up."""
        headers = options.pop("headers", {}) | ({"Authorization": f"Bearer {who}"} if who else {})
        for _ in range(TRIES):
            self.counts["requests"] += 1
            try:
                answer = await self.client.request(method, self.shop + path, headers=headers, **options)
            except httpx.HTTPError:
                self.counts["cut off"] += 1
            else:
                self.counts["answered"] += 1
                self.counts["5xx"] += answer.status_code >= 500
                if answer.status_code < 500:
                    return answer
            if self.over:
                return None
            await asyncio.sleep(self.dice.uniform(0.3, 1))
        return None

    async def buy(self, who: str) -> None:
        """By every way to pay in turn."""
        at = self.dice.choice(WAYS)
        order = {"prompt_id": self.dice.randint(1, PROMPTS), "payment_method": METHODS[at]}
        answer = await self.ask("POST", "/api/payment/prepare", who, json=order)
        if answer is None or answer.status_code != 201:
            return
        told = answer.json()
        button, order_id = self.dice.choice(("authenticate",) * 8 + ("over-limit", "close", "")), told["order_id"]
        if not button:
            return  # walks away
        pg = "toss" if at == "virtual_account" else at
        _, back = await gates.walk(self.windows, pg, next_step(told["next"]), button)
        await self.come_back(who, pg, order_id, told["amount"], back, paid=button == "authenticate")
        if at == "virtual_account" and button == "authenticate":
            if self.dice.random() < 0.2:
                return  # never pays in
            await self.windows.post(f"/toss/_deposit/{order_id}")  # 4xx: no account was issued
            await asyncio.sleep(1)  # until its webhook has come
        seen = await self.ask("GET", f"/api/payment/{order_id}", who)
        if seen is not None and seen.json()["payment"]["status"] == "completed":
            self.counts["payments"] += 1
            self.ways[at] += 1
            self.taken[order_id] = at

    async def come_back(
        self, who: str, pg: str, order_id: str, amount: int, back: dict[str, str], *, paid: bool
    ) -> None:
        """By the return page, by the API, or by both at once."""
        ways: list[Callable[[], Awaitable[object]]] = [
            lambda: self.ask("GET", f"/payments/{order_id}/return", params=back)
        ]
        if paid:
            known = gates.handed(pg, order_id, back) or order_id
            said: dict[str, Any] = {"order_id": order_id, "pg_transaction_id": known, "amount": amount}
            if token := back.get("paymentToken"):
                said["payment_token"] = token
            ways.append(lambda: self.ask("POST", "/api/payment/complete", who, json=said))
        if self.dice.random() < 0.3:
            await asyncio.gather(*(way() for way in ways))  # two tabs at once
        else:
            await self.dice.choice(ways)()

    async def refund(self, who: str) -> None:
        """A part or all; the same key until there is an answer."""
        if not self.taken:
            await asyncio.sleep(0.2)
            return
        order_id, at = self.dice.choice(list(self.taken.items()))
        key = f"load-{self.dice.getrandbits(64):x}"
        said: dict[str, Any] = {"reason": "단순변심"}
        if self.dice.random() < 0.6:
            said["amount"] = self.dice.choice((100, 300, 700))
        if at == "virtual_account":
            said["refund_account"] = ACCOUNT
        headers = {"Idempotency-Key": key}
        answer = await self.ask("POST", f"/api/payment/{order_id}/refund", who, json=said, headers=headers)
        if answer is not None and answer.status_code == 200:
            self.counts["refunds"] += 1
            self.promised[key] = order_id

    async def spoil(self, _who: str) -> None:
        """Now and then a PG loses an answer too."""
        await asyncio.sleep(self.dice.uniform(0.5, 1.5))
        call, kind, when = self.dice.choice(FAULTS)
        at = self.dice.choice(gates.WAYS)
        call = CASHIERS[at].confirm if call == "confirm" else call
        await self.client.put(f"{self.pg}/_faults/{gates.pg_of(at)}/{call}", json={"kind": kind, "when": when})
        self.counts["answers lost by the PG"] += 1

    async def broken(self, db: Database) -> list[str]:
        """What the server had said and did not keep."""
        async with db.read() as session:
            kept = (Status.COMPLETED, Status.REFUNDED)
            found = select(Payment.order_id).where(col(Payment.status).in_(kept))
            paid = set((await session.exec(found)).all())
            done = select(Refund.key).where(col(Refund.status) == RefundStatus.DONE)
            back = set((await session.exec(done)).all())
        return [one for one in self.taken if one not in paid] + [key for key in self.promised if key not in back]


def next_step(told: dict[str, Any]) -> Redirect | Window:
    """As a program is told it."""
    if "redirect" in told:
        return Redirect(told["redirect"], told["redirect"])
    return Window(told["script"], told["steps"])
