"""PortOne V2 as its sheet says it (pg/portone.md): what is sent, how answers are read. respx answers for PortOne."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import respx
import time_machine

from app.clock import now
from app.config import Settings, read_settings
from app.gateways import Cancellation, Declined, Forged, InDoubt, RefundAccount, Window
from app.gateways.portone import PortOne
from app.models import Payment, RefundStatus, Status
from tests.gateways.rows import payment, refund

API = "https://portone.example"
STORE, CHANNEL = "store-5c0c7a07-30ff-4fed-be32-222ac3542558", "channel-key-140a124d-0587-42b4-a8e5-1bebb4029e0a"
BACK = "https://shop.example/payments/A/return"
# §9, verified there with PortOne's own SDK
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AT = datetime.fromtimestamp(1795324849, UTC)
SIGNED = {
    "webhook-id": "msg_01HXEXAMPLE",
    "webhook-timestamp": "1795324849",
    "webhook-signature": "v1,nQW7IZEyTlzYkaG+bycqK6sc6Q/StyX/p6An4rV84eI=",
}
BODY = (
    b'{"type":"Transaction.Paid","timestamp":"2026-11-22T05:20:49.748Z","data":{"paymentId":"order-20261122-000001",'
    b'"storeId":"store-5c0c7a07-30ff-4fed-be32-222ac3542558","transactionId":"0193527d-8a5e-7f1c-9c33-1e0d2b8f6a10"}}'
)
# §4
PAID: dict[str, Any] = {
    "status": "PAID",
    "id": "order-1",
    "transactionId": "0190d8e2-43e6-8e3f-4dd4-384bf52a3b10",
    "merchantId": "merchant-9d3fdbd7-3fff-47fc-ae20-39df72c4a9c0",
    "storeId": STORE,
    "method": {
        "type": "PaymentMethodEasyPay",
        "provider": "KAKAOPAY",
        "easyPayMethod": {"type": "PaymentMethodEasyPayMethodCharge"},
    },
    "channel": {"type": "TEST", "id": "channel-id-1", "key": CHANNEL, "pgProvider": "KAKAOPAY", "pgMerchantId": "TC0"},
    "version": "V2",
    "requestedAt": "2024-07-22T05:20:25.609864446Z",
    "updatedAt": "2024-07-22T05:20:49.775624547Z",
    "statusChangedAt": "2024-07-22T05:20:49.748901556Z",
    "orderName": "상품",
    "amount": {
        "total": 15500,
        "taxFree": 0,
        "vat": 1409,
        "supply": 14091,
        "discount": 0,
        "paid": 15500,
        "cancelled": 0,
        "cancelledTaxFree": 0,
    },
    "currency": "KRW",
    "customer": {"id": "port-customer-id-0190d8e2"},
    "paidAt": "2024-07-22T05:20:49.748901556Z",
    "receiptUrl": "https://mockup-pg-web.kakao.com/v1/confirmation/p/T69d/896F",
    "disputes": [],
}
FAILURE = {
    "reason": "[PAY_PROCESS_CANCELED] 사용자가 결제를 취소하였습니다",
    "pgCode": "PAY_PROCESS_CANCELED",
    "pgMessage": "사용자가 결제를 취소하였습니다",
}
FAILED = PAID | {"status": "FAILED", "failedAt": PAID["requestedAt"], "failure": FAILURE}
ACCOUNT = {"type": "PaymentMethodVirtualAccount", "bank": "KAKAO", "accountNumber": "79421234567890"}
ISSUED = PAID | {"status": "VIRTUAL_ACCOUNT_ISSUED", "method": ACCOUNT | {"remitteeName": "찐부부"}}


def cancellation(number: int, amount: int, status: str = "SUCCEEDED") -> dict[str, Any]:
    at = {"requestedAt": f"2024-07-22T05:2{number}:00Z", "cancelledAt": f"2024-07-22T05:2{number}:01Z"}
    facts = {"id": f"cancel-{number}", "totalAmount": amount, "taxFreeAmount": 0, "vatAmount": 0, "reason": "변심"}
    return {"status": status} | facts | at


def portone_settings(**changed: str) -> Settings:
    given = {
        "SECRET_KEY": "signs the cookies of this test only 0123",
        "PORTONE_STORE_ID": STORE,
        "PORTONE_CHANNEL_KEY": CHANNEL,
        "PORTONE_API_SECRET": "only-the-server-knows",
        "PORTONE_WEBHOOK_SECRET": WHSEC,
        "PORTONE_API_URL": API,
        "PG_TIMEOUT": "5",
    }
    return read_settings(given | changed)


@pytest.fixture
def portone(client: httpx.AsyncClient) -> PortOne:
    return PortOne(portone_settings(), client)


@pytest.fixture
def pg() -> Iterator[respx.MockRouter]:
    """PortOne's server. What a test has not told it to answer, it refuses."""
    with respx.mock(using="httpx", base_url=API, assert_all_called=False) as router:
        yield router


