import re
from typing import Any

import pytest

from tests.sandbox.shop import ORDER, Ear, Shop, until

PREFIX = "tosspayments-webhook-transmission-"


@pytest.fixture
def listened(shop: Shop, ear: Ear) -> Shop:
    shop.put("/_settings", {"toss_webhook_url": ear.url})
    return shop


def statuses(ear: Ear) -> list[str]:
    return [body["data"]["status"] for body in ear.bodies]


def deliveries(shop: Shop) -> Any:
    return shop.http.get("/_webhooks").json()


def test_a_charge_is_announced_with_the_whole_payment(listened: Shop, ear: Ear) -> None:
    key = listened.paid()
    until(lambda: ear.heard)
    headers, body = ear.heard[0]
    assert body["eventType"] == "PAYMENT_STATUS_CHANGED"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", body["createdAt"])
    assert body["data"] == listened.find(key).json()
    assert headers["content-type"] == "application/json"
    assert headers[f"{PREFIX}retried-count"] == "0"
    assert headers[f"{PREFIX}id"].startswith("whtrans_a01")
    assert headers[f"{PREFIX}time"].endswith("+09:00")
    assert "tosspayments-webhook-signature" not in headers


def test_opening_authenticating_and_closing_are_silent(listened: Shop, ear: Ear) -> None:
    listened.act(listened.open(), "close")
    listened.authenticated()
    assert deliveries(listened) == []


def test_cancels_aborts_and_expiry_are_announced(listened: Shop, ear: Ear) -> None:
    key = listened.paid()
    until(lambda: len(ear.heard) == 1)
    listened.cancel(key, cancelAmount=900)
    until(lambda: len(ear.heard) == 2)
    declined = listened.authenticated(decline="REJECT_CARD_PAYMENT", orderId="order-0002")
    listened.confirm(declined, orderId="order-0002")
    until(lambda: len(ear.heard) == 3)
    listened.open(orderId="order-0003")
    listened.wait(1801)
    until(lambda: len(ear.heard) == 4)
    assert statuses(ear) == ["DONE", "PARTIAL_CANCELED", "ABORTED", "EXPIRED"]
    assert ear.bodies[3]["data"]["failure"]["code"] == "EXPIRED_PAYMENT"


def test_a_deposit_calls_back_flat(listened: Shop, ear: Ear) -> None:
    listened.turn(deposit_events="DEPOSIT_CALLBACK")
    key = listened.paid(method="VIRTUAL_ACCOUNT")
    until(lambda: len(ear.heard) == 1)
    listened.http.post(f"/toss/_deposit/{ORDER}", json={})
    until(lambda: len(ear.heard) == 2)
    assert [body["status"] for body in ear.bodies] == ["WAITING_FOR_DEPOSIT", "DONE"]
    assert ear.bodies[1].keys() == {"createdAt", "secret", "status", "transactionKey", "orderId"}
    assert ear.bodies[1]["secret"] == listened.find(key).json()["secret"]


def test_what_was_not_heard_is_sent_again(listened: Shop, ear: Ear) -> None:
    listened.turn(webhook_minute_seconds=0.01)
    ear.says = [500, 201]
    listened.paid()
    until(lambda: len(ear.heard) == 3)
    assert [headers[f"{PREFIX}retried-count"] for headers, _ in ear.heard] == ["0", "1", "2"]
    assert len({headers[f"{PREFIX}id"] for headers, _ in ear.heard}) == 1
    delivery = until(lambda: [it for it in deliveries(listened) if it["state"] == "success"])[0]
    assert [attempt["status"] for attempt in delivery["attempts"]] == [500, 201, 200]


def test_after_seven_re_sends_a_webhook_failed(listened: Shop, ear: Ear) -> None:
    listened.turn(webhook_minute_seconds=0.00001)
    ear.says = [500] * 8
    listened.paid()
    until(lambda: [it for it in deliveries(listened) if it["state"] == "failed"])
    assert len(ear.heard) == 8
    failed = deliveries(listened)[0]
    listened.http.post(f"/_webhooks/{failed['id']}/resend")
    until(lambda: deliveries(listened)[0]["state"] == "success")
    assert len(ear.heard) == 9


def test_the_schedule_is_minutes_on_the_sandbox_clock(listened: Shop, ear: Ear) -> None:
    ear.says = [500, 500]
    listened.paid()
    until(lambda: deliveries(listened)[0]["next_at"])
    listened.wait(61)
    until(lambda: len(ear.heard) == 2)
    until(lambda: deliveries(listened)[0]["next_at"])
    listened.wait(239)
    until(lambda: listened.http.get("/healthz").status_code == 200)
    assert len(ear.heard) == 2
    listened.wait(2)
    until(lambda: len(ear.heard) == 3)


def test_a_merchant_that_does_not_listen_is_tried_again(shop: Shop) -> None:
    shop.put("/_settings", {"toss_webhook_url": "http://127.0.0.1:1/nobody"})
    shop.paid()
    delivery = until(lambda: [it for it in deliveries(shop) if it["attempts"] and it["next_at"]])[0]
    assert delivery["state"] == "sending"
    assert delivery["attempts"][0]["error"] == "ConnectError"


def test_duplicates_come_when_asked_for(listened: Shop, ear: Ear) -> None:
    listened.turn(webhook_copies=2)
    listened.paid()
    until(lambda: len(ear.heard) == 2)
    assert ear.bodies[0] == ear.bodies[1]


def test_without_a_url_nothing_is_sent(shop: Shop) -> None:
    shop.paid()
    assert deliveries(shop) == []
