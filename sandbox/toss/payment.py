"""One payment at Toss and the object that the API shows of it (pg/toss.md §3)."""

import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.clock import KST, kst
from sandbox.switches import Switches
from sandbox.tax import vat
from sandbox.toss.codes import EASY_PAYS, METHODS
from sandbox.toss.errors import message

READY_SECONDS = 30 * 60  # window opened -> authenticated
CONFIRM_SECONDS = 10 * 60  # authenticated -> confirmed
OPEN = ("READY", "IN_PROGRESS")
PAID = ("DONE", "PARTIAL_CANCELED")
ALNUM = string.ascii_letters + string.digits


def token(length: int) -> str:
    return "".join(secrets.choice(ALNUM) for _ in range(length))


def transaction_key() -> str:
    return "txrd_a01" + token(24).lower()


def payment_key(mid: str, now: float) -> str:
    return f"{mid[:5]}{datetime.fromtimestamp(now, KST):%Y%m%d%H%M%S}{token(5)}"


@dataclass
class Payment:
    payment_key: str
    client_key: str
    method: str
    amount: int
    order_id: str
    order_name: str
    requested_at: float
    base: str  # the sandbox's own origin, for links
    currency: str = "KRW"
    success_url: str | None = None
    fail_url: str | None = None
    target: str = "self"  # or iframe
    opener: str = "*"  # the origin that an iframe may tell its end to
    sdk: str = "v2"
    options: dict[str, Any] = field(default_factory=dict)  # card{}, virtualAccount{} … as the merchant asked
    customer_name: str = ""
    customer_phone: str = ""
    tax_free: int = 0
    metadata: dict[str, str] | None = None
    status: str = "READY"
    authenticated_at: float | None = None
    approved_at: float | None = None
    decline: str | None = None  # what confirm will answer instead of approving
    failure: str | None = None
    balance: int = 0
    card: dict[str, Any] | None = None
    easy_pay: str | None = None
    bank: str | None = None
    account: dict[str, Any] | None = None  # the virtual account
    cancels: list[dict[str, Any]] = field(default_factory=list)
    secret: str | None = None
    last_transaction_key: str | None = None
    charged: int = 0
    confirms: int = 0
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def expires_at(self) -> float | None:
        if self.status == "READY":
            return self.requested_at + READY_SECONDS
        if self.status == "IN_PROGRESS" and self.authenticated_at:
            return self.authenticated_at + CONFIRM_SECONDS
        return None

    @property
    def canceled(self) -> int:
        return sum(cancel["cancelAmount"] for cancel in self.cancels)

    @property
    def refunded(self) -> int:
        """Given back; canceling a virtual account before its deposit gives nothing back."""
        return self.canceled if self.charged else 0

    @property
    def method_name(self) -> str | None:
        if self.status == "READY" or self.authenticated_at is None:
            return None
        return "간편결제" if self.easy_pay else METHODS[self.method]

    def receipt(self, switches: Switches) -> str:
        sandbox = switches.text("receipt_links") == "sandbox"
        host = f"{self.base}/toss" if sandbox else "https://dashboard.tosspayments.com"
        return f"{host}/receipt/redirection?transactionId={self.payment_key}&ref=PX"

    def shown(self, switches: Switches, now: float) -> dict[str, Any]:
        """Key for key in the order of a real answer (§3.3)."""
        expired, approved = self.status == "EXPIRED", self.last_transaction_key is not None
        tax_free = min(self.tax_free, self.balance)
        tax = vat(self.balance - tax_free)
        return {
            "mId": switches.text("mid"),
            "lastTransactionKey": self.last_transaction_key,
            **({"transactionKey": None} if expired else {}),
            "paymentKey": self.payment_key,
            "orderId": self.order_id,
            "orderName": self.order_name,
            "taxExemptionAmount": 0,
            "status": self.status,
            "requestedAt": kst(self.requested_at),
            "approvedAt": None if self.approved_at is None else kst(self.approved_at),
            "useEscrow": None if expired else False,
            "cultureExpense": False,
            "card": self.shown_card() if approved else None,
            "virtualAccount": self.shown_account(now) if approved else None,
            "transfer": self.settled(bankCode=self.bank) if approved and self.method == "TRANSFER" else None,
            "mobilePhone": self.shown_phone(switches) if approved and self.method == "MOBILE_PHONE" else None,
            "giftCertificate": self.shown_gift() if approved and "GIFT" in self.method else None,
            "cashReceipt": None,
            "cashReceipts": None,
            "discount": None,
            "cancels": self.shown_cancels(switches) or None,
            "secret": self.secret,
            "type": "NORMAL",
            "easyPay": self.shown_easy_pay() if approved else None,
            "country": "KR",
            "failure": self.shown_failure(),
            "isPartialCancelable": self.partly_cancelable,
            "receipt": {"url": self.receipt(switches)} if approved else None,
            "checkout": {"url": f"https://api.tosspayments.com/v1/payments/{self.payment_key}/checkout"},
            "currency": self.currency,
            "totalAmount": self.amount,
            "balanceAmount": self.balance,
            "suppliedAmount": self.balance - tax_free - tax,
            "vat": tax,
            "taxFreeAmount": tax_free,
            "method": None if expired else self.method_name,
            "version": switches.text("api_version"),
            "metadata": self.metadata,
        }

    @property
    def partly_cancelable(self) -> bool:
        options = self.options
        return not (options.get("useEscrow") or options.get("taxExemptionAmount"))

    def shown_card(self) -> dict[str, Any] | None:
        return self.card and self.card | {"amount": self.amount}

    def shown_easy_pay(self) -> dict[str, Any] | None:
        if not self.easy_pay:
            return None
        return {"provider": self.easy_pay, "amount": 0 if self.card else self.amount, "discountAmount": 0}

    def shown_account(self, now: float) -> dict[str, Any] | None:
        if not self.account:
            return None
        return self.account | {"expired": self.status == "WAITING_FOR_DEPOSIT" and now > due(self.account)}

    def shown_phone(self, switches: Switches) -> dict[str, Any]:
        return {
            "customerMobilePhone": self.customer_phone or "01012341234",
            "settlementStatus": "INCOMPLETED",
            "receiptUrl": self.receipt(switches),
        }

    def shown_gift(self) -> dict[str, Any]:
        return self.settled(approveNo="00000000")

    def settled(self, **facts: Any) -> dict[str, Any]:
        return facts | {"settlementStatus": "INCOMPLETED"}

    def shown_cancels(self, switches: Switches) -> list[dict[str, Any]]:
        more = {"cardDiscountAmount": 0} if switches.on("card_discount_amount") else {}
        return [cancel | more for cancel in self.cancels]

    def shown_failure(self) -> dict[str, str] | None:
        return {"code": self.failure, "message": message(self.failure)} if self.failure else None


def direct_easy_pay(payment: Payment) -> str | None:
    """flowMode DIRECT with an easyPay opens that easy pay's own window (§1.2): its Korean name."""
    wanted = payment.options.get("easyPay") if payment.options.get("flowMode") == "DIRECT" else None
    return EASY_PAYS.get(wanted, str(wanted)) if wanted else None


def due(account: dict[str, Any]) -> float:
    """Until when the bank takes the deposit."""
    return datetime.fromisoformat(account["dueDate"]).timestamp()
