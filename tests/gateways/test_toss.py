"""What we say to Toss, and what we read out of its answers."""

import json
import traceback
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import respx

from app.gateways import (
    Account,
    Cancellation,
    Declined,
    Forged,
    Handed,
    InDoubt,
    Movement,
    Receipt,
    RefundAccount,
    Window,
    load,
)
from app.gateways.toss import CLASS_OF, SENTENCES, Toss
from tests.gateways.conftest import API, SECRET, toss_settings
from tests.gateways.rows import payment, refund
from tests.gateways.toss_sheet import (
    ABORTED,
    CANCELED,
    CARD,
    EASY_PAY,
    EXPIRED,
    PARTIAL_CANCELED,
    ROWS,
    VIRTUAL_ACCOUNT,
    Body,
)

KEY = "tgen_20250528204823hWav3"
BACK = "https://shop.example/payments/A/return"
RECEIPT_URL = EASY_PAY["receipt"]["url"]


def sent(pg: respx.MockRouter) -> httpx.Request:
    """The last request that the PG got."""
    request: httpx.Request = pg.calls.last.request
    return request


# ── what we ask ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_confirm_asks_for_our_amount_under_our_order_id(toss: Toss, pg: respx.MockRouter) -> None:
    pg.post("/v1/payments/confirm").respond(json=CARD)
    order = payment(amount=7_900, pg_transaction_id=KEY)
    await toss.confirm(order)
    body = json.loads(sent(pg).content)
    assert body == {"paymentKey": KEY, "orderId": order.order_id, "amount": 7_900}
    assert type(body["amount"]) is int
    assert sent(pg).headers["idempotency-key"] == order.order_id


async def test_a_repeated_confirm_is_the_same_request(toss: Toss, pg: respx.MockRouter) -> None:
    pg.post("/v1/payments/confirm").respond(json=CARD)
    order = payment(pg_transaction_id=KEY)
    await toss.confirm(order)
    await toss.confirm(order)
    first, second = (call.request for call in pg.calls)
    assert first.content == second.content
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


async def test_a_refund_always_says_its_amount_and_why(toss: Toss, pg: respx.MockRouter) -> None:
    pg.post(f"/v1/payments/{KEY}/cancel").respond(json=CANCELED)
    await toss.cancel(payment(pg_transaction_id=KEY), refund(amount=10_000, reason="가" * 300), 10_000)
    body = json.loads(sent(pg).content)
    assert body == {"cancelReason": "가" * 200, "cancelAmount": 10_000, "refundableAmount": 10_000}  # §2.4: 200 letters
    assert type(body["cancelAmount"]) is int


async def test_a_refund_has_a_key_of_its_own_and_keeps_it(toss: Toss, pg: respx.MockRouter) -> None:
    pg.post(f"/v1/payments/{KEY}/cancel").respond(json=PARTIAL_CANCELED)
    order, first, second = payment(pg_transaction_id=KEY), refund(1), refund(2)
    for entry in (first, first, second):
        await toss.cancel(order, entry, 10_000)
    keys = [call.request.headers["idempotency-key"] for call in pg.calls]
    assert keys == [first.pg_key, first.pg_key, second.pg_key]
    assert keys[0] != keys[2]
    assert order.order_id not in keys, "the confirm's answer would be replayed"
    assert all(len(key) <= 300 for key in keys)


async def test_a_payment_is_found_by_its_key_once_there_is_one(toss: Toss, pg: respx.MockRouter) -> None:
    order = payment()
    by_order = pg.get(f"/v1/payments/orders/{order.order_id}").respond(json=CARD)
    by_key = pg.get(f"/v1/payments/{KEY}").respond(json=CARD)
    await toss.find(order)
    assert (by_order.call_count, by_key.call_count) == (1, 0)
    await toss.find(payment(pg_transaction_id=KEY))
    assert (by_order.call_count, by_key.call_count) == (1, 1)


