"""Toss's books: payments by key and by order, transactions, and the events that its merchants hear of."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, ClassVar

from sandbox.clock import KST, kst
from sandbox.idempotency import Idempotency
from sandbox.ledger import Entry
from sandbox.toss.errors import Refused
from sandbox.toss.payment import OPEN, Payment, token
from sandbox.toss.switches import SWITCHES
from sandbox.webhooks import Delivery
from sandbox.world import World

IDEMPOTENCY_LIFE = 15 * 24 * 3600  # seconds (pg/toss.md §2.2)
RESEND_MINUTES = (1, 4, 16, 64, 256, 1024, 4096)


class Toss:
    name = "toss"
    calls: tuple[str, ...] = ("confirm", "find", "cancel", "transactions")
    aliases: ClassVar[Mapping[str, str]] = {}

    def __init__(self, world: World) -> None:
        self.world = world
        world.switches.add(*SWITCHES)
        world.gateways[self.name] = self
        self.reset()

    def reset(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.orders: dict[str, list[Payment]] = {}
        self.open: dict[str, Payment] = {}  # those that can still expire
        self.transactions: list[dict[str, Any]] = []
        self.idempotency = Idempotency(self.world.clock, IDEMPOTENCY_LIFE)

    # Merchants

    def secret_known(self, secret: str) -> bool:
        pairs = self.world.settings.toss_keys
        return not pairs or secret in pairs.values()

    def client_known(self, client: str) -> bool:
        pairs = self.world.settings.toss_keys
        return not pairs or client in pairs

    def owns(self, secret: str, payment: Payment) -> bool:
        """One pretend merchant in test and one live, unless key pairs are registered: then each pair is one."""
        if pairs := self.world.settings.toss_keys:
            return pairs.get(payment.client_key) == secret
        return secret[:4] == payment.client_key[:4]

    # Payments

    def keep(self, payment: Payment) -> None:
        self.payments[payment.payment_key] = payment
        self.orders.setdefault(payment.order_id, []).append(payment)
        if payment.status in OPEN:
            self.open[payment.payment_key] = payment

    def find(self, payment_key: str) -> Payment | None:
        payment = self.payments.get(payment_key)
        if payment:
            self.expire(payment)
        return payment

    def find_order(self, order_id: str) -> Payment | None:
        payments = self.orders.get(order_id, [])
        for payment in payments:
            self.expire(payment)
        if self.world.switches.text("order_lookup") == "approved_first":
            payments = sorted(payments, key=lambda payment: payment.confirms > 0)
        return payments[-1] if payments else None

    def approved_elsewhere(self, order_id: str) -> bool:
        return any(payment.confirms for payment in self.orders.get(order_id, []))

    def expire(self, payment: Payment) -> None:
        due = payment.expires_at
        if due is not None and self.world.clock.now() >= due:
            self.close(payment, "EXPIRED", "EXPIRED_PAYMENT")

    def close(self, payment: Payment, status: str, failure: str) -> None:
        payment.status, payment.failure = status, failure
        self.open.pop(payment.payment_key, None)
        if status == "ABORTED" and self.world.switches.on("secret_on_aborted"):
            payment.secret = secret()
        self.announce(payment)

    def sweep(self) -> None:
        for payment in list(self.open.values()):
            self.expire(payment)

    def count(self, payment: Payment | None, call: str) -> None:
        if payment:
            payment.calls[call] = payment.calls.get(call, 0) + 1

    def shown(self, payment: Payment) -> dict[str, Any]:
        return payment.shown(self.world.switches, self.world.clock.now())

    def record(self, payment: Payment, amount: int, key: str) -> None:
        switches = self.world.switches
        self.transactions.append(
            {
                "mId": switches.text("mid"),
                "transactionKey": key,
                "paymentKey": payment.payment_key,
                "orderId": payment.order_id,
                "method": payment.method_name,
                "customerKey": None,
                "useEscrow": False,
                "receiptUrl": payment.receipt(switches),
                "status": payment.status,
                "transactionAt": kst(self.world.clock.now()),
                "currency": payment.currency,
                "amount": amount,
            }
        )

    # Webhooks

    def announce(self, payment: Payment) -> None:
        if not (url := self.world.settings.toss_webhook_url):
            return
        for event, body in self.events(payment).items():
            for _ in range(int(self.world.switches.number("webhook_copies"))):
                self.world.outbox.put(
                    Delivery(
                        gateway=self.name,
                        url=url,
                        event=event,
                        order_id=payment.order_id,
                        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
                        created_at=kst(self.world.clock.now()),
                    )
                )

    def events(self, payment: Payment) -> dict[str, dict[str, Any]]:
        at = datetime.fromtimestamp(self.world.clock.now(), KST).strftime("%Y-%m-%dT%H:%M:%S.%f")
        changed: dict[str, Any] = {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": at, "data": self.shown(payment)}
        if not payment.account:
            return {"PAYMENT_STATUS_CHANGED": changed}
        deposit: dict[str, Any] = {
            "createdAt": at,
            "secret": payment.secret,
            "status": payment.status,
            "transactionKey": payment.last_transaction_key,
            "orderId": payment.order_id,
        }
        both = {"PAYMENT_STATUS_CHANGED": changed, "DEPOSIT_CALLBACK": deposit}
        wanted = self.world.switches.text("deposit_events")
        return both if wanted == "both" else {wanted: both[wanted]}

    def webhook_headers(self, delivery: Delivery) -> dict[str, str]:
        stable = self.world.switches.text("transmission_id") == "stable"
        prefix = "tosspayments-webhook-transmission-"
        return {
            f"{prefix}time": kst(self.world.clock.now()),
            f"{prefix}retried-count": str(len(delivery.attempts)),
            f"{prefix}id": "whtrans_a01" + (delivery.id.ljust(23, "0") if stable else token(23).lower()),
        }

    def webhook_heard(self, status: int) -> bool:
        return status == 200 or (self.world.switches.text("webhook_success") == "2xx" and 200 <= status < 300)

    def webhook_waits(self) -> list[float]:
        return [minutes * self.world.switches.number("webhook_minute_seconds") for minutes in RESEND_MINUTES]

    def webhook_timeout(self) -> float:
        return self.world.switches.number("webhook_timeout_seconds")

    # The world's questions

    def entries(self) -> Iterable[Entry]:
        return (self.entry(payment) for payment in self.payments.values())

    def entry(self, payment: Payment) -> Entry:
        cancels = [
            {"amount": cancel["cancelAmount"], "at": cancel["canceledAt"], "transaction_key": cancel["transactionKey"]}
            for cancel in payment.cancels
        ]
        return Entry(
            order_id=payment.order_id,
            gateway=self.name,
            payment_key=payment.payment_key,
            status=payment.status,
            charged=payment.charged,
            refunded=payment.refunded,
            confirms=payment.confirms,
            cancels=cancels,
            calls=payment.calls,
            deposited=payment.account is not None and payment.status == "DONE",
        )

    def dump(self) -> dict[str, Any]:
        return {
            "payments": [asdict(payment) for payment in self.payments.values()],
            "transactions": self.transactions,
            "idempotency": self.idempotency.dump(),
        }

    def load(self, kept: dict[str, Any]) -> None:
        self.reset()
        for it in kept["payments"]:
            self.keep(Payment(**it))
        self.transactions = kept["transactions"]
        self.idempotency.load(kept["idempotency"])


def secret() -> str:
    return "ps_" + token(28)


def required(payment: Payment | None, code: str) -> Payment:
    if payment is None:
        raise Refused(code)
    return payment
