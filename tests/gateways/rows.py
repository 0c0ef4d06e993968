"""A payment and a refund as the app would hand them to a gateway. No database is behind them."""

from typing import Any

from app.clock import now
from app.models import Payment, Refund


def payment(**changed: Any) -> Payment:
    facts: dict[str, Any] = {
        "id": 1,
        "user_id": 1,
        "prompt_id": 1,
        "gateway": "toss",
        "payment_method": "card",
        "amount": 10_000,
        "list_price": 10_000,
        "buyer_name": "김찐",
        "buyer_email": "buyer@example.com",
        "buyer_phone": "01012345678",
        "item_name": "블로그 초안 쓰기",
        "consent_digest": "",
        "consented_at": now(),
    }
    return Payment(**facts | changed)


def refund(number: int | None = 1, amount: int = 4_000, **changed: Any) -> Refund:
    facts: dict[str, Any] = {"id": number, "payment_id": 1, "key": f"press-{number}", "amount": amount}
    return Refund(**facts | {"reason": "단순변심", "requested_by": "admin@example.com"} | changed)