@pytest.mark.parametrize("key", ["../orders/x", "a/b?c=d#e", "1%2F2", "ㄱ&ㄴ", "a b"])
async def test_a_payment_key_cannot_lead_to_another_address(toss: Toss, pg: respx.MockRouter, key: str) -> None:
    """The buyer's address bar brings it."""
    pg.route().respond(json=CARD)
    order = payment(pg_transaction_id=key)
    await toss.find(order)
    await toss.cancel(order, refund(), 10_000)
    found, canceled = (call.request.url.raw_path.decode().removeprefix("/toss") for call in pg.calls)
    start, end = "/v1/payments/", "/cancel"
    quoted = found.removeprefix(start)
    assert found.startswith(start)
    assert not set(quoted) & set("/?#& ")
    assert httpx.URL(f"https://x/{quoted}").path == f"/{key}"
    assert canceled == f"{start}{quoted}{end}"


@pytest.mark.parametrize("call", ["confirm", "cancel", "find"])
async def test_every_call_proves_who_we_are(toss: Toss, pg: respx.MockRouter, call: str) -> None:
    """§2.1: the secret, a colon, and no password."""
    pg.route().respond(json=CARD)
    order = payment(pg_transaction_id=KEY)
    await (toss.cancel(order, refund(), 10_000) if call == "cancel" else getattr(toss, call)(order))
    assert sent(pg).headers["authorization"] == "Basic " + b64encode(f"{SECRET}:".encode()).decode()
    assert str(sent(pg).url).startswith(f"{API}/v1/payments/")


async def test_a_lookup_is_a_plain_get(toss: Toss, pg: respx.MockRouter) -> None:
    pg.get().respond(json=CARD)
    await toss.find(payment())
    assert sent(pg).content == b""
    assert "idempotency-key" not in sent(pg).headers


# ── the payment window ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_window_is_opened_for_our_order_and_amount(toss: Toss) -> None:
    order = payment(amount=7_900)
    assert await toss.start(order, BACK) == Window(
        "https://js.tosspayments.com/v2/standard",
        [
            ["TossPayments", "test_ck_everyone_may_know"],
            ["payment", {"customerKey": "@@ANONYMOUS"}],
            [
                "requestPayment",
                {
                    "method": "CARD",
                    "amount": {"currency": "KRW", "value": 7_900},
                    "orderId": order.order_id,
                    "orderName": "블로그 초안 쓰기",
                    "successUrl": BACK,
                    "failUrl": BACK,
                    "customerName": "김찐",
                    "customerEmail": "buyer@example.com",
                    "customerMobilePhone": "01012345678",
                    "card": {"flowMode": "DEFAULT"},
                },
            ],
        ],
    )


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("tosspay", {"method": "CARD", "card": {"flowMode": "DIRECT", "easyPay": "TOSSPAY"}}),
        ("naverpay", {"method": "CARD", "card": {"flowMode": "DIRECT", "easyPay": "NAVERPAY"}}),
        ("transfer", {"method": "TRANSFER", "transfer": {"cashReceipt": {"type": "소득공제"}}}),
        (
            "virtual_account",
            {"method": "VIRTUAL_ACCOUNT", "virtualAccount": {"validHours": 72, "cashReceipt": {"type": "소득공제"}}},
        ),
        ("mobile", {"method": "MOBILE_PHONE"}),
    ],
)
async def test_each_method_is_asked_for_in_the_sdks_words(toss: Toss, method: str, asked: dict[str, object]) -> None:
    request = (await toss.start(payment(payment_method=method), BACK)).steps[2][1]
    assert request.items() >= asked.items()
    others = {"card", "transfer", "virtualAccount", "mobilePhone"} - asked.keys()
    assert not others & request.keys(), "an option of another method is INVALID_PARAMETERS at the SDK"


async def test_a_buyer_without_a_phone_sends_none(toss: Toss) -> None:
    """§1.2: 8 to 15 digits or nothing; the SDK refuses an empty one (INVALID_PARAMETERS) and no window opens."""
    window = await toss.start(payment(buyer_phone=""), BACK)
    assert "customerMobilePhone" not in window.steps[2][1]


