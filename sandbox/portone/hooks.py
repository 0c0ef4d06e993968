"""What a merchant hears: bodies of both versions, signed as Standard Webhooks say (pg/portone.md §9)."""

import base64
import hashlib
import json
import time
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

from sandbox.portone.transaction import Transaction, rfc3339
from sandbox.webhooks import Delivery
from sandbox.world import World

NOBODYS = "whsec_" + base64.b64encode(b"a secret that nobody was given..").decode()
FATES = {"success": "SUCCEEDED", "failed": "FAILED_NOT_OK_RESPONSE"}


def written(world: World, tx: Transaction, event: str, cancellation: str | None) -> str:
    body: dict[str, Any] = {"payment_id": tx.payment_id, "tx_id": tx.id, "status": event.removeprefix("Transaction.")}
    if world.switches.text("portone_webhook_version") == "2024-01-01":
        return json.dumps(body, separators=(",", ":"))
    data = {"storeId": tx.store_id, "paymentId": tx.payment_id, "transactionId": tx.id}
    data |= {"cancellationId": cancellation} if cancellation else {}
    body = {"type": event, "timestamp": rfc3339(world.clock.now()), "data": data}
    return json.dumps(body, separators=(",", ":"))


def webhook_id(delivery: Delivery) -> str:
    """The same for every delivery of one event."""
    return "msg_" + hashlib.sha256(f"{delivery.order_id}{delivery.event}{delivery.body}".encode()).hexdigest()[:26]


def headers(world: World, delivery: Delivery) -> dict[str, str]:
    """The timestamp is the real clock's: a merchant's tolerance knows nothing of the sandbox's."""
    how = world.switches.text("portone_webhook_signature")
    keys = world.settings.portone_webhook_secrets or [NOBODYS]
    keys = {"wrong": [NOBODYS], "rotating": keys}.get(how, keys[:1])
    at = datetime.fromtimestamp(time.time() - world.switches.number("portone_webhook_age"), UTC)
    its = webhook_id(delivery)
    signatures = " ".join(Webhook(key).sign(its, at, delivery.body) for key in keys)
    told = {"webhook-id": its, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signatures}
    return {} if how == "missing" else told


def shown(tx: Transaction, delivery: Delivery, most: int) -> dict[str, Any]:
    """webhooks[] of the Payment object (§4)."""
    facts: dict[str, Any] = {
        "id": webhook_id(delivery),
        "url": delivery.url,
        "paymentStatus": tx.status,
        "isAsync": False,
        "currentExecutionCount": len(delivery.attempts),
        "maxExecutionCount": most,
    }
    fate = FATES.get(delivery.state)
    return facts | ({"status": fate} if fate else {})
