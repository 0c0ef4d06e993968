"""The verbs that move money, each as a scene: what has happened before, what is done now, how it must have ended."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
from sqlalchemy import delete, update
from sqlmodel import col, select

from app import inbox, orders, payments, reconciler, refunds, settlement
from app.clock import now
from app.daily import Daily
from app.gateways import InDoubt, Redirect, Window
from app.models import CLOSED, Event, Payment, Purchase, Refund, Status, User, Webhook
from app.orders import Order
from app.till import LAST_LOOK, Refused, Till
from tests import story
from tests.conftest import CASHIERS
from tests.proofs import gates
from tests.proofs.crash_ground import CARD
from tests.sandboxes import Sandbox

PRICE = 10_000  # of story.PROMPT
Facts = dict[str, Any]  # what the next process must know: the order, and what its buyer holds in hand


@dataclass
class Stage:
    till: Till
    pg: Sandbox
    window: httpx.AsyncClient
    """The buyer's browser, at the PG."""

    async def clear(self) -> None:
        self.pg.reset()
        async with self.till.db.write() as session:
            for table in (Webhook, Event, Purchase, Refund, Payment, Daily):
                await session.exec(delete(table))

    async def time_passes(self) -> None:
        """Everything that waits for its time is due now."""
        before = now() - timedelta(seconds=3)
        async with self.till.db.write() as session:
            due = update(Payment).where(col(Payment.next_check_at).is_not(None)).values(next_check_at=before)
            await session.exec(due)
            await session.exec(update(Payment).values(checked_at=None))
            # By then the windows of what has ended are closed, too.
            old = update(Payment).where(col(Payment.status).in_(CLOSED)).values(created_at=before - LAST_LOOK)
            await session.exec(old)

    async def order(self, email: str = story.BUYER, at: str = "toss") -> Payment:
        async with self.till.db.read() as session:
            buyer = (await session.exec(select(User).where(col(User.email) == email))).one()
        return await orders.start(self.till, buyer, Order(story.PROMPT, CASHIERS[at].method, "김찐", "01012345678"))

    async def opened(self, payment: Payment) -> Redirect | Window:
        return await payments.open_window(self.till, payment, "http://testserver/return")

    async def authenticated(
        self,
        button: str = "authenticate",
        payment: Payment | None = None,
        at: str = "toss",
        step: Redirect | Window | None = None,
        **changed: Any,
    ) -> Facts:
        """The buyer has done their part at the PG, and is on the way back to us."""
        payment = payment or await self.order(at=at)
        step = step or await self.opened(payment)
        if changed and isinstance(step, Window):
            step.steps[2][1].update(changed)  # at Toss
        key, back = await gates.walk(self.window, at, step, button)
        return {"order_id": payment.order_id, "key": key, "back": back}

    async def bought(self, at: str = "toss") -> Facts:
        facts = await self.authenticated(at=at)
        await payments.come_back(self.till, facts["order_id"], facts["back"])
        return facts

    def charge(self, facts: Facts, amount: int = PRICE) -> None:
        """Money that we do not know of yet: our confirm had arrived there, and we died long ago."""
        body = {"paymentKey": facts["key"], "orderId": facts["order_id"], "amount": amount}
        headers = {"Idempotency-Key": facts["order_id"]}
        self.pg.http.post("/toss/v1/payments/confirm", auth=CARD, headers=headers, json=body).raise_for_status()


Step = Callable[[Stage, Facts], Awaitable[object]]


@dataclass(frozen=True)
class Scene:
    prepare: Callable[[Stage], Awaitable[Facts]]
    act: Step
    charged: int
    """What the PG must have taken in the end, in whole won."""
    refunded: int


async def confirm(stage: Stage, facts: Facts) -> None:
    await payments.come_back(stage.till, facts["order_id"], facts["back"])


async def refund(stage: Stage, facts: Facts) -> None:
    order_id, amount = facts["order_id"], facts.get("amount")
    await refunds.refund(stage.till, order_id, amount=amount, reason="단순변심", key="form-1", by=story.ADMIN)


def at_once(act: Step) -> Step:
    """By several at one moment: what they write is committed together."""

    async def together(stage: Stage, facts: Facts) -> None:
        await asyncio.gather(*(attempt(act, stage, its) for its in (facts, *facts["others"])))

    return together


async def three(stage: Stage) -> Facts:
    others = [await stage.authenticated(payment=await stage.order(email)) for email in (story.OTHER, story.MEMBER)]
    return await stage.authenticated() | {"others": others}


async def three_bought(stage: Stage) -> Facts:
    facts = await three(stage)
    await at_once(confirm)(stage, facts)
    return facts


async def settle(stage: Stage, facts: Facts) -> None:
    await settlement.settle(stage.till, facts["order_id"], "reconciler")


async def reconcile(stage: Stage, _facts: Facts) -> None:
    await reconciler.reconcile(stage.till)


async def hear(stage: Stage, facts: Facts) -> None:
    """As routes/webhooks.py does it: store, answer, handle."""
    gateway = stage.till.gateways["toss"]
    told = {"orderId": facts["order_id"], "paymentKey": facts["key"], "status": "DONE"}
    body = json.dumps({"eventType": "PAYMENT_STATUS_CHANGED", "data": told}).encode()
    order_id = await inbox.receive(stage.till, gateway, {}, body)
    if order_id:
        await inbox.look(stage.till, order_id)