async def test_long_names_are_cut_to_what_the_window_takes(toss: Toss) -> None:
    long = {"item_name": "가" * 150, "buyer_name": "나" * 150, "buyer_email": f"{'a' * 150}@example.com"}
    window = await toss.start(payment(**long), BACK)
    asked = window.steps[2][1]
    assert [asked[name] for name in ("orderName", "customerName", "customerEmail")] == [it * 100 for it in "가나a"]


async def test_the_window_page_lets_in_the_sdk_and_its_sibling_hosts_only(toss: Toss) -> None:
    assert toss.origins == ("https://js.tosspayments.com", "https://*.tosspayments.com")
    pretend = replace(toss, settings=toss_settings(TOSS_SDK_URL="http://127.0.0.1:9000/toss/v2/standard"))
    assert pretend.origins == ("http://127.0.0.1:9000",)
    lookalike = replace(toss, settings=toss_settings(TOSS_SDK_URL="https://js.nottosspayments.com/v2"))
    assert lookalike.origins == ("https://js.nottosspayments.com",)


@pytest.mark.parametrize("missing", ["TOSS_CLIENT_KEY", "TOSS_SECRET_KEY"])
async def test_a_gateway_without_both_keys_is_not_offered(toss: Toss, missing: str) -> None:
    assert "toss" in load(toss_settings(), toss.client)
    assert "toss" not in load(toss_settings(**{missing: ""}), toss.client)


# ── the secret stays ours ────────────────────────────────────────────────────────────────────────────────────────────


def coded(secret: str) -> tuple[str, ...]:
    """The secret as it is and as it travels."""
    return secret, b64encode(f"{secret}:".encode()).decode().rstrip("=")


async def test_the_browser_never_sees_the_secret_key(toss: Toss) -> None:
    page = json.dumps((await toss.start(payment(), BACK)).steps)
    assert "test_ck_everyone_may_know" in page
    assert not any(secret in page for secret in coded(SECRET))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"code": "UNAUTHORIZED_KEY", "message": "인증되지 않은 시크릿 키"}),
        httpx.Response(500, text="<h1>oops</h1>"),
        httpx.Response(200, json={}),
        httpx.ConnectError("refused"),
    ],
    ids=["declined", "html", "empty", "no connection"],
)
async def test_the_secret_key_is_not_printed(
    toss: Toss, pg: respx.MockRouter, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    caplog.set_level("DEBUG")
    pg.route().mock(side_effect=[answer])
    with pytest.raises((Declined, InDoubt)) as raised:
        await toss.confirm(payment(pg_transaction_id=KEY))
    error = raised.value
    printed = [repr(toss), str(toss), repr(toss.settings), str(toss.settings), repr(error), str(error), caplog.text]
    printed += traceback.format_exception(error)
    assert b64decode(sent(pg).headers["authorization"].removeprefix("Basic ")).decode() == f"{SECRET}:"
    assert not [text for text in printed for secret in coded(SECRET) if secret in text]


# ── the way back ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "handed"),
    [
        (
            {"paymentType": "NORMAL", "orderId": "A", "paymentKey": KEY, "amount": "10000"},
            Handed(KEY, "A", "10000", None),
        ),
        ({"orderId": "A", "paymentKey": KEY, "amount": "10000"}, Handed(KEY, "A", "10000", None)),
        ({"code": "PAY_PROCESS_CANCELED", "message": "…"}, Handed(code="PAY_PROCESS_CANCELED")),
        (
            {"code": "REJECT_CARD_COMPANY", "message": "…", "orderId": "A"},
            Handed(order_id="A", code="REJECT_CARD_COMPANY"),
        ),
        ({}, Handed()),
        ({"paymentKey": "", "code": "USER_CANCEL"}, Handed("", code="USER_CANCEL")),
        ({"paymentKey": KEY, "code": "USER_CANCEL"}, Handed(KEY)),
    ],
    ids=["success", "no type", "closed", "rejected", "nothing", "empty key", "both"],
)
def test_the_way_back_is_read_and_not_judged(toss: Toss, query: dict[str, str], handed: Handed) -> None:
    assert toss.handed(query) == handed


