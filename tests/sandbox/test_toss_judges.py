"""Other people's clients for Toss drive our pretend one: what they can read, Toss could have said (pg/toss.md §8)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import boilpayment_core
import boilpayment_toss
import pytest
import tosspayments

from tests.sandbox.shop import SECRET, Ear, Shop, until
from tests.sandboxes import Sandbox

REFUND_ACCOUNT = {"bank": "88", "accountNumber": "110123456789", "holderName": "김찐"}


@pytest.fixture
def shop(sandbox: Sandbox) -> Shop:
    """Over a socket: these clients speak HTTP by themselves."""
    return Shop(sandbox.http)


def order() -> str:
    return f"order-{uuid4().hex}"


# ── python-tosspayments ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def requests_client(sandbox: Sandbox) -> Any:
    client = tosspayments.TossPayments(SECRET)
    client._TossPayments__base_url = f"{sandbox.url}/toss/"
    return client


def test_python_tosspayments_confirms_finds_and_cancels(requests_client: Any, shop: Shop) -> None:
    order_id = order()
    key = shop.authenticated(orderId=order_id)
    paid = requests_client.confirm(key, order_id, 9900, idempotency_key=order_id)
    assert (paid["status"], paid["totalAmount"]) == ("DONE", 9900)
    assert requests_client.confirm(key, order_id, 9900, idempotency_key=order_id) == paid
    assert requests_client.get_payment_by_payment_key(key) == paid
    assert requests_client.get_payment_by_order_id(order_id) == paid
    part = requests_client.cancel(key, {"cancelReason": "변심", "cancelAmount": 900}, idempotency_key=f"{order_id}-1")
    assert (part["status"], part["balanceAmount"], part["cancels"][0]["cancelAmount"]) == (
        "PARTIAL_CANCELED",
        9000,
        900,
    )
    assert shop.ledger(order_id)["refunded"] == 900


def test_python_tosspayments_gives_a_deposit_back_to_an_account(requests_client: Any, shop: Shop) -> None:
    order_id = order()
    key = shop.paid(method="VIRTUAL_ACCOUNT", orderId=order_id)
    assert requests_client.get_payment_by_payment_key(key)["virtualAccount"]["expired"] is False
    shop.http.post(f"/toss/_deposit/{order_id}", json={})
    with pytest.raises(Exception) as refused:  # noqa: PT011 - its error class is private
        requests_client.cancel(key, {"cancelReason": "변심"})
    assert (refused.value.code, refused.value.error_type) == (400, "INVALID_REFUND_ACCOUNT_INFO")  # type: ignore[attr-defined]
    back = requests_client.cancel(key, {"cancelReason": "변심", "refundReceiveAccount": REFUND_ACCOUNT})
    assert (back["status"], back["virtualAccount"]["refundStatus"]) == ("CANCELED", "COMPLETED")


def test_python_tosspayments_reads_our_refusals(requests_client: Any) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - its error class is private
        requests_client.get_payment_by_order_id("order-unknown")
    assert (refused.value.code, refused.value.error_type) == (404, "NOT_FOUND_PAYMENT")  # type: ignore[attr-defined]


def test_python_tosspayments_reads_the_book(requests_client: Any, shop: Shop) -> None:
    """Known bug, excepted: it asks for `/v1/transactions/` with a slash; a server that redirects there answers it."""
    order_id = order()
    shop.paid(orderId=order_id)
    rows = requests_client.get_transaction("2026-01-01", "2099-01-01")
    assert [row["amount"] for row in rows if row["orderId"] == order_id] == [9900]


# ── boilpayment ──────────────────────────────────────────────────────────────────────────────────────────────────────


Boil = Callable[[Callable[[boilpayment_toss.TossProvider], Awaitable[Any]]], Any]


@pytest.fixture
def boil(sandbox: Sandbox) -> Boil:
    """Runs one talk with the provider."""

    def run(talk: Callable[[boilpayment_toss.TossProvider], Awaitable[Any]]) -> Any:
        async def call() -> Any:
            config = boilpayment_toss.TossProviderConfig(
                secret_key=SECRET, api_base=f"{sandbox.url}/toss", allowed_webhook_ips=["127.0.0.1"]
            )
            provider = boilpayment_toss.TossProvider(config)
            async with provider._client:
                return await talk(provider)

        return asyncio.run(call())

    return run


def won(amount: int) -> Any:
    return boilpayment_core.money(amount_minor=amount, currency="KRW")


def test_boilpayment_confirms_finds_and_refunds(boil: Boil, shop: Shop) -> None:
    order_id = order()
    key = shop.authenticated(orderId=order_id)
    paid = boil(lambda toss: toss.confirm_payment(payment_key=key, order_id=order_id, amount=9900))
    assert (paid.status, paid.amount.amount_minor, paid.provider_ref) == ("succeeded", 9900, key)
    assert boil(lambda toss: toss.get_payment_by_order_id(order_id)).status == "succeeded"
    refund = boil(lambda toss: toss.refund(payment_ref=key, amount=won(900), reason="변심", idempotency_key=order_id))
    assert (refund.status, refund.amount.amount_minor) == ("succeeded", 900)
    again = boil(lambda toss: toss.get_refund(payment_ref=key, refund_ref=refund.provider_ref))
    assert again.amount.amount_minor == 900
    assert boil(lambda toss: toss.get_payment(key)).status == "partially_refunded"
    assert boil(lambda toss: toss.get_payment_by_order_id("order-unknown")) is None


def test_boilpayment_knows_our_virtual_account(boil: Boil, shop: Shop) -> None:
    order_id = order()
    key = shop.paid(method="VIRTUAL_ACCOUNT", orderId=order_id)
    assert boil(lambda toss: toss.get_payment(key)).status == "pending"
    shop.http.post(f"/toss/_deposit/{order_id}", json={})
    with pytest.raises(boilpayment_core.PaymentKitError):
        boil(lambda toss: toss.refund(payment_ref=key, amount=won(9900), reason="변심", idempotency_key="a"))
    account = {"refundReceiveAccount": REFUND_ACCOUNT}
    refund = boil(
        lambda toss: toss.refund(
            payment_ref=key, amount=won(9900), reason="변심", idempotency_key=order_id, extra=account
        )
    )
    assert refund.status == "succeeded"
    assert shop.ledger(order_id)["refunded"] == 9900


def test_boilpayment_believes_our_webhooks(boil: Boil, shop: Shop, ear: Ear) -> None:
    """Its two known bugs, excepted: `"cancels": null` makes it stumble, and it has no name for a flat callback."""
    shop.put("/_settings", {"toss_webhook_url": ear.url})
    order_id = order()
    key = shop.paid(method="VIRTUAL_ACCOUNT", orderId=order_id)
    shop.http.post(f"/toss/_deposit/{order_id}", json={})
    shop.cancel(key, refundReceiveAccount=REFUND_ACCOUNT).raise_for_status()
    told = until(lambda: len(ear.bodies) == 6 and ear.bodies)  # three changes, each told twice
    shop.put("/_settings", {"toss_webhook_url": ""})

    def hear(text: str) -> Any:
        return boil(lambda toss: toss.verify_webhook(headers={}, raw_body=text, remote_address="127.0.0.1"))

    events = []
    for body in told:
        if "eventType" in body and body["data"]["cancels"] is None:
            body["data"].pop("cancels")
        events.append(hear(json.dumps(body)))
    named = {event.type for event in events if event.raw.get("eventType")}
    assert named == {"payment.pending", "payment.succeeded", "refund.created"}
    flat = [event for event in events if not event.raw.get("eventType")]
    assert {event.type for event in flat} == {"unknown"}
    assert {event.raw["status"] for event in flat} == {"WAITING_FOR_DEPOSIT", "DONE", "CANCELED"}
    forged = json.dumps(flat[0].raw | {"secret": "ps_forged"})
    with pytest.raises(boilpayment_core.WebhookSignatureError):
        hear(forged)
