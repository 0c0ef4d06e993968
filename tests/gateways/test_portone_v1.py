"""PortOne V1 as its sheet says it (pg/portone.md §13–15): what is sent, how answers are read. respx answers for it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import respx
import time_machine

from app.clock import now
from app.config import Settings, read_settings
from app.gateways import RETURN, Cancellation, Declined, Forged, InDoubt, Window
from app.gateways.portone_v1 import PortOneV1
from app.models import Payment
from tests.gateways.rows import payment, refund

API = "https://v1.example"
PAID: dict[str, Any] = {
    "imp_uid": "imp_1",
    "merchant_uid": "order-1",
    "amount": 15500,
    "cancel_amount": 0,
    "currency": "KRW",
    "status": "paid",
    "sandbox": True,
    "paid_at": 1795324849,
    "cancel_history": [],
    "fail_reason": None,
    "receipt_url": "https://receipt.example/1",
}
FAILED = PAID | {"status": "failed", "paid_at": 0, "fail_reason": "[결제포기] 사용자가 결제를 취소하셨습니다"}


def canceled(*amounts: int, status: str = "paid") -> dict[str, Any]:
    """The newest first: the order is not written down."""
    history = [
        {"pg_tid": "t", "amount": amount, "cancelled_at": 1795324900 + number, "cancellation_id": f"c{number}"}
        for number, amount in enumerate(amounts)
    ]
    return PAID | {"status": status, "cancel_amount": sum(amounts), "cancel_history": history[::-1]}


def v1_settings(**changed: str) -> Settings:
    given = {
        "SECRET_KEY": "signs the cookies of this test only 0123",
        "PORTONE_V1_IMP_KEY": "imp-key",
        "PORTONE_V1_IMP_SECRET": "only-the-server-knows",
        "PORTONE_V1_IMP_CODE": "imp00000000",
        "PORTONE_V1_CHANNEL_KEY": "channel-key-1",
        "PORTONE_V1_API_URL": API,
        "PG_TIMEOUT": "5",
    }
    return read_settings(given | changed)


@pytest.fixture
def v1(client: httpx.AsyncClient) -> PortOneV1:
    return PortOneV1(v1_settings(), client)


def wrapped(response: Any, code: int = 0, message: str | None = None, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": message, "response": response})


@pytest.fixture
def pg() -> Iterator[respx.MockRouter]:
    """V1's server. What a test has not told it to answer, it refuses."""
    with respx.mock(using="httpx", base_url=API, assert_all_called=False) as router:
        router.post("/users/getToken", name="token").mock(
            side_effect=[wrapped({"access_token": f"t{n}", "now": 1000, "expired_at": 2800}) for n in range(9)]
        )
        yield router


def order(**changed: Any) -> Payment:
    facts = {"gateway": "portone_v1", "payment_method": "portone_v1", "order_id": "order-1", "amount": 15_500}
    return payment(**facts | changed)


def finds(pg: respx.MockRouter, response: dict[str, Any] | None) -> None:
    """Any look-up by our order id."""
    answer = wrapped(None, -1, "없음", 404) if response is None else wrapped(response)
    pg.get(url__regex=f"{API}/payments/find/order-1/.*").mock(return_value=answer)


def said(pg: respx.MockRouter, number: int = -1) -> Any:
    return json.loads(pg.calls[number].request.content)


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_amount_is_fixed_and_the_callback_comes_back(v1: PortOneV1, pg: respx.MockRouter) -> None:
    pg.post("/payments/prepare").mock(return_value=wrapped({}))
    step = await v1.start(order(), "https://shop.example/back")
    assert said(pg) == {"merchant_uid": "order-1", "amount": 15_500}
    assert isinstance(step, Window)
    assert step.script == "https://cdn.iamport.kr/v1/iamport.js"
    init, (name, request, told) = step.steps
    assert init == ["IMP.init", "imp00000000"]
    assert (name, told) == ("IMP.request_pay", RETURN)
    assert request == {
        "channelKey": "channel-key-1",
        "pay_method": "card",
        "merchant_uid": "order-1",
        "name": "블로그 초안 쓰기",
        "amount": 15_500,
        "buyer_name": "김찐",
        "buyer_email": "buyer@example.com",
        "buyer_tel": "01012345678",
        "m_redirect_url": "https://shop.example/back",
    }


async def test_a_window_opened_again_prepares_the_same_amount_again(v1: PortOneV1, pg: respx.MockRouter) -> None:
    pg.post("/payments/prepare").mock(return_value=wrapped(None, 1, "이미 등록된 merchant_uid입니다."))
    pg.put("/payments/prepare").mock(return_value=wrapped({}))
    assert await v1.start(order(), "https://shop.example/back")
    pg.put("/payments/prepare").mock(return_value=wrapped(None, -1, "없음", 404))
    with pytest.raises(Declined) as raised:
        await v1.start(order(), "https://shop.example/back")
    assert raised.value.why == "configuration"