def test_a_closed_window_is_told_from_a_refused_card(toss: Toss) -> None:
    assert toss.canceled_codes == {"USER_CANCEL", "PAY_PROCESS_CANCELED"}


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CHANGED = {"eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-11-22T10:00:00.000000", "data": EASY_PAY}
DEPOSIT = {
    "createdAt": "2026-11-22T10:00:00.000000",
    "secret": "ps_GjLJoQ1aVZ965EbZMQy13w6KYe2R",
    "status": "DONE",
    "transactionKey": "9FF15E1A29D0E77C218F57262BFA4986",
    "orderId": "MC4xNTU3MDQ1MDk3Njkx",
}


@pytest.mark.parametrize("event", [CHANGED, DEPOSIT], ids=["PAYMENT_STATUS_CHANGED", "DEPOSIT_CALLBACK"])
def test_a_webhook_names_its_order_and_its_proof_in_either_shape(toss: Toss, event: dict[str, Any]) -> None:
    secret = event.get("data", event)["secret"]
    headers = {"tosspayments-webhook-transmission-id": "whtrans_a01j70335nkqqeg0zwzz2r4py9z"}
    heard = toss.hear(headers, json.dumps(event).encode())
    assert heard
    assert (heard.order_id, heard.secret) == ("MC4xNTU3MDQ1MDk3Njkx", secret)
    assert heard.transmission_id == "whtrans_a01j70335nkqqeg0zwzz2r4py9z"


def test_a_webhook_without_a_secret_proves_nothing(toss: Toss) -> None:
    """§5.4: an EXPIRED payment may have none."""
    event = {"eventType": "PAYMENT_STATUS_CHANGED", "data": EXPIRED}
    heard = toss.hear({}, json.dumps(event).encode())
    assert heard
    assert (heard.order_id, heard.secret, heard.transmission_id) == ("MC4xNTU3MDQ1MDk3Njkx", None, None)


@pytest.mark.parametrize(
    ("status", "total", "balance", "given_back"),
    [
        ("DONE", 10_000, 10_000, 0),
        ("PARTIAL_CANCELED", 10_000, 6_000, 4_000),
        ("PARTIAL_CANCELED", 10_000, 0, 10_000),
        ("CANCELED", 10_000, 0, 10_000),
        ("EXPIRED", 10_000, 10_000, None),
        ("ABORTED", 10_000, 10_000, None),
        ("DONE", "10000", 6_000, None),
        ("DONE", 10_000, None, None),
    ],
)
def test_a_webhook_may_say_how_much_went_back(
    toss: Toss, status: str, total: object, balance: object, given_back: int | None
) -> None:
    told = EASY_PAY | {"status": status, "totalAmount": total, "balanceAmount": balance}
    heard = toss.hear({}, json.dumps(CHANGED | {"data": told}).encode())
    assert heard
    assert heard.given_back == given_back


@pytest.mark.parametrize(
    "event",
    [
        {"eventType": "BILLING_DELETED", "createdAt": "…", "data": {"billingKey": "b", "reason": None}},
        {
            "eventType": "CANCEL_STATUS_CHANGED",
            "createdAt": "…",
            "data": {"transactionKey": "t", "cancelStatus": "DONE"},
        },
        {"eventType": "payout.changed", "createdAt": "…", "version": "…", "eventId": "e", "entityBody": {"id": "p"}},
        {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": 5}},
        {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": None}},
    ],
    ids=["BILLING_DELETED", "CANCEL_STATUS_CHANGED", "payout.changed", "a number", "null"],
)
def test_a_webhook_about_something_else_names_no_order(toss: Toss, event: dict[str, Any]) -> None:
    """§5.3: it is Toss that speaks, only not of a payment. A refusal would be sent again for days."""
    assert toss.hear({}, json.dumps(event).encode()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"orderId=A",
        b'{"orderId": "A"',
        b"null",
        b"1",
        b"[]",
        b'"eventType"',
        b'["eventType"]',
        b"\xff\xfe\xff",
        b"[" * 100_000,
        b'{"eventType": "PAYMENT_STATUS_CHANGED", "data": null}',
        b'{"eventType": "PAYMENT_STATUS_CHANGED", "data": ["orderId"]}',
    ],
    ids=lambda body: body[:20].decode(errors="replace") or "nothing",
)
def test_garbage_is_not_a_webhook(toss: Toss, body: bytes) -> None:
    with pytest.raises(Forged):
        toss.hear({}, body)


# ── sentences ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "code", sorted({row.code for row in ROWS} | set(SENTENCES) | {"BRAND_NEW_CODE", "UNKNOWN", ""})
)
def test_every_code_has_a_sentence_with_the_next_step(toss: Toss, code: str) -> None:
    sentence = toss.sentence(code)
    assert sentence.endswith(("주세요.", "있습니다."))
    assert any("가" <= letter <= "힣" for letter in sentence)
    assert not code or code not in sentence, "people do not read codes"


