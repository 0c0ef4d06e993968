"""A shop that plays merchant and buyer over HTTP, and an ear for its webhooks."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CLIENT, SECRET = "test_ck_sandboxdemo", "test_sk_sandboxdemo"
ORDER = "order-0001"


@dataclass
class Shop:
    """Works the same over TestClient and over a socket."""

    http: Any

    def ask(self, **more: Any) -> Any:
        asked = {
            "clientKey": CLIENT,
            "customerKey": "@@ANONYMOUS",
            "method": "CARD",
            "amount": {"currency": "KRW", "value": 9900},
            "orderId": ORDER,
            "orderName": "면접 프롬프트 모음",
            "successUrl": "https://shop.example/return?kept=1",
            "failUrl": "https://shop.example/fail?kept=1",
        }
        asked = {key: value for key, value in (asked | more).items() if value is not ...}
        return self.http.post("/toss/_open", json=asked)

    def open(self, **more: Any) -> str:
        answer = self.ask(**more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["paymentKey"])

    def act(self, key: str, action: str, **chosen: Any) -> Any:
        return self.http.post(f"/toss/_window/{key}/{action}", json=chosen)

    def authenticated(self, decline: str | None = None, **more: Any) -> str:
        key = self.open(**more)
        chosen = {"decline": decline} if decline else {}
        assert self.act(key, "authenticate", **chosen).status_code == 200
        return key

    def paid(self, **more: Any) -> str:
        key = self.authenticated(**more)
        order, amount = more.get("orderId", ORDER), more.get("amount", {"value": 9900})["value"]
        assert self.confirm(key, orderId=order, amount=amount).status_code == 200
        return key

    def confirm(self, key: str, idem: str | None = None, secret: str = SECRET, **more: Any) -> Any:
        body = {"paymentKey": key, "orderId": ORDER, "amount": 9900} | more
        body = {name: value for name, value in body.items() if value is not ...}
        return self.post("/toss/v1/payments/confirm", body, idem, secret)

    def cancel(self, key: str, idem: str | None = None, secret: str = SECRET, **more: Any) -> Any:
        return self.post(f"/toss/v1/payments/{key}/cancel", {"cancelReason": "변심"} | more, idem, secret)

    def post(
        self, path: str, body: Any, idem: str | None = None, secret: str = SECRET, headers: dict[str, str] | None = None
    ) -> Any:
        sent = (headers or {}) | ({"idempotency-key": idem} if idem else {})
        return self.http.post(path, json=body, headers=sent, auth=(secret, ""))

    def find(self, key: str, secret: str = SECRET) -> Any:
        return self.http.get(f"/toss/v1/payments/{key}", auth=(secret, ""))

    def find_order(self, order: str = ORDER) -> Any:
        return self.http.get(f"/toss/v1/payments/orders/{order}", auth=(SECRET, ""))

    def ledger(self, order: str = ORDER) -> Any:
        return self.http.get(f"/_ledger/{order}").json()

    def put(self, path: str, body: Any) -> Any:
        answer = self.http.put(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def turn(self, **switches: Any) -> None:
        self.put("/_switches", switches)

    def wait(self, seconds: float) -> None:
        self.put("/_clock", {"advance_seconds": seconds})


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def until(claim: Callable[[], Any], seconds: float = 5) -> Any:
    """Wait for the background."""
    end = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
    return found


@dataclass
class Ear:
    """A merchant's webhook endpoint; says the statuses in turn, then 200."""

    url: str = ""
    says: list[int] = field(default_factory=list)
    heard: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body in self.heard]
