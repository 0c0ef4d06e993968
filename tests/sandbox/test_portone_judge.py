"""An independent judge: PortOne's own Python SDK drives the sandbox (pg/portone.md §16)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from portone_server_sdk import AuthClient, PaymentClient, errors
from portone_server_sdk.common import PageInput
from portone_server_sdk.payment import (
    CancelledPayment,
    CancelPaymentBodyRefundAccount,
    FailedPayment,
    PaidPayment,
    PartialCancelledPayment,
    PayPendingPayment,
    ReadyPayment,
    VirtualAccountIssuedPayment,
)

from tests.sandbox.portone_shop import PAYMENT, SECRET, STORE, PortOneShop
from tests.sandbox.shop import Shop


@pytest.fixture
def shop_at_portone(live: Shop) -> PortOneShop:
    return PortOneShop(live.http)


@dataclass
class Judge:
    payment: Any
    auth: Any


@pytest.fixture(scope="module")
def judge(sandbox_url: str) -> Iterator[Judge]:
    """Not the whole PortOneClient: it makes fifty HTTP clients."""
    its: dict[str, Any] = {"secret": SECRET, "base_url": f"{sandbox_url}/portone", "store_id": STORE}
    judge = Judge(PaymentClient(**its), AuthClient(**its))
    yield judge
    for used in (judge.payment, judge.auth):
        used._sync_client.close()


WAYS: dict[type, Callable[[PortOneShop], object]] = {
    ReadyPayment: lambda shop: shop.open(),
    FailedPayment: lambda shop: shop.pay("close"),
    PayPendingPayment: lambda shop: shop.pay("pend"),
    PaidPayment: lambda shop: shop.pay(),
    VirtualAccountIssuedPayment: lambda shop: shop.account(),
    PartialCancelledPayment: lambda shop: (shop.pay(), shop.cancelled(amount=900)),
    CancelledPayment: lambda shop: (shop.pay(payMethod="EASY_PAY"), shop.cancelled()),
}


@pytest.mark.parametrize("kind", WAYS, ids=lambda kind: kind.__name__)
def test_it_reads_a_payment_in_every_status(shop_at_portone: PortOneShop, judge: Judge, kind: type) -> None:
    WAYS[kind](shop_at_portone)
    found: Any = judge.payment.get_payment(payment_id=PAYMENT)
    assert {type(found)} == {kind}
    assert found.amount.total == 9900
    (attempt,) = judge.payment.get_payment_transactions(payment_id=PAYMENT).items
    assert (attempt.payment_id, attempt.id) == (PAYMENT, found.transaction_id)


def test_it_lists_them(shop_at_portone: PortOneShop, judge: Judge) -> None:
    shop_at_portone.pay()
    shop_at_portone.pay("close", paymentId="order0002")
    found = judge.payment.get_payments(page=PageInput(number=0, size=10))
    assert {it.id for it in found.items} == {PAYMENT, "order0002"}
    assert found.page.total_count == 2


def test_it_registers_confirms_and_cancels(shop_at_portone: PortOneShop, judge: Judge) -> None:
    judge.payment.pre_register_payment(payment_id=PAYMENT, total_amount=9900, currency="KRW")
    shop_at_portone.turn(portone_manual_confirm=True)
    token = dict(pair.split("=") for pair in shop_at_portone.pay()["redirect"].split("?")[1].split("&"))["paymentToken"]
    summary = judge.payment.confirm_payment(payment_id=PAYMENT, payment_token=token, total_amount=9900, currency="KRW")
    assert summary.pg_tx_id
    answer = judge.payment.cancel_payment(
        payment_id=PAYMENT, reason="변심", amount=900, current_cancellable_amount=9900
    )
    assert answer.cancellation.total_amount == 900
    with pytest.raises(errors.AlreadyPaidError):
        judge.payment.pre_register_payment(payment_id=PAYMENT, total_amount=1)


def test_it_closes_an_account_and_refunds_a_deposit(shop_at_portone: PortOneShop, judge: Judge) -> None:
    shop_at_portone.account()
    assert judge.payment.close_virtual_account(payment_id=PAYMENT).closed_at
    with pytest.raises(errors.PaymentNotWaitingForDepositError):
        judge.payment.close_virtual_account(payment_id=PAYMENT)
    shop_at_portone.account(paymentId="order0002")
    shop_at_portone.control("deposit", "order0002")
    account = CancelPaymentBodyRefundAccount(bank="KOOKMIN", number="12345678", holder_name="김찐")
    answer = judge.payment.cancel_payment(payment_id="order0002", reason="변심", refund_account=account)
    assert answer.cancellation.total_amount == 9900


def test_it_knows_every_refusal_by_its_name(shop_at_portone: PortOneShop, judge: Judge) -> None:
    with pytest.raises(errors.PaymentNotFoundError):
        judge.payment.get_payment(payment_id="nobody")
    shop_at_portone.open()
    with pytest.raises(errors.PaymentNotPaidError):
        judge.payment.cancel_payment(payment_id=PAYMENT, reason="변심")
    with pytest.raises(errors.InvalidPaymentTokenError):
        judge.payment.confirm_payment(payment_id=PAYMENT, payment_token="forged")
    shop_at_portone.pay()
    with pytest.raises(errors.CancellableAmountConsistencyBrokenError):
        judge.payment.cancel_payment(payment_id=PAYMENT, reason="변심", current_cancellable_amount=1)
    with pytest.raises(errors.CancelAmountExceedsCancellableAmountError):
        judge.payment.cancel_payment(payment_id=PAYMENT, reason="변심", amount=99_000)
    shop_at_portone.put("/_faults/portone/cancel", {"kind": "code", "code": "PG_PROVIDER"})
    with pytest.raises(errors.PgProviderError) as raised:
        judge.payment.cancel_payment(payment_id=PAYMENT, reason="변심")
    assert raised.value.args


def test_it_logs_in_and_sends_a_webhook_again(shop_at_portone: PortOneShop, judge: Judge) -> None:
    assert judge.auth.login_via_api_secret(api_secret=SECRET).access_token
    shop_at_portone.put("/_settings", {"portone_api_secret": "another"})
    with pytest.raises(errors.UnauthorizedError):
        judge.payment.get_payment(payment_id=PAYMENT)
    shop_at_portone.put("/_settings", {"portone_api_secret": SECRET})
    shop_at_portone.pay(noticeUrls=["http://127.0.0.1:1/nobody"])
    assert judge.payment.resend_webhook(payment_id=PAYMENT).webhook.trigger == "MANUAL"
    with pytest.raises(errors.WebhookNotFoundError):
        judge.payment.resend_webhook(payment_id=PAYMENT, webhook_id="msg_nobody")
