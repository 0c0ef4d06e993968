"""One payment at KakaoPay and what the API shows of it (pg/kakaopay.md §6-§9)."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from sandbox.clock import kst

LIFE = 15 * 60  # seconds from ready to approve
PENDING = ("READY", "SEND_TMS", "OPEN_PAYMENT", "SELECT_METHOD", "ARS_WAITING", "AUTH_PASSWORD")
PAID = ("SUCCESS_PAYMENT", "PART_CANCEL_PAYMENT", "CANCEL_PAYMENT")
TEST_CARD = {
    "kakaopay_purchase_corp": "신한",
    "kakaopay_purchase_corp_code": "701",
    "kakaopay_issuer_corp": "신한",
    "kakaopay_issuer_corp_code": "101",
    "bin": "111111",
    "card_type": "신용",
    "install_month": "00",
    "approved_id": "11111111",
    "card_mid": "111111",
    "interest_free_install": "N",
    "card_item_code": "111111",
    "installment_type": "CARD_INSTALLMENT",
}


def number(kind: str, now: float) -> str:
    """T… or A…: 7 hex digits of the second, then 12 of chance (§9)."""
    return f"{kind}{int(now) & 0xFFFFFFF:07x}{secrets.token_hex(6)}"


def local(moment: float | None) -> str | None:
    """Korean time without an offset (§9)."""
    return None if moment is None else kst(moment)[:19]


@dataclass
class Sum:
    """Whole won: all of it, and its parts."""

    total: int = 0
    tax_free: int = 0
    vat: int = 0

    def __add__(self, other: "Sum") -> "Sum":
        return Sum(self.total + other.total, self.tax_free + other.tax_free, self.vat + other.vat)

    def __sub__(self, other: "Sum") -> "Sum":
        return Sum(self.total - other.total, self.tax_free - other.tax_free, self.vat - other.vat)

    def shown(self, green_deposit: int = 0) -> dict[str, int]:
        parts = {"total": self.total, "tax_free": self.tax_free, "vat": self.vat}
        return parts | {"point": 0, "discount": 0, "green_deposit": green_deposit}


@dataclass
class Action:
    """One movement of money: PAYMENT or CANCEL."""

    aid: str
    kind: str
    amount: int
    at: float
    payload: str | None = None


@dataclass
class Payment:
    tid: str
    key: str  # what its page is called: 64 hex digits
    cid: str
    partner_order_id: str
    partner_user_id: str
    item_name: str
    quantity: int
    amount: Sum
    approval_url: str
    cancel_url: str
    fail_url: str
    created_at: float
    item_code: str | None = None
    green_deposit: int = 0
    only: str | None = None  # CARD or MONEY when the merchant allows one of them
    install_month: int = 0
    status: str = "READY"
    ended: bool = False  # expired before its time, because the buyer waited
    method: str | None = None
    pg_token: str | None = None
    decline: str | None = None  # what approve will answer: a reason of the payment method, or a code
    busy: bool = False  # an approve or cancel is under way
    settles_at: float | None = None  # the bank's answer is late: paid from then on
    approved_at: float | None = None
    canceled_at: float | None = None
    canceled: Sum = field(default_factory=Sum)
    actions: list[Action] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)

    @property
    def expires_at(self) -> float:
        return self.created_at + LIFE

    def expired(self, now: float) -> bool:
        """Once the bank has been asked the 15 minutes no longer count."""
        waits = self.status in PENDING and self.settles_at is None
        return waits and (self.ended or now >= self.expires_at)

    @property
    def available(self) -> Sum:
        return self.amount - self.canceled if self.status in PAID else Sum()

    @property
    def is_authenticated(self) -> bool:
        return self.status == "AUTH_PASSWORD"

    @property
    def asked(self) -> dict[str, Any]:
        return {
            "partner_order_id": self.partner_order_id,
            "partner_user_id": self.partner_user_id,
            "payment_method_type": self.method,
            "item_name": self.item_name,
            "item_code": self.item_code,
            "quantity": self.quantity,
        }

    def approval(self) -> dict[str, Any]:
        """Key for key in the order of a real answer (§6); there is no status in it."""
        paid, asked = self.actions[0], self.asked
        method = asked.pop("payment_method_type")
        return {
            "aid": paid.aid,
            "tid": self.tid,
            "cid": self.cid,
            "sid": None,
            **{name: value for name, value in asked.items() if name != "quantity"},
            "payload": paid.payload,
            "quantity": self.quantity,
            "amount": self.amount.shown(self.green_deposit),
            "payment_method_type": method,
            "card_info": self.card,
            "sequential_payment_methods": None,
            **self.times("created_at", "approved_at"),
        }

    def order(self, status: str, *, bare: bool, amounts: bool) -> dict[str, Any]:
        """§7. `bare`: without what a payment that never was may lack; `amounts`: what the actions tell of theirs."""
        card = self.card
        more = {
            "amount": self.amount.shown(self.green_deposit),
            "canceled_amount": self.canceled.shown(),
            "cancel_available_amount": self.available.shown(self.green_deposit if self.available.total else 0),
        }
        selected: dict[str, Any] | None = card and {
            "card_bin": card["bin"],
            "install_month": int(card["install_month"]),
            "card_corp_name": card["kakaopay_issuer_corp"],
            "interest_free_install": card["interest_free_install"],
        }
        return {
            "tid": self.tid,
            "cid": self.cid,
            "status": status,
            **self.asked,
            **({} if bare else more),
            **self.times("created_at", "approved_at", "canceled_at"),
            "selected_card_info": selected if self.approved_at else None,
            "payment_action_details": None if bare else [self.shown(action, amounts) for action in self.actions],
        }

    def shown(self, action: Action, amounts: bool) -> dict[str, Any]:
        given = {"payment_method_type": self.method, "amount": action.amount, "green_deposit": 0}
        return {
            "aid": action.aid,
            "payment_action_type": action.kind,
            **(given if amounts else {}),
            "point_amount": 0,
            "discount_amount": 0,
            "approved_at": local(action.at),
            "payload": action.payload,
        }

    def cancellation(self, given: Sum) -> dict[str, Any]:
        """§8, in the order of a real answer."""
        return {
            "tid": self.tid,
            "cid": self.cid,
            "status": self.status,
            **{name: value for name, value in self.asked.items() if name != "quantity"},
            "aid": self.actions[-1].aid,
            "quantity": self.quantity,
            "amount": self.amount.shown(self.green_deposit),
            "canceled_amount": self.canceled.shown(),
            "cancel_available_amount": self.available.shown(),
            "approved_cancel_amount": given.shown(),
            **self.times("created_at", "approved_at", "canceled_at"),
            "payload": self.actions[-1].payload,
        }

    def times(self, *names: str) -> dict[str, str | None]:
        return {name: local(getattr(self, name)) for name in names}

    @property
    def card(self) -> dict[str, str] | None:
        return TEST_CARD | {"install_month": f"{self.install_month:02}"} if self.method == "CARD" else None
