"""V1's payment object: times are unix seconds, 0 where they do not apply (pg/portone.md §13)."""

import json
from datetime import datetime
from typing import Any

from sandbox.portone.codes import BANKS
from sandbox.portone.transaction import Transaction
from sandbox.switches import Switches

# There is no word for a part: it stays `paid`. A virtual account that waits is `ready`.
STATUSES = {
    "READY": "ready",
    "PAY_PENDING": "ready",
    "VIRTUAL_ACCOUNT_ISSUED": "ready",
    "PAID": "paid",
    "PARTIAL_CANCELLED": "paid",
    "CANCELLED": "cancelled",
    "FAILED": "failed",
}
METHODS = {"CARD": "card", "TRANSFER": "trans", "VIRTUAL_ACCOUNT": "vbank", "MOBILE": "phone", "EASY_PAY": "point"}


def shown(tx: Transaction, switches: Switches) -> dict[str, Any]:
    link = f"{tx.base}/portone_v1/receipt/{tx.id}"
    failure = tx.shown_failure()["reason"] if tx.status == "FAILED" else None
    history = [cancelled(it, link) for it in tx.cancellations if it["status"] == "SUCCEEDED"]
    customer = tx.asked.get("customer") or {}
    return {
        "imp_uid": tx.id,
        "merchant_uid": tx.payment_id,
        "pay_method": METHODS[tx.method],
        "channel": tx.platform.lower(),
        "pg_provider": "tosspayments",
        "pg_tid": tx.pg_tx_id,
        "pg_id": "tvivarepublica",
        "name": tx.order_name,
        "amount": tx.amount,
        "cancel_amount": tx.cancelled,
        "currency": tx.currency,
        "status": STATUSES[tx.status],
        "sandbox": switches.text("portone_channel_type") == "TEST",
        "buyer_name": customer.get("fullName"),
        "buyer_email": customer.get("email"),
        "custom_data": json.dumps(tx.asked["customData"]) if "customData" in tx.asked else None,
        "started_at": int(tx.requested_at),
        "paid_at": int(tx.paid_at or 0),
        "failed_at": int(tx.failed_at or 0),
        "cancelled_at": int(tx.cancelled_at or 0),
        "fail_reason": failure,
        "cancel_reason": history[-1]["reason"] if history else None,
        "receipt_url": link if tx.paid_at else None,
        "cancel_history": history,
        "cash_receipt_issued": False,
        **account(tx),
    }


def cancelled(it: dict[str, Any], link: str) -> dict[str, Any]:
    return {
        "pg_tid": it["pgCancellationId"],
        "amount": it["totalAmount"],
        "cancelled_at": int(datetime.fromisoformat(it["cancelledAt"]).timestamp()),
        "reason": it["reason"],
        "cancellation_id": it["id"],
        "receipt_url": link,
    }


def account(tx: Transaction) -> dict[str, Any]:
    its = tx.account
    if its is None:
        return {"vbank_code": None, "vbank_name": None, "vbank_num": None, "vbank_holder": None, "vbank_date": 0}
    facts = {"vbank_code": "004", "vbank_name": BANKS[its["bank"]], "vbank_num": its["number"]}
    return facts | {"vbank_holder": "찐부부", "vbank_date": int(its["due"]), "vbank_issued_at": int(its["issued"])}
