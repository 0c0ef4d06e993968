"""A purchase through KakaoPay by the front door. SQLite: what differs between databases is tested elsewhere."""

import logging
from datetime import timedelta
from itertools import accumulate
from typing import Any

import pytest
import time_machine
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import payments, reconciler, settlement
from app.clock import now
from app.gateways import InDoubt, Redirect, Window
from app.gateways.kakaopay import KakaoPay
from app.models import CHECK_AFTER, Event, Payment
from app.sweep import Bucket, sweep
from app.till import find
from tests import story
from tests.conftest import Checkout, House, KakaoCashier, Visitor
from tests.fragments import assert_fragment, assert_page, assert_problem, one
from tests.sandboxes import Sandbox

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PHONE = {"user-agent": "Mozilla/5.0 (Linux; Android 15; SM-S931N) Chrome/156.0 Mobile Safari/537.36"}


@pytest.fixture
def kakao(sandbox: Sandbox) -> KakaoCashier:
    return KakaoCashier(sandbox)


def due(house: House, checkout: Checkout) -> None:
    """The reconciler takes it up now."""

    async def rewrite(session: AsyncSession) -> None:
        (await find(session, checkout.order_id)).next_check_at = now()

    house.change(rewrite)


def close_page(house: House, checkout: Checkout) -> None:
    """It is too old to be opened again; who has it open can still finish it."""

    async def rewrite(session: AsyncSession) -> None:
        payment = await find(session, checkout.order_id)
        payment.pg_window = (payment.pg_window or {}) | {"until": now().isoformat()}

    house.change(rewrite)


