"""KakaoPay's books: payments by tid and by page. There are no webhooks and no list by date (pg/kakaopay.md §11)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from sandbox.clock import kst
from sandbox.kakaopay.payment import Action, Payment, Sum, number
from sandbox.kakaopay.switches import SWITCHES
from sandbox.ledger import Entry
from sandbox.world import World


class KakaoPay:
    name = "kakaopay"
    calls: tuple[str, ...] = ("ready", "approve", "order", "cancel")
    aliases: ClassVar[Mapping[str, str]] = {"start": "ready", "confirm": "approve", "find": "order"}

    def __init__(self, world: World) -> None:
        self.world = world
        world.switches.add(*SWITCHES)
        world.gateways[self.name] = self
        self.reset()

    def reset(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.pages: dict[str, Payment] = {}

    def keep(self, payment: Payment) -> None:
        self.payments[payment.tid] = self.pages[payment.key] = payment

    def find(self, tid: object) -> Payment | None:
        payment = self.payments.get(tid) if isinstance(tid, str) else None
        return payment and self.ripe(payment)

    def ripe(self, payment: Payment) -> Payment:
        """The bank's late answer has come."""
        if payment.settles_at is not None and self.world.clock.now() >= payment.settles_at:
            self.take(payment, None)
        return payment

    def take(self, payment: Payment, payload: str | None) -> None:
        """The charge."""
        now = self.world.clock.now()
        payment.status, payment.approved_at, payment.settles_at = "SUCCESS_PAYMENT", now, None
        payment.actions.append(Action(number("A", now), "PAYMENT", payment.amount.total, now, payload))

    def status(self, payment: Payment) -> str:
        """What order says: of an expired payment nobody knows (§13)."""
        wanted = self.world.switches.text("expired_order_status")
        changed = wanted != "as_it_was" and payment.expired(self.world.clock.now())
        return wanted if changed else payment.status

    def count(self, payment: Payment | None, call: str) -> None:
        if payment:
            payment.calls[call] = payment.calls.get(call, 0) + 1

    def shown(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Fields without a value: a null as in real answers, or left out as in the samples (§6)."""
        return answer if self.world.switches.text("absent_fields") == "null" else without_nulls(answer)

    # The world's questions

    def sweep(self) -> None:
        for payment in self.payments.values():
            self.ripe(payment)

    def entries(self) -> Iterable[Entry]:
        return (self.entry(self.ripe(payment)) for payment in self.payments.values())

    def entry(self, payment: Payment) -> Entry:
        charges = [action for action in payment.actions if action.kind == "PAYMENT"]
        cancels = [action for action in payment.actions if action.kind == "CANCEL"]
        return Entry(
            order_id=payment.partner_order_id,
            gateway=self.name,
            payment_key=payment.tid,
            status="EXPIRED" if payment.expired(self.world.clock.now()) else payment.status,
            charged=sum(action.amount for action in charges),
            refunded=payment.canceled.total,
            confirms=len(charges),
            cancels=[{"amount": it.amount, "at": kst(it.at), "transaction_key": it.aid} for it in cancels],
            calls=payment.calls | {word: payment.calls.get(own, 0) for word, own in self.aliases.items()},
        )

    def dump(self) -> dict[str, Any]:
        return {"payments": [asdict(payment) | {"busy": False} for payment in self.payments.values()]}

    def load(self, kept: dict[str, Any]) -> None:
        self.reset()
        for it in kept["payments"]:
            sums = {name: Sum(**it[name]) for name in ("amount", "canceled")}
            self.keep(Payment(**it | sums | {"actions": [Action(**action) for action in it["actions"]]}))


def without_nulls(value: Any) -> Any:
    if isinstance(value, list):
        return [without_nulls(it) for it in value]
    if isinstance(value, dict):
        return {name: without_nulls(it) for name, it in value.items() if it is not None}
    return value
