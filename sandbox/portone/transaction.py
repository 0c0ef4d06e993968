"""One attempt to pay a paymentId, and the Payment object that the API shows of it (pg/portone.md §4)."""

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.portone.errors import pg_message
from sandbox.switches import Switches
from sandbox.tax import vat

MERCHANT = "merchant-9d3fdbd7-3fff-47fc-ae20-39df72c4a9c0"
TAKEN = ("PAID", "PARTIAL_CANCELLED", "CANCELLED", "VIRTUAL_ACCOUNT_ISSUED", "PAY_PENDING")
SETTLED = ("PAID", "PARTIAL_CANCELLED", "CANCELLED")


def transaction_id(now: float) -> str:
    """Looks like a UUID whose first 48 bits are milliseconds; the other bits mean nothing."""
    digits = f"{int(now * 1000):012x}{secrets.token_hex(10)}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def rfc3339(moment: float, precision: str = "nanoseconds") -> str:
    seconds = datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{seconds}Z" if precision == "seconds" else f"{seconds}.{int(moment % 1 * 1e9):09d}Z"


@dataclass
class Transaction:
    id: str
    payment_id: str
    store_id: str
    channel_key: str
    method: str
    amount: int
    order_name: str
    requested_at: float
    base: str  # the sandbox's own origin, for links
    version: str = "V2"
    currency: str = "KRW"
    tax_free: int = 0
    asked: dict[str, Any] = field(default_factory=dict)  # the rest of what the merchant's page asked for
    manual: bool = False  # money moves at POST …/confirm
    framed: bool = False  # the window lies over the merchant's page
    opener: str = "*"  # the origin that a framed window may tell its end to
    platform: str = "PC"
    status: str = "READY"
    changed_at: float = 0
    updated_at: float = 0
    paid_at: float | None = None
    failed_at: float | None = None
    cancelled_at: float | None = None
    token: str | None = None  # paymentToken of a manual confirm
    token_at: float = 0
    decline: str | None = None  # what the PG answers at a manual confirm
    failure: str | None = None
    chosen: dict[str, str] = field(default_factory=dict)  # card, months, easy_pay, bank
    account: dict[str, Any] | None = None
    cancellations: list[dict[str, Any]] = field(default_factory=list)
    pg_tx_id: str | None = None
    webhooks: list[str] = field(default_factory=list)  # ids of deliveries
    confirms: int = 0
    charged: int = 0
    outside: int = 0  # given back in the PG's own console, which PortOne does not see
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def cancelled(self) -> int:
        return sum(int(it["totalAmount"]) for it in self.cancellations if it["status"] == "SUCCEEDED")

    @property
    def left(self) -> int:
        """What can still be cancelled: a request under way has its amount already."""
        return self.amount - sum(int(it["totalAmount"]) for it in self.cancellations if it["status"] != "FAILED")

    @property
    def due(self) -> float | None:
        """When the virtual account stops waiting for its deposit."""
        if self.account is None or self.account.get("over") or self.status != "VIRTUAL_ACCOUNT_ISSUED":
            return None
        return float(self.account["due"])

    def shown(self, switches: Switches, webhooks: list[dict[str, Any]]) -> dict[str, Any]:
        """Optional fields that have no value are left out, never null."""
        at = switches.text("portone_times")
        facts: dict[str, Any] = {
            "status": self.status,
            "id": self.payment_id,
            "transactionId": self.id,
            "merchantId": MERCHANT,
            "storeId": self.store_id,
            "method": self.shown_method(switches),
            "channel": self.shown_channel(switches),
            "version": self.version,
            "webhooks": webhooks or None,
            "requestedAt": rfc3339(self.requested_at, at),
            "updatedAt": rfc3339(self.updated_at or self.requested_at, at),
            "statusChangedAt": rfc3339(self.changed_at or self.requested_at, at),
            "orderName": self.order_name,
            "amount": self.shown_amount(switches),
            "currency": self.currency,
            "customer": self.shown_customer(),
            "origin": {"platformType": self.platform, "ipAddress": "127.0.0.1"},
            "customData": self.shown_custom_data(),
            "isCulturalExpense": False,
        }
        facts |= self.shown_end(switches, at)
        return {name: value for name, value in facts.items() if value is not None}

    def shown_end(self, switches: Switches, at: str) -> dict[str, Any]:
        """What a status brings with it."""
        pg_tx_id = self.pg_tx_id if self.status in TAKEN else None
        end: dict[str, Any] = {"pgTxId": pg_tx_id}
        if self.status in SETTLED and self.paid_at:
            end["paidAt"] = rfc3339(self.paid_at, at)
            end["receiptUrl"] = f"{self.base}/portone/receipt/{self.id}"
        if self.status == "PAID":
            end |= {"disputes": [], "pgResponse": json.dumps({"tid": self.pg_tx_id})}
        if self.status == "FAILED":
            end["failedAt"] = rfc3339(self.failed_at or self.requested_at, at)
            end["failure"] = self.shown_failure()
        if self.status in SETTLED and (self.cancellations or self.status != "PAID"):
            newest = switches.text("portone_cancellations") == "newest"
            end["cancellations"] = self.cancellations[:: -1 if newest else 1]
        if self.status in ("PARTIAL_CANCELLED", "CANCELLED"):
            end["cancelledAt"] = rfc3339(self.cancelled_at or self.requested_at, at)
        return end

    def shown_amount(self, switches: Switches) -> dict[str, int]:
        """`paid` says what was to be paid, whatever became of it (§4)."""
        reduced = self.cancelled if switches.text("portone_paid_after_cancel") == "reduced" else 0
        tax = vat(self.amount - self.tax_free)
        return {
            "total": self.amount,
            "taxFree": self.tax_free,
            "vat": tax,
            "supply": self.amount - tax,
            "discount": 0,
            "paid": self.amount - reduced,
            "cancelled": self.cancelled,
            "cancelledTaxFree": 0,
        }

    def shown_channel(self, switches: Switches) -> dict[str, str] | None:
        if self.status in ("READY", "FAILED") and switches.text("portone_method_before_paid") == "omitted":
            return None
        provider = switches.text("portone_pg")
        return {
            "type": switches.text("portone_channel_type"),
            "id": self.channel_key.replace("channel-key-", "channel-id-"),
            "key": self.channel_key,
            "name": "샌드박스 채널",
            "pgProvider": provider,
            "pgMerchantId": "TC0ONETIME" if provider == "KAKAOPAY" else "tvivarepublica",
        }

    def shown_customer(self) -> dict[str, str]:
        """The request says customerId and fullName, the answer id and name."""
        asked = self.asked.get("customer") or {}
        renamed = {"customerId": "id", "fullName": "name"}
        customer = {renamed.get(name, name): str(value) for name, value in asked.items() if value is not None}
        return {"id": f"port-customer-id-{self.id}"} | customer

    def shown_custom_data(self) -> str | None:
        data = self.asked.get("customData")
        return None if data is None else json.dumps(data, ensure_ascii=False)

    def shown_failure(self) -> dict[str, str]:
        code = self.failure or "PROVIDER_ERROR"
        return {"reason": f"[{code}] {pg_message(code)}", "pgCode": code, "pgMessage": pg_message(code)}

    def shown_method(self, switches: Switches) -> dict[str, Any] | None:
        before = self.status in ("READY", "FAILED")
        if before and switches.text("portone_method_before_paid") == "omitted":
            return None
        match self.method:
            case "CARD":
                return {"type": "PaymentMethodCard"} | ({} if before else self.shown_card())
            case "EASY_PAY":
                inner = {"type": "PaymentMethodEasyPayMethodCharge"}
                provider = self.chosen.get("easy_pay") or "KAKAOPAY"
                return {"type": "PaymentMethodEasyPay", "provider": provider, "easyPayMethod": inner}
            case "TRANSFER":
                bank = self.chosen.get("bank")
                return {"type": "PaymentMethodTransfer"} | ({"bank": bank} if bank else {})
            case "VIRTUAL_ACCOUNT" if self.account:
                return self.shown_account(switches)
            case "MOBILE":
                return {"type": "PaymentMethodMobile", "phoneNumber": "01012341234"}
        return None

    def shown_card(self) -> dict[str, Any]:
        issuer = self.chosen.get("card", "SHINHAN_CARD")
        months = self.chosen.get("months", "0")
        card = {"issuer": issuer, "publisher": issuer, "type": "CREDIT", "ownerType": "PERSONAL", "bin": "433012"}
        return {
            "card": card | {"name": "샌드박스 카드", "number": "43301234****123*"},
            "approvalNumber": "00000000",
            "installment": {"month": int(months) if months.isdigit() else 0, "isInterestFree": False},
            "pointUsed": False,
        }

    def shown_account(self, switches: Switches) -> dict[str, Any]:
        its, at = self.account or {}, switches.text("portone_times")
        method = {
            "type": "PaymentMethodVirtualAccount",
            "bank": its["bank"],
            "accountNumber": its["number"],
            "accountType": "NORMAL",
            "remitteeName": "찐부부",
            "expiredAt": rfc3339(its["due"], at),
            "issuedAt": rfc3339(its["issued"], at),
        }
        return method | ({"refundStatus": its["refund"]} if its.get("refund") else {})

    def shown_attempt(self, switches: Switches) -> dict[str, Any]:
        """The same facts as an attempt names them: GET …/transactions."""
        shown = self.shown(switches, [])
        del shown["transactionId"]
        return shown | {"id": self.id, "paymentId": self.payment_id}