def test_a_buyer_pays_with_kakaopay_and_reads_the_prompt_at_once(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    checkout = kakao.buy(buyer)
    assert_page(buyer.get(checkout.path), "결제가 끝났습니다", "₩10,000", story.BODY)
    payment, line = house.payment(checkout.order_id), sandbox.ledger(checkout.order_id)
    assert (payment.gateway, payment.status, payment.pg_transaction_id) == (
        "kakaopay",
        "completed",
        line["payment_key"],
    )
    assert (line["charged"], line["confirm_calls"]) == (10_000, 1)
    assert house.kinds(checkout.order_id) == ["created", "claimed", "completed"]


def test_a_phone_gets_the_page_for_phones(buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox) -> None:
    checkout = kakao.order(buyer)
    pages = {
        name: buyer.get(f"{checkout.path}/window", headers=headers).headers["location"]
        for name, headers in {"pc": {}, "phone": PHONE}.items()
    }
    assert "/bridge/pc/" in pages["pc"]
    assert "/bridge/mobile-web/" in pages["phone"]


def test_the_page_that_is_open_is_opened_again_and_a_dead_one_is_replaced(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    checkout = kakao.order(buyer)
    assert kakao.open(buyer, checkout).payment_key == checkout.payment_key
    close_page(house, checkout)
    again = kakao.open(buyer, checkout)
    assert again.payment_key != checkout.payment_key
    first, second = kakao.press(checkout), kakao.press(again)
    assert buyer.get(second.back).status_code == 303
    assert buyer.get(first.back).status_code == 409, "the first page's permission is not taken for the second's"
    assert sandbox.ledger(checkout.order_id)["charged"] == 10_000


def test_two_pages_opened_at_one_moment_are_one(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A double click: while KakaoPay is asked for one page, another request has opened one, and somebody is there."""
    checkout = kakao.order(buyer)
    close_page(house, checkout)
    start, asked, there = KakaoPay.start, list[str](), list[Redirect | Window]()

    async def slow(self: KakaoPay, payment: Payment, return_url: str) -> Redirect:
        step = await start(self, payment, return_url)
        asked.append(step.url)
        if len(asked) == 1:
            there.append(await payments.open_window(house.till, payment, return_url))
        return step

    monkeypatch.setattr(KakaoPay, "start", slow)
    opened = kakao.open(buyer, checkout)
    assert [step.transaction_id for step in there] == [opened.payment_key]
    buyer.get(kakao.press(opened).back)
    assert house.payment(checkout.order_id).status == "completed"


@pytest.mark.parametrize(
    ("button", "status", "sentence"),
    [
        ("quit", "canceled", "카카오페이에서 결제를 취소했습니다"),
        ("wrong-pin", "failed", "비밀번호가 맞지 않거나 시간이 지나"),
        ("expire", "failed", "비밀번호가 맞지 않거나 시간이 지나"),
    ],
)
def test_a_page_that_ends_without_payment_is_told(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox, button: str, status: str, sentence: str
) -> None:
    checkout = kakao.authenticate(buyer, button=button)
    assert buyer.get(checkout.back).status_code == 303
    assert_page(buyer.get(checkout.path), sentence, "다시 결제하기")
    assert house.payment(checkout.order_id).status == status
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 0


@pytest.mark.parametrize(
    ("button", "sentence"), [("over-limit", "결제 한도를 넘었습니다"), ("no-balance", "잔액이 부족합니다")]
)
def test_a_decline_says_so_in_korean_and_leads_on(
    house: House, buyer: Visitor, kakao: KakaoCashier, button: str, sentence: str
) -> None:
    checkout = kakao.authenticate(buyer, button=button)
    buyer.get(checkout.back)
    assert_page(buyer.get(checkout.path), sentence, "다시 결제하기")
    assert house.payment(checkout.order_id).status == "failed"


def test_a_bank_that_answers_after_twenty_minutes_is_waited_for(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    """KakaoPay's own 15 minutes are over before the bank has spoken."""
    checkout = kakao.authenticate(buyer, button="bank-unknown")
    buyer.get(checkout.back)
    payment = house.payment(checkout.order_id)
    assert (payment.status, payment.failure_code) == ("in_doubt", "BANK_FIRM_UNKNOWN")
    sandbox.advance(19 * 60)
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert house.payment(checkout.order_id).status == "in_doubt"
    sandbox.advance(2 * 60)
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert_page(buyer.get(checkout.path), story.BODY)
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 1, "the bank is not asked to pay again meanwhile"


@pytest.mark.parametrize("first", ["locked", "lost"])
def test_a_bank_is_waited_for_whatever_the_first_answer_was(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox, first: str
) -> None:
    """§10.3: once its answer is unknown, to approve again within 20 minutes would be too soon."""
    checkout = kakao.authenticate(buyer, button="user-locked" if first == "locked" else "authenticate")
    if first == "lost":
        kakao.fault("confirm", "reset", when="before")
    buyer.get(checkout.back)
    kakao.fault("confirm", "code", code="-780:BANK_FIRM_UNKNOWN")
    for _ in range(3):
        due(house, checkout)
        house.run(reconciler.reconcile, house.till)
    house.run(payments._doubt, house.till, checkout.order_id, InDoubt("ReadTimeout"), "buyer")  # of a call before it
    payment = house.payment(checkout.order_id)
    assert (payment.status, payment.failure_code) == ("in_doubt", "BANK_FIRM_UNKNOWN")
    sandbox.advance(20 * 60)
    due(house, checkout)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "completed"
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 2


def test_a_locked_account_pays_when_the_other_transaction_is_over(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    checkout = kakao.authenticate(buyer, button="user-locked")
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).failure_code == "USER_LOCKED"
    due(house, checkout)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "completed"
    assert sandbox.ledger(checkout.order_id)["charged"] == 10_000


def test_an_account_that_stays_locked_is_asked_about_in_pauses_that_grow(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    """KakaoPay answers each time: it is not asked every few seconds like one that keeps silent."""
    checkout = kakao.authenticate(buyer)
    kakao.fault("confirm", "code", code="-780:USER_LOCKED", times=None)
    buyer.get(checkout.back)
    began, minutes = now(), 12
    for seconds in range(0, minutes * 60, 5):
        with time_machine.travel(began + timedelta(seconds=seconds)):
            house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "in_doubt"
    in_time = [pause for pause in accumulate(CHECK_AFTER) if pause < minutes * 60]
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 1 + len(in_time)


@pytest.mark.parametrize("looks", [0, 1])
def test_who_comes_back_after_15_minutes_is_told_and_may_pay_anew(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox, looks: int
) -> None:
    """The reconciler's looks meanwhile have asked for no money."""
    checkout = kakao.authenticate(buyer)
    for _ in range(looks):
        due(house, checkout)
        house.run(reconciler.reconcile, house.till)
    sandbox.advance(901)
    buyer.get(checkout.back)
    assert_page(buyer.get(checkout.path), "결제 시간 15분이 지났습니다", "다시 결제하기")
    assert kakao.buy(buyer).order_id != checkout.order_id


def test_a_permission_that_is_not_this_page_s_ends_the_order_and_the_buyer_may_pay_anew(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    """Out of the address bar, or from an older page of the order. Nothing is taken, also by the true one after it."""
    checkout = kakao.authenticate(buyer)
    for back in (f"{checkout.path}/return?pg_token=wrong", checkout.back):
        assert buyer.get(back).status_code == 303
        page = buyer.get(checkout.path)
        assert_page(page, "카카오페이의 다른 결제 화면에서 돌아와", "결제되지 않았으니", "다시 결제하기")
    assert (house.payment(checkout.order_id).status, sandbox.total()["charged"]) == ("failed", 0)
    assert_page(buyer.get(kakao.buy(buyer).path), story.BODY)
    assert sandbox.total()["charged"] == 10_000


def test_who_finishes_the_older_of_two_pages_may_pay_anew(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    first = kakao.order(buyer)
    close_page(house, first)
    kakao.open(buyer, first)
    buyer.get(kakao.press(first).back)
    assert_page(buyer.get(first.path), "카카오페이의 다른 결제 화면에서 돌아와", "다시 결제하기")
    assert_page(buyer.get(kakao.buy(buyer).path), story.BODY)
    assert sandbox.total()["charged"] == 10_000


@pytest.mark.parametrize("code", ["-701", "-708", "-723"])
def test_what_a_repeated_approve_did_not_try_is_no_answer_to_the_first(
    house: House, buyer: Visitor, kakao: KakaoCashier, code: str
) -> None:
    """The first got no answer, and may still be with the bank."""
    checkout = kakao.authenticate(buyer)
    kakao.fault("confirm", "reset", when="before")
    buyer.get(checkout.back)
    kakao.fault("confirm", "code", code=code)
    due(house, checkout)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "in_doubt"


def test_who_authenticates_and_never_comes_back_has_not_paid(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    """order says AUTH_PASSWORD for ever: there is no word for expired."""
    sandbox.advance(-3600)
    early = kakao.authenticate(buyer)
    sandbox.advance(3600)
    late = kakao.authenticate(buyer, story.DISCOUNTED)
    for checkout in (early, late):
        due(house, checkout)
    house.run(reconciler.reconcile, house.till)
    assert [house.payment(checkout.order_id).status for checkout in (early, late)] == ["expired", "pending"]
    assert sandbox.total()["charged"] == 0


def test_without_an_answer_to_ready_the_form_is_kept_and_nothing_is_charged(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    form = {
        "prompt_id": "1",
        "payment_method": "kakao",
        "buyer_name": "김찐",
        "buyer_phone": "01012345678",
        "agree": "on",
    }
    kakao.fault("start", "timeout", seconds=3, when="after")
    answer = buyer.part("POST", "/payments", data=form)
    assert_fragment(answer, "카카오페이에서 답이 없습니다", status=502)
    assert one(answer.text, "[name=buyer_phone]")["value"] == "01012345678"
    kakao.fault("start", "code", code="-799")
    assert_fragment(buyer.part("POST", "/payments", data=form), "판매자에게 알려 주세요", status=402)
    assert sandbox.total()["charged"] == 0
    assert kakao.buy(buyer).order_id


def test_a_program_hands_over_the_token_and_another_one_is_refused(
    house: House, buyer: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    checkout = kakao.authenticate(buyer)
    body = {"order_id": checkout.order_id, "pg_transaction_id": kakao.handed(checkout)}
    first = buyer.post("/api/payment/complete", json=body)
    assert first.status_code == 200, first.text
    assert buyer.post("/api/payment/complete", json=body).text == first.text
    other = buyer.post("/api/payment/complete", json=body | {"pg_transaction_id": "f" * 20})
    assert_problem(other, 409, "TRANSACTION_MISMATCH")
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 1


def test_the_permission_to_take_money_is_shown_to_nobody(
    house: House, buyer: Visitor, admin: Visitor, kakao: KakaoCashier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    checkout = kakao.authenticate(buyer)
    token = kakao.handed(checkout)
    kakao.fault("confirm", "code", code="-785", when="before")
    back = buyer.get(checkout.back)
    pages = [back, buyer.get(checkout.path), admin.get(f"/admin/payments/{checkout.order_id}")]
    pages += [admin.get("/admin/payments"), admin.get("/admin/payments.csv"), admin.get("/api/admin/payments")]
    pages += [buyer.get(f"/api/payment/{checkout.order_id}"), buyer.get(f"{checkout.path}/return?pg_token={token}x")]
    assert all(token not in page.text and token not in page.headers.get("location", "") for page in pages)
    events = house.rows(select(Event))
    assert events
    assert token not in repr(events) + repr(house.rows(select(Payment)))
    assert token not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("app"))


def console_cancels(house: House, sandbox: Sandbox, checkout: Checkout, amount: int) -> None:
    sandbox.http.post(
        "/kakaopay/online/v1/payment/cancel",
        headers={"authorization": f"SECRET_KEY {house.settings.kakaopay_secret_key}"},
        json={"cid": "TC0ONETIME", "tid": checkout.payment_key, "cancel_amount": amount, "cancel_tax_free_amount": 0},
    ).raise_for_status()


@pytest.mark.parametrize(
    "console", [[501], [1500, 1500]]
)  # which leave ₩1 of VAT less, and more, than what is left has
@pytest.mark.parametrize("parts", [[""], ["1500", "2001", ""]])
def test_what_the_console_left_goes_back_to_the_last_won_of_its_vat(
    house: House,
    buyer: Visitor,
    admin: Visitor,
    kakao: KakaoCashier,
    sandbox: Sandbox,
    console: list[int],
    parts: list[str],
) -> None:
    checkout = kakao.buy(buyer)
    for amount in console:
        console_cancels(house, sandbox, checkout, amount)
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    for part in parts:
        kakao.refund(admin, checkout, amount=part)
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000
    assert house.payment(checkout.order_id).status == "refunded"


def swept(house: House) -> Any:
    return house.run(sweep, house.till, now() - timedelta(hours=1), now() + timedelta(minutes=1))


def test_the_sweep_asks_about_each_of_our_rows(
    house: House, buyer: Visitor, member: Visitor, admin: Visitor, kakao: KakaoCashier, sandbox: Sandbox
) -> None:
    good, partly, forgotten = kakao.buy(buyer), kakao.buy(member), kakao.authenticate(buyer, story.DISCOUNTED)
    kakao.refund(admin, good, amount="3000")
    kakao.order(member, story.DISCOUNTED)
    assert (swept(house).orders, swept(house).differences) == (4, [])

    console_cancels(house, sandbox, partly, 500)
    kakao.fault("confirm", "reset", when="after")
    buyer.get(forgotten.back)
    found = swept(house)
    assert {difference.order_id: difference.bucket for difference in found.differences} == {
        partly.order_id: Bucket.AMOUNTS,
        forgotten.order_id: Bucket.STATES,
    }


def test_a_sweep_without_an_answer_claims_nothing(
    house: House, buyer: Visitor, admin: Visitor, kakao: KakaoCashier
) -> None:
    kakao.buy(buyer)
    kakao.fault("find", "status", status=500)
    page = admin.get(f"/admin/reconciliation?from={now():%Y-%m-%d}&to={now() + timedelta(days=1):%Y-%m-%d}")
    assert_page(page, "거래 내역을 보여 주지 않습니다", status=422)
