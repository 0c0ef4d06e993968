"""How a payment moves up to its charge (pg/toss.md §3.2). No awaits: what is checked still holds at its effect."""

import secrets
from datetime import timedelta
from typing import Any, NoReturn

from sandbox.clock import kst
from sandbox.toss.asked import check
from sandbox.toss.codes import BANKS, CARDS, EASY_PAYS, SHOWN_BANKS, SHOWN_CARDS, code_of
from sandbox.toss.errors import DECLINES, Refused
from sandbox.toss.payment import Payment, direct_easy_pay, due, payment_key, transaction_key
from sandbox.toss.store import Toss, secret

ACCOUNT_METHODS = ("TRANSFER", "VIRTUAL_ACCOUNT")


def open_window(toss: Toss, wanted: dict[str, Any], base: str, opener: str) -> Payment:
    wanted = {key: value for key, value in wanted.items() if value is not None}
    method, amount, currency, options = check(wanted)
    if not toss.client_known(wanted["clientKey"]):
        raise Refused("UNAUTHORIZED_KEY")
    if toss.world.switches.text("duplicate_order") == "open" and toss.approved_elsewhere(wanted["orderId"]):
        raise Refused("DUPLICATED_ORDER_ID")
    now = toss.world.clock.now()
    payment = Payment(
        payment_key=payment_key(toss.world.switches.text("mid"), now),
        client_key=wanted["clientKey"],
        method=method,
        amount=amount,
        balance=amount,
        currency=currency,
        order_id=wanted["orderId"],
        order_name=wanted["orderName"],
        requested_at=now,
        base=base,
        success_url=wanted.get("successUrl"),
        fail_url=wanted.get("failUrl"),
        target=wanted.get("windowTarget", "self"),
        opener=opener,
        sdk=wanted.get("sdk", "v2"),
        options=options,
        customer_name=wanted.get("customerName", ""),
        customer_phone=wanted.get("customerMobilePhone", ""),
        tax_free=int(wanted.get("taxFreeAmount", 0)),
        metadata=wanted.get("metadata"),
    )
    toss.keep(payment)
    return payment


def authenticate(toss: Toss, payment: Payment, chosen: dict[str, str], decline: str | None = None) -> None:
    """The buyer proved who they are. Nothing is charged before confirm."""
    if payment.status == "IN_PROGRESS":
        return
    payment.status, payment.authenticated_at = "IN_PROGRESS", toss.world.clock.now()
    payment.decline = decline
    if payment.method == "CARD":
        easy_pay = EASY_PAYS.get(chosen.get("easy_pay", ""), chosen.get("easy_pay")) or None
        payment.easy_pay = direct_easy_pay(payment) or easy_pay
        payment.card = None if payment.easy_pay else card(chosen)
    payment.bank = code_of(chosen.get("bank", ""), BANKS) or SHOWN_BANKS[0]


def card(chosen: dict[str, str]) -> dict[str, Any]:
    issuer = code_of(chosen.get("card", ""), CARDS) or SHOWN_CARDS[0]
    months = chosen.get("months", "0")
    return {
        "issuerCode": issuer,
        "acquirerCode": issuer,
        "number": "43301234****123*",
        "installmentPlanMonths": int(months) if months.isdigit() else 0,
        "isInterestFree": False,
        "interestPayer": None,
        "approveNo": "00000000",
        "useCardPoint": False,
        "cardType": "신용",
        "ownerType": "개인",
        "acquireStatus": "READY",
        "amount": 0,
    }


def decline_at_window(toss: Toss, payment: Payment, code: str) -> None:
    if toss.world.switches.text("window_decline_status") == "ABORTED":
        toss.close(payment, "ABORTED", code)


def check_confirm(toss: Toss, payment: Payment | None, secret: str, order_id: str, amount: float) -> Payment:
    switches = toss.world.switches
    if payment is None or payment.status == "EXPIRED" or not toss.owns(secret, payment):
        raise Refused("NOT_FOUND_PAYMENT_SESSION")
    if payment.order_id != order_id:
        raise Refused("FORBIDDEN_REQUEST")
    if payment.status == "READY":
        raise Refused(switches.text("unauthenticated_code"))
    again = switches.text("confirm_after_abort")
    if payment.status == "ABORTED" and again != "retry":
        raise Refused(again)
    if payment.status not in ("IN_PROGRESS", "ABORTED"):
        raise Refused("ALREADY_PROCESSED_PAYMENT")
    if payment.amount != amount:
        raise Refused(switches.text("amount_mismatch_code"))
    if switches.text("duplicate_order") != "never" and toss.approved_elsewhere(order_id):
        raise Refused("DUPLICATED_ORDER_ID")
    return payment


def confirm(toss: Toss, payment: Payment) -> None:
    if code := payment.decline or too_small(payment):
        payment.decline = None  # a later confirm, where one is allowed, is not declined again
        decline(toss, payment, code)
    approve(toss, payment)


def decline(toss: Toss, payment: Payment | None, code: str) -> NoReturn:
    if payment and payment.status == "IN_PROGRESS" and code in DECLINES:
        toss.close(payment, "ABORTED", code)
    raise Refused(code)


def too_small(payment: Payment) -> str | None:
    least = 200 if payment.method in ACCOUNT_METHODS else 100
    return "BELOW_MINIMUM_AMOUNT" if payment.currency == "KRW" and payment.amount < least else None


def approve(toss: Toss, payment: Payment) -> None:
    now = toss.world.clock.now()
    waits = payment.method == "VIRTUAL_ACCOUNT"
    payment.status = "WAITING_FOR_DEPOSIT" if waits else "DONE"
    payment.failure, payment.secret, payment.last_transaction_key = None, secret(), transaction_key()
    payment.confirms += 1
    if waits:
        payment.account = account(payment, now)
    else:
        payment.approved_at, payment.charged = now, payment.amount
    toss.open.pop(payment.payment_key, None)
    toss.record(payment, payment.charged, payment.last_transaction_key)
    toss.announce(payment)


def account(payment: Payment, now: float) -> dict[str, Any]:
    hours = payment.options.get("validHours") or 168
    due = payment.options.get("dueDate") or kst(now + timedelta(hours=hours).total_seconds())
    return {
        "accountNumber": "X" + "".join(secrets.choice("0123456789") for _ in range(13)),
        "accountType": "일반",
        "bankCode": payment.bank,
        "customerName": payment.customer_name or "홍길동",
        "dueDate": due if "+" in due else due + "+09:00",
        "expired": False,
        "settlementStatus": "INCOMPLETED",
        "refundStatus": "NONE",
        "refundReceiveAccount": None,
    }


def deposit(toss: Toss, payment: Payment, undo: bool) -> None:
    """The buyer paid in; or the bank took the money back, which Toss knows as a back-transition."""
    before, after = ("DONE", "WAITING_FOR_DEPOSIT") if undo else ("WAITING_FOR_DEPOSIT", "DONE")
    if not payment.account or payment.status != before:
        raise Refused("INVALID_REQUEST")
    if not undo and toss.world.clock.now() > due(payment.account):  # the bank knows the account no more
        raise Refused("INVALID_REQUEST")
    payment.status, payment.last_transaction_key = after, transaction_key()
    payment.charged = 0 if undo else payment.amount
    payment.approved_at = None if undo else toss.world.clock.now()
    toss.record(payment, payment.charged, payment.last_transaction_key)
    toss.announce(payment)