def order(**changed: Any) -> Payment:
    return payment(gateway="portone", payment_method="portone", order_id="order-1", amount=15_500, **changed)


def sent(pg: respx.MockRouter, number: int = -1) -> httpx.Request:
    request: httpx.Request = pg.calls[number].request
    return request


def said(pg: respx.MockRouter, number: int = -1) -> Any:
    return json.loads(sent(pg, number).content)


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_amount_is_fixed_before_the_window_opens(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.post("/payments/order-1/pre-register").respond(json={})
    step = await portone.start(order(), BACK)
    assert said(pg) == {"storeId": STORE, "totalAmount": 15_500, "currency": "KRW"}
    assert sent(pg).headers["authorization"] == "PortOne only-the-server-knows"
    assert isinstance(step, Window)
    ((name, request),) = step.steps
    assert (name, step.script) == ("PortOne.requestPayment", "https://cdn.portone.io/v2/browser-sdk.js")
    assert request == {
        "storeId": STORE,
        "channelKey": CHANNEL,
        "paymentId": "order-1",
        "orderName": "블로그 초안 쓰기",
        "totalAmount": 15_500,
        "currency": "KRW",
        "payMethod": "CARD",
        "customer": {"fullName": "김찐", "email": "buyer@example.com", "phoneNumber": "01012345678"},
        "redirectUrl": BACK,
        "forceRedirect": True,
    }


async def test_a_virtual_account_waits_for_a_day(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.post("/payments/order-1/pre-register").respond(json={})
    chosen = order()
    chosen.payment_method = "portone_virtual_account"
    step = await portone.start(chosen, BACK)
    assert isinstance(step, Window)
    request = step.steps[0][1]
    assert request["payMethod"] == "VIRTUAL_ACCOUNT"
    assert request["virtualAccount"] == {"accountExpiry": {"validHours": 24}}


async def test_a_paid_order_opens_no_window(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.post("/payments/order-1/pre-register").respond(409, json={"type": "ALREADY_PAID"})
    with pytest.raises(Declined) as raised:
        await portone.start(order(), BACK)
    assert "이미 결제를 마친" in portone.sentence(raised.value.code)


async def test_a_token_is_spent_on_our_amount_under_a_quoted_key(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.post("/payments/order-1/confirm").respond(json={"pgTxId": "t", "paidAt": PAID["paidAt"]})
    pg.get("/payments/order-1").respond(json=PAID)
    for token in ("token-1", "token-1", "token-2"):
        await portone.confirm(order(pg_token=token))
    assert said(pg, 0) == {"storeId": STORE, "totalAmount": 15_500, "currency": "KRW", "paymentToken": "token-1"}
    keys = [sent(pg, number).headers["idempotency-key"] for number in (0, 2, 4)]
    assert keys[0] == keys[1] != keys[2]
    assert all(key[0] == key[-1] == '"' and 16 <= len(key) - 2 <= 256 for key in keys)
    assert "token" not in keys[0]


async def test_a_refund_says_what_our_books_hold(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.post("/payments/order-1/cancel").respond(json={"cancellation": cancellation(1, 4_000)})
    after = PAID | {"status": "PARTIAL_CANCELLED", "cancellations": [cancellation(1, 4_000)]}
    pg.get("/payments/order-1").respond(json=after)
    account = RefundAccount("국민은행", "123456", "김찐")
    entry = refund(amount=4_000, reason="가" * 300)
    receipt = await portone.cancel(order(), entry, 15_500, account)
    assert said(pg, 0) == {
        "storeId": STORE,
        "reason": "가" * 200,
        "amount": 4_000,
        "currentCancellableAmount": 15_500,
        "requester": "ADMIN",
        "refundAccount": {"bank": "KOOKMIN", "number": "123456", "holderName": "김찐"},
    }
    assert sent(pg, 0).headers["idempotency-key"] == f'"{entry.pg_key}"'
    assert (receipt.status, receipt.paid, receipt.canceled) == ("paid", 15_500, (Cancellation("cancel-1", 4_000),))


async def test_it_always_says_which_store_is_meant(portone: PortOne, pg: respx.MockRouter) -> None:
    """§2: without it PortOne may not find a payment that is there."""
    pg.get("/payments/order-1").respond(json=PAID)
    await portone.find(order())
    assert sent(pg).url.params["storeId"] == STORE


# ── what comes back ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "transaction", "code", "token"),
    [
        ("paymentId=order-1&transactionType=PAYMENT&txId=t", "order-1", None, None),
        ("payment_id=order-1", "order-1", None, None),
        ("paymentId=order-1&paymentToken=secret", "order-1", None, "secret"),
        ("paymentId=order-1&code=FAILURE_TYPE_PG&pgCode=PAY_PROCESS_CANCELED", None, "PAY_PROCESS_CANCELED", None),
        (
            "paymentId=order-1&code=FAILURE_TYPE_PG&message=[PAY_PROCESS_CANCELED] 취소",
            None,
            "PAY_PROCESS_CANCELED",
            None,
        ),
        ("paymentId=order-1&code=AmountNotEqualToPredefined", None, "AmountNotEqualToPredefined", None),
        ("code=<script>", None, "UNKNOWN", None),
        ("code=", None, "UNKNOWN", None),
        ("", None, None, None),
    ],
)
def test_the_return_is_read(
    portone: PortOne, query: str, transaction: str | None, code: str | None, token: str | None
) -> None:
    handed = portone.handed(dict(httpx.QueryParams(query)))
    assert (handed.transaction_id, handed.code, handed.token) == (transaction, code, token)


async def test_the_sheets_captured_payment_is_read(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.get("/payments/order-1").respond(json=PAID)
    receipt = await portone.find(order())
    assert (receipt.status, receipt.order_id, receipt.paid, receipt.currency) == ("paid", "order-1", 15_500, "KRW")
    assert (receipt.canceled, receipt.left) == ((), 15_500)
    assert receipt.receipt_url == PAID["receiptUrl"]


@pytest.mark.parametrize(
    ("answer", "changed", "status", "paid"),
    [
        (PAID | {"status": "READY"}, {}, "open", 0),
        (PAID | {"status": "READY"}, {"pg_token": "t", "claimed_at": now()}, "authenticated", 0),
        (PAID | {"status": "READY"}, {"pg_token": "t", "claimed_at": now() - timedelta(hours=1)}, "open", 0),
        (PAID | {"status": "PAY_PENDING"}, {}, "authenticated", 0),
        (FAILED, {}, "canceled", 0),
        (FAILED | {"failure": {"pgCode": "REJECT_CARD_PAYMENT"}}, {}, "failed", 0),
        (FAILED | {"failure": {}}, {}, "failed", 0),
        (FAILED | {"failure": {}}, {"status": Status.WAITING}, "expired", 0),
        (ISSUED, {}, "waiting", 0),
        (PAID | {"status": "CANCELLED", "cancellations": [cancellation(1, 15_500)]}, {}, "canceled", 15_500),
    ],
)
async def test_a_status_means_one_thing(
    portone: PortOne, pg: respx.MockRouter, answer: dict[str, Any], changed: dict[str, Any], status: str, paid: int
) -> None:
    """`amount.paid` says 15500 in every one of them."""
    pg.get("/payments/order-1").respond(json=answer)
    receipt = await portone.find(order(**changed))
    assert (receipt.status, receipt.paid) == (status, paid)


async def test_a_buyer_reads_our_sentence_and_not_the_pgs(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.get("/payments/order-1").respond(json=FAILED | {"failure": {"pgCode": "REJECT_CARD_PAYMENT", "pgMessage": "E"}})
    receipt = await portone.find(order())
    assert receipt.message == portone.sentence("REJECT_CARD_PAYMENT")


async def test_an_account_that_was_closed_unpaid_held_no_money(portone: PortOne, pg: respx.MockRouter) -> None:
    closed = {name: value for name, value in ISSUED.items() if name != "paidAt"}
    pg.get("/payments/order-1").respond(json=closed | {"status": "CANCELLED", "cancellations": []})
    receipt = await portone.find(order())
    assert (receipt.status, receipt.paid, receipt.left) == ("canceled", 0, 0)


async def test_an_account_is_told_with_its_bank_in_korean_until_it_is_over(
    portone: PortOne, pg: respx.MockRouter
) -> None:
    due = datetime(2026, 11, 23, 5, 20, tzinfo=UTC)
    method = ISSUED["method"] | {"expiredAt": "2026-11-23T05:20:00.000000000Z"}
    pg.get("/payments/order-1").respond(json=ISSUED | {"method": method})
    with time_machine.travel(due + timedelta(minutes=59)):  # a deposit of the last minute may still be on its way
        receipt = await portone.find(order())
    assert receipt.account
    assert (receipt.account.bank, receipt.account.number) == ("카카오뱅크", "79421234567890")
    assert (receipt.account.holder, receipt.account.due) == ("찐부부", due)
    with time_machine.travel(due + timedelta(minutes=61)):
        assert (await portone.find(order())).status == "expired"


async def test_only_what_succeeded_has_gone_back_and_the_newest_is_last(portone: PortOne, pg: respx.MockRouter) -> None:
    """§19: the order is not written down."""
    its = [cancellation(3, 300), cancellation(2, 999, "FAILED"), cancellation(1, 100), cancellation(4, 1, "REQUESTED")]
    pg.get("/payments/order-1").respond(json=PAID | {"status": "PARTIAL_CANCELLED", "cancellations": its})
    receipt = await portone.find(order())
    assert receipt.canceled == (Cancellation("cancel-1", 100), Cancellation("cancel-3", 300))


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "TOMORROW"},
        {"id": None, "amount": {}},
        {"amount": {"total": 15500.5}},
        {"amount": {"total": "15500"}},
        {"amount": {"total": True}},
        {"cancellations": [{}]},
        {"currency": ...},
    ],
)
async def test_what_cannot_be_read_is_in_doubt(portone: PortOne, pg: respx.MockRouter, wrong: dict[str, Any]) -> None:
    answer = {name: value for name, value in (PAID | wrong).items() if value is not ...}
    pg.get("/payments/order-1").respond(json=answer)
    with pytest.raises(InDoubt):
        await portone.find(order())


async def test_test_money_is_no_money_in_production(client: httpx.AsyncClient, pg: respx.MockRouter) -> None:
    """A browser may name the store's test channel; whoever pays there has paid nothing."""
    live = PortOne(portone_settings(APP_ENV="production"), client)
    pg.get("/payments/order-1").respond(json=PAID)
    with pytest.raises(Declined) as raised:
        await live.confirm(order())
    assert raised.value.code == "TEST_CHANNEL"
    pg.post("/payments/order-1/confirm").respond(409, json={"type": "INFORMATION_MISMATCH"})
    with pytest.raises(Declined):
        await live.confirm(order(pg_token="t"))
    assert said(pg, 1)["isTest"] is False
    pg.get("/payments/order-1").respond(json=PAID | {"channel": PAID["channel"] | {"type": "LIVE"}})
    assert (await live.confirm(order())).paid == 15_500


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (400, "INVALID_REQUEST", "configuration"),
        (401, "UNAUTHORIZED", "configuration"),
        (403, "FORBIDDEN", "configuration"),
        (404, "PAYMENT_NOT_FOUND", "declined"),
        (409, "PAYMENT_NOT_PAID", "declined"),
        (409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT", "declined"),
        (409, "MAX_CANCEL_COUNT_REACHED", "declined"),
        (409, "PAYMENT_ALREADY_CANCELLED", "doubt, bound"),
        (409, "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN", "doubt, bound"),
        (409, "IDEMPOTENCY_OUTSTANDING_REQUEST", "doubt"),
        (429, "TOO_MANY", "doubt, bound"),
        (500, "UNAUTHORIZED", "doubt, bound"),
        (502, "PG_PROVIDER", "doubt, bound"),
        (503, "", "doubt"),
    ],
)
async def test_a_refund_is_refused_or_in_doubt(
    portone: PortOne, pg: respx.MockRouter, status: int, code: str, why: str
) -> None:
    pg.post("/payments/order-1/cancel").respond(status, json={"type": code} if code else {})
    pg.get("/payments/order-1").respond(json=PAID)
    with pytest.raises((Declined, InDoubt)) as raised:
        await portone.cancel(order(), refund(amount=4_000), 15_500)
    no: Any = raised.value
    assert (no.why if isinstance(no, Declined) else "doubt" + ", bound" * no.bound) == why


async def test_the_pgs_error_is_a_success_when_its_book_shows_it(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.post("/payments/order-1/cancel").respond(502, json={"type": "PG_PROVIDER", "pgCode": "E", "pgMessage": "오류"})
    after = PAID | {"status": "PARTIAL_CANCELLED", "cancellations": [cancellation(1, 4_000)]}
    pg.get("/payments/order-1").respond(json=after)
    assert (await portone.cancel(order(), refund(amount=4_000), 15_500)).left == 11_500


async def test_a_pg_that_keeps_refusing_has_refused(portone: PortOne, pg: respx.MockRouter) -> None:
    pg.post("/payments/order-1/cancel").respond(502, json={"type": "PG_PROVIDER", "pgCode": "TOO_LATE"})
    pg.get("/payments/order-1").respond(json=PAID)
    with pytest.raises(InDoubt):
        await portone.cancel(order(), refund(amount=4_000, attempt=1), 15_500)
    with pytest.raises(Declined, match="TOO_LATE"):
        await portone.cancel(order(), refund(amount=4_000, attempt=2), 15_500)


async def test_a_refund_that_waits_at_the_pg_is_not_asked_for_again(portone: PortOne, pg: respx.MockRouter) -> None:
    waits = cancellation(1, 4_000, "REQUESTED")
    asked = pg.post("/payments/order-1/cancel").respond(json={"cancellation": waits})
    pg.get("/payments/order-1").respond(json=PAID | {"cancellations": [waits]})
    for status in (RefundStatus.REQUESTED, RefundStatus.IN_DOUBT):
        with pytest.raises(InDoubt) as raised:
            await portone.cancel(order(), refund(amount=4_000, status=status), 15_500)
        assert (raised.value.code, raised.value.bound) == ("CANCEL_PENDING", False)
    assert asked.call_count == 1


@pytest.mark.parametrize("known", [(), ((2, "FAILED"),), ((1, "SUCCEEDED"), (2, "FAILED"))])
async def test_a_refund_has_failed_only_when_the_book_says_so_of_this_one(
    portone: PortOne, pg: respx.MockRouter, known: tuple[tuple[int, str], ...]
) -> None:
    pg.post("/payments/order-1/cancel").respond(json={"cancellation": cancellation(1, 4_000, "REQUESTED")})
    its = [cancellation(number, 4_000, status) for number, status in known]
    pg.get("/payments/order-1").respond(json=PAID | {"cancellations": its})
    with pytest.raises(InDoubt, match="CANCEL_PENDING"):
        await portone.cancel(order(), refund(amount=4_000, status=RefundStatus.IN_DOUBT), 15_500)
    pg.get("/payments/order-1").respond(json=PAID | {"cancellations": [cancellation(1, 4_000, "FAILED")]})
    with pytest.raises(Declined, match="CANCEL_FAILED"):
        await portone.cancel(order(), refund(amount=4_000, status=RefundStatus.IN_DOUBT), 15_500)


@pytest.mark.parametrize("code", ["ALREADY_PAID", "INVALID_PAYMENT_TOKEN", "PG_PROVIDER", "OF_TOMORROW"])
async def test_a_refused_confirm_looks_before_it_gives_up(portone: PortOne, pg: respx.MockRouter, code: str) -> None:
    pg.post("/payments/order-1/confirm").respond(502 if code == "PG_PROVIDER" else 409, json={"type": code})
    pg.get("/payments/order-1").respond(json=PAID)
    assert (await portone.confirm(order(pg_token="t"))).paid == 15_500
    pg.get("/payments/order-1").respond(json=FAILED)
    with pytest.raises(Declined, match="PAY_PROCESS_CANCELED"):
        await portone.confirm(order(pg_token="t"))
    pg.get("/payments/order-1").respond(json=PAID | {"status": "READY"})
    with pytest.raises(Declined if code in {"INVALID_PAYMENT_TOKEN", "ALREADY_PAID"} else InDoubt):
        await portone.confirm(order(pg_token="t"))


async def test_a_return_without_money_is_asked_about_again(portone: PortOne, pg: respx.MockRouter) -> None:
    """The SDK says success, PortOne not yet: their order is not promised (§9)."""
    pg.get("/payments/order-1").respond(json=PAID | {"status": "READY"})
    with pytest.raises(InDoubt):
        await portone.confirm(order())
    pg.get("/payments/order-1").respond(404, json={"type": "PAYMENT_NOT_FOUND"})
    with pytest.raises(Declined):
        await portone.confirm(order())


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("status", ["VIRTUAL_ACCOUNT_ISSUED", "CANCELLED", "FAILED"])
async def test_a_closed_account_is_closed_whatever_its_status(
    portone: PortOne, pg: respx.MockRouter, status: str, again: bool
) -> None:
    """§19: what it is afterwards is not written down."""
    closing = pg.post("/payments/order-1/virtual-account/close")
    if again:
        closing.respond(409, json={"type": "PAYMENT_NOT_WAITING_FOR_DEPOSIT"})
    else:
        closing.respond(json={"closedAt": PAID["paidAt"]})
    closed = {name: value for name, value in ISSUED.items() if name != "paidAt"}
    pg.get("/payments/order-1").respond(json=closed | {"status": status, "failure": {}, "cancellations": []})
    receipt = await portone.withdraw(order(status=Status.WAITING))
    assert (receipt.status, receipt.paid) == ("canceled", 0)


async def test_an_account_that_was_paid_meanwhile_is_not_withdrawn(portone: PortOne, pg: respx.MockRouter) -> None:
    no = {"type": "PAYMENT_NOT_WAITING_FOR_DEPOSIT"}
    pg.post("/payments/order-1/virtual-account/close").respond(409, json=no)
    pg.get("/payments/order-1").respond(json=PAID)
    assert (await portone.withdraw(order(status=Status.WAITING))).status == "paid"


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ORDER_ID = "Abcdefghijklmnopqrstuvwx"


def told(**changed: Any) -> bytes:
    data = {"storeId": STORE, "paymentId": ORDER_ID, "transactionId": "t"}
    return json.dumps(
        {"type": "Transaction.Paid", "timestamp": "2026-11-22T05:20:49Z", "data": data} | changed
    ).encode()


@pytest.fixture
def trusting(client: httpx.AsyncClient) -> PortOne:
    """It was given no secret: nothing can be checked."""
    return PortOne(portone_settings(PORTONE_WEBHOOK_SECRET=""), client)


@pytest.mark.parametrize(
    ("at", "headers", "body"),
    [
        (AT + timedelta(seconds=301), SIGNED, BODY),
        (AT - timedelta(seconds=301), SIGNED, BODY),
        (AT, SIGNED, BODY + b" "),
        (AT, SIGNED | {"webhook-id": "msg_another"}, BODY),
        (AT, SIGNED | {"webhook-signature": "v1,AAAA"}, BODY),
        (AT, SIGNED | {"webhook-signature": "nonsense"}, BODY),
        (AT, SIGNED | {"webhook-timestamp": "soon"}, BODY),
        (AT, {}, BODY),
        (AT, SIGNED, b"\xff"),
    ],
)
def test_a_webhook_that_portone_did_not_sign_is_forged(
    portone: PortOne, at: datetime, headers: dict[str, str], body: bytes
) -> None:
    with time_machine.travel(at, tick=False), pytest.raises(Forged):
        portone.hear(headers, body)


@pytest.mark.parametrize("secrets", [WHSEC, f"whsec_b2xk,{WHSEC}", f" {WHSEC} , whsec_bmV3"])
def test_one_of_two_secrets_is_enough_while_they_rotate(client: httpx.AsyncClient, secrets: str) -> None:
    rotating = PortOne(portone_settings(PORTONE_WEBHOOK_SECRET=secrets), client)
    with time_machine.travel(AT + timedelta(seconds=299), tick=False):
        assert rotating.hear(SIGNED, BODY) is None, "signed, and nobody's order"
        both = SIGNED | {"webhook-signature": f"v1,AAAA {SIGNED['webhook-signature']}"}
        assert rotating.hear(both, BODY) is None


@pytest.mark.parametrize(
    ("body", "order_id"),
    [
        (told(), ORDER_ID),
        (told(type="Transaction.Tomorrow"), ORDER_ID),
        (told(type="BillingKey.Issued", data={"billingKey": "b"}), None),
        (told(type="Transaction.Paid", data={}), None),
        (json.dumps({"payment_id": ORDER_ID, "tx_id": "t", "status": "Paid"}).encode(), ORDER_ID),
        (f"payment_id={ORDER_ID}&tx_id=t&status=Paid".encode(), ORDER_ID),
        (b"[]", None),
    ],
)
def test_both_versions_name_the_order_and_strange_types_are_let_go(
    trusting: PortOne, body: bytes, order_id: str | None
) -> None:
    heard = trusting.hear({"webhook-id": "msg_1"}, body)
    assert (heard and heard.order_id) == order_id
    assert heard is None or heard.transmission_id == "msg_1"


@pytest.mark.parametrize("body", [b'{"type":', b'{"type": "Transaction.Paid", "data": 1}', b"\xff\xfe"])
def test_an_unreadable_webhook_is_forged(trusting: PortOne, body: bytes) -> None:
    with pytest.raises(Forged):
        trusting.hear({}, body)


# ── the book ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_its_book_is_read_to_the_end_and_by_the_time_of_each_movement(
    portone: PortOne, pg: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gateways.portone.PAGE", 1)
    gone = PAID | {"status": "PARTIAL_CANCELLED", "cancellations": [cancellation(5, 500), cancellation(6, 9, "FAILED")]}
    pages = [[gone], [PAID | {"id": "order-2"}], []]
    pg.get("/payments").mock(side_effect=[httpx.Response(200, json={"items": items}) for items in pages])
    since, until = datetime(2024, 7, 22, 5, tzinfo=UTC), datetime(2024, 7, 22, 5, 22, tzinfo=UTC)
    lines = [line async for line in portone.movements(since, until)]
    assert [(line.order_id, line.amount) for line in lines] == [("order-1", 15_500), ("order-2", 15_500)]
    asked = [json.loads(call.request.url.params["requestBody"]) for call in pg.calls]
    assert [it["page"] for it in asked] == [{"number": number, "size": 1} for number in range(3)]
    assert asked[0]["filter"]["timestampType"] == "STATUS_CHANGED_AT"
    assert asked[0]["filter"]["until"] > asked[0]["filter"]["from"], "what changed later may have moved then"


async def test_in_production_test_money_is_in_no_book(client: httpx.AsyncClient, pg: respx.MockRouter) -> None:
    live = replace(PortOne(portone_settings(), client), settings=portone_settings(APP_ENV="production"))
    pg.get("/payments").respond(json={"items": []})
    assert [line async for line in live.movements(now() - timedelta(days=1), now())] == []
    assert json.loads(sent(pg).url.params["requestBody"])["filter"]["isTest"] is False


@pytest.mark.parametrize("answer", [{}, {"items": [{}]}, {"items": [PAID | {"amount": {}}]}])
async def test_a_book_that_cannot_be_read_is_in_doubt(portone: PortOne, pg: respx.MockRouter, answer: Any) -> None:
    pg.get("/payments").respond(json=answer)
    with pytest.raises(InDoubt):
        [line async for line in portone.movements(now() - timedelta(days=1), now())]


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sdk", "origins"),
    [
        ("https://cdn.portone.io/v2/browser-sdk.js", {"https://cdn.portone.io", "https://*.portone.io"}),
        ("http://localhost:9000/portone/v2/browser-sdk.js", {"http://localhost:9000"}),
    ],
)
def test_its_window_needs_portones_hosts(client: httpx.AsyncClient, sdk: str, origins: set[str]) -> None:
    assert origins <= set(PortOne(portone_settings(PORTONE_SDK_URL=sdk), client).origins)


def test_a_setting_of_ours_is_the_sellers_fault(portone: PortOne) -> None:
    assert "판매자에게" in portone.sentence("ChannelNotFound")
    assert "닫아" in portone.sentence("PAY_PROCESS_CANCELED")


@pytest.mark.parametrize("name", ["PORTONE_STORE_ID", "PORTONE_CHANNEL_KEY", "PORTONE_API_SECRET"])
def test_without_all_its_keys_it_is_not_offered(name: str) -> None:
    assert PortOne.configured(portone_settings())
    assert not PortOne.configured(portone_settings(**{name: ""}))