async def test_one_token_serves_until_shortly_before_its_end(v1: PortOneV1, pg: respx.MockRouter) -> None:
    finds(pg, PAID)
    with time_machine.travel(now(), tick=False) as clock:
        await v1.find(order())
        clock.shift(timedelta(minutes=27))
        await v1.find(order())
        assert pg["token"].call_count == 1
        clock.shift(timedelta(minutes=2))
        await v1.find(order())
    assert pg["token"].call_count == 2
    assert said(pg, 0) == {"imp_key": "imp-key", "imp_secret": "only-the-server-knows"}
    assert [call.request.headers.get("authorization") for call in pg.calls][-1] == "Bearer t1"


async def test_a_token_that_is_refused_is_asked_for_anew_once(v1: PortOneV1, pg: respx.MockRouter) -> None:
    no = wrapped(None, -1, "Unauthorized", 401)
    url = f"{API}/payments/find/order-1/.*"
    pg.get(url__regex=url).mock(side_effect=[no, wrapped(PAID), no, no])
    assert (await v1.find(order())).paid == 15_500
    assert pg["token"].call_count == 2
    with pytest.raises(InDoubt, match="UNAUTHORIZED"):
        await v1.find(order())


@pytest.mark.parametrize(("env", "asked"), [("development", "true"), ("production", "false")])
async def test_test_payments_are_asked_for_outside_production_only(
    client: httpx.AsyncClient, pg: respx.MockRouter, env: str, asked: str
) -> None:
    finds(pg, PAID | {"sandbox": False})
    await PortOneV1(v1_settings(APP_ENV=env), client).find(order())
    assert pg.calls.last.request.url.params["include_sandbox"] == asked


# ── what comes back ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "imp_uid", "code"),
    [
        ({"imp_uid": "imp_1", "merchant_uid": "order-1"}, "imp_1", None),
        ({"imp_uid": "imp_1", "merchant_uid": "order-1", "imp_success": "true"}, "imp_1", None),
        ({"imp_uid": "imp_1", "merchant_uid": "order-1", "success": "false"}, None, "UNKNOWN"),
        ({"imp_uid": "imp_1", "error_code": "F400", "error_msg": "[결제포기] 취소"}, None, "PAY_PROCESS_CANCELED"),
        ({"merchant_uid": "order-1", "error_code": "BadRequest", "error_msg": "잘못"}, None, "BadRequest"),
        ({"imp_uid": "imp_1", "error_msg": "[REJECT_CARD_PAYMENT] 한도"}, None, "REJECT_CARD_PAYMENT"),
        ({"code": "SDK_NOT_LOADED"}, None, "SDK_NOT_LOADED"),
        ({"error_code": "<script>"}, None, "UNKNOWN"),
        ({}, None, None),
    ],
)
def test_the_return_is_read(v1: PortOneV1, query: dict[str, str], imp_uid: str | None, code: str | None) -> None:
    handed = v1.handed(query)
    assert (handed.transaction_id, handed.code) == (imp_uid, code)


async def test_another_orders_number_pays_nothing(v1: PortOneV1, pg: respx.MockRouter) -> None:
    pg.get("/payments/imp_2").mock(return_value=wrapped(PAID | {"merchant_uid": "order-2"}))
    with pytest.raises(Declined):
        await v1.confirm(order(pg_transaction_id="imp_2"))


async def test_a_failed_attempt_does_not_hide_the_one_that_was_paid(v1: PortOneV1, pg: respx.MockRouter) -> None:
    pg.get("/payments/imp_0").mock(return_value=wrapped(FAILED | {"imp_uid": "imp_0"}))
    pg.get(url__regex=f"{API}/payments/find/order-1/paid.*").mock(return_value=wrapped(PAID))
    receipt = await v1.confirm(order(pg_transaction_id="imp_0"))
    assert (receipt.status, receipt.transaction_id) == ("paid", "imp_1")


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [(FAILED, Declined), (None, Declined), (PAID | {"status": "ready", "paid_at": 0}, InDoubt)],
)
async def test_no_money_is_a_no_or_not_yet(
    v1: PortOneV1, pg: respx.MockRouter, answer: dict[str, Any] | None, wrong: type[Exception]
) -> None:
    finds(pg, answer)
    with pytest.raises(wrong):
        await v1.confirm(order())


@pytest.mark.parametrize(
    ("answer", "status", "paid", "back"),
    [
        (PAID, "paid", 15_500, []),
        (canceled(100, 400), "paid", 15_500, [100, 400]),
        (canceled(100, 15_400, status="cancelled"), "canceled", 15_500, [100, 15_400]),
        (PAID | {"status": "cancelled", "paid_at": 0}, "canceled", 0, []),
        (PAID | {"status": "ready", "paid_at": 0}, "open", 0, []),
        (FAILED, "canceled", 0, []),
        (FAILED | {"fail_reason": "[REJECT_CARD_PAYMENT] 한도"}, "failed", 0, []),
        (FAILED | {"fail_reason": None}, "failed", 0, []),
    ],
)
async def test_a_status_means_one_thing(
    v1: PortOneV1, pg: respx.MockRouter, answer: dict[str, Any], status: str, paid: int, back: list[int]
) -> None:
    finds(pg, answer)
    receipt = await v1.find(order())
    assert (receipt.status, receipt.paid, [one.amount for one in receipt.canceled]) == (status, paid, back)


