"""What we say to KakaoPay, and what we read out of its answers (pg/kakaopay.md)."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import respx

from app.clock import KST, now
from app.config import read_settings
from app.gateways import NOT_APPROVED, Cancellation, Declined, Handed, InDoubt, Receipt, Redirect, load
from app.gateways.kakaopay import CONFIGURATION, REFUSED, SENTENCES, UNTRIED, KakaoPay
from app.models import Payment, Status
from tests.gateways.rows import payment, refund

API, SECRET, CID = "https://pg.example/kakaopay", "DEVONLYTHESERVERKNOWS", "TC0ONETIME"
SETTINGS = {"KAKAOPAY_SECRET_KEY": SECRET, "KAKAOPAY_CID": CID, "KAKAOPAY_API_URL": API, "PG_TIMEOUT": "5"}
BACK = "https://shop.example/payments/A/return"
TID, TOKEN = "T6a8d38329fd342cdd38", "c0ffee0123456789abcd"
ORDER_ID = "A1b2C3d4E5f6G7h8I9j0K1l2"
Body = dict[str, Any]

# §6, captured: explicit nulls, and a field that is not documented.
APPROVED: Body = {
    "aid": "A6a8d3a301d33ed2dc3c",
    "tid": TID,
    "cid": CID,
    "sid": None,
    "partner_order_id": ORDER_ID,
    "partner_user_id": "user-1",
    "item_name": "초코파이",
    "item_code": None,
    "payload": None,
    "quantity": 1,
    "amount": {"total": 10_000, "tax_free": 0, "vat": 909, "point": 0, "discount": 0, "green_deposit": 0},
    "payment_method_type": "CARD",
    "card_info": {"kakaopay_purchase_corp": "신한", "bin": "111111", "install_month": "00"},
    "sequential_payment_methods": None,
    "created_at": "2024-07-30T20:50:27",
    "approved_at": "2024-07-30T20:51:00",
}


def amount(total: int) -> Body:
    return {"total": total, "tax_free": 0, "vat": 0, "point": 0, "discount": 0, "green_deposit": 0}


def action(aid: str, kind: str, **more: object) -> Body:
    """§7, captured: the amount was not there."""
    return {"aid": aid, "payment_action_type": kind, "point_amount": 0, "discount_amount": 0} | more


def order(status: str, back: int = 0, *actions: Body, **changed: object) -> Body:
    return {
        "tid": TID,
        "cid": CID,
        "status": status,
        "partner_order_id": ORDER_ID,
        "partner_user_id": "user-1",
        "amount": amount(10_000),
        "canceled_amount": amount(back),
        "cancel_available_amount": amount(10_000 - back),
        "created_at": f"{now().astimezone(KST):%Y-%m-%dT%H:%M:%S}",
        "payment_action_details": list(actions),
        **changed,
    }


def no(code: int, reason: str = "", status: int = 400) -> httpx.Response:
    extras = {"extras": {"method_result_code": reason, "method_result_message": "…"}} if reason else {}
    return httpx.Response(status, json={"error_code": code, "error_message": "failure!", **extras})


def row(**changed: Any) -> Payment:
    facts = {"gateway": "kakaopay", "order_id": ORDER_ID, "pg_transaction_id": TID, "pg_token": TOKEN} | changed
    return payment(**facts)


PAID = Receipt(status="paid", order_id=ORDER_ID, transaction_id=TID, paid=10_000)


@pytest.fixture
def kakaopay(client: httpx.AsyncClient) -> KakaoPay:
    return KakaoPay(read_settings(SETTINGS), client)


@pytest.fixture
def pg() -> Iterator[respx.MockRouter]:
    with respx.mock(using="httpx", base_url=f"{API}/online/v1/payment", assert_all_called=False) as router:
        yield router


def sent(pg: respx.MockRouter, number: int = -1) -> Body:
    body: Body = json.loads(pg.calls[number].request.content)
    return body


# ── ready ────────────────────────────────────────────────────────────────────────────────────────────────────────────

READY = {
    "tid": TID,
    "next_redirect_app_url": "https://page/app",
    "next_redirect_mobile_url": "https://page/mobile",
    "next_redirect_pc_url": "https://page/pc",
    "created_at": "2026-11-22T20:50:27",
}


@pytest.mark.parametrize(
    ("missing", "there"),
    [({}, True), ({"KAKAOPAY_CID": ""}, False), ({"KAKAOPAY_SECRET_KEY": ""}, False)],
)
def test_it_is_offered_when_key_and_cid_are_set(
    client: httpx.AsyncClient, missing: dict[str, str], there: bool
) -> None:
    assert ("kakaopay" in load(read_settings(SETTINGS | missing), client)) is there


async def test_ready_says_what_is_bought_and_nothing_about_the_person(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.post("/ready").respond(json=READY)
    await kakaopay.start(row(item_name="가" * 200), BACK)
    assert sent(pg) == {
        "cid": CID,
        "partner_order_id": ORDER_ID,
        "partner_user_id": "user-1",
        "item_name": "가" * 100,
        "quantity": 1,
        "total_amount": 10_000,
        "tax_free_amount": 0,
        "vat_amount": 909,
        "approval_url": BACK,
        "cancel_url": f"{BACK}?code=QUIT_PAYMENT",
        "fail_url": f"{BACK}?code=FAIL_PAYMENT",
    }
    assert pg.calls.last.request.headers["authorization"] == f"SECRET_KEY {SECRET}"


async def test_a_return_address_with_a_query_keeps_it(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.post("/ready").respond(json=READY)
    await kakaopay.start(row(), f"{BACK}?from=app")
    assert sent(pg)["approval_url"] == f"{BACK}?from=app"
    assert sent(pg)["cancel_url"] == f"{BACK}?from=app&code=QUIT_PAYMENT"


async def test_ready_leads_to_the_page_for_a_bit_less_than_15_minutes(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.post("/ready").respond(json=READY)
    step = await kakaopay.start(row(), BACK)
    assert step == Redirect("https://page/pc", "https://page/mobile", TID, step.until)
    assert step.until
    assert timedelta(minutes=10) < step.until - now() < timedelta(minutes=14)


@pytest.mark.parametrize(
    ("answer", "why"), [(no(-799), "configuration"), (no(-401, status=401), "configuration"), (no(-797), "declined")]
)
async def test_a_refused_ready_is_a_definite_no(
    kakaopay: KakaoPay, pg: respx.MockRouter, answer: httpx.Response, why: str
) -> None:
    pg.post("/ready").mock(return_value=answer)
    with pytest.raises(Declined) as raised:
        await kakaopay.start(row(), BACK)
    assert raised.value.why == why


@pytest.mark.parametrize("answer", [httpx.Response(200, json={"tid": TID}), no(-500, status=500)])
async def test_a_ready_without_an_answer_is_in_doubt(
    kakaopay: KakaoPay, pg: respx.MockRouter, answer: httpx.Response
) -> None:
    pg.post("/ready").mock(return_value=answer)
    with pytest.raises(InDoubt):
        await kakaopay.start(row(), BACK)


@pytest.mark.parametrize(
    ("query", "handed"),
    [
        ({"pg_token": TOKEN}, Handed(token=TOKEN)),
        ({"pg_token": TOKEN, "code": "QUIT_PAYMENT"}, Handed(token=TOKEN)),
        ({"code": "QUIT_PAYMENT"}, Handed(code="QUIT_PAYMENT")),
        ({"code": "FAIL_PAYMENT"}, Handed(code="FAIL_PAYMENT")),
        ({"code": "<script>"}, Handed(code="UNKNOWN")),
        ({}, Handed()),
    ],
)
def test_the_way_back_is_read(kakaopay: KakaoPay, query: dict[str, str], handed: Handed) -> None:
    assert kakaopay.handed(query) == handed
    assert TOKEN not in repr(kakaopay.handed(query))


# ── approve ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_approve_asks_for_our_amount_with_the_token(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.post("/approve").respond(json=APPROVED)
    assert await kakaopay.confirm(row()) == PAID
    assert sent(pg) == {
        "cid": CID,
        "tid": TID,
        "partner_order_id": ORDER_ID,
        "partner_user_id": "user-1",
        "pg_token": TOKEN,
        "total_amount": 10_000,
    }


async def test_absent_fields_are_as_good_as_nulls(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.post("/approve").respond(json={name: value for name, value in APPROVED.items() if value is not None})
    assert await kakaopay.confirm(row()) == PAID


async def test_what_was_really_taken_is_told_as_it_is(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.post("/approve").respond(json=APPROVED | {"amount": amount(9_000), "partner_order_id": "another"})
    receipt = await kakaopay.confirm(row())
    assert (receipt.paid, receipt.order_id) == (9_000, "another")


@pytest.mark.parametrize("lie", [{"cid": "TCSUBSCRIP"}, {"partner_user_id": "user-2"}])
@pytest.mark.parametrize("call", ["approve", "order"])
async def test_another_merchant_s_or_buyer_s_payment_is_a_doubt(
    kakaopay: KakaoPay, pg: respx.MockRouter, call: str, lie: Body
) -> None:
    pg.post("/approve").respond(json=APPROVED | lie)
    pg.post("/order").respond(json=order("SUCCESS_PAYMENT") | lie)
    with pytest.raises(InDoubt, match="NOT_OURS"):
        await (kakaopay.confirm(row()) if call == "approve" else kakaopay.find(row()))


ANY_NO = [(-702, ""), (-725, ""), (-783, ""), (-785, ""), (-780, "USER_LOCKED"), (-701, "9999"), (-9999, "")]


@pytest.mark.parametrize(("code", "reason"), [*ANY_NO, (-780, "BANK_FIRM_UNKNOWN"), (-780, "8521")])
async def test_whatever_approve_refuses_order_decides(
    kakaopay: KakaoPay, pg: respx.MockRouter, code: int, reason: str
) -> None:
    """§11: any 4xx is no proof of failure."""
    pg.post("/approve").mock(return_value=no(code, reason))
    pg.post("/order").respond(json=order("SUCCESS_PAYMENT"))
    assert await kakaopay.confirm(row()) == PAID
    assert sent(pg) == {"cid": CID, "tid": TID}
    pg.post("/order").respond(json=order("AUTH_PASSWORD"))
    with pytest.raises(InDoubt, match=reason or str(code)) as doubt:
        await kakaopay.confirm(row())
    assert doubt.value.answered
    pg.post("/order").mock(return_value=no(-500, status=500))
    with pytest.raises(InDoubt, match=reason or str(code)) as doubt:
        await kakaopay.confirm(row())
    assert doubt.value.answered, "by approve, whose word must not be forgotten"
    pg.post("/order").respond(json=order("FAIL_PAYMENT"))
    with pytest.raises(Declined) as raised:
        await kakaopay.confirm(row())
    assert raised.value.code == (reason or str(code))


async def test_a_tid_that_nobody_knows_is_declined(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.route().mock(return_value=no(-721))
    with pytest.raises(Declined):
        await kakaopay.confirm(row())


@pytest.mark.parametrize("code", sorted(UNTRIED))
async def test_what_approve_did_not_try_is_a_not_now_once_order_shows_nothing(
    kakaopay: KakaoPay, pg: respx.MockRouter, code: str
) -> None:
    """To a repeat it is no answer, which `payments` knows: an approve asked for before may still be with the bank."""
    pg.post("/approve").mock(return_value=no(int(code)))
    pg.post("/order").respond(json=order("SUCCESS_PAYMENT"))
    assert await kakaopay.confirm(row()) == PAID
    pg.post("/order").respond(json=order("AUTH_PASSWORD"))
    with pytest.raises(Declined, match=code) as raised:
        await kakaopay.confirm(row())
    assert raised.value.why == "try_again"
    pg.post("/order").mock(return_value=no(-500, status=500))
    with pytest.raises(InDoubt, match=code):
        await kakaopay.confirm(row())


@pytest.mark.parametrize("code", sorted(CONFIGURATION))
@pytest.mark.parametrize("call", ["approve", "cancel", "order"])
async def test_a_wrong_configuration_keeps_the_state_and_is_logged(
    kakaopay: KakaoPay, pg: respx.MockRouter, caplog: pytest.LogCaptureFixture, call: str, code: str
) -> None:
    pg.post(f"/{call}").mock(return_value=no(int(code), status=401 if code == "-401" else 400))
    ask = {"approve": kakaopay.confirm, "order": kakaopay.find}
    with pytest.raises(InDoubt, match=code):
        await (kakaopay.cancel(row(), refund(), 10_000) if call == "cancel" else ask[call](row()))
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert code in caplog.text
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("word", "standing"),
    [
        ("READY", "open"),
        ("SEND_TMS", "open"),
        ("OPEN_PAYMENT", "open"),
        ("SELECT_METHOD", "open"),
        ("ARS_WAITING", "open"),
        ("AUTH_PASSWORD", "authenticated"),
        ("SUCCESS_PAYMENT", "paid"),
        ("FAIL_AUTH_PASSWORD", "failed"),
        ("QUIT_PAYMENT", "failed"),
        ("FAIL_PAYMENT", "failed"),
    ],
)
async def test_every_word_of_the_sheet_is_understood(
    kakaopay: KakaoPay, pg: respx.MockRouter, word: str, standing: str
) -> None:
    pg.post("/order").respond(json=order(word))
    receipt = await kakaopay.find(row())
    assert (receipt.status, receipt.paid) == (standing, 10_000 if standing == "paid" else 0)
    assert (receipt.code, bool(receipt.message)) == ((word, True) if standing == "failed" else (None, False))


@pytest.mark.parametrize(
    "answer",
    [
        order("ISSUED_SID"),
        order("TOMORROWS_WORD"),
        order("SUCCESS_PAYMENT", amount=None),
        order("SUCCESS_PAYMENT", amount={"total": "10000"}),
        order("SUCCESS_PAYMENT", amount={"total": 10_000.5}),
        order("SUCCESS_PAYMENT", partner_order_id=...) | {"tid": None},
        order("PART_CANCEL_PAYMENT", 4_000),
        order("PART_CANCEL_PAYMENT", 4_000, action("A1", "CANCEL", amount=3_000)),
        order("PART_CANCEL_PAYMENT", 4_000, action("A1", "CANCEL"), action("A2", "CANCEL")),
        {"status": "SUCCESS_PAYMENT"},
        {},
        [],
        None,
    ],
)
async def test_what_cannot_be_read_is_a_doubt(kakaopay: KakaoPay, pg: respx.MockRouter, answer: Any) -> None:
    if isinstance(answer, dict):
        answer = {name: value for name, value in answer.items() if value is not ...}
    pg.post("/order").respond(json=answer)
    with pytest.raises(InDoubt, match="UNREADABLE"):
        await kakaopay.find(row())


async def test_an_unpaid_order_may_lack_everything_but_its_word(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    """§13: nobody knows which fields are there."""
    pg.post("/order").respond(json={"tid": TID, "status": "READY"})
    assert await kakaopay.find(row()) == Receipt(status="open", order_id=ORDER_ID, transaction_id=TID)


async def test_what_never_got_a_tid_is_absent_without_asking(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    assert (await kakaopay.find(row(pg_transaction_id=None))).status == "absent"
    assert not pg.calls
    pg.post("/order").mock(return_value=no(-721))
    assert (await kakaopay.find(row())).status == "absent"


@pytest.mark.parametrize("word", ["READY", "AUTH_PASSWORD"])
@pytest.mark.parametrize(
    ("ago", "claimed", "standing"),
    [(14, False, None), (19, False, "expired"), (14, True, None), (19, True, "open"), (120, True, "open")],
)
async def test_after_15_minutes_only_what_was_never_claimed_is_expired(
    kakaopay: KakaoPay, pg: respx.MockRouter, word: str, ago: int, claimed: bool, standing: str | None
) -> None:
    """§9: Korean time without an offset."""
    opened = f"{(now() - timedelta(minutes=ago)).astimezone(KST):%Y-%m-%dT%H:%M:%S}"
    assert datetime.fromisoformat(opened).tzinfo is None
    pg.post("/order").respond(json=order(word, created_at=opened))
    found = await kakaopay.find(row(claimed_at=now() if claimed else None))
    assert found.status == (standing or {"READY": "open", "AUTH_PASSWORD": "authenticated"}[word])


async def test_a_bank_at_work_is_not_asked_again(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    """§10.3: after -780 BANK_FIRM_UNKNOWN its answer takes 20 minutes; "authenticated" would mean to approve anew."""
    pg.post("/order").respond(json=order("AUTH_PASSWORD"))
    asked = row(status=Status.IN_DOUBT, claimed_at=now(), failure_code="BANK_FIRM_UNKNOWN")
    assert (await kakaopay.find(asked)).status == "open"


@pytest.mark.parametrize(
    ("actions", "canceled"),
    [
        ([action("A0", "PAYMENT", amount=10_000), action("A1", "CANCEL", amount=4_000)], [("A1", 4_000)]),
        ([action("A0", "PAYMENT"), action("A1", "CANCEL")], [("A1", 4_000)]),
        ([action("A1", "CANCEL", amount=None), action("A2", "CANCEL", amount=1_000)], [("A1", 3_000), ("A2", 1_000)]),
    ],
)
async def test_an_amount_that_an_action_lacks_is_what_the_sum_leaves(
    kakaopay: KakaoPay, pg: respx.MockRouter, actions: list[Body], canceled: list[tuple[str, int]]
) -> None:
    pg.post("/order").respond(json=order("PART_CANCEL_PAYMENT", 4_000, *actions))
    receipt = await kakaopay.find(row())
    assert receipt.canceled == tuple(Cancellation(*given) for given in canceled)
    assert (receipt.paid, receipt.left) == (10_000, 6_000)


# ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def gave(given: int, total: int | None = None, aid: str = "A1") -> Body:
    """§8: what cancel answers."""
    back = given if total is None else total
    answer = order("CANCEL_PAYMENT" if back == 10_000 else "PART_CANCEL_PAYMENT", back)
    del answer["payment_action_details"]
    return answer | {"aid": aid, "approved_cancel_amount": amount(given)}


async def test_a_refund_says_what_is_left_and_its_vat(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.post("/cancel").respond(json=gave(4_000))
    receipt = await kakaopay.cancel(row(), refund(amount=4_000), 10_000)
    assert (receipt.status, receipt.paid, receipt.canceled) == ("paid", 10_000, (Cancellation("A1", 4_000),))
    assert sent(pg) == {
        "cid": CID,
        "tid": TID,
        "cancel_amount": 4_000,
        "cancel_tax_free_amount": 0,
        "cancel_vat_amount": 364,
        "cancel_available_amount": 10_000,
    }
    assert len(pg.calls) == 1


@pytest.mark.parametrize("parts", [(5_000, 5_000), (1, 9_999), (3_333, 3_333, 3_334), (10_000,), (6, 6, 9_988)])
async def test_the_vat_of_the_parts_adds_up_to_the_vat_of_the_whole(
    kakaopay: KakaoPay, pg: respx.MockRouter, parts: tuple[int, ...]
) -> None:
    pg.post("/cancel").respond(json=gave(1))
    left, vats = 10_000, []
    for part in parts:
        await kakaopay.cancel(row(), refund(amount=part), left)
        vats.append(sent(pg)["cancel_vat_amount"])
        left -= part
    assert sum(vats) == 909
    assert all(0 <= given <= part for given, part in zip(vats, parts, strict=True))


async def test_a_later_refund_brings_the_earlier_ones_from_order(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    pg.post("/cancel").respond(json=gave(6_000, 10_000, "A2"))
    pg.post("/order").respond(json=order("CANCEL_PAYMENT", 10_000, action("A1", "CANCEL"), action("A2", "CANCEL")))
    receipt = await kakaopay.cancel(row(), refund(amount=6_000), 6_000)
    assert receipt.status == "canceled"
    assert set(receipt.canceled) == {Cancellation("A1", 4_000), Cancellation("A2", 6_000)}


@pytest.mark.parametrize("code", [-722, -784, -785, -781, -500])
async def test_a_refused_refund_that_order_shows_is_done(kakaopay: KakaoPay, pg: respx.MockRouter, code: int) -> None:
    """The first request had arrived: KakaoPay saw that less was left than we said."""
    pg.post("/cancel").mock(return_value=no(code))
    pg.post("/order").respond(json=order("PART_CANCEL_PAYMENT", 4_000, action("A1", "CANCEL", amount=4_000)))
    receipt = await kakaopay.cancel(row(), refund(amount=4_000), 10_000)
    assert receipt.canceled == (Cancellation("A1", 4_000),)


@pytest.mark.parametrize(
    ("code", "reason", "why"),
    [
        *((int(code), "", "declined") for code in sorted(REFUSED)),
        (-781, "1015", "declined"),
        (-781, "6666", "declined"),
        (-781, "BANK_FIRM_UNAVAILABLE", "try_again"),
        (-781, "USER_LOCKED", "try_again"),
        (-781, "BANK_FIRM_UNKNOWN", None),
        (-781, "0010", None),
        (-785, "", None),
        (-9999, "", None),
    ],
)
async def test_a_refused_refund_that_order_does_not_show_is_as_its_code_says(
    kakaopay: KakaoPay, pg: respx.MockRouter, code: int, reason: str, why: str | None
) -> None:
    pg.post("/cancel").mock(return_value=no(code, reason))
    pg.post("/order").respond(json=order("SUCCESS_PAYMENT"))
    with pytest.raises(Declined if why else InDoubt) as raised:
        await kakaopay.cancel(row(), refund(amount=4_000), 10_000)
    assert getattr(raised.value, "why", None) == why
    pg.post("/order").mock(return_value=no(-503, status=503))
    with pytest.raises(InDoubt):
        await kakaopay.cancel(row(), refund(amount=4_000), 10_000)


@pytest.mark.parametrize("answer", [{"aid": "A1"}, {"aid": "A1", "approved_cancel_amount": {"total": "4000"}}, {}])
async def test_a_yes_that_cannot_be_read_is_a_doubt(kakaopay: KakaoPay, pg: respx.MockRouter, answer: Body) -> None:
    pg.post("/cancel").respond(json=answer)
    with pytest.raises(InDoubt, match="UNREADABLE"):
        await kakaopay.cancel(row(), refund(amount=4_000), 10_000)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_sentence_is_korean_and_leads_on(kakaopay: KakaoPay) -> None:
    assert len({kakaopay.sentence(code) for code in ("QUIT_PAYMENT", "-708", "-723", "8521", "8546", "-401", "x")}) == 7
    for sentence in (*SENTENCES, NOT_APPROVED):
        assert sentence.endswith(("주세요.", "할 수 있습니다."))


async def test_a_reason_that_is_no_word_is_not_taken_for_a_code(kakaopay: KakaoPay, pg: respx.MockRouter) -> None:
    """It would stand on the timeline."""
    pg.post("/approve").mock(return_value=no(-780, "<script>"))
    pg.post("/order").respond(json=order("FAIL_PAYMENT"))
    with pytest.raises(Declined, match="-780"):
        await kakaopay.confirm(row())


def test_the_csp_lets_a_form_lead_to_the_pages_of_kakaopay(client: httpx.AsyncClient) -> None:
    """§4: they are on other hosts than the API."""
    live = KakaoPay(read_settings(SETTINGS | {"KAKAOPAY_API_URL": "https://open-api.kakaopay.com"}), client)
    assert live.origins == ("https://*.kakaopay.com", "https://*.kakao.com")
    assert KakaoPay(read_settings(SETTINGS), client).origins == ("https://pg.example",)
