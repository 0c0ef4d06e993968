"""How money goes back: by API or console, at once or after a wait, and when it does not (pg/portone.md §3, §8)."""

import secrets
from typing import Any

from sandbox.portone.codes import BANKS
from sandbox.portone.errors import Refused
from sandbox.portone.store import PortOne
from sandbox.portone.transaction import Transaction, rfc3339
from sandbox.tax import vat

REQUESTERS = (None, "CUSTOMER", "ADMIN")


def cancel(portone: PortOne, tx: Transaction, body: dict[str, Any], trigger: str = "API") -> dict[str, Any]:
    """Answers the cancellation: REQUESTED or SUCCEEDED."""
    amount = check(portone, tx, body)
    if tx.account:
        tx.account |= {"refund": "PENDING" if portone.switches.on("portone_cancel_waits") else "COMPLETED"}
    tax_free = body.get("taxFreeAmount") or 0
    its: dict[str, Any] = {
        "status": "REQUESTED",
        "id": f"cancellation-{secrets.token_hex(16)}",
        "pgCancellationId": secrets.token_hex(16),
        "totalAmount": amount,
        "taxFreeAmount": tax_free,
        "vatAmount": body.get("vatAmount") or vat(amount - tax_free),
        "reason": body["reason"],
        "requestedAt": rfc3339(portone.world.clock.now()),
        "trigger": trigger,
    }
    tx.cancellations.append(its)
    tx.updated_at = portone.world.clock.now()
    if not portone.switches.on("portone_cancel_waits"):
        succeed(portone, tx, its, not body.get("skipWebhook"))
    elif not body.get("skipWebhook"):
        portone.announce(tx, "CancelPending", its["id"])
    return its


def succeed(portone: PortOne, tx: Transaction, its: dict[str, Any], tell: bool = True) -> None:
    now = portone.world.clock.now()
    its |= {"status": "SUCCEEDED", "cancelledAt": rfc3339(now)}
    tx.cancelled_at = now
    whole = tx.cancelled == tx.amount
    portone.change(tx, "CANCELLED" if whole else "PARTIAL_CANCELLED")
    if tx.account:
        tx.account["refund"] = "COMPLETED"
    if tell:
        portone.announce(tx, "Cancelled" if whole else "PartialCancelled", its["id"])


def settle(portone: PortOne, tx: Transaction, success: bool) -> None:
    """The PG has decided about the cancellation that waits."""
    its = next((it for it in tx.cancellations if it["status"] == "REQUESTED"), None)
    if its is None:
        raise Refused("INVALID_REQUEST", why="기다리는 취소가 없습니다.")
    if success:
        return succeed(portone, tx, its)
    its["status"] = "FAILED"
    tx.updated_at = portone.world.clock.now()
    if tx.account:
        tx.account["refund"] = "FAILED"


def check(portone: PortOne, tx: Transaction, body: dict[str, Any]) -> int:
    """How much goes back, whole won."""
    check_shape(body)
    if tx.status == "CANCELLED":
        raise Refused("PAYMENT_ALREADY_CANCELLED")
    if tx.status not in ("PAID", "PARTIAL_CANCELLED"):
        raise Refused("PAYMENT_NOT_PAID")
    if body.get("currentCancellableAmount") not in (None, tx.left):
        raise Refused("CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN")
    amount: int = tx.left if body.get("amount") is None else body["amount"]
    if amount > tx.left:
        raise Refused("CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT")
    if amount <= 0:
        raise Refused("INVALID_REQUEST")
    if (body.get("taxFreeAmount") or 0) > tx.tax_free:
        raise Refused("CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT")
    if (body.get("taxFreeAmount") or 0) + (body.get("vatAmount") or 0) > amount:
        raise Refused("SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT")
    if tx.account:
        check_account(portone, body.get("refundAccount"))
    return amount


def check_shape(body: dict[str, Any]) -> None:
    reason = body.get("reason")
    if not isinstance(reason, str) or not reason or body.get("requester") not in REQUESTERS:
        raise Refused("INVALID_REQUEST", why="reason이 필요합니다.")
    for name in ("amount", "taxFreeAmount", "vatAmount", "currentCancellableAmount"):
        value = body.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise Refused("INVALID_REQUEST", why=f"{name}은(는) 정수여야 합니다.")


def check_account(portone: PortOne, wanted: object) -> None:
    """Money paid in by hand needs an account to go back to."""
    if not isinstance(wanted, dict):
        raise Refused(portone.switches.text("portone_refund_without_account"))
    number, holder = wanted.get("number"), wanted.get("holderName")
    if wanted.get("bank") not in BANKS or not isinstance(holder, str) or not holder:
        raise Refused("INVALID_REQUEST", why="refundAccount가 올바르지 않습니다.")
    if not isinstance(number, str) or not number.isdigit():
        raise Refused("INVALID_REQUEST", why="refundAccount.number가 올바르지 않습니다.")