@pytest.mark.parametrize(
    "wrong",
    [{"status": "tomorrow"}, {"amount": "15500"}, {"amount": 1.5}, {"sandbox": ...}, {"cancel_amount": 100}, None, []],
)
async def test_what_cannot_be_read_is_in_doubt(v1: PortOneV1, pg: respx.MockRouter, wrong: Any) -> None:
    its = wrong if not wrong else {name: value for name, value in (PAID | wrong).items() if value is not ...}
    pg.get(url__regex=f"{API}/payments/find/order-1/.*").mock(return_value=wrapped(its))
    with pytest.raises(InDoubt):
        await v1.find(order())


@pytest.mark.parametrize("answer", [[], {}, {"code": "0", "response": PAID}])
async def test_an_answer_without_its_envelope_is_in_doubt(v1: PortOneV1, pg: respx.MockRouter, answer: Any) -> None:
    pg.get(url__regex=f"{API}/payments/find/order-1/.*").respond(json=answer)
    with pytest.raises(InDoubt):
        await v1.find(order())


async def test_test_money_is_no_money_in_production(client: httpx.AsyncClient, pg: respx.MockRouter) -> None:
    finds(pg, PAID)
    with pytest.raises(Declined) as raised:
        await PortOneV1(v1_settings(APP_ENV="production"), client).confirm(order())
    assert raised.value.code == "TEST_CHANNEL"


# ── giving back ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_refund_says_what_our_books_hold(v1: PortOneV1, pg: respx.MockRouter) -> None:
    pg.post("/payments/cancel").mock(return_value=wrapped(canceled(4_000)))
    receipt = await v1.cancel(order(pg_transaction_id="imp_1"), refund(amount=4_000), 15_500)
    body = {"amount": 4_000, "checksum": 15_500, "reason": "단순변심", "imp_uid": "imp_1", "merchant_uid": "order-1"}
    assert said(pg) == body
    assert (receipt.left, receipt.canceled) == (11_500, (Cancellation("c0", 4_000),))


@pytest.mark.parametrize(
    ("after", "outcome"),
    [(canceled(4_000), 11_500), (PAID, Declined), (canceled(9_000), InDoubt)],
    ids=["it went through before", "nothing moved", "something else moved"],
)
async def test_a_failure_under_200_is_looked_into(
    v1: PortOneV1, pg: respx.MockRouter, after: dict[str, Any], outcome: Any
) -> None:
    pg.post("/payments/cancel").mock(return_value=wrapped(None, 1, "취소할 수 없습니다."))
    finds(pg, after)
    asked = v1.cancel(order(), refund(amount=4_000), 15_500)
    if isinstance(outcome, int):
        assert (await asked).left == outcome
        return
    with pytest.raises(outcome):
        await asked


# ── webhooks and people ──────────────────────────────────────────────────────────────────────────────────────────────

ORDER_ID = "Abcdefghijklmnopqrstuvwx"


@pytest.mark.parametrize(
    ("body", "order_id"),
    [
        (json.dumps({"imp_uid": "imp_1", "merchant_uid": ORDER_ID, "status": "paid"}).encode(), ORDER_ID),
        (f"imp_uid=imp_1&merchant_uid={ORDER_ID}&status=paid".encode(), ORDER_ID),
        (b'{"merchant_uid": 5}', None),
        (b"", None),
    ],
)
def test_a_webhook_says_where_to_look(v1: PortOneV1, body: bytes, order_id: str | None) -> None:
    heard = v1.hear({}, body)
    assert (heard and heard.order_id) == order_id


@pytest.mark.parametrize("body", [b'{"merchant_uid":', b"\xff\xfe"])
def test_an_unreadable_webhook_is_forged(v1: PortOneV1, body: bytes) -> None:
    with pytest.raises(Forged):
        v1.hear({}, body)


@pytest.mark.parametrize("name", ["IMP_KEY", "IMP_SECRET", "IMP_CODE", "CHANNEL_KEY"])
def test_without_all_its_keys_it_is_not_offered(v1: PortOneV1, name: str) -> None:
    assert PortOneV1.configured(v1.settings)
    assert not PortOneV1.configured(v1_settings(**{f"PORTONE_V1_{name}": ""}))


def test_its_window_needs_iamports_hosts(v1: PortOneV1) -> None:
    assert {"https://cdn.iamport.kr", "https://*.iamport.kr"} <= set(v1.origins)
    assert "판매자에게" in v1.sentence("NOT_PREPARED")