def test_a_limit_is_called_a_limit_and_our_own_mistake_is_not_the_buyers(toss: Toss) -> None:
    assert "한도" in toss.sentence("EXCEED_MAX_DAILY_PAYMENT_COUNT")
    for other in ("EXCEED_MAX_OF_TOMORROW", "AN_UNHEARD_OF_AMOUNT"):
        assert "한도" not in toss.sentence(other)
    ours = {toss.sentence(code) for code, kind in CLASS_OF.items() if kind == "configuration"}
    assert len(ours) == 1
    assert "판매자" in ours.pop()


# ── what we read ─────────────────────────────────────────────────────────────────────────────────────────────────────

ORDER, SECRET_OF_PAYMENT = "MC4xNTU3MDQ1MDk3Njkx", "ps_AQ92ymxN341NYWKMRym4VajRKXvd"
DONE = Receipt(
    status="paid",
    order_id=ORDER,
    transaction_id=KEY,
    paid=10_000,
    secret=SECRET_OF_PAYMENT,
    receipt_url=RECEIPT_URL,
)
EXAMPLES: dict[str, tuple[Body, Receipt]] = {
    "(a) easy pay": (EASY_PAY, replace(DONE, paid=50_000)),
    "(b) card": (CARD, DONE),
    "(c) virtual account": (
        VIRTUAL_ACCOUNT,
        replace(
            DONE,
            status="waiting",
            paid=11_111,
            secret="ps_GjLJoQ1aVZ965EbZMQy13w6KYe2R",
            account=Account("농협은행", "X9018612307559", "김찐", datetime(2025, 4, 13, 14, 28, 59, tzinfo=UTC)),
        ),
    ),
    "(d) canceled": (
        CANCELED,
        replace(
            DONE,
            status="canceled",
            paid=1_000,
            canceled=(Cancellation("090A796806E726BBB929F4A2CA7DB9A7", 1_000),),
        ),
    ),
    "(e) expired": (
        EXPIRED,
        Receipt(
            status="expired",
            order_id=ORDER,
            transaction_id=KEY,
            paid=50_000,
            code="EXPIRED_PAYMENT",
            message="결제가 만료되었습니다. 다시 시도해주세요.",
        ),
    ),
    "(f) aborted": (
        ABORTED,
        replace(
            DONE,
            status="failed",
            code="COMMON_ERROR",
            message="일시적인 오류가 발생했습니다. 잠시 후 다시 시도해주세요.",
        ),
    ),
    "canceled in two parts": (
        PARTIAL_CANCELED,
        replace(DONE, canceled=(Cancellation("txrd_a01first", 3_000), Cancellation("txrd_a01second", 7_000))),
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("call", ["confirm", "find", "cancel"])
async def test_the_sheet_s_examples_are_read(toss: Toss, pg: respx.MockRouter, example: str, call: str) -> None:
    body, receipt = EXAMPLES[example]
    pg.route().respond(json=body)
    order = payment(pg_transaction_id=KEY)
    read = await (toss.cancel(order, refund(), 10_000) if call == "cancel" else getattr(toss, call)(order))
    assert read == receipt
    assert type(read.paid) is int


@pytest.mark.parametrize(("word", "standing"), [("READY", "open"), ("IN_PROGRESS", "authenticated")])
async def test_a_payment_that_has_not_ended_is_told_from_one_that_has(
    toss: Toss, pg: respx.MockRouter, word: str, standing: str
) -> None:
    pg.route().respond(json=EXPIRED | {"status": word, "failure": None})
    assert (await toss.find(payment())).status == standing


async def test_fields_and_objects_we_do_not_know_are_let_be(toss: Toss, pg: respx.MockRouter) -> None:
    """§3.1 grows."""
    pg.route().respond(json=CARD | {"brandNew": {"deep": [1]}, "checkout": None, "receipt": None, "secret": None})
    assert await toss.find(payment()) == replace(DONE, secret=None, receipt_url=None)


async def test_an_amount_with_a_point_zero_is_the_same_won(toss: Toss, pg: respx.MockRouter) -> None:
    pg.route().respond(json=CARD | {"totalAmount": 10000.0})
    read = await toss.find(payment())
    assert (read.paid, type(read.paid)) == (10_000, int)


async def test_another_currency_is_not_taken_for_won(toss: Toss, pg: respx.MockRouter) -> None:
    pg.route().respond(json=CARD | {"currency": "USD"})
    assert (await toss.find(payment())).currency == "USD"


# ── the book ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SINCE, UNTIL = datetime(2026, 11, 21, 15, tzinfo=UTC), datetime(2026, 11, 22, 14, 59, 59, tzinfo=UTC)


def line(number: int, amount: int = 10_000, status: str = "DONE") -> Body:
    """§2.4: one row of GET /v1/transactions."""
    return {
        "mId": "tgen_docs",
        "transactionKey": f"txrd_{number}",
        "paymentKey": KEY,
        "orderId": ORDER,
        "method": "카드",
        "customerKey": None,
        "useEscrow": False,
        "receiptUrl": RECEIPT_URL,
        "status": status,
        "transactionAt": "2026-11-22T19:00:00+09:00",
        "currency": "KRW",
        "amount": amount,
    }


async def read(toss: Toss) -> list[Movement]:
    return [movement async for movement in toss.movements(SINCE, UNTIL)]


async def test_the_book_is_asked_for_in_korean_time_without_an_offset(toss: Toss, pg: respx.MockRouter) -> None:
    pg.get("/v1/transactions").respond(json=[])
    assert await read(toss) == []
    query = sent(pg).url.params
    assert (query["startDate"], query["endDate"]) == ("2026-11-22T00:00:00", "2026-11-22T23:59:59")
    assert int(query["limit"]) <= 5_000
    assert "startingAfter" not in query


@pytest.mark.parametrize("sign", [1, -1])
async def test_money_that_went_back_is_negative_whichever_sign_toss_gives_it(
    toss: Toss, pg: respx.MockRouter, sign: int
) -> None:
    rows = [line(1), line(2, sign * 3_000, "PARTIAL_CANCELED"), line(3, sign * 7_000, "CANCELED")]
    pg.get("/v1/transactions").mock(side_effect=[httpx.Response(200, json=rows), httpx.Response(200, json=[])])
    at = datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert await read(toss) == [
        Movement(ORDER, "txrd_1", 10_000, at),
        Movement(ORDER, "txrd_2", -3_000, at),
        Movement(ORDER, "txrd_3", -7_000, at),
    ]


async def test_the_book_is_read_page_by_page_to_its_end(toss: Toss, pg: respx.MockRouter) -> None:
    pages = [[line(1), line(2)], [line(3)], []]
    pg.get("/v1/transactions").mock(side_effect=[httpx.Response(200, json=page) for page in pages])
    assert [movement.transaction_id for movement in await read(toss)] == ["txrd_1", "txrd_2", "txrd_3"]
    asked_after = [call.request.url.params.get("startingAfter") for call in pg.calls]
    assert asked_after == [None, "txrd_2", "txrd_3"]


@pytest.mark.parametrize(
    "answer",
    [
        {"json": {}},
        {"json": ""},
        {"json": None},
        {"json": [{}]},
        {"json": [line(1) | {"amount": "10000"}]},
        {"json": [line(1) | {"transactionAt": "yesterday"}]},
        {"json": [line(1) | {"transactionAt": None}]},
        {"content": json.dumps([line(1)]).replace("10000", "1e999").encode()},
        {"text": "<h1>Bad Gateway</h1>"},
        {"status_code": 500, "json": {"code": "FAILED_INTERNAL_SYSTEM_PROCESSING"}},
    ],
    ids=["object", "word", "null", "empty row", "text amount", "no date", "no time", "infinite", "html", "500"],
)
async def test_a_book_that_cannot_be_read_is_not_an_empty_book(
    toss: Toss, pg: respx.MockRouter, answer: dict[str, Any]
) -> None:
    """Else the sweep would say that Toss knows nothing of all our payments."""
    pg.get("/v1/transactions").respond(**answer)
    with pytest.raises(InDoubt):
        await read(toss)


# ── virtual accounts ─────────────────────────────────────────────────────────────────────────────────────────────────


def issued(**changed: object) -> Body:
    return VIRTUAL_ACCOUNT | {"virtualAccount": VIRTUAL_ACCOUNT["virtualAccount"] | changed}


async def test_a_missed_deadline_is_read_from_the_flag_for_the_word_stays(toss: Toss, pg: respx.MockRouter) -> None:
    """§3.2."""
    pg.route().respond(json=issued(expired=True))
    assert (await toss.find(payment())).status == "expired"
    pg.route().respond(json=issued(expired=True) | {"status": "DONE"})
    assert (await toss.find(payment())).status == "paid"


async def test_a_deadline_without_an_offset_is_korean_and_a_new_bank_keeps_its_code(
    toss: Toss, pg: respx.MockRouter
) -> None:
    pg.route().respond(json=issued(dueDate="2025-04-13T23:28:59", bankCode="99", customerName=None))
    account = (await toss.find(payment())).account
    assert account == Account("은행 코드 99", "X9018612307559", "", datetime(2025, 4, 13, 14, 28, 59, tzinfo=UTC))


@pytest.mark.parametrize("lost", [{"dueDate": None}, {"accountNumber": ...}, {"bankCode": ...}, {"dueDate": "soon"}])
async def test_an_account_that_cannot_be_read_is_no_answer(
    toss: Toss, pg: respx.MockRouter, lost: dict[str, object]
) -> None:
    account = {name: value for name, value in issued(**lost)["virtualAccount"].items() if value is not ...}
    pg.route().respond(json=VIRTUAL_ACCOUNT | {"virtualAccount": account})
    with pytest.raises(InDoubt):
        await toss.find(payment())


async def test_a_deposit_goes_back_to_the_account_that_was_named(toss: Toss, pg: respx.MockRouter) -> None:
    pg.post(f"/v1/payments/{KEY}/cancel").respond(json=CANCELED)
    account = RefundAccount("신한은행", "110123456789", "김찐")
    await toss.cancel(payment(pg_transaction_id=KEY), refund(), 10_000, account)
    back_to = {"bank": "88", "accountNumber": "110123456789", "holderName": "김찐"}
    assert json.loads(sent(pg).content)["refundReceiveAccount"] == back_to
    assert "110123456789" not in repr(account)


async def test_before_the_deposit_only_the_whole_is_canceled_and_no_error_is_bound(
    toss: Toss, pg: respx.MockRouter
) -> None:
    pg.post(f"/v1/payments/{KEY}/cancel").respond(json=VIRTUAL_ACCOUNT | {"status": "CANCELED"})
    assert (await toss.withdraw(payment(pg_transaction_id=KEY))).status == "canceled"
    assert json.loads(sent(pg).content) == {"cancelReason": "입금 전 주문 취소"}
    assert "idempotency-key" not in sent(pg).headers


async def test_every_bank_of_the_sheet_has_one_name(toss: Toss) -> None:
    assert len(toss.banks) == len(set(toss.banks)) == 26
    assert all(not bank.isdigit() and bank.strip() == bank for bank in toss.banks)
