"""An operator between the pages of the console: nothing is promised that will not be, and every way leads back."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from app.clock import now
from app.config import Settings
from tests import story
from tests.browser.serving import Shop
from tests.browser.walks import refund_row, row, watch_payments

pytestmark = pytest.mark.browser


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One person may give back ₩5,000 of a payment; more needs two."""
    return replace(settings, refund_approval_above=5_000)


def test_the_button_says_what_pressing_it_will_do(admin_page: Page, shop: Shop) -> None:
    order_id = shop.bought(story.BUYER).order_id
    admin = watch_payments(admin_page)
    row(admin, order_id).get_by_role("button", name="환불").click()
    form = refund_row(admin, order_id)
    amount, button = form.get_by_label("환불 금액"), form.locator("button[type=submit]")
    for typed, deed, foreseen in (
        ("10,000", "₩10,000 승인 요청하기", "환불 후 잔액 ₩0 · 이용권 회수됨 · 두 번째 사람의 승인이 필요합니다"),
        ("5000", "₩5,000 환불하기", "환불 후 잔액 ₩5,000 · 이용권 유지"),
        ("５，００１", "₩5,001 승인 요청하기", "환불 후 잔액 ₩4,999 · 이용권 유지 · 두 번째 사람의 승인이 필요합니다"),
        ("", "₩10,000 승인 요청하기", "환불 후 잔액 ₩0 · 이용권 회수됨 · 두 번째 사람의 승인이 필요합니다"),
    ):
        amount.fill(typed)
        expect(button).to_have_text(deed, use_inner_text=True)
        expect(button).to_be_enabled()
        expect(button).to_have_accessible_description(foreseen)
    for typed in ("10001", "0", "천원"):
        amount.fill(typed)
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description("₩10,000까지 환불할 수 있습니다.")
    amount.fill("6000")
    form.get_by_label("환불 사유").fill("광고와 다름")
    button.click()
    expect(form).to_have_count(0)
    expect(row(admin, order_id)).to_contain_text("승인 대기")
    expect(row(admin, order_id).get_by_role("button", name="환불")).to_have_count(0)
    assert shop.sandbox.ledger(order_id)["refunded"] == 0
    row(admin, order_id).get_by_role("link", name="승인 보기").click()
    expect(admin.locator(f"#asked-{order_id}")).to_be_visible()


def test_back_undoes_one_choice_after_the_other_and_forward_makes_it_again(admin_page: Page, shop: Shop) -> None:
    paid = shop.bought(story.BUYER).order_id
    pending = shop.cashier.order(shop.person(story.OTHER)).order_id
    admin_page.goto("/")
    admin = watch_payments(admin_page)
    status, method = admin.get_by_label("상태"), admin.get_by_label("결제수단")
    search, live = admin.get_by_label("주문번호·이름·이메일 검색"), admin.locator("#payments")

    status.select_option("completed")
    expect(admin).to_have_url(re.compile(r"\?status=completed$"))
    expect(row(admin, pending)).to_have_count(0)
    search.press_sequentially("김찐", delay=20)
    expect(admin).to_have_url(re.compile("status=completed&q="))
    search.blur()
    method.select_option("transfer")
    expect(admin).to_have_url(re.compile("status=completed&payment_method=transfer&q="))
    expect(row(admin, paid)).to_have_count(0)

    admin.go_back()
    expect(admin).to_have_url(re.compile("status=completed&q="))
    expect(row(admin, paid)).to_be_visible()
    expect(method).to_have_value("")
    expect(status).to_have_value("completed")
    expect(search).to_have_value("김찐")
    expect(live).to_have_attribute("data-live", "on")
    admin.go_back()
    expect(admin).to_have_url(re.compile("/admin/payments$"))
    expect(row(admin, pending)).to_be_visible()
    expect(status).to_have_value("")
    expect(search).to_have_value("")
    admin.go_forward()
    expect(search).to_have_value("김찐")
    expect(status).to_have_value("completed")
    expect(row(admin, pending)).to_have_count(0)
    later = shop.bought(story.MEMBER).order_id
    expect(row(admin, later)).to_be_visible()
    admin.go_forward()
    expect(method).to_have_value("transfer")
    expect(row(admin, paid)).to_have_count(0)
    admin.get_by_role("link", name="조건 지우기").click()
    expect(row(admin, pending)).to_be_visible()
    expect(search).to_have_value("")


def test_the_way_back_from_a_payment_leads_to_the_list_as_it_was_left(admin_page: Page, shop: Shop) -> None:
    order_id = shop.bought(story.BUYER).order_id
    admin = watch_payments(admin_page)
    admin.get_by_label("정렬").select_option("amount")
    admin.get_by_label("상태").select_option("completed")
    expect(admin).to_have_url(re.compile("status=completed&sort=amount$"))
    row(admin, order_id).get_by_role("link").click()
    admin.get_by_label("환불 금액").fill("1000")
    admin.get_by_label("환불 사유").fill("오류")
    admin.get_by_role("button", name="₩1,000 환불하기").click()
    expect(admin.locator(".refund-entry")).to_contain_text("환불 완료")
    admin.get_by_role("link", name="← 결제 목록").click()
    expect(admin).to_have_url(re.compile(r"/admin/payments\?status=completed&sort=amount$"))
    expect(row(admin, order_id)).to_be_visible()


def test_the_keyboard_gets_to_the_list_and_hears_why_it_cannot_refund(admin_page: Page, shop: Shop) -> None:
    order_id = shop.cashier.order(shop.person(story.OTHER)).order_id
    admin = watch_payments(admin_page)
    press = admin.keyboard.press
    press("Tab")
    press("Tab")
    expect(admin.get_by_role("link", name="결제 목록으로")).to_be_focused()
    press("Enter")
    press("Tab")
    expect(row(admin, order_id).get_by_role("checkbox")).to_be_focused()
    press("r")
    expect(admin.get_by_role("alert")).to_contain_text("지금은 환불할 수 없는 결제입니다 · 결제 대기")
    expect(row(admin, order_id).get_by_role("checkbox")).to_be_focused()


def test_the_seconds_until_the_next_question_run_down(admin_page: Page, shop: Shop) -> None:
    shop.hang_up()  # a webhook of the purchase would make us ask at once
    order_id = shop.bought(story.BUYER).order_id
    soon = f"{now() + timedelta(seconds=40):%Y-%m-%d %H:%M:%S.%f}"
    shop.rewrite(order_id, status="in_doubt", paid_amount=0, checks=2, next_check_at=soon)
    admin = watch_payments(admin_page)
    expect(row(admin, order_id)).to_contain_text(re.compile("확인 중 · 2회 조회 · 다음 3[0-9]초 후"))
    shown = row(admin, order_id).locator(".asks time")
    first = int(shown.inner_text()[:-1])
    expect(shown).to_have_text(f"{first - 2}초")


def test_who_looks_at_a_buyer_sees_it_told_at_once_and_keeps_their_place(admin_page: Page, shop: Shop) -> None:
    order_id = shop.bought(story.BUYER).order_id
    admin_page.goto(f"/admin/payments/{order_id}")
    admin_page.get_by_label("열람 사유").fill("환불 문의")
    admin_page.keyboard.press("Enter")
    buyer = admin_page.locator(f"#buyer-{order_id}")
    expect(buyer).to_contain_text(story.BUYER)
    expect(buyer).to_be_focused()
    expect(admin_page.locator(f"#timeline-{order_id}")).to_contain_text("구매자 정보를 보았습니다 · 환불 문의")
