"""How a payment moves up to its charge (pg/portone.md §6–8). No awaits: what is checked still holds at its effect."""

import secrets
from typing import Any

from sandbox.portone.asked import check, due
from sandbox.portone.codes import BANKS, SHOWN_BANKS
from sandbox.portone.errors import Refused
from sandbox.portone.store import PortOne
from sandbox.portone.transaction import TAKEN, Transaction, rfc3339

KEPT = ("customer", "customData", "redirectUrl", "forceRedirect", "noticeUrls", "virtualAccount", "easyPay")


def register(portone: PortOne, payment_id: str, body: dict[str, Any]) -> None:
    """POST …/pre-register: the browser can no longer name another amount."""
    if taken(portone, payment_id):
        raise Refused("ALREADY_PAID")
    total, currency = body.get("totalAmount"), body.get("currency")
    if total is not None and (isinstance(total, bool) or not isinstance(total, int) or total < 0):
        raise Refused("INVALID_REQUEST")
    fixed = {"totalAmount": total, "taxFreeAmount": body.get("taxFreeAmount"), "currency": currency}
    portone.registered[payment_id] = {name: value for name, value in fixed.items() if value is not None}


def taken(portone: PortOne, payment_id: str) -> bool:
    return any(tx.status in TAKEN for tx in portone.payments.get(payment_id, []))


def request(portone: PortOne, wanted: dict[str, Any], base: str, opener: str) -> Transaction:
    """PortOne.requestPayment: an attempt, its window still to be shown."""
    wanted = {name: value for name, value in wanted.items() if value is not None}
    check(wanted, portone.switches.text("portone_pg"))
    payment_id = wanted["paymentId"]
    if taken(portone, payment_id):
        raise Refused("PaymentAlreadyPaid")
    asked = wanted | {"currency": wanted["currency"].removeprefix("CURRENCY_")}
    for name, value in portone.registered.get(payment_id, {}).items():
        if asked.get(name, 0) != value:
            raise Refused("AmountNotEqualToPredefined")
    return attempt(portone, asked, base, opener)


def attempt(portone: PortOne, asked: dict[str, Any], base: str, opener: str) -> Transaction:
    now = portone.world.clock.now()
    tx = Transaction(
        id=portone.new_id(now),
        payment_id=asked["paymentId"],
        store_id=asked["storeId"],
        channel_key=asked.get("channelKey", "channel-key-of-the-group"),
        method=asked["payMethod"],
        amount=asked["totalAmount"],
        order_name=asked["orderName"],
        requested_at=now,
        base=base,
        version=portone.version,
        tax_free=asked.get("taxFreeAmount", 0),
        asked={name: asked[name] for name in KEPT if name in asked},
        manual=portone.switches.on("portone_manual_confirm"),
        framed=asked.get("windowTarget") == "iframe",
        opener=opener,
        platform="MOBILE" if asked.get("mobile") else "PC",
    )
    portone.keep(tx)
    portone.announce(tx, "Ready")
    return tx


def approve(portone: PortOne, tx: Transaction, chosen: dict[str, str]) -> None:
    """The buyer agreed. The money moves at once, or at the merchant's confirm where the channel is set so."""
    check_open(portone, tx)
    tx.chosen = {name: str(value) for name, value in chosen.items() if name in ("card", "months", "easy_pay", "bank")}
    if not tx.manual:
        return charge(portone, tx)
    tx.token, tx.token_at = f"payment-token-{secrets.token_hex(16)}", portone.world.clock.now()


def check_open(portone: PortOne, tx: Transaction) -> None:
    if tx.status != "READY":
        raise Refused("InvalidEntityState")
    if taken(portone, tx.payment_id):
        raise Refused("PaymentAlreadyPaid")


def decline(portone: PortOne, tx: Transaction, code: str) -> None:
    """The PG says no: at once, or when the merchant confirms."""
    if tx.manual:
        approve(portone, tx, {})
        tx.decline = code
    else:
        stop(portone, tx, code)


