"""PortOne V1's books: the same payments and windows as V2's, in V1's words (pg/portone.md §13–15)."""

import json
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

from sandbox.clock import kst
from sandbox.portone.errors import Refused, pg_message
from sandbox.portone.store import PortOne
from sandbox.portone.transaction import Transaction
from sandbox.switches import Switch
from sandbox.webhooks import Delivery
from sandbox.world import World

SWITCHES = (
    Switch("portone_v1_prepare_again", "refuse", "prepare of an order that was prepared", "§19", ("refuse", "accept")),
    Switch("portone_v1_callback", "new", "fields of the callback and redirect", "§14", ("new", "old")),
    Switch("portone_v1_cancellation_id", True, "webhooks of a cancellation name it", "§15"),
    Switch("portone_v1_webhook_form", False, "webhooks as a form instead of JSON", "§15"),
)
TOKEN_LIFE, TOKEN_MORE = 30 * 60, 5 * 60  # seconds: asked for in its last minute, a token lives on
METHODS = {"card": "CARD", "trans": "TRANSFER", "vbank": "VIRTUAL_ACCOUNT", "phone": "MOBILE", "kakaopay": "EASY_PAY"}
EVENTS = {"Paid": "paid", "VirtualAccountIssued": "ready", "Cancelled": "cancelled", "PartialCancelled": "cancelled"}


class PortOneV1(PortOne):
    name = "portone_v1"
    version = "V1"
    calls: tuple[str, ...] = ("login", "start", "confirm", "find", "cancel")
    aliases: ClassVar[Mapping[str, str]] = {"prepare": "start"}

    def __init__(self, world: World) -> None:
        world.switches.add(*SWITCHES)
        super().__init__(world)

    def new_id(self, now: float) -> str:
        return f"imp_{secrets.randbelow(10**12):012d}"

    def token(self, imp_key: str) -> tuple[str, float]:
        """One token by key until it ends. Answers it and when that is."""
        now = self.world.clock.now()
        known = next(((it, end) for it, end in self.tokens.items() if it.endswith(f".{imp_key}") and end > now), None)
        token, end = known or (f"{secrets.token_hex(20)}.{imp_key}", now + TOKEN_LIFE)
        self.tokens[token] = end + TOKEN_MORE if end - now < 60 else end
        return token, self.tokens[token]

    def wanted(self, asked: dict[str, Any]) -> dict[str, Any]:
        """IMP.request_pay in the words of V2's requestPayment."""
        channel = asked.get("channelKey") or f"channel-key-{str(asked.get('pg', '')).replace('.', '-')}"
        if not isinstance(asked.get("buyer_tel"), str):
            raise Refused("BadRequest", why="buyer_tel은 필수 입력입니다.")
        if len(str(asked.get("merchant_uid", ""))) > 40:
            raise Refused("BadRequest", why="merchant_uid는 40자 이하여야 합니다.")
        notice = asked.get("notice_url")
        wanted = {
            "storeId": f"store-{asked.get('impCode')}",
            "channelKey": channel,
            "paymentId": asked.get("merchant_uid"),
            "orderName": asked.get("name") or "주문",
            "totalAmount": asked.get("amount"),
            "currency": asked.get("currency") or "KRW",
            "payMethod": METHODS.get(asked.get("pay_method", "card"), ""),
            "redirectUrl": asked.get("m_redirect_url"),
            "customer": {"fullName": asked.get("buyer_name"), "email": asked.get("buyer_email")},
            "customData": asked.get("custom_data"),
            "noticeUrls": [notice] if isinstance(notice, str) else notice,
            "virtualAccount": {"accountExpiry": {"validHours": 24}},
        }
        return wanted | {name: asked.get(name) for name in ("windowTarget", "mobile")}

    def told(self, tx: Transaction, code: str | None) -> dict[str, str]:
        """The callback's object, or the redirect's query (§14)."""
        told = {"imp_uid": tx.id, "merchant_uid": tx.payment_id}
        if self.switches.text("portone_v1_callback") == "old":
            told |= {"imp_success": "false" if code else "true", "success": "false" if code else "true"}
        if code:
            told |= {"error_code": code, "error_msg": f"[{code}] {pg_message(code)}"}
        return told

    def announce(self, tx: Transaction, event: str, cancellation: str | None = None) -> None:
        """§15: unsigned, and nothing at all about an ordinary failure."""
        status = EVENTS.get(event)
        if status is None:
            return
        told = {"imp_uid": tx.id, "merchant_uid": tx.payment_id, "status": status}
        if cancellation and self.switches.on("portone_v1_cancellation_id"):
            told["cancellation_id"] = cancellation
        body = urlencode(told) if self.switches.on("portone_v1_webhook_form") else json.dumps(told)
        for url in filter(None, tx.asked.get("noticeUrls") or [self.world.settings.portone_v1_webhook_url]):
            for _ in range(int(self.switches.number("webhook_copies"))):
                at = kst(self.world.clock.now())
                self.send(tx, Delivery(self.name, url, status, tx.payment_id, body, at))

    def webhook_headers(self, delivery: Delivery) -> dict[str, str]:
        form = not delivery.body.startswith("{")
        return {"content-type": "application/x-www-form-urlencoded"} if form else {}

    def webhook_waits(self) -> list[float]:
        return []  # a single attempt, unless support has been asked for more
