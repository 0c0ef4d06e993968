"""What a merchant of PortOne hears (pg/portone.md §9). PortOne's own SDK judges the signatures."""

import time
from typing import Any

import pytest
from portone_server_sdk import webhook
from portone_server_sdk.webhook import WebhookVerificationError

from tests.sandbox.portone_shop import OLD_WHSEC, PAYMENT, STORE, WHSEC, PortOneShop
from tests.sandbox.shop import Ear, until


@pytest.fixture
def listened(portone: PortOneShop, ear: Ear) -> PortOneShop:
    portone.put("/_settings", {"portone_webhook_url": ear.url, "portone_webhook_secrets": WHSEC})
    return portone


def types(ear: Ear) -> list[str]:
    return [body["type"].removeprefix("Transaction.") for body in ear.bodies]


def deliveries(portone: PortOneShop) -> Any:
    return portone.http.get("/_webhooks").json()


def test_everything_that_happens_is_told_and_signed(listened: PortOneShop, ear: Ear) -> None:
    listened.pay()
    until(lambda: len(ear.heard) == 2)
    listened.cancelled(amount=900)
    until(lambda: len(ear.heard) == 3)
    listened.cancelled()
    until(lambda: len(ear.heard) == 4)
    assert sorted(types(ear)[:2]) == ["Paid", "Ready"]
    assert types(ear)[2:] == ["PartialCancelled", "Cancelled"]
    transaction = listened.payment().json()["transactionId"]
    assert ear.bodies[0]["data"] == {"storeId": STORE, "paymentId": PAYMENT, "transactionId": transaction}
    cancellation = listened.payment().json()["cancellations"][1]["id"]
    assert ear.bodies[3]["data"]["cancellationId"] == cancellation
    for (headers, _), raw in zip(ear.heard, ear.raw, strict=True):
        told = webhook.verify(WHSEC, raw, headers)
        assert not isinstance(told, dict), "a shape that the SDK knows"


def test_failures_accounts_and_waiting_cancels_are_told(listened: PortOneShop, ear: Ear) -> None:
    listened.pay("close", paymentId="order0002")
    listened.account()
    listened.control("deposit")
    listened.turn(portone_cancel_waits=True)
    listened.cancelled(refundAccount={"bank": "KOOKMIN", "number": "123456", "holderName": "김찐"})
    listened.control("settle")
    until(lambda: len(ear.heard) == 7)
    expected = ["CancelPending", "Cancelled", "Failed", "Paid", "Ready", "Ready", "VirtualAccountIssued"]
    assert sorted(types(ear)) == expected


def test_a_merchant_may_ask_for_silence_or_another_ear(listened: PortOneShop, ear: Ear) -> None:
    listened.pay(noticeUrls=[f"{ear.url}/of-this-payment"])
    assert {it["url"] for it in deliveries(listened)} == {f"{ear.url}/of-this-payment"}
    told = len(deliveries(listened))
    listened.cancelled(skipWebhook=True)
    assert len(deliveries(listened)) == told == 2
    until(lambda: len(ear.heard) == 2)


def test_a_retry_repeats_event_and_id_and_gives_up_after_five(listened: PortOneShop, ear: Ear) -> None:
    listened.turn(webhook_minute_seconds=0.00001)
    ear.says = [500] * 6
    listened.open()
    until(lambda: deliveries(listened)[0]["state"] == "failed")
    assert len(ear.heard) == 6
    assert len(set(ear.raw)) == 1, "the event's time is its own"
    assert len({headers["webhook-id"] for headers, _ in ear.heard}) == 1
    listened.api(f"{PAYMENT}/resend-webhook")
    until(lambda: deliveries(listened)[0]["state"] == "success")


def test_the_schedule_runs_on_the_sandboxs_clock(listened: PortOneShop, ear: Ear) -> None:
    ear.says = [500]
    listened.open()
    until(lambda: deliveries(listened)[0]["next_at"])
    listened.wait(61)
    until(lambda: len(ear.heard) == 2)
    headers, _ = ear.heard[1]
    webhook.verify(WHSEC, ear.raw[1], headers)  # the signature's time is the real one


@pytest.mark.parametrize(
    ("turned", "reason"),
    [
        ({"portone_webhook_signature": "wrong"}, "NO_MATCHING_SIGNATURE"),
        ({"portone_webhook_signature": "missing"}, "MISSING_REQUIRED_HEADERS"),
        ({"portone_webhook_age": 301}, "TIMESTAMP_TOO_OLD"),
    ],
)
def test_a_webhook_can_be_forged_or_stale(listened: PortOneShop, ear: Ear, turned: dict[str, Any], reason: str) -> None:
    listened.turn(**turned)
    listened.open()
    until(lambda: ear.heard)
    with pytest.raises(WebhookVerificationError) as raised:
        webhook.verify(WHSEC, ear.raw[0], ear.heard[0][0])
    assert raised.value.reason == reason


def test_while_secrets_rotate_both_sign(listened: PortOneShop, ear: Ear) -> None:
    listened.put("/_settings", {"portone_webhook_secrets": f"{OLD_WHSEC},{WHSEC}"})
    listened.turn(portone_webhook_signature="rotating")
    listened.open()
    until(lambda: ear.heard)
    for secret in (WHSEC, OLD_WHSEC):
        webhook.verify(secret, ear.raw[0], ear.heard[0][0])


def test_events_come_twice_swapped_or_unknown(listened: PortOneShop, ear: Ear) -> None:
    listened.turn(webhook_copies=2)
    listened.open(paymentId="order0002")
    until(lambda: len(ear.heard) == 2)
    assert ear.raw[0] == ear.raw[1]
    assert ear.heard[0][0]["webhook-id"] == ear.heard[1][0]["webhook-id"]
    listened.turn(webhook_copies=1, portone_webhook_order="swapped")
    listened.pay()
    assert [it["event"] for it in deliveries(listened)[2:]] == ["Transaction.Paid", "Transaction.Ready"]
    listened.turn(portone_webhook_order="as_it_was")
    listened.control("tell", type="Transaction.Tomorrow")
    until(lambda: len(ear.heard) == 5)
    assert "Tomorrow" in types(ear)


def test_the_older_version_says_less(listened: PortOneShop, ear: Ear) -> None:
    listened.turn(portone_webhook_version="2024-01-01")
    key = listened.open()
    until(lambda: ear.heard)
    assert ear.bodies == [{"payment_id": PAYMENT, "tx_id": key, "status": "Ready"}]


def test_the_payment_remembers_its_webhooks(listened: PortOneShop, ear: Ear) -> None:
    listened.open()
    until(lambda: deliveries(listened)[0]["state"] == "success")
    (its,) = listened.payment().json()["webhooks"]
    assert (its["status"], its["currentExecutionCount"], its["maxExecutionCount"]) == ("SUCCEEDED", 1, 6)
    assert its["id"] == ear.heard[0][0]["webhook-id"]
    assert abs(int(ear.heard[0][0]["webhook-timestamp"]) - time.time()) < 60
