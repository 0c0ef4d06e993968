"""A buyer asks for their money back, and hears from an operator: money, or why not."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.desk import Plea
from app.pleas import make
from app.till import Refused
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import (
    assert_form_again,
    assert_fragment,
    assert_leaves_for,
    assert_notice,
    assert_page,
    one,
    soup,
    words,
)
from tests.sandboxes import Sandbox

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

REASON = "작동하지 않음"
ASKED = "환불을 요청했습니다 · 3영업일 안에 답을 드립니다"
FORM = "form.plea-form"


@pytest.fixture
def paid(buyer: Visitor, cashier: Cashier) -> Checkout:
    return cashier.buy(buyer)


def plead(visitor: Visitor, paid: Checkout, reason: str = REASON) -> int:
    status: int = visitor.post(f"{paid.path}/pleas", data={"reason": reason}).status_code
    return status


def pleas(house: House) -> list[Plea]:
    return house.rows(select(Plea).order_by("id"))


def waiting(admin: Visitor) -> list[str]:
    """The orders whose buyers wait for an answer, from the top."""
    page = assert_page(admin.get("/admin/approvals"), "구매자가 요청한 환불")
    return [str(entry["id"]).removeprefix("pleaded-") for entry in page.select(".pleaded")]


def counted(admin: Visitor) -> str:
    return words(one(admin.part("GET", "/admin/payments/counts").text, ".attention"))


def decline(admin: Visitor, paid: Checkout, plea: Plea, answer: str = "광고한 그대로입니다.") -> int:
    url = f"/admin/payments/{paid.order_id}/pleas/{plea.id}"
    status: int = admin.post(url, data={"answer": answer}).status_code
    return status


# ── the buyer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_buyer_asks_the_operator_sees_it_first_and_gives_the_money_back(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    assert "살펴볼 결제가 없습니다" in counted(admin)
    form = one(buyer.get(paid.path).text, FORM)
    assert "동의하신 대로 단순 변심은 돌려드리지 않습니다" in words(form), "as it was agreed to"
    answer = buyer.post(str(form["action"]), data={"reason": REASON})
    assert_leaves_for(answer, paid.path)
    page = assert_page(buyer.get(paid.path), ASKED, REASON)
    assert not page.select(FORM), "once is enough"

    assert "기다리는 환불 1" in counted(admin)
    assert_page(admin.get("/admin"), "기다리는 환불 1건")
    assert waiting(admin) == [paid.order_id]
    page = assert_page(admin.get("/admin/approvals"), "김* · 블로그 초안 쓰기 · 남은 금액 ₩10,000", REASON)
    link = one(str(page), f"#pleaded-{paid.order_id} a.button")
    assert one(admin.get(str(link["href"])).text, "input[name=reason]")["value"] == REASON
    told = words(one(admin.get(f"/admin/payments/{paid.order_id}").text, ".timeline"))
    assert f"구매자가 환불을 요청했습니다 · {REASON} 구매자" in told

    assert cashier.refund(admin, paid).status_code == 200
    assert waiting(admin) == []
    assert "살펴볼 결제가 없습니다" in counted(admin)
    page = assert_page(buyer.get(paid.path), "환불되었습니다")
    assert ASKED not in words(page)
    assert_page(admin.get(f"/admin/payments/{paid.order_id}"), "환불로 답함")


@one_database
def test_with_htmx_the_payment_is_redrawn_and_what_was_typed_wrong_is_kept(buyer: Visitor, paid: Checkout) -> None:
    url = f"{paid.path}/pleas"
    for reason in (" ", "가" * 201):
        again = buyer.part("POST", url, data={"reason": reason})
        assert_form_again(again, "reason", "200자 이하로", reason=reason)
        assert one(again.text, "details:has(.plea-form)").has_attr("open"), "not folded over the sentence"
    assert_form_again(buyer.post(url, data={}), "reason", "200자 이하로")
    fragment = assert_fragment(buyer.part("POST", url, data={"reason": REASON}), ASKED)
    assert fragment.select_one(f"#payment-{paid.order_id} #plea-{paid.order_id}")


@one_database
def test_only_who_bought_it_can_ask(
    house: House, stranger: Visitor, other: Visitor, operator: Visitor, paid: Checkout
) -> None:
    for visitor in (stranger, operator):
        assert not soup(visitor.get(paid.path).text).select(FORM)
    assert stranger.post(f"{paid.path}/pleas", data={"reason": REASON}).headers["location"].startswith("/login")
    assert plead(other, paid) == 404
    assert plead(operator, paid) == 404
    assert pleas(house) == []


def test_who_has_asked_already_is_told_so_and_asks_no_second_time(house: House, buyer: Visitor, paid: Checkout) -> None:
    assert plead(buyer, paid) == 303
    again = buyer.part("POST", f"{paid.path}/pleas", data={"reason": "한 번 더"})
    assert_notice(again, "환불을 이미 요청했습니다", status=409)
    assert_page(buyer.post(f"{paid.path}/pleas", data={"reason": "한 번 더"}), "이미 요청했습니다", status=409)
    assert house.kinds(paid.order_id).count("plea_made") == 1
    assert len(pleas(house)) == 1


def test_two_presses_at_one_moment_are_one_plea(house: House, paid: Checkout) -> None:
    async def press() -> list[BaseException | None]:
        presses = (make(house.till, paid.order_id, reason=REASON) for _ in range(4))
        return await asyncio.gather(*presses, return_exceptions=True)

    answers = house.run(press)
    assert [answer.code for answer in answers if isinstance(answer, Refused)] == ["ASKED"] * 3
    assert answers.count(None) == 1
    assert len(pleas(house)) == 1


@one_database
def test_what_holds_no_money_or_gives_it_back_already_cannot_be_asked_back(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout, sandbox: Sandbox
) -> None:
    def refused(checkout: Checkout, sentence: str) -> None:
        assert not soup(buyer.get(checkout.path).text).select(FORM)
        answer = buyer.part("POST", f"{checkout.path}/pleas", data={"reason": REASON})
        assert_notice(answer, sentence, status=409)

    refused(cashier.order(buyer, story.DISCOUNTED), "돌려받을 금액이 남지 않은")
    sandbox.fault("cancel", "reset", when="after")
    cashier.refund(admin, paid, amount="3000")
    refused(paid, "환불을 이미 처리하고 있습니다")
    assert pleas(house) == []


@one_database
def test_a_third_answer_is_the_last(house: House, buyer: Visitor, admin: Visitor, paid: Checkout) -> None:
    for number in range(3):
        assert plead(buyer, paid, f"{number}번째") == 303
        assert decline(admin, paid, pleas(house)[-1]) == 303
    page = assert_page(buyer.get(paid.path), "환불해 드리지 않았습니다")
    assert not page.select(FORM)
    answer = buyer.part("POST", f"{paid.path}/pleas", data={"reason": REASON})
    assert_notice(answer, "3번까지 요청할 수 있습니다", status=409)


# ── what answers it ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_operator_says_why_not_and_the_buyer_reads_it(
    house: House, buyer: Visitor, admin: Visitor, operator: Visitor, paid: Checkout
) -> None:
    plead(buyer, paid)
    (plea,) = pleas(house)
    detail, why = f"/admin/payments/{paid.order_id}", "첫 화면의 <미리보기>와 같은 내용입니다."
    for url in ("/admin/approvals", detail):
        form = one(admin.get(url).text, "form.plea-answer")
        assert form["action"] == f"{detail}/pleas/{plea.id}", url
    answer = operator.post(str(form["action"]), data={"answer": why})
    assert_leaves_for(answer, detail)
    assert waiting(admin) == []
    page = assert_page(admin.get(detail), "환불하지 않음", why, f"환불 요청에 답했습니다 · {why} 관리자 operator@")
    assert not page.select("form.plea-answer")
    page = assert_page(buyer.get(paid.path), "환불해 드리지 않았습니다", why, "환불 요청에 판매자가 답했습니다")
    assert "operator@" not in page.decode(), "whose answer it is stays in the house"
    assert words(one(str(page), f"#plea-{paid.order_id} summary")) == "다시 환불 요청"


@one_database
def test_an_answer_that_says_nothing_is_asked_for_again(
    house: House, buyer: Visitor, admin: Visitor, paid: Checkout
) -> None:
    plead(buyer, paid)
    url = f"/admin/payments/{paid.order_id}/pleas/{pleas(house)[0].id}"
    assert_form_again(admin.post(url, data={"answer": "가" * 201}), "answer", "200자 이하로", answer="가" * 201)
    assert_form_again(admin.part("POST", url, data={"answer": ""}), "answer", "구매자가 읽습니다")
    assert waiting(admin) == [paid.order_id]


@one_database
def test_a_viewer_sees_who_waits_and_can_answer_nobody(
    house: House, buyer: Visitor, viewer: Visitor, paid: Checkout
) -> None:
    plead(buyer, paid)
    (plea,) = pleas(house)
    for url in ("/admin/approvals", f"/admin/payments/{paid.order_id}"):
        assert not assert_page(viewer.get(url), REASON).select("main form"), url
    assert decline(viewer, paid, plea) == 403
    assert decline(buyer, paid, plea) == 403


def test_nobody_answers_what_was_answered_or_given_back(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    plead(buyer, paid)
    (plea,) = pleas(house)
    cashier.refund(admin, paid, amount="3000")
    assert decline(admin, paid, plea) == 409, "money went back meanwhile"
    assert plead(buyer, paid, "나머지도") == 303
    again = pleas(house)[-1]
    assert decline(admin, paid, again) == 303
    assert decline(admin, paid, again) == 409
    assert decline(admin, cashier.buy(house.visitor(story.OTHER)), again) == 404, "another payment's"
    assert "plea_answered" in house.kinds(paid.order_id)


def test_a_refund_that_fails_leaves_the_plea_open(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout, sandbox: Sandbox
) -> None:
    plead(buyer, paid)
    sandbox.fault("cancel", "code", code="NOT_CANCELABLE_PAYMENT")
    assert cashier.refund(admin, paid).status_code == 402
    assert waiting(admin) == [paid.order_id]
    assert_page(buyer.get(paid.path), ASKED)


def test_who_got_a_part_may_ask_again_and_what_was_given_back_is_closed_then(
    house: House, buyer: Visitor, other: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    """The index of unanswered pleas holds little more than those that wait, however many were answered with money."""
    elsewhere = cashier.buy(other)
    plead(buyer, paid)
    plead(other, elsewhere)
    for checkout in (paid, elsewhere):
        cashier.refund(admin, checkout, amount="3000")
    assert [plea.answered_at for plea in pleas(house)] == [None, None]
    assert_page(buyer.get(paid.path), "요청하신 환불을 처리했습니다")
    assert plead(buyer, paid, "나머지도") == 303
    first, second, third = pleas(house)
    assert first.answered_at
    assert second.answered_at
    assert third.answered_at is None
    assert waiting(admin) == [paid.order_id]


# ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ("2026-03-02 09:00", "2026-03-05"),  # a Monday
        ("2026-03-04 09:00", "2026-03-09"),
        ("2026-03-06 23:59", "2026-03-11"),
        ("2026-03-07 12:00", "2026-03-11"),
        ("2026-03-08 12:00", "2026-03-11"),
    ],
)
def test_an_answer_is_promised_for_the_third_working_day(asked: str, due: str) -> None:
    moment = datetime.fromisoformat(f"{asked}+09:00").astimezone(UTC)
    plea = Plea(payment_id=1, reason=REASON, asked_at=moment)
    assert str(plea.due_on) == due
    for days, late in ((0, False), (1, True)):
        evening = datetime.fromisoformat(f"{due} 23:59+09:00") + timedelta(days=days)
        with time_machine.travel(evening, tick=False):
            assert plea.is_late is late


@one_database
def test_who_has_waited_longest_stands_on_top_and_is_marked_when_it_is_late(
    house: House, buyer: Visitor, other: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    later = cashier.buy(other)
    plead(buyer, paid)
    plead(other, later)

    async def long_ago(session: AsyncSession) -> None:
        (await session.get_one(Plea, 1)).asked_at = datetime(2026, 3, 2, tzinfo=UTC)

    house.change(long_ago)
    assert waiting(admin) == [paid.order_id, later.order_id]
    first, second = assert_page(admin.get("/admin/approvals")).select(".pleaded")
    assert "기한 지남" in words(first)
    assert "3월 5일 까지" in words(first)
    assert "기한 지남" not in words(second)