def stop(portone: PortOne, tx: Transaction, code: str) -> None:
    """At the window, where even the buyer's own closing makes the payment FAILED (§4)."""
    check_open(portone, tx)
    fail(portone, tx, code)


def pend(portone: PortOne, tx: Transaction) -> None:
    """The PG takes its time."""
    check_open(portone, tx)
    portone.change(tx, "PAY_PENDING")
    portone.announce(tx, "PayPending")


def fail(portone: PortOne, tx: Transaction, code: str) -> None:
    tx.failed_at, tx.failure, tx.token = portone.world.clock.now(), code, None
    portone.change(tx, "FAILED")
    portone.announce(tx, "Failed")


def charge(portone: PortOne, tx: Transaction) -> None:
    now = portone.world.clock.now()
    tx.pg_tx_id, tx.token = f"tiamp{secrets.token_hex(8)}", None
    tx.confirms += 1
    if tx.method == "VIRTUAL_ACCOUNT":
        tx.account = account(tx, now)
        portone.change(tx, "VIRTUAL_ACCOUNT_ISSUED")
        return portone.announce(tx, "VirtualAccountIssued")
    pay(portone, tx)


def pay(portone: PortOne, tx: Transaction) -> None:
    tx.paid_at, tx.charged = portone.world.clock.now(), tx.amount
    portone.change(tx, "PAID")
    portone.announce(tx, "Paid")


def account(tx: Transaction, now: float) -> dict[str, Any]:
    bank = tx.chosen.get("bank", "")
    return {
        "bank": bank if bank in BANKS else SHOWN_BANKS[0],
        "number": "".join(secrets.choice("0123456789") for _ in range(14)),
        "issued": now,
        "due": due(tx.asked["virtualAccount"]["accountExpiry"], now),
    }


def confirm(portone: PortOne, payment_id: str, body: dict[str, Any]) -> dict[str, str]:
    """POST …/confirm: the buyer's paymentToken takes the money, once (§7)."""
    token = body.get("paymentToken")
    if not isinstance(token, str) or not token:
        raise Refused("INVALID_REQUEST", why="paymentToken이 필요합니다.")
    if taken(portone, payment_id):
        raise Refused("ALREADY_PAID")
    portone.theirs(payment_id, body.get("storeId"))
    life = portone.switches.number("portone_token_minutes") * 60
    attempts = portone.payments[payment_id]
    tx = next((tx for tx in attempts if tx.token == token and portone.world.clock.now() < tx.token_at + life), None)
    if tx is None:
        raise Refused("INVALID_PAYMENT_TOKEN")
    check_information(portone, tx, body)
    if tx.decline:
        code, tx.decline = tx.decline, None
        fail(portone, tx, code)
        raise Refused("PG_PROVIDER", code)
    charge(portone, tx)
    return {"pgTxId": tx.pg_tx_id or "", "paidAt": rfc3339(portone.world.clock.now())}


def check_information(portone: PortOne, tx: Transaction, body: dict[str, Any]) -> None:
    """What the merchant says of the payment, where it says anything, must be so."""
    truth = {
        "txId": tx.id,
        "currency": tx.currency,
        "totalAmount": tx.amount,
        "taxFreeAmount": tx.tax_free,
        "isTest": portone.switches.text("portone_channel_type") == "TEST",
    }
    if any(body.get(name) not in (None, value) for name, value in truth.items()):
        raise Refused("INFORMATION_MISMATCH")


def close_account(portone: PortOne, tx: Transaction) -> dict[str, str]:
    if tx.due is None:
        raise Refused("PAYMENT_NOT_WAITING_FOR_DEPOSIT")
    portone.end_account(tx)
    return {"closedAt": rfc3339(portone.world.clock.now())}


def deposit(portone: PortOne, tx: Transaction) -> None:
    """The bank's part of a virtual account: the money comes in."""
    if tx.due is None:
        raise Refused("PAYMENT_NOT_WAITING_FOR_DEPOSIT")
    pay(portone, tx)
