"""Who acts in the simulated world, and the weather between them. Every choice comes from one seed."""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from app import deposits, inbox, payments, refunds, settlement
from app.gateways import Forged, Handed, RefundAccount
from app.models import CLOSED, Payment, User
from app.reconciler import reconcile
from app.till import Refused
from sandbox.webhooks import Delivery
from tests.proofs.world_doors import REFUSED, Door
from tests.proofs.world_house import House
from tests.proofs.world_stage import Act

CROWD = 8  # verbs on stage at once
PATIENCE = 20.0  # seconds after which a caller gives up waiting for the PG
LATEST = 300.0  # seconds that a request may wander before it arrives
LIES = ({"amount": "1"}, {"paymentId": "x" * 24}, {"merchant_uid": "x" * 24}, {"pg_token": "0" * 20})
ACCOUNT = RefundAccount("국민은행", "12345678", "김찐")
JUMPS = (5, 20, 40, 70, 130, 700, 1900, 3000, 6 * 3600, 2 * 86400)
FATES = {"before": ("lost", "late", "late", "twice", "busy"), "after": ("lost", "lost", "torn", "502")}


@dataclass
class Order:
    payment: Payment
    keys: list[str] = field(default_factory=list)  # windows
    backs: list[dict[str, str]] = field(default_factory=list)  # what browsers come back with
    pressed: bool = False
    refund_keys: list[tuple[str, int | None]] = field(default_factory=list)


class Actors:
    def __init__(self, house: House, dice: random.Random, users: list[User], prompts: range) -> None:
        self.house, self.dice, self.users, self.prompts = house, dice, users, prompts
        self.orders: dict[str, Order] = {}
        self.acts: list[Act] = []
        self.letters: list[Delivery] = []  # webhooks on their way
        self.told: list[tuple[Delivery, dict[str, str]]] = []  # those that arrived, as they did, and may arrive again
        self.ways = {way: share for door in house.doors.values() for way, share in door.open_ways.items()}
        self.consoled: set[str] = set()  # canceled in the PG's console, and nobody may have told us: the sweep does
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
        return "lost" if fate == "late" and not where.startswith(("confirm", "cancel")) else fate

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

    def door(self, order: Order) -> Door:
        return self.house.doors[order.payment.gateway]

    async def order(self) -> str | None:
        user, prompt_id = self.dice.choice(self.users), self.dice.choice(self.prompts)
        [method] = self.dice.choices(list(self.ways), list(self.ways.values()))
        self.done["order"] += 1
        try:
            payment = await self.house.order(user, prompt_id, method)
        except Refused:
            return None
        self.orders[payment.order_id] = order = Order(payment)
        self.done[f"orders by {method}"] += 1
        if self.dice.random() < 0.9:
            await self.play("window", self.walk_in(order, payment, press=True), payment.order_id)
        return payment.order_id

    async def window(self) -> str | None:
        """Once more, perhaps with another amount. Ours opens it only while nothing has been claimed."""
        if not (order := self.some()):
            return None
        payment = await self.house.payment(order.payment.order_id)
        if payment.status == "pending":
            lie = self.door(order).lie if self.dice.random() < 0.2 else {}
            await self.play("window", self.walk_in(order, payment, **lie), payment.order_id)
        return payment.order_id

    async def walk_in(self, order: Order, payment: Payment, press: bool = False, **lie: Any) -> None:
        try:
            order.keys.append(await self.door(order).open(self.house.till, payment, **lie))
        except REFUSED:
            self.done["window refused"] += 1
            return
        if press:
            self.press(order)

    def press(self, order: Order) -> None:
        door = self.door(order)
        try:
            back = door.press(order.keys[-1], self.dice.choice(door.buttons))
        except REFUSED:
            return
        order.pressed = True
        if back:
            order.backs.append(back)

    async def pressed(self) -> str | None:
        order = self.some(lambda order: order.keys)
        if order is None:
            return None
        payment = await self.house.payment(order.payment.order_id)
        if payment.status in CLOSED and self.house.till.gateway_for(payment).charges_in_window:
            self.done["pressed in a window of a closed order"] += 1
        self.press(order)
        return payment.order_id

    async def withdraw(self) -> str | None:
        """The buyer does not want the virtual account any more."""
        order = self.some(lambda order: order.payment.needs_account and order.pressed)
        if order is None:
            return None
        order_id = order.payment.order_id
        return await self.play("withdraw", deposits.withdraw(self.house.till, order_id, "buyer"), order_id)

    async def come_back(self) -> str | None:
        """By nobody, or by several at once."""
        order = self.some(lambda order: order.backs)
        if order is None:
            return None
        order_id = order.payment.order_id
        for _ in range(self.dice.choice((0, 1, 1, 1, 2, 3))):
            back = self.dice.choice(order.backs)
            known = back.get("paymentKey") or back.get("imp_uid") or back.get("paymentId")
            if known and self.dice.random() < 0.25:
                handed = Handed(known, amount=str(order.payment.amount))
                await self.play("api", payments.confirm(self.house.till, order_id, handed), order_id)
            else:
                lie = self.dice.choice(LIES) if self.dice.random() < 0.05 else {}
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
        return await self.play("refund", self.give_back(order.payment, amount, key), order_id)

    def give_back(self, payment: Payment, amount: int | None, key: str) -> Coroutine[Any, Any, Any]:
        account = ACCOUNT if payment.needs_account else None
        words: dict[str, Any] = {"reason": "변심", "by": "admin", "account": account}
        return refunds.refund(self.house.till, payment.order_id, amount=amount, key=key, **words)

    async def console(self) -> str | None:
        order = self.some(lambda order: order.backs)
        if order is None:
            return None
        order_id, amount = order.payment.order_id, self.dice.choice((None, 300, 500, 1000))
        try:
            self.door(order).console(order_id, amount)
        except REFUSED:
            return None
        self.done["console"] += 1
        self.consoled.add(order_id)
        return order_id

    async def bank(self) -> str | None:
        """A deposit comes in; a PG that took its time decides."""
        order = self.some(lambda order: order.pressed)
        return self.decide(order) if order else None

    def decide(self, order: Order, deposit: bool = True) -> str:
        order_id = order.payment.order_id
        with contextlib.suppress(*REFUSED):
            self.done["decided by a bank"] += self.door(order).bank(order_id, self.dice, deposit)
        return order_id

    async def webhook(self) -> str | None:
        if not self.letters:
            return None
        told = self.letters.pop(self.dice.randrange(len(self.letters)))
        luck = self.dice.random()
        if luck < 0.3:
            self.done["webhook dropped"] += 1
            return None
        if luck > 0.8:
            self.letters.append(told)  # it will come again
        headers = self.house.doors[told.gateway].headers(told)
        self.told.append((told, headers))
        return await self.play("webhook", self.hear(told, headers), told.order_id)

    async def forge(self) -> str | None:
        """An old one again, or somebody else's."""
        if not self.told:
            return None
        told, headers = self.dice.choice(self.told)
        if self.dice.random() < 0.5:
            told = replace(told, body=self.house.doors[told.gateway].forged(told.body, self.dice))
        return await self.play("webhook again", self.hear(told, headers), told.order_id)

    async def hear(self, told: Delivery, headers: dict[str, str]) -> None:
        till = self.house.till
        order_id = await inbox.receive(till, till.gateways[told.gateway], headers, told.body.encode())
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
