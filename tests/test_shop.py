"""The shelf, and one prompt on it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from bs4 import BeautifulSoup
from sqlmodel.ext.asyncio.session import AsyncSession

from app.clock import now
from app.models import Payment, Prompt, Purchase
from app.orders import CONSENT, CONSENT_DIGEST
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import assert_fragment, assert_page, one, words
from tests.test_settlement import set_to


def titles(page: BeautifulSoup) -> list[str]:
    return [words(title) for title in page.select("#prompts h2")]


def test_the_shelf_shows_every_prompt_with_its_price_and_a_button(stranger: Visitor) -> None:
    page = assert_page(stranger.get("/"), "₩10,000", "₩9,900", "회원가 ₩7,900")
    assert titles(page) == ["블로그 초안 쓰기", "광고 문구 열 개"]
    assert len([button for button in page.select("[role=button]") if "구매하기" in words(button)]) == 2


def test_a_member_sees_what_a_member_pays(member: Visitor) -> None:
    page = assert_page(member.get("/"), "₩9,900 ₩7,900 회원가")
    assert page.select_one("del")


def test_search_as_you_type_answers_with_the_shelf_alone(stranger: Visitor) -> None:
    assert titles(assert_fragment(stranger.part("GET", "/?q=광고"))) == ["광고 문구 열 개"]
    assert titles(assert_page(stranger.get("/?q=광고"))) == ["광고 문구 열 개"], "the URL says what is on screen"
    assert titles(assert_fragment(stranger.part("GET", "/?category=글쓰기"))) == ["블로그 초안 쓰기"]
    assert titles(assert_fragment(stranger.part("GET", "/?category=글쓰기&q=광고"))) == []


def test_a_percent_sign_is_a_letter_like_any_other(stranger: Visitor) -> None:
    assert_fragment(stranger.part("GET", "/?q=%25"), "찾는 프롬프트가 없습니다")


def test_anyone_reads_the_preview_and_only_the_buyer_the_text(stranger: Visitor, buyer: Visitor) -> None:
    for visitor in (stranger, buyer):
        page = assert_page(visitor.get(f"/prompts/{story.PROMPT}"), "당신은 10년 차 편집자입니다.", "구매하기")
        assert story.BODY not in page.get_text()


def test_my_prompts_are_mine(buyer: Visitor, other: Visitor, cashier: Cashier) -> None:
    assert_page(buyer.get("/purchases"), "아직 구매한 프롬프트가 없습니다")
    cashier.buy(buyer)
    page = assert_page(buyer.get("/purchases"), "블로그 초안 쓰기", story.BODY, "복사하기")
    assert page.select_one("[data-copy]")
    assert story.BODY not in assert_page(other.get("/purchases"), "아직 구매한 프롬프트가 없습니다").get_text()


def test_who_sells_stands_below_every_page_as_far_as_it_is_known(house: House) -> None:
    assert not assert_page(house.visitor().get("/")).select(".seller")
    said = replace(house.settings, seller_name="찐부부", seller_mail_order="2026-서울마포-0001", seller_contact="02-1")
    house.door.app_state["settings"] = said
    for path, status in (("/", 200), ("/login", 200), ("/nowhere", 404)):
        page = assert_page(house.visitor().get(path), status=status)
        assert words(one(str(page), ".seller")) == "상호 찐부부 통신판매업 신고 2026-서울마포-0001 연락처 02-1"


def test_the_order_swaps_in_where_the_button_was(buyer: Visitor, member: Visitor) -> None:
    fragment = assert_fragment(buyer.part("GET", "/payments/new?prompt_id=2"), "₩9,900", "카드·간편결제", "결제하기")
    box = fragment.select_one("input[name=agree]")
    assert box, "there is a consent box"
    assert not box.has_attr("checked"), "nothing is ticked in advance"
    assert_fragment(member.part("GET", "/payments/new?prompt_id=2"), "정가 ₩9,900", "−₩2,000", "₩7,900")


def test_whoever_orders_can_read_the_refund_rules_and_the_preview_first(house: House) -> None:
    house.door.app_state["settings"] = replace(house.settings, seller_contact="help@example.com")
    buyer = house.visitor(story.BUYER)
    page = assert_page(buyer.get("/payments/new?prompt_id=1"))
    preview, rules = page.select("details:not([open])")
    assert words(preview) == "미리보기 당신은 10년 차 편집자입니다."
    assert words(rules).startswith("환불 규정")
    for said in ("단순 변심", "7일", "3개월", "30일", "3영업일", "환불 요청: help@example.com"):
        assert said in words(rules), said
    fragment = assert_fragment(buyer.part("GET", "/payments/new?prompt_id=1"), "환불 규정")
    assert "미리보기" not in [words(summary) for summary in fragment.select("summary")], "the prompt's page shows it"


def test_the_consent_is_kept_with_the_payment(buyer: Visitor, house: House, cashier: Cashier) -> None:
    assert_page(buyer.get("/payments/new?prompt_id=1"), CONSENT)
    payment = house.payment(cashier.order(buyer).order_id)
    assert payment.consent_digest == CONSENT_DIGEST
    assert abs((payment.consented_at - payment.created_at).total_seconds()) < 1


# ── my prompts, and my orders ────────────────────────────────────────────────────────────────────────────────────────


def test_an_account_to_pay_into_is_found_again_among_my_prompts(
    house: House, buyer: Visitor, other: Visitor, cashier: Cashier
) -> None:
    waiting = cashier.press(cashier.open(buyer, cashier.order(buyer, payment_method="virtual_account")))
    buyer.get(waiting.back)
    begun = cashier.order(buyer, story.DISCOUNTED)
    page = assert_page(buyer.get("/purchases"), "진행 중인 주문", "입금 대기", "₩10,000", "까지 입금", "결제 대기")
    assert [link["href"] for link in page.select(".orders a")] == [begun.path, waiting.path], "the newest first"
    assert_page(buyer.get(waiting.path), "입금 계좌")
    assert "진행 중인" not in words(assert_page(other.get("/purchases"))), "nobody else's"


def test_what_is_over_or_was_begun_long_ago_is_no_longer_under_way(
    house: House, buyer: Visitor, cashier: Cashier
) -> None:
    left, paid = cashier.order(buyer), cashier.authenticate(buyer)
    old = cashier.order(buyer, story.DISCOUNTED)
    assert words(assert_page(buyer.get("/purchases"))).count("결제 대기") == 3
    set_to(house, old.order_id, created_at=now() - timedelta(minutes=61))
    buyer.get(paid.back)
    page = assert_page(buyer.get("/purchases"), "블로그 초안 쓰기")
    assert "진행 중인" not in words(page), "what is owned is not waited for, and an hour is long enough"
    set_to(house, left.order_id, status="in_doubt", next_check_at=None)
    assert_page(buyer.get("/purchases"), "진행 중인 주문", "확인 중")


def test_many_purchases_are_searched_by_their_title(house: House, buyer: Visitor, cashier: Cashier) -> None:
    first = house.payment(cashier.buy(buyer).order_id).model_dump(exclude={"id", "order_id", "prompt_id"})

    async def buy(session: AsyncSession) -> None:
        blank: dict[str, Any] = {"category": "", "summary": "", "preview": "", "body": "", "price": 100}
        for rows in (
            [Prompt(id=it, title=f"Prompt {it}", **blank) for it in range(100, 110)],
            [Payment(id=it, prompt_id=it, **first) for it in range(100, 110)],
            [Purchase(user_id=first["user_id"], prompt_id=it, payment_id=it) for it in range(100, 110)],
        ):
            session.add_all(rows)
            await session.flush()

    assert not assert_page(buyer.get("/purchases")).select("input[name=q]"), "one is not searched for"
    house.change(buy)
    page = assert_page(buyer.get("/purchases"), "Prompt 100", "Prompt 109")
    assert page.select_one("form[method=get] input[name=q]")
    found = assert_page(buyer.get("/purchases", params={"q": "109 prompt"}))
    assert [words(title) for title in found.select(".owned-title")] == ["Prompt 109"]
    assert one(str(found), "input[name=q]")["value"] == "109 prompt"
    assert_page(buyer.get("/purchases?q=nothing"), "찾는 프롬프트가 없습니다")
