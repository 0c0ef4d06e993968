"""The pretend PortOne V1 (pg/portone.md §13–15)."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.shop import Shop, until
from tests.sandbox.test_sandbox_sdk import needs_node, play

ORDER = "order0001"
KEYS = {"imp_key": "key", "imp_secret": "secret"}


class V1Shop(Shop):
    """What a page, a server and a buyer do at V1."""

    def ask(self, **more: Any) -> Any:
        asked = {"impCode": "imp00000000", "channelKey": "channel-key-140a124d", "merchant_uid": ORDER, "amount": 9900}
        asked |= {"buyer_tel": "01012345678", "m_redirect_url": "https://shop.example/return?kept=1"}
        return self.http.post("/portone_v1/_open", json=asked | more)

    def act(self, key: str, action: str, **chosen: Any) -> Any:
        return self.http.post(f"/portone_v1/_window/{key}/{action}", json=chosen).json()

    def pay(self, action: str = "authenticate", **more: Any) -> str:
        key = self.open(**more)
        self.act(key, action)
        return key

    def token(self, **more: str) -> Any:
        return self.http.post("/portone_v1/users/getToken", json=KEYS | more)

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        its = token or f"Bearer {self.token().json()['response']['access_token']}"
        return self.http.request(method, f"/portone_v1/payments{path}", json=body, headers={"authorization": its})

    def payment(self, path: str = f"/find/{ORDER}/all") -> Any:
        return self.call("GET", f"{path}?include_sandbox=true").json()["response"]

    def cancel_it(self, **body: Any) -> Any:
        return self.call("POST", "/cancel", {"merchant_uid": ORDER, "reason": "변심"} | body)


@pytest.fixture
def v1(shop: Shop) -> V1Shop:
    return V1Shop(shop.http)


def test_a_payment_is_charged_in_the_window_and_seen_in_the_envelope(v1: V1Shop) -> None:
    key = v1.pay(name="프롬프트", custom_data={"a": 1})
    answer = v1.call("GET", f"/{key}?include_sandbox=true").json()
    assert (answer["code"], answer["message"]) == (0, None)
    its = answer["response"]
    assert (its["imp_uid"], its["merchant_uid"], its["status"], its["amount"]) == (key, ORDER, "paid", 9900)
    assert (its["cancel_amount"], its["failed_at"], its["sandbox"], its["custom_data"]) == (0, 0, True, '{"a": 1}')
    assert its["paid_at"] > 0
    assert v1.ledger(ORDER)["charged"] == 9900


def test_test_payments_are_hidden_from_those_who_do_not_ask_for_them(v1: V1Shop) -> None:
    key = v1.pay()
    assert v1.call("GET", f"/{key}").status_code == 404
    assert v1.call("GET", f"/{key}?include_sandbox=false").json()["code"] == -1
    v1.turn(portone_channel_type="LIVE")
    assert v1.call("GET", f"/{key}").json()["response"]["sandbox"] is False


def test_a_token_is_the_same_until_it_ends_and_lives_on_when_asked_for_late(v1: V1Shop) -> None:
    first = v1.token().json()["response"]
    assert first["expired_at"] - first["now"] == 1800
    assert v1.token().json()["response"]["access_token"] == first["access_token"]
    assert v1.call("GET", "/find/nobody00/all", token=first["access_token"]).status_code == 404, "a bare one is taken"
    v1.wait(1750)
    late = v1.token().json()["response"]
    assert (late["access_token"], late["expired_at"]) == (first["access_token"], first["expired_at"] + 300)
    v1.wait(351)
    assert v1.call("GET", "/find/nobody00/all", token=first["access_token"]).status_code == 401
    assert v1.token().json()["response"]["access_token"] != first["access_token"]


def test_wrong_keys_get_no_token(v1: V1Shop) -> None:
    v1.put("/_settings", {"portone_v1_keys": "key:secret"})
    assert v1.token().status_code == 200
    answer = v1.token(imp_secret="wrong")
    assert (answer.status_code, answer.json()["code"], answer.json()["response"]) == (401, -1, None)
    assert v1.http.post("/portone_v1/users/getToken", data=KEYS).status_code == 200, "a form will do"


def test_a_prepared_amount_cannot_be_changed_in_the_browser(v1: V1Shop) -> None:
    asked = {"merchant_uid": ORDER, "amount": 9900}
    assert v1.call("PUT", "/prepare", asked).status_code == 404
    assert v1.call("POST", "/prepare", asked).json()["code"] == 0
    assert v1.call("POST", "/prepare", asked).json()["code"] == 1
    assert v1.call("PUT", "/prepare", asked).json()["code"] == 0
    assert v1.call("GET", f"/prepare/{ORDER}").json()["response"] == asked
    assert v1.ask(amount=100).json()["code"] == "AmountNotEqualToPredefined"
    assert v1.ask().status_code == 200


def test_a_failure_is_told_with_the_number_it_has(v1: V1Shop) -> None:
    told = v1.act(v1.open(), "close")
    query = {name: value[0] for name, value in parse_qs(urlsplit(told["redirect"]).query).items()}
    assert query.keys() == {"kept", "imp_uid", "merchant_uid", "error_code", "error_msg"}
    its = v1.payment()
    assert (its["status"], its["amount"]) == ("failed", 9900)
    assert its["fail_reason"].startswith("[PAY_PROCESS_CANCELED]")
    v1.turn(portone_v1_callback="old")
    told = v1.act(v1.open(windowTarget="iframe"), "authenticate")
    assert told["result"]["imp_success"] == "true"


def test_the_newest_attempt_is_found_or_the_one_with_a_status(v1: V1Shop) -> None:
    failed = v1.pay("close")
    paid = v1.pay()
    assert v1.payment()["imp_uid"] == paid
    assert v1.payment(f"/find/{ORDER}/failed")["imp_uid"] == failed
    assert v1.call("GET", f"/find/{ORDER}/cancelled?include_sandbox=true").status_code == 404


def test_a_part_leaves_it_paid_and_a_wrong_checksum_gives_nothing_back(v1: V1Shop) -> None:
    v1.pay()
    its = v1.cancel_it(amount=900, checksum=9900).json()["response"]
    assert (its["status"], its["cancel_amount"], its["cancel_history"][0]["amount"]) == ("paid", 900, 900)
    for refused in ({"amount": 1, "checksum": 9900}, {"amount": 9001}):
        answer = v1.cancel_it(**refused)
        assert (answer.status_code, answer.json()["code"]) == (200, 1), "a failure under 200"
        assert answer.json()["message"]
    assert v1.cancel_it(amount=0).json()["response"]["status"] == "cancelled"
    assert v1.ledger(ORDER)["refunded"] == 9900


@pytest.mark.parametrize("form", [False, True])
def test_webhooks_are_unsigned_and_silent_about_failures_and_our_own_cancels(v1: V1Shop, form: bool) -> None:
    nobody = "http://127.0.0.1:1/nobody"
    v1.put("/_settings", {"portone_v1_webhook_url": nobody})
    v1.turn(portone_v1_webhook_form=form)
    key = v1.open(merchant_uid="order0002")
    v1.act(key, "close")
    paid = v1.pay(notice_url=[nobody])
    v1.cancel_it(amount=100)
    v1.cancel_it(amount=200, enable_webhook=True)
    v1.http.post(f"/portone_v1/_cancel/{ORDER}", json={"amount": 300})
    told = until(lambda: [it for it in v1.http.get("/_webhooks").json() if it["attempts"]])
    assert [it["event"] for it in v1.http.get("/_webhooks").json()] == ["paid", "cancelled", "cancelled"]
    headers = told[0]["attempts"][0]["headers"]
    assert ("form" in headers["content-type"]) is form
    assert "webhook-signature" not in headers
    assert paid in told[0]["body"]
    until(lambda: all(it["state"] != "sending" for it in v1.http.get("/_webhooks").json()))


def test_a_virtual_account_is_ready_until_its_deposit(v1: V1Shop) -> None:
    v1.pay(pay_method="vbank")
    assert (v1.payment()["status"], v1.payment()["vbank_name"]) == ("ready", "국민")
    v1.http.post(f"/portone_v1/_deposit/{ORDER}")
    assert v1.payment()["status"] == "paid"


@pytest.mark.parametrize("call", ["login", "start", "confirm", "find", "cancel"])
def test_every_call_can_fail(v1: V1Shop, call: str) -> None:
    key, token = v1.pay(), v1.token().json()["response"]["access_token"]
    v1.put(f"/_faults/portone_v1/{call}", {"kind": "status", "status": 503})
    answers: dict[str, Any] = {
        "login": v1.token,
        "start": lambda: v1.call("POST", "/prepare", {}, token),
        "confirm": lambda: v1.call("GET", f"/{key}", token=token),
        "find": lambda: v1.call("GET", f"/find/{ORDER}/all", token=token),
        "cancel": lambda: v1.call("POST", "/cancel", {"merchant_uid": ORDER}, token),
    }
    assert answers[call]().status_code == 503


@needs_node
def test_imp_behaves_as_the_sheet_says(live: Shop) -> None:
    assert play(live, "/portone_v1/v1/iamport.js", "portone_v1_page.mjs") == {
        "before init": "NOT_INITIALIZED",
        "a wrong amount": [None, "browser2", "BadRequest"],
        "no telephone": "BadRequest",
        "a phone leaves the page": True,
        "the callback is told": [{"imp_uid": "imp_1", "merchant_uid": "m"}, [], 0],
        "escape is told too": "PAY_PROCESS_CANCELED",
    }
