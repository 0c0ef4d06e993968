"""PortOne's books: amounts fixed beforehand, attempts by payment, tokens, and what its merchants hear of."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar

from sandbox.clock import kst
from sandbox.idempotency import Idempotency
from sandbox.ledger import Entry
from sandbox.portone import hooks
from sandbox.portone.errors import Refused, pg_message
from sandbox.portone.switches import SWITCHES
from sandbox.portone.transaction import TAKEN, Transaction, transaction_id
from sandbox.webhooks import Delivery
from sandbox.world import World

IDEMPOTENCY_LIFE = 3 * 3600  # seconds (§2)
ACCESS_LIFE, REFRESH_LIFE = 30 * 60, 24 * 3600
RESEND_MINUTES = (1, 4, 16, 64, 256)
WEBHOOK_SECONDS = 30


class PortOne:
    name = "portone"
    version = "V2"
    calls: tuple[str, ...] = ("start", "confirm", "find", "cancel", "transactions", "close", "resend", "login")
    aliases: ClassVar[Mapping[str, str]] = {"pre-register": "start", "get": "find", "list": "transactions"}

    def __init__(self, world: World) -> None:
        self.world, self.switches = world, world.switches
        world.switches.add(*SWITCHES)
        world.gateways[self.name] = self
        self.reset()

    def reset(self) -> None:
        self.attempts: dict[str, Transaction] = {}
        self.payments: dict[str, list[Transaction]] = {}
        self.accounts: dict[str, Transaction] = {}  # those that wait for a deposit
        self.registered: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, float] = {}  # until when
        self.held: dict[str, Delivery] = {}  # to be overtaken by the next event
        self.idempotency = Idempotency(self.world.clock, IDEMPOTENCY_LIFE)

    # Payments

    def keep(self, tx: Transaction) -> None:
        self.attempts[tx.id] = tx
        self.payments.setdefault(tx.payment_id, []).append(tx)
        if tx.due is not None:
            self.accounts[tx.id] = tx

    def current(self, payment_id: str) -> Transaction | None:
        """The attempt that stands for the payment: the one that took money or an account, else the newest."""
        attempts = self.payments.get(payment_id, [])
        for tx in attempts:
            self.expire(tx)
        return next((tx for tx in attempts if tx.status in TAKEN), attempts[-1] if attempts else None)

    def theirs(self, payment_id: str, store_id: object) -> Transaction:
        """Raises PAYMENT_NOT_FOUND, also for another store's payment (§2)."""
        tx = self.current(payment_id)
        if tx is None or store_id not in (None, tx.store_id):
            raise Refused("PAYMENT_NOT_FOUND")
        if store_id is None and self.switches.text("portone_store_default") == "not_found":
            raise Refused("PAYMENT_NOT_FOUND")
        return tx

    def change(self, tx: Transaction, status: str) -> None:
        now = self.world.clock.now()
        tx.status, tx.changed_at, tx.updated_at = status, now, now
        if tx.due is None:
            self.accounts.pop(tx.id, None)
        else:
            self.accounts[tx.id] = tx

    def expire(self, tx: Transaction) -> None:
        if tx.due is not None and self.world.clock.now() >= tx.due:
            self.end_account(tx)

    def end_account(self, tx: Transaction) -> None:
        """Closed or expired. What becomes of the status is not written down: a switch."""
        status = self.switches.text("portone_account_over")
        now = self.world.clock.now()
        self.accounts.pop(tx.id, None)
        if tx.account:
            tx.account["over"] = True
        if status == tx.status:
            return
        if status == "FAILED":
            tx.failed_at, tx.failure = now, "VIRTUAL_ACCOUNT_EXPIRED"
        tx.cancelled_at = now
        self.change(tx, status)
        self.announce(tx, "Failed" if status == "FAILED" else "Cancelled")

    def sweep(self) -> None:
        for tx in list(self.accounts.values()):
            self.expire(tx)

    def count(self, tx: Transaction | None, call: str) -> None:
        if tx:
            tx.calls[call] = tx.calls.get(call, 0) + 1

    def shown(self, tx: Transaction) -> dict[str, Any]:
        return tx.shown(self.switches, [self.webhook_shown(tx, it) for it in self.deliveries(tx)])

    def login(self) -> dict[str, str]:
        now = self.world.clock.now()
        access, refresh = f"access.{secrets.token_hex(16)}", f"refresh.{secrets.token_hex(16)}"
        self.tokens |= {access: now + ACCESS_LIFE, refresh: now + REFRESH_LIFE}
        return {"accessToken": access, "refreshToken": refresh}

    # The browser

    def new_id(self, now: float) -> str:
        return transaction_id(now)

    def wanted(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What the page asks the SDK for, in the words of V2."""
        return asked

    def told(self, tx: Transaction, code: str | None) -> dict[str, str]:
        """What the page hears: the redirect's query, or the promise's answer (§6)."""
        told = {self.switches.text("portone_return_key"): tx.payment_id}
        if self.switches.text("portone_return_query") == "full":
            told |= {"transactionType": "PAYMENT", "txId": tx.id}
        if tx.token:
            told["paymentToken"] = tx.token
        if code:
            message = pg_message(code)
            told |= {"code": "FAILURE_TYPE_PG", "message": f"[{code}] {message}", "pgCode": code, "pgMessage": message}
        return told

    # Webhooks

    def announce(self, tx: Transaction, event: str, cancellation: str | None = None) -> None:
        urls = tx.asked.get("noticeUrls") or [self.world.settings.portone_webhook_url]
        body = hooks.written(self.world, tx, f"Transaction.{event}", cancellation)
        for url in filter(None, urls):
            for _ in range(int(self.switches.number("webhook_copies"))):
                at = kst(self.world.clock.now())
                self.send(tx, Delivery(self.name, url, f"Transaction.{event}", tx.payment_id, body, at))

    def send(self, tx: Transaction, delivery: Delivery) -> None:
        """Events may overtake one another: a held one leaves after its successor."""
        held = self.held.pop(tx.id, None)
        if held is None and self.switches.text("portone_webhook_order") == "swapped":
            self.held[tx.id] = delivery
            return
        for it in (delivery, held):
            if it:
                tx.webhooks.append(it.id)
                self.world.outbox.put(it)

    def webhook_shown(self, tx: Transaction, delivery: Delivery) -> dict[str, Any]:
        return hooks.shown(tx, delivery, len(RESEND_MINUTES) + 1)

    def deliveries(self, tx: Transaction) -> list[Delivery]:
        return [self.world.outbox.deliveries[it] for it in tx.webhooks if it in self.world.outbox.deliveries]

    def webhook_headers(self, delivery: Delivery) -> dict[str, str]:
        return hooks.headers(self.world, delivery)

    def webhook_heard(self, status: int) -> bool:
        return status == 200 or (self.switches.text("portone_webhook_success") == "2xx" and 200 <= status < 300)

    def webhook_waits(self) -> list[float]:
        return [minutes * self.switches.number("webhook_minute_seconds") for minutes in RESEND_MINUTES]

    def webhook_timeout(self) -> float:
        return WEBHOOK_SECONDS

    # The world's questions

    def entries(self) -> Iterable[Entry]:
        return (self.entry(tx) for tx in self.attempts.values())

    def entry(self, tx: Transaction) -> Entry:
        cancels = [
            {"amount": it["totalAmount"], "at": it["cancelledAt"], "transaction_key": it["id"]}
            for it in tx.cancellations
            if it["status"] == "SUCCEEDED"
        ]
        return Entry(
            order_id=tx.payment_id,
            gateway=self.name,
            payment_key=tx.id,
            status=tx.status,
            charged=tx.charged,
            refunded=tx.cancelled + tx.outside,
            confirms=tx.confirms,
            cancels=cancels,
            calls=tx.calls,
        )

    def dump(self) -> dict[str, Any]:
        return {
            "attempts": [asdict(tx) for tx in self.attempts.values()],
            "registered": self.registered,
            "idempotency": self.idempotency.dump(),
        }

    def load(self, kept: dict[str, Any]) -> None:
        self.reset()
        for it in kept["attempts"]:
            self.keep(Transaction(**it))
        self.registered = kept["registered"]
        self.idempotency.load(kept["idempotency"])
