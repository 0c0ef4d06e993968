"""How money goes back: whole or in parts, and when it does not (pg/toss.md §2.4)."""

from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import KST, kst
from sandbox.toss.codes import BANKS, code_of
from sandbox.toss.errors import Refused
from sandbox.toss.payment import Payment, transaction_key
from sandbox.toss.store import Toss

REFUND_DAYS = {"TRANSFER": 180, "VIRTUAL_ACCOUNT": 365}


def too_late(toss: Toss, payment: Payment) -> bool:
    if payment.approved_at is None:
        return False
    now = toss.world.clock.now()
    if payment.method == "MOBILE_PHONE":
        return month(now) != month(payment.approved_at)
    days = REFUND_DAYS.get(payment.method)
    return days is not None and now - payment.approved_at > timedelta(days=days).total_seconds()


def month(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, KST):%Y-%m}"


def check_cancel(toss: Toss, payment: Payment, body: dict[str, Any], amount: int | None) -> int:
    """How much the cancel gives back, or the refusal (§2.4)."""
    if payment.status == "CANCELED":
        raise Refused("ALREADY_CANCELED_PAYMENT")
    if payment.status not in ("DONE", "PARTIAL_CANCELED", "WAITING_FOR_DEPOSIT"):
        raise Refused("NOT_CANCELABLE_PAYMENT")
    if body.get("currency") not in (None, payment.currency):
        raise Refused("INVALID_REQUEST")
    if body.get("refundableAmount") not in (None, payment.balance):
        raise Refused("NOT_MATCHES_REFUNDABLE_AMOUNT")
    wanted = payment.balance if amount is None else amount
    if wanted > payment.balance or payment.balance == 0:
        raise Refused("NOT_CANCELABLE_AMOUNT")
    if wanted <= 0:
        raise Refused("INVALID_REQUEST")
    if wanted < payment.balance:
        check_partial(payment)
    if too_late(toss, payment):
        raise Refused("EXCEED_MAX_REFUND_DUE")
    return wanted


def check_partial(payment: Payment) -> None:
    if payment.status == "WAITING_FOR_DEPOSIT":
        raise Refused("NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT")
    if not payment.partly_cancelable:
        raise Refused("NOT_ALLOWED_PARTIAL_REFUND")


def refund_account(toss: Toss, payment: Payment, wanted: object) -> dict[str, str] | None:
    """Money paid in by hand needs an account to go back to; nothing else takes one."""
    if not payment.account or payment.status == "WAITING_FOR_DEPOSIT":
        return None
    if not isinstance(wanted, dict):
        raise Refused(toss.world.switches.text("refund_without_account_code"))
    bank = code_of(str(wanted.get("bank", "")), BANKS)
    number, holder = wanted.get("accountNumber"), wanted.get("holderName")
    if not bank:
        raise Refused("INVALID_BANK")
    if not (isinstance(number, str) and number.isdigit() and len(number) <= 20):
        raise Refused("INVALID_REFUND_ACCOUNT_NUMBER")
    if not (isinstance(holder, str) and 1 <= len(holder) <= 60):
        raise Refused("INVALID_REFUND_ACCOUNT_INFO")
    return {"bankCode": bank, "accountNumber": number, "holderName": holder}


def cancel(toss: Toss, payment: Payment, body: dict[str, Any], amount: int | None) -> None:
    wanted = check_cancel(toss, payment, body, amount)
    back_to = refund_account(toss, payment, body.get("refundReceiveAccount"))
    if payment.account and back_to:
        payment.account |= {"refundStatus": "COMPLETED", "refundReceiveAccount": back_to}
    payment.balance -= wanted
    whole = wanted == payment.amount
    payment.status = "CANCELED" if whole else "PARTIAL_CANCELED"
    payment.last_transaction_key = transaction_key()
    payment.cancels.append(canceled(payment, wanted, body, toss.world.clock.now()))
    sign = -1 if toss.world.switches.text("cancel_row_sign") == "negative" else 1
    toss.record(payment, sign * wanted, payment.last_transaction_key)
    toss.announce(payment)


def canceled(payment: Payment, amount: int, body: dict[str, Any], now: float) -> dict[str, Any]:
    return {
        "transactionKey": payment.last_transaction_key,
        "cancelReason": body["cancelReason"],
        "taxExemptionAmount": 0,
        "canceledAt": kst(now),
        "transferDiscountAmount": 0,
        "easyPayDiscountAmount": 0,
        "receiptKey": None,
        "cancelAmount": amount,
        "taxFreeAmount": 0,
        "refundableAmount": payment.balance,
        "cancelStatus": "DONE",
        "cancelRequestId": body.get("cancelRequestId"),
    }
