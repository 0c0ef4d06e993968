"""The Payment object of PortOne V2, read (pg/portone.md §4): tolerant of new words, strict about what carries money."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from app.clock import now
from app.gateways import Account, Cancellation, Movement, Receipt, Standing, unreadable, won
from app.gateways.portone.codes import BANKS, CANCELED, sentence
from app.models import Payment, Status

LATE = timedelta(hours=1)  # by which a bank may tell of a deposit after the account's end
TOKEN_LIFE = timedelta(minutes=30)  # longer than any PG lets an approval wait
STANDING: dict[str, Standing] = {
    "READY": "open",
    "PAY_PENDING": "authenticated",  # the PG takes its time: neither paid nor ever "expired"
    "VIRTUAL_ACCOUNT_ISSUED": "waiting",
    "PAID": "paid",
    "PARTIAL_CANCELLED": "paid",
    "CANCELLED": "canceled",
    "FAILED": "failed",
}


def read(answer: Any, payment: Payment) -> Receipt:
    """`amount.total`, never `amount.paid`, which is there even when nothing was. Raises InDoubt."""
    try:
        status = STANDING[answer["status"]]
        back = tuple(_succeeded(answer))
        took = status == "paid" or (status == "canceled" and (bool(back) or "paidAt" in answer))
        failure = answer.get("failure") or {}
        code = failure.get("pgCode") or bracketed(failure.get("reason"))
        receipt = Receipt(
            status=status,
            order_id=answer["id"],
            transaction_id=answer["id"],
            paid=won(answer["amount"]["total"]) if took else 0,
            currency=answer["currency"],
            canceled=back,
            receipt_url=answer.get("receiptUrl"),
            account=_account(answer.get("method") or {}) if status == "waiting" else None,
            code=code,
            message=sentence(str(code)) if status == "failed" else None,  # a buyer reads it
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable() from error
    return _told_apart(receipt, payment)


def _told_apart(receipt: Receipt, payment: Payment) -> Receipt:
    """What PortOne's words leave open: who failed it, and whether it is over."""
    if receipt.status == "failed" and payment.status == Status.WAITING:
        return replace(receipt, status="expired")  # an account that nobody paid into (§19)
    if receipt.status == "failed" and receipt.code in CANCELED:
        return replace(receipt, status="canceled")  # the buyer closed the window (§4)
    if receipt.status == "open" and payment.pg_token and now() < (payment.claimed_at or now()) + TOKEN_LIFE:
        return replace(receipt, status="authenticated")  # waits for our confirm
    if receipt.account and receipt.account.due and now() > receipt.account.due + LATE:
        return replace(receipt, status="expired")
    return receipt


def _succeeded(answer: dict[str, Any]) -> list[Cancellation]:
    """Oldest first: which end of `cancellations` is the newest is not written down (§19)."""
    done = [one for one in answer.get("cancellations") or () if one["status"] == "SUCCEEDED"]
    done.sort(key=lambda one: one.get("cancelledAt") or one["requestedAt"])
    return [Cancellation(one["id"], won(one["totalAmount"])) for one in done]


def _account(method: dict[str, Any]) -> Account | None:
    if not method.get("accountNumber"):
        return None
    bank, due = method.get("bank") or "", method.get("expiredAt")
    at = datetime.fromisoformat(due) if due else None
    return Account(BANKS.get(bank, bank), method["accountNumber"], method.get("remitteeName") or "", at)


def lines(it: dict[str, Any]) -> list[Movement]:
    """What moved. Raises KeyError, TypeError, ValueError."""
    done = _succeeded(it)
    if it["status"] == "CANCELLED" and not done and "paidAt" not in it:
        return []  # an account that was closed before its deposit
    at = {one["id"]: one.get("cancelledAt") or one["requestedAt"] for one in it.get("cancellations") or ()}
    paid_at = datetime.fromisoformat(it.get("paidAt") or it["requestedAt"])
    took = Movement(it["id"], it["transactionId"], won(it["amount"]["total"]), paid_at)
    back = [(one.transaction_id, -one.amount, datetime.fromisoformat(at[one.transaction_id])) for one in done]
    return [took, *(Movement(it["id"], *line) for line in back)]


def bracketed(message: str | None) -> str | None:
    """`[PAY_PROCESS_CANCELED] 사용자가 …` names the PG's code in its message (§4)."""
    found = re.match(r"\[([A-Za-z0-9_-]{1,64})\]", message or "")
    return found[1] if found else None


def cancellations(answer: Any, status: str) -> set[str]:
    """The ids of those that stand so: REQUESTED is neither given back nor refused. Raises InDoubt."""
    try:
        return {one["id"] for one in answer.get("cancellations") or () if one["status"] == status}
    except (KeyError, TypeError, AttributeError) as error:
        raise unreadable() from error
