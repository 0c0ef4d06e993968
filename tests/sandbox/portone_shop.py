"""A shop at PortOne V2: what its page, its server and its buyer do, over HTTP."""

from typing import Any

from tests.sandbox.shop import Shop

STORE, CHANNEL = "store-5c0c7a07-30ff-4fed-be32-222ac3542558", "channel-key-140a124d-0587-42b4-a8e5-1bebb4029e0a"
PAYMENT, SECRET = "order0001", "portone-api-secret"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_WHSEC = "whsec_b2xkIHNlY3JldCBvZiB0aGlzIHRlc3Qgb25seQ=="


class PortOneShop(Shop):
    """`pay` is the whole way through the window; the rest is PortOne's own calls."""

    def ask(self, **more: Any) -> Any:
        asked = {
            "storeId": STORE,
            "channelKey": CHANNEL,
            "paymentId": PAYMENT,
            "orderName": "면접 프롬프트 모음",
            "totalAmount": 9900,
            "currency": "KRW",
            "payMethod": "CARD",
            "redirectUrl": "https://shop.example/return?kept=1",
            "forceRedirect": True,
        }
        asked = {key: value for key, value in (asked | more).items() if value is not ...}
        return self.http.post("/portone/_open", json=asked)

    def act(self, key: str, action: str, **chosen: Any) -> Any:
        return self.http.post(f"/portone/_window/{key}/{action}", json=chosen)

    def pay(self, action: str = "authenticate", **more: Any) -> dict[str, Any]:
        answer = self.act(self.open(**more), action)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def account(self, **more: Any) -> dict[str, Any]:
        return self.pay(payMethod="VIRTUAL_ACCOUNT", virtualAccount={"accountExpiry": {"validHours": 24}}, **more)

    def api(self, path: str, body: Any = None, secret: str = SECRET, idem: str | None = None, **more: Any) -> Any:
        headers = {"authorization": f"PortOne {secret}"} | ({"idempotency-key": f'"{idem}"'} if idem else {})
        return self.http.post(f"/portone/payments/{path}", json=body or {}, headers=headers | more)

    def cancelled(self, payment: str = PAYMENT, **more: Any) -> Any:
        return self.api(f"{payment}/cancel", {"reason": "변심"} | more)

    def payment(self, payment: str = PAYMENT, **query: Any) -> Any:
        headers = {"authorization": f"PortOne {SECRET}"}
        return self.http.get(f"/portone/payments/{payment}", params=query, headers=headers)

    def control(self, what: str, payment: str = PAYMENT, **wanted: Any) -> Any:
        return self.http.post(f"/portone/_{what}/{payment}", json=wanted)


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"]
