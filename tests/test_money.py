"""Money is taken once, given back once, and never for nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app import payments, reconciler
from app.clock import now
from app.gateways import Window
from app.gateways.toss import Toss
from app.till import BREATH, find
from tests import story
from tests.conftest import EVERY_CONFIRM, EVERY_PG, EVERY_WINDOW, ORDER, Cashier, House, Visitor
from tests.fragments import (
    assert_fragment,
    assert_leaves_for,
    assert_page,
    assert_problem,
    assert_row_redrawn,
    one,
    soup,
    words,
)
from tests.sandboxes import Sandbox


def complete(visitor: Visitor, order_id: str, payment_key: str, **more: object) -> Any:
    return visitor.post("/api/payment/complete", json={"order_id": order_id, "pg_transaction_id": payment_key, **more})


@EVERY_PG
def test_64_calls_that_complete_one_order_take_the_money_once_and_all_get_the_same_answer(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    cashier.fault("confirm", "delay", seconds=0.3)

    with ThreadPoolExecutor(64) as crowd:
        calls = [crowd.submit(complete, buyer, checkout.order_id, cashier.handed(checkout)) for _ in range(64)]
        answers = [call.result() for call in calls]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert (cashier.confirm_calls(checkout), sandbox.ledger(checkout.order_id)["charged"]) == (1, 10_000)
    assert len(house.purchases(checkout.order_id)) == 1


@EVERY_PG
def test_the_return_page_and_the_api_together_take_the_money_once(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    with ThreadPoolExecutor(20) as crowd:
        pages = [crowd.submit(stranger.get, checkout.back) for _ in range(10)]
        calls = [crowd.submit(complete, buyer, checkout.order_id, cashier.handed(checkout)) for _ in range(10)]
        assert {page.result().status_code for page in pages} == {303}
        assert {call.result().status_code for call in calls} == {200}
    assert cashier.confirm_calls(checkout) == 1


@EVERY_PG
def test_of_ten_refunds_of_3000_on_10000_three_succeed(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)

    def refund(number: int) -> int:
        answer = admin.post(
            f"/api/payment/{checkout.order_id}/refund",
            json={"amount": 3000, "reason": "단순변심"},
            headers={"Idempotency-Key": f"press-{number}"},
        )
        return answer.status_code

    with ThreadPoolExecutor(10) as crowd:
        answers = sorted(crowd.map(refund, range(10)))

    assert answers == [200] * 3 + [409] * 7
    assert sandbox.ledger(checkout.order_id)["refunded"] == 9000
    assert house.payment(checkout.order_id).refunded_amount == 9000
    assert house.payment(checkout.order_id).status == "completed"


@EVERY_PG
def test_one_press_of_refund_that_arrives_ten_times_gives_the_money_back_once(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    press = {"amount": "3000", "reason": "중복결제", "key": "one"}
    with ThreadPoolExecutor(10) as crowd:
        presses = [crowd.submit(cashier_press, admin, checkout.order_id, press) for _ in range(10)]
        assert {answer.result() for answer in presses} == {200}
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3000
    assert len(house.refunds(checkout.order_id)) == 1


def cashier_press(admin: Visitor, order_id: str, data: dict[str, str]) -> int:
    return int(admin.part("POST", f"/admin/payments/{order_id}/refunds", data=data).status_code)


@pytest.mark.parametrize("amount", ["1", "9999", "10001", "100000000", "-10000", "0", "10000.0", "abc"])
def test_a_browser_that_brings_another_amount_is_refused_before_the_pg_is_asked(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, amount: str
) -> None:
    checkout = cashier.authenticate(buyer)
    answer = buyer.get(checkout.back.replace("amount=10000", f"amount={amount}"))
    assert_page(answer, "결제창의 금액이 주문 금액과 다릅니다", status=400)
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 0
    assert house.payment(checkout.order_id).status == "pending"
    assert buyer.get(checkout.back).status_code == 303, "the honest return still works"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_id_longer_than_any_pg_s_is_refused_before_the_pg_is_asked(
    house: House, buyer: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.authenticate(buyer)
    longest = checkout.back.replace(checkout.payment_key, "x" * 200)
    assert_page(buyer.get(longest + "&paymentKey=" + "x" * 201), "거래번호가 올바르지 않습니다", status=400)
    assert house.payment(checkout.order_id).status == "pending"
    assert buyer.get(longest).status_code == 303
    assert house.payment(checkout.order_id).status == "failed", "the PG was asked, and does not know it"


def test_a_window_opened_with_another_amount_unlocks_nothing(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer), amount={"currency": "KRW", "value": 100})
    back = cashier.press(checkout).back
    assert_page(buyer.get(back), "금액이 주문 금액과 다릅니다", status=400)
    buyer.get(back.replace("amount=100", "amount=10000"))
    assert sandbox.ledger(checkout.order_id)["charged"] == 0, "we confirm with our amount, and Toss refuses it"
    assert house.payment(checkout.order_id).status == "failed"
    assert house.purchases(checkout.order_id) == []


def test_a_return_for_another_order_is_refused(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    mine, cheap = cashier.authenticate(buyer), cashier.authenticate(buyer, story.DISCOUNTED)
    query = cheap.back.partition("?")[2]
    assert_page(buyer.get(f"{mine.path}/return?{query}"), "다른 주문의 결제입니다", status=400)
    assert sandbox.total()["charged"] == 0


def test_a_declined_card_says_so_in_korean_and_leads_on(house: House, buyer: Visitor, cashier: Cashier) -> None:
    checkout = cashier.authenticate(buyer, button="over-limit")
    assert buyer.get(checkout.back).status_code == 303
    page = assert_page(
        buyer.get(checkout.path), "카드 한도를 넘었거나 잔액이 부족합니다", "REJECT_CARD_PAYMENT", "다시 결제하기"
    )
    assert page.select_one("details code"), "the PG's code is folded away"
    outcome = words(one(str(page), ".outcome"))
    assert outcome.count("결제수단으로") == 1, "what to do next is said once"
    assert "돈은 나가지 않았습니다" in outcome
    assert house.kinds(checkout.order_id) == ["created", "claimed", "declined"]
    assert story.BODY not in page.get_text()


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("code=PAY_PROCESS_CANCELED&message=x", "canceled", "결제창을 닫아 결제하지 않았습니다"),
        ("code=USER_CANCEL", "canceled", "결제창을 닫아 결제하지 않았습니다"),
        ("code=REJECT_CARD_COMPANY&message=x", "failed", "카드사가 결제를 승인하지 않았습니다"),
        ("code=PAY_PROCESS_ABORTED", "failed", "결제가 중단되었습니다"),
        ("code=SDK_NOT_LOADED", "failed", "결제창을 불러오지 못했습니다"),
        ("code=%3Cscript%3E&message=%3Cb%3E돈을+보내세요", "failed", "결제가 승인되지 않았습니다"),
    ],
)
def test_coming_back_without_an_approval_is_told_and_nothing_is_asked_of_the_pg(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, query: str, status: str, sentence: str
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer))
    assert buyer.get(f"{checkout.path}/return?{query}").status_code == 303
    page = assert_page(buyer.get(checkout.path), sentence, "다시 결제하기")
    assert "돈을 보내세요" not in page.get_text(), "a text from the address bar is never shown"
    assert house.payment(checkout.order_id).status == status
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 0


@EVERY_CONFIRM
def test_a_return_that_brings_nothing_asks_for_nothing(house: House, buyer: Visitor, cashier: Cashier) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer))
    assert buyer.get(f"{checkout.path}/return").status_code == 303
    assert house.payment(checkout.order_id).status in ("pending", "failed")
    assert cashier.confirm_calls(checkout) == 0


@pytest.mark.parametrize(("database_url", "at"), [("sqlite", "portone_confirm")], indirect=["database_url"])
def test_a_permission_for_an_order_that_has_ended_takes_nothing(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """Two windows of one order: one was closed, in the other the buyer went on."""
    checkout = cashier.authenticate(buyer)
    buyer.get(f"{checkout.path}/return?paymentId={checkout.order_id}&code=FAILURE_TYPE_PG")
    ended = house.payment(checkout.order_id).status
    assert ended in ("canceled", "failed")
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == ended
    assert (cashier.confirm_calls(checkout), sandbox.ledger(checkout.order_id)["charged"]) == (0, 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kept", [{"transaction_id": "T1"}, {"until": datetime(2099, 1, 1, tzinfo=UTC)}])
def test_whatever_a_window_is_called_or_how_long_it_stays_is_kept(
    house: House, buyer: Visitor, cashier: Cashier, kept: dict[str, Any]
) -> None:
    payment = house.payment(cashier.order(buyer).order_id)

    async def start(*_: object) -> Window:
        return Window("https://sdk", [["open"]], **kept)

    with patch.object(Toss, "start", start):
        house.run(payments.open_window, house.till, payment, "http://testserver/back")
    row = house.payment(payment.order_id)
    assert row.pg_transaction_id == kept.get("transaction_id")
    assert (row.pg_window is not None) == ("until" in kept)


def test_who_owns_the_prompt_is_not_offered_it_again(buyer: Visitor, cashier: Cashier) -> None:
    cashier.buy(buyer)
    assert "구매하기" not in assert_page(buyer.get(f"/prompts/{story.PROMPT}"), story.BODY).get_text()
    assert buyer.get(f"/payments/new?prompt_id={story.PROMPT}").headers["location"] == f"/prompts/{story.PROMPT}"
    again = buyer.post(
        "/payments",
        data={
            "prompt_id": "1",
            "payment_method": "card",
            "buyer_name": "김찐",
            "buyer_phone": "01012345678",
            "agree": "on",
        },
    )
    assert_page(again, "이미 보유한 프롬프트입니다", status=409)


@EVERY_PG
def test_back_after_success_never_shows_a_pay_button(buyer: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    assert buyer.get(f"{checkout.path}/window").headers["location"] == checkout.path
    page = assert_page(buyer.get(checkout.path))
    assert not [button for button in page.select("button, a.button") if "결제" in button.get_text()]


@EVERY_PG
def test_two_windows_for_one_prompt_cost_once(house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox) -> None:
    first, second = cashier.authenticate(buyer), cashier.authenticate(buyer)
    assert buyer.get(first.back).status_code == 303
    assert buyer.get(second.back).status_code == 303
    assert_page(buyer.get(second.path), "이미 보유한 프롬프트 읽기")
    assert house.payment(second.order_id).status == cashier.second_ends
    total = sandbox.total()
    assert total["charged"] - total["refunded"] == 10_000


@EVERY_CONFIRM
def test_a_second_window_is_not_confirmed_while_the_first_is_in_doubt(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    first, second = cashier.authenticate(buyer), cashier.authenticate(buyer)
    cashier.fault("confirm", "reset", when="after")
    buyer.get(first.back)
    assert house.payment(first.order_id).status == "in_doubt"
    assert_page(buyer.get(second.back), "다른 창에서 이 프롬프트의 결제를 확인하고 있습니다", status=409)
    assert sandbox.total()["charged"] == 10_000
    assert house.payment(second.order_id).status == "pending"


@EVERY_PG
def test_while_a_payment_is_in_flight_no_other_order_for_its_prompt_begins(
    house: House, buyer: Visitor, other: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    left_open = cashier.order(buyer)
    first = cashier.authenticate(buyer)
    cashier.fault("confirm", "reset", when="after")
    buyer.get(first.back)
    assert house.payment(first.order_id).status == "in_doubt"

    assert_leaves_for(buyer.get(f"{left_open.path}/window"), first.path)
    page = assert_page(buyer.get(f"/prompts/{story.PROMPT}"), "이전 결제를 확인하고 있습니다")
    assert page.select_one(f"a[href='{first.path}']")
    assert not [button for button in page.select("[role=button]") if "구매하기" in button.get_text()]
    for ask in (buyer.request, buyer.part):
        assert_leaves_for(ask("GET", f"/payments/new?prompt_id={story.PROMPT}"), first.path)
    form = ORDER | {"payment_method": cashier.method, "prompt_id": str(story.PROMPT)}
    assert_page(buyer.post("/payments", data=form), "이전 결제를 확인하고 있어", status=409)
    body = {"prompt_id": story.PROMPT, "payment_method": cashier.method}
    assert_problem(buyer.post("/api/payment/prepare", json=body), 409, "IN_FLIGHT")
    assert sandbox.total()["charged"] == 10_000

    cashier.order(buyer, story.DISCOUNTED)
    cashier.order(other)
    assert "구매하기" in assert_page(other.get(f"/prompts/{story.PROMPT}")).get_text()
    long_ago(house, first.order_id)
    house.run(reconciler.reconcile, house.till)
    assert_page(buyer.get(f"/prompts/{story.PROMPT}"), story.BODY)


def test_of_many_orders_at_once_only_those_with_a_payment_in_flight_do_not_begin(
    house: House, buyer: Visitor, other: Visitor, cashier: Cashier
) -> None:
    """They share their statements: each of these buyers is looked up with each of these prompts."""
    for visitor, prompt_id in ((buyer, story.PROMPT), (other, story.DISCOUNTED)):
        checkout = cashier.authenticate(visitor, prompt_id)
        cashier.fault("confirm", "reset", when="before")
        visitor.get(checkout.back)
        assert house.payment(checkout.order_id).status == "in_doubt"

    def prepare(wish: tuple[Visitor, int]) -> int:
        visitor, prompt_id = wish
        body = {"prompt_id": prompt_id, "payment_method": "card"}
        return int(visitor.post("/api/payment/prepare", json=body).status_code)

    wishes = [(visitor, prompt_id) for visitor in (buyer, other) for prompt_id in (story.PROMPT, story.DISCOUNTED)] * 5
    with ThreadPoolExecutor(20) as crowd:
        assert list(crowd.map(prepare, wishes)) == [409, 201, 201, 409] * 5


@EVERY_WINDOW
@pytest.mark.parametrize("silent", [True, False])
def test_what_a_window_took_while_another_payment_was_in_flight_is_not_called_unpaid(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, silent: bool
) -> None:
    """The PG has no answer when the buyer returns; or it gave one a moment before the money moved."""
    toss = Cashier(sandbox)
    first, second = toss.authenticate(buyer), cashier.authenticate(buyer)
    toss.fault("confirm", "reset", when="after")
    buyer.get(first.back)
    if silent:
        cashier.fault("find", "status", status=500)
    else:
        asked_a_moment_ago(house, second.order_id)
    assert_leaves_for(buyer.get(second.back), second.path)
    assert house.payment(second.order_id).status == "pending"
    page = assert_page(buyer.get(second.path), "결제를 확인하고 있습니다", "다시 결제하지 마세요")
    assert not page.select(".outcome .button"), "there is nothing to press"
    assert page.select_one("[hx-trigger='every 2s']"), "the page asks by itself"
    due_at, asked_at = house.payment(second.order_id).next_check_at, house.payment(second.order_id).checked_at
    assert due_at
    assert asked_at
    assert silent or due_at <= asked_at + BREATH

    long_ago(house, second.order_id)
    assert_fragment(buyer.part("GET", second.path), "결제가 끝났습니다", story.BODY)
    long_ago(house, first.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(first.order_id).status == "refunded", "taken twice, kept once"
    total = sandbox.total()
    assert (total["charged"], total["refunded"]) == (20_000, 10_000)


@EVERY_PG
def test_an_open_order_is_called_unpaid_only_where_nothing_is_taken_before_we_confirm(
    buyer: Visitor, cashier: Cashier
) -> None:
    page = assert_page(buyer.get(cashier.order(buyer).path), "아직 결제하지 않았습니다", "결제창 열기")
    takes = cashier.second_ends == "refunded"
    assert ("돈이 나가지 않았습니다" in page.get_text()) is not takes
    assert page.select_one("[hx-trigger='every 10s']"), "it may be paid in another window"


@EVERY_PG
def test_a_second_return_does_not_charge_twice(buyer: Visitor, cashier: Cashier, sandbox: Sandbox) -> None:
    checkout = cashier.buy(buyer)
    assert buyer.get(checkout.back).headers["location"] == checkout.path
    assert cashier.confirm_calls(checkout) == 1


def test_another_transaction_for_a_settled_order_is_refused(buyer: Visitor, cashier: Cashier, sandbox: Sandbox) -> None:
    checkout = cashier.buy(buyer)
    answer = complete(buyer, checkout.order_id, "tviva20260101000000zzzzz")
    assert_problem(answer, 409, "TRANSACTION_MISMATCH")
    assert cashier.confirm_calls(checkout) == 1


@EVERY_PG
def test_a_phone_that_returns_into_a_browser_without_the_session_still_pays(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.authenticate(buyer)
    assert stranger.get(checkout.back).headers["location"] == checkout.path
    page = assert_page(stranger.get(checkout.path), "결제가 끝났습니다", "로그인하고 프롬프트 읽기")
    assert story.BODY not in page.get_text()
    assert "김찐" not in page.get_text()
    assert_page(buyer.get(checkout.path), story.BODY)


@EVERY_PG
@pytest.mark.parametrize("kind", ["reset", "status", "html", "half_body"])
def test_a_pg_that_charges_and_goes_silent_leaves_a_doubt_that_the_reopened_page_settles(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, kind: str
) -> None:
    checkout = cashier.authenticate(buyer)
    cashier.fault("confirm", kind, when="after")
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == "in_doubt"
    cashier.fault("find", "status", status=500)
    page = assert_page(buyer.get(checkout.path), "결제를 확인하고 있습니다", "창을 닫아도 됩니다")
    assert "다시 결제하기" not in page.get_text()
    assert page.select_one("[hx-trigger='every 2s']"), "the page asks by itself"

    long_ago(house, checkout.order_id)
    assert_page(buyer.get(checkout.path), "결제가 끝났습니다", story.BODY)
    assert sandbox.ledger(checkout.order_id)["confirms"] == 1


@EVERY_PG
def test_a_confirm_that_never_reached_the_pg_is_made_when_it_answers_again(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    cashier.fault("confirm", "timeout", when="before", seconds=3)
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == "in_doubt"
    long_ago(house, checkout.order_id)
    assert [payment.order_id for payment in house.run(reconciler.reconcile, house.till)] == [checkout.order_id]
    assert house.payment(checkout.order_id).status == "completed"
    assert sandbox.ledger(checkout.order_id)["confirms"] == 1


@EVERY_PG
def test_a_refund_without_an_answer_is_not_failed_and_is_not_paid_twice(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    cashier.fault("cancel", "reset", when="after")
    answer = cashier.refund(admin, checkout, amount="3000")
    assert_row_redrawn(answer, checkout.order_id, "환불 확인 중", status="completed", code=202)
    assert "다시 누르지 마세요" in soup(answer.text).get_text()
    page = assert_page(buyer.get(checkout.path), "₩3,000 환불을 처리하고 있습니다", "환불 처리 중 ₩3,000")
    assert story.BODY in page.get_text()

    long_ago(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert [refund.status for refund in house.refunds(checkout.order_id)] == ["done"]
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3000
    assert "처리" not in words(assert_page(buyer.get(checkout.path), "환불 ₩3,000"))


@EVERY_PG
def test_refunding_everything_takes_the_prompt_back(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.buy(buyer)
    assert_row_redrawn(
        cashier.refund(admin, checkout, amount="3,000"), checkout.order_id, "일부 환불", status="completed"
    )
    assert_page(buyer.get(f"/prompts/{story.PROMPT}"), story.BODY)
    assert_row_redrawn(cashier.refund(admin, checkout), checkout.order_id, "환불 완료", status="refunded")
    assert story.BODY not in assert_page(buyer.get(f"/prompts/{story.PROMPT}"), "구매하기").get_text()
    assert_page(buyer.get(checkout.path), "환불되었습니다", "₩10,000")
    assert house.purchases(checkout.order_id)[0].revoked_at


def test_a_refund_that_the_pg_declines_gives_the_amount_free_again(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "code", code="NOT_CANCELABLE_PAYMENT")
    answer = cashier.refund(admin, checkout)
    assert_row_redrawn(answer, checkout.order_id, "환불 실패", status="completed", code=402)
    assert house.payment(checkout.order_id).refunded_amount == 0
    assert_row_redrawn(cashier.refund(admin, checkout), checkout.order_id, status="refunded")


@EVERY_PG
def test_an_order_that_nobody_paid_expires_only_after_the_pg_was_asked(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.order(buyer)
    long_ago(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "pending", "the buyer may still be in the window"

    long_ago(house, checkout.order_id, created=timedelta(hours=1))
    cashier.fault("find", "status", status=500)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "pending", "the PG has not answered"

    long_ago(house, checkout.order_id, created=timedelta(hours=1))
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "expired"
    assert_page(buyer.get(checkout.path), "결제 시간이 지났습니다", "다시 결제하기")


def test_a_webhook_only_makes_us_look(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    lie = {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": checkout.order_id, "status": "DONE"}}
    long_ago(house, checkout.order_id)
    assert stranger.post("/webhooks/toss", json=lie).status_code == 200
    assert house.payment(checkout.order_id).status == "pending"
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 1
    for _ in range(20):
        assert stranger.post("/webhooks/toss", json=lie).status_code == 200
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 1, "a flood of webhooks is not passed on to the PG"


def long_ago(house: House, order_id: str, created: timedelta = timedelta()) -> None:
    """The time to ask the PG about this payment has come; with `created`, it was also ordered that long ago."""

    async def age(session: AsyncSession) -> None:
        payment = await find(session, order_id)
        payment.next_check_at = now() - timedelta(seconds=1)
        payment.checked_at = None
        payment.created_at = now() - max(created, timedelta(seconds=10))

    house.change(age)


def asked_a_moment_ago(house: House, order_id: str) -> None:
    async def ask(session: AsyncSession) -> None:
        payment = await find(session, order_id)
        payment.checked_at = now()

    house.change(ask)
