"""Who acts in the simulated world, and the weather between them. Every choice comes from one seed."""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx

from app import inbox, payments, refunds, settlement
from app.gateways import Forged, Handed
from app.models import Payment, User
from app.reconciler import reconcile
from app.till import Refused
from sandbox.toss.errors import Refused as RefusedAtPg
from tests.proofs.world_house import House
from tests.proofs.world_stage import Act

CROWD = 8  # verbs on stage at once
PATIENCE = 20.0  # seconds after which a caller gives up waiting for the PG
LATEST = 300.0  # seconds that a request may wander before it arrives
BUTTONS = ("authenticate",) * 12 + ("over-limit", "stopped-card", "system-error", "reject", "abort", "close")
JUMPS = (5, 20, 40, 70, 130, 700, 1900, 3000, 6 * 3600, 2 * 86400)
FATES = {"before": ("lost", "late", "late", "twice", "busy"), "after": ("lost", "lost", "torn", "502")}


@dataclass
class Order:
    payment: Payment
    keys: list[str] = field(default_factory=list)  # windows
    backs: list[dict[str, str]] = field(default_factory=list)  # what browsers come back with
    refund_keys: list[tuple[str, int | None]] = field(default_factory=list)


class Actors:
    def __init__(self, house: House, dice: random.Random, users: list[User], prompts: range) -> None:
        self.house, self.dice, self.users, self.prompts = house, dice, users, prompts
        self.orders: dict[str, Order] = {}
        self.acts: list[Act] = []
        self.letters: list[tuple[str, bytes]] = []  # webhooks on their way
        self.told: list[bytes] = []  # webhooks that arrived, and may arrive again
        self.consoled: set[str] = set()  # orders that somebody canceled in the PG's console
        self.done: Counter[str] = Counter()
        self.crashed: list[str] = []
        self.stormy = self.calm = False
        house.network.weather = self.fate

    def fate(self, where: str) -> str:
        """What happens to a call at this stop."""
        moment = where.rpartition(" ")[2]
        if self.calm or moment not in FATES or self.dice.random() > (0.5 if self.stormy else 0.03):
            return ""
        fate = self.dice.choice(FATES[moment])
        self.done[f"call {fate} {moment}"] += 1
        return "lost" if fate == "late" and where.startswith("find") else fate

    def some(self, wanted: Callable[[Order], object] = lambda _: True) -> Order | None:
        """One of the newest, mostly: that is where things happen."""
        known = [order for order in list(self.orders.values())[-12:] if wanted(order)]
        return self.dice.choice(known) if known else None

    # ── the stage ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def play(self, name: str, verb: Coroutine[Any, Any, Any], order_id: str | None = None) -> str | None:
        """Most verbs run through; some stay on stage while others act."""
        self.done[name] += 1
        act = Act(name, verb, order_id)
        linger = len(self.acts) < CROWD and self.dice.random() < 0.35
        steps = self.dice.randrange(1, 9) if linger else 1000
        while steps and await self.forward(act):
            steps -= 1
        return order_id

    async def forward(self, act: Act) -> bool:
        if act not in self.acts:
            self.acts.append(act)
        gone = time.time() - act.since > PATIENCE and act.where.endswith((": before", ": after"))
        fate = ("late" if act.where == "confirm: before" else "lost") if gone else self.fate(act.where)
        on = await act.advance(fate)
        if not on:
            self.acts.remove(act)
            try:
                act.result()
            except (Refused, Forged):
                self.done["refused"] += 1
            except Exception as error:
                self.crashed.append(f"{act.name} {act.order_id}: {error!r}")
        return on

    async def go_on(self) -> str | None:
        if not self.acts:
            return None
        act = self.dice.choice(self.acts)
        await self.forward(act)
        return act.order_id

    async def restart(self) -> None:
        """Every process of ours dies where it stands."""
        self.done["restart"] += 1
        for act in self.acts:
            await act.die()
        self.acts.clear()

    # ── buyers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def order(self) -> str | None:
        user, prompt_id = self.dice.choice(self.users), self.dice.choice(self.prompts)
        self.done["order"] += 1
        try:
            payment = await self.house.order(user, prompt_id)
        except Refused:
            return None
        self.orders[payment.order_id] = order = Order(payment)
        if self.dice.random() < 0.9:
            await self.window(order)
            self.press(order)
        return payment.order_id

    async def window(self, order: Order | None = None) -> str | None:
        order = order or self.some()
        if order is None:
            return None
        lie = {"amount": {"currency": "KRW", "value": 100}} if self.dice.random() < 0.02 else {}
        order.keys.append(self.house.open(order.payment, **lie))
        return order.payment.order_id

    def press(self, order: Order) -> None:
        try:
            back = self.house.press(order.keys[-1], self.dice.choice(BUTTONS))
        except RefusedAtPg:
            return
        if back:
            order.backs.append(back)

    async def pressed(self) -> str | None:
        order = self.some(lambda order: order.keys)
        if order is None:
            return None
        self.press(order)
        return order.payment.order_id

    async def come_back(self) -> str | None:
        """By nobody, or by several at once."""
        order = self.some(lambda order: order.backs)
        if order is None:
            return None
        order_id = order.payment.order_id
        for _ in range(self.dice.choice((0, 1, 1, 1, 2, 3))):
            back = self.dice.choice(order.backs)
            if "paymentKey" in back and self.dice.random() < 0.25:
                handed = Handed(back["paymentKey"], amount=back["amount"])
                await self.play("api", payments.confirm(self.house.till, order_id, handed), order_id)
            else:
                lie = {"amount": "1"} if self.dice.random() < 0.03 else {}
                await self.play("return", payments.come_back(self.house.till, order_id, back | lie), order_id)
        return order_id

    async def reopen(self) -> str | None:
        order = self.some()
        if order is None:
            return None
        order_id = order.payment.order_id
        payment = await self.house.payment(order_id)
        return await self.play("reopen", settlement.reopen(self.house.till, payment, "buyer"), order_id)

    # ── the operator, the PG, time ───────────────────────────────────────────────────────────────────────────────────

    async def refund(self) -> str | None:
        order = self.some(lambda order: order.backs)
        if order is None:
            return None
        if order.refund_keys and self.dice.random() < 0.3:  # pressed again
            key, amount = self.dice.choice(order.refund_keys)
        else:
            key, amount = f"press-{len(order.refund_keys)}", None
            if self.dice.random() < 0.7:
                amount = self.dice.choice((100, 500, 500, 1000, order.payment.amount))
            order.refund_keys.append((key, amount))
        order_id = order.payment.order_id
        verb = refunds.refund(self.house.till, order_id, amount=amount, reason="변심", key=key, by="admin")
        return await self.play("refund", verb, order_id)

    async def console(self) -> str | None:
        order = self.some(lambda order: order.backs)
        if order is None:
            return None
        order_id, amount = order.payment.order_id, self.dice.choice((None, 300, 500, 1000))
        try:
            self.house.console(order_id, amount)
        except RefusedAtPg:
            return None
        self.done["console"] += 1
        self.consoled.add(order_id)
        return order_id

    async def webhook(self) -> str | None:
        if not self.letters:
            return None
        order_id, body = self.letters.pop(self.dice.randrange(len(self.letters)))
        luck = self.dice.random()
        if luck < 0.3:
            self.done["webhook dropped"] += 1
            return None
        self.told.append(body)
        if luck > 0.8:
            self.letters.append((order_id, body))  # it will come again
        return await self.play("webhook", self.hear(body), order_id)

    async def forge(self) -> str | None:
        """An old one again, or somebody else's."""
        if not self.told:
            return None
        body = self.dice.choice(self.told)
        if self.dice.random() < 0.5:
            message = json.loads(body)
            message["data"] |= {"secret": "ps_forged", "status": self.dice.choice(("DONE", "CANCELED", "ABORTED"))}
            body = json.dumps(message).encode()
        return await self.play("webhook again", self.hear(body), json.loads(body)["data"]["orderId"])

    async def hear(self, body: bytes) -> None:
        till = self.house.till
        order_id = await inbox.receive(till, till.gateways["toss"], {}, body)
        if order_id:
            await inbox.look(till, order_id)

    async def reconcile(self) -> str | None:
        return await self.play("reconcile", reconcile(self.house.till))

    async def time_passes(self) -> None:
        self.house.pass_time(self.dice.choice(JUMPS))

    async def weather_turns(self) -> None:
        self.stormy = not self.stormy

    async def late(self) -> None:
        """A request that wandered arrives, or is too old."""
        waiting: list[httpx.Request] = self.house.network.late
        if waiting:
            request = self.dice.choice(waiting)
            if time.time() - request.extensions["sent"] < LATEST and self.dice.random() < 0.8:
                self.done["late arrival"] += 1
                await self.house.network.arrive(request)
            else:
                waiting.remove(request)
