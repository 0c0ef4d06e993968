"""A shop that sells through KakaoPay: its server, and the buyer with the phone."""

from dataclasses import dataclass
from typing import Any

SECRET = "DEV" + "0123456789ABCDEF" * 2 + "GHIJK"
ORDER, BUYER = "order-0001", "user-1"
SHOP = "https://shop.example/return"


@dataclass
class Kakao:
    """Works the same over TestClient and over a socket."""

    http: Any

    def ask(self, call: str, **body: Any) -> Any:
        sent = {name: value for name, value in body.items() if value is not ...}
        headers = {"authorization": f"SECRET_KEY {SECRET}"}
        return self.http.post(f"/kakaopay/online/v1/payment/{call}", json=sent, headers=headers)

    def ready(self, **more: Any) -> Any:
        asked = {
            "cid": "TC0ONETIME",
            "partner_order_id": ORDER,
            "partner_user_id": BUYER,
            "item_name": "면접 프롬프트 모음",
            "quantity": 1,
            "total_amount": 9900,
            "tax_free_amount": 0,
            "approval_url": f"{SHOP}?kept=1",
            "cancel_url": f"{SHOP}?code=quit",
            "fail_url": f"{SHOP}?code=fail",
        }
        return self.ask("ready", **asked | more)

    def open(self, **more: Any) -> str:
        answer = self.ready(**more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["tid"])

    def act(self, tid: str, action: str, **chosen: Any) -> Any:
        return self.http.post(f"/kakaopay/_window/{tid}/{action}", json=chosen)

    def token(self, tid: str, action: str = "authenticate", **chosen: Any) -> str:
        redirect: str = self.act(tid, action, **chosen).json()["redirect"]
        assert redirect.startswith(f"{SHOP}?kept=1&pg_token="), redirect
        return redirect.partition("pg_token=")[2]

    def authenticated(self, action: str = "authenticate", **more: Any) -> tuple[str, str]:
        """The tid and its pg_token."""
        tid = self.open(**more)
        return tid, self.token(tid, action)

    def approve(self, tid: str, token: str, **more: Any) -> Any:
        ids = {"cid": "TC0ONETIME", "partner_order_id": ORDER, "partner_user_id": BUYER}
        return self.ask("approve", **ids | {"tid": tid, "pg_token": token, "total_amount": 9900} | more)

    def paid(self, method: str = "CARD", **more: Any) -> str:
        tid = self.open(**more)
        again = {name: more[name] for name in ("total_amount", "partner_order_id") if name in more}
        answer = self.approve(tid, self.token(tid, method=method), **again)
        assert answer.status_code == 200, answer.text
        return tid

    def order(self, tid: str, **more: Any) -> Any:
        return self.ask("order", **{"cid": "TC0ONETIME", "tid": tid} | more)

    def status(self, tid: str) -> str:
        return str(self.order(tid).json()["status"])

    def cancel(self, tid: str, amount: object, **more: Any) -> Any:
        asked = {"cid": "TC0ONETIME", "tid": tid, "cancel_amount": amount, "cancel_tax_free_amount": 0}
        return self.ask("cancel", **asked | more)

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


def code_of(answer: Any) -> tuple[int, int]:
    return answer.status_code, answer.json()["error_code"]