async def reopen(stage: Stage, _facts: Facts) -> None:
    """The buyer looks at every payment page again."""
    async with stage.till.db.read() as session:
        found = (await session.exec(select(Payment))).all()
    for payment in found:
        await settlement.reopen(stage.till, payment, "buyer")


async def declined(stage: Stage, at: str = "toss") -> Facts:
    return await stage.authenticated("over-limit", at=at)


async def half_back(stage: Stage, at: str = "toss") -> Facts:
    return await stage.bought(at) | {"amount": 3000}


async def owned_already(stage: Stage, at: str = "toss") -> Facts:
    """Two orders for one prompt; the PG took money for both, and the first has opened it."""
    late = await stage.authenticated(at=at)
    await stage.bought(at)
    if at == "toss":
        stage.charge(late)
    return late


async def other_amount(stage: Stage) -> Facts:
    facts = await stage.authenticated(amount={"currency": "KRW", "value": 9_000})
    stage.charge(facts, 9_000)
    return facts


async def charged_unheard(stage: Stage) -> Facts:
    facts = await stage.authenticated()
    stage.charge(facts)
    return facts


def doubted(call: str, when: str, at: str = "toss") -> Callable[[Stage], Awaitable[Facts]]:
    """A confirm, or the refund of a part, whose answer got lost after or before its effect."""

    async def prepare(stage: Stage) -> Facts:
        facts = await stage.authenticated(at=at) if call == "confirm" else await half_back(stage, at)
        lost = CASHIERS[at].confirm if call == "confirm" else call
        stage.pg.fault(lost, "reset", CASHIERS[at].pg, when=when)
        await (confirm if call == "confirm" else refund)(stage, facts)
        await stage.time_passes()
        return facts

    return prepare


TOSS: Mapping[str, Scene] = {
    "confirm": Scene(Stage.authenticated, confirm, PRICE, 0),
    "confirm, declined": Scene(declined, confirm, 0, 0),
    "refund of all": Scene(Stage.bought, refund, PRICE, PRICE),
    "refund of a part": Scene(half_back, refund, PRICE, 3000),
    "give back, owned already": Scene(owned_already, settle, PRICE, PRICE),
    "give back, other amount": Scene(other_amount, settle, 9_000, 9_000),
    "confirm, three at once": Scene(three, at_once(confirm), PRICE, 0),
    "refund of all, three at once": Scene(three_bought, at_once(refund), PRICE, PRICE),
    "webhook": Scene(charged_unheard, hear, PRICE, 0),
    "reconcile, charged in doubt": Scene(doubted("confirm", "after"), reconcile, PRICE, 0),
    "reconcile, not charged in doubt": Scene(doubted("confirm", "before"), reconcile, PRICE, 0),
    "reconcile, refunded in doubt": Scene(doubted("cancel", "after"), reconcile, PRICE, 3000),
    "reconcile, not refunded in doubt": Scene(doubted("cancel", "before"), reconcile, PRICE, 3000),
}


def at_another(at: str) -> Mapping[str, Scene]:
    """The same where no idempotency key brings an answer back, or where the window has taken the money already."""
    its = {
        "confirm": Scene(partial(Stage.authenticated, at=at), confirm, PRICE, 0),
        "declined": Scene(partial(declined, at=at), confirm, 0, 0),
        "refund of a part": Scene(partial(half_back, at=at), refund, PRICE, 3000),
        "charged in doubt": Scene(doubted("confirm", "after", at), reconcile, PRICE, 0),
        "refunded in doubt": Scene(doubted("cancel", "after", at), reconcile, PRICE, 3000),
        "not refunded in doubt": Scene(doubted("cancel", "before", at), reconcile, PRICE, 3000),
    }
    if gates.takes_by_itself(at):
        its["give back, owned already"] = Scene(partial(owned_already, at=at), settle, PRICE, PRICE)
    else:
        its["not charged in doubt"] = Scene(doubted("confirm", "before", at), reconcile, PRICE, 0)
    return {f"{at}, {name}": scene for name, scene in its.items()}


OTHERS = {name: scene for at in gates.WAYS if at != "toss" for name, scene in at_another(at).items()}
SCENES = {**TOSS, **OTHERS}
SHORT = (
    *("confirm", "confirm, three at once", "refund of a part", "give back, owned already", "webhook"),
    *("reconcile, charged in doubt", "reconcile, refunded in doubt"),
    *(f"{at}, refund of a part" for at in gates.WAYS if at != "toss"),
)
HELPERS: Mapping[str, Step] = {"reconciler": reconcile, "buyer": reopen}


async def attempt(step: Step, stage: Stage, facts: Facts) -> None:
    """A refusal is an answer too, and so is "don't know"."""
    try:
        await step(stage, facts)
    except (Refused, InDoubt):
        return


async def unsettled(stage: Stage) -> list[Payment]:
    """What waits, without orders nobody has paid for: those wait for their buyer."""
    async with stage.till.db.read() as session:
        found = (await session.exec(select(Payment).where(col(Payment.next_check_at).is_not(None)))).all()
    ledger = stage.pg.total()["orders"] if any(row.status == Status.PENDING for row in found) else {}
    return [row for row in found if row.status != Status.PENDING or ledger[row.order_id]["charged"]]
