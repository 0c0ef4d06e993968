"""A buyer in front of a real browser: pays, is declined, walks away, comes back."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests import story
from tests.browser.conftest import Console, Open
from tests.browser.serving import Shop
from tests.browser.walks import (
    TITLE,
    expect_heading,
    expect_no_reload,
    order,
    pay,
    pg_window,
    refund_row,
    row,
    submit_order,
    watch_payments,
)

pytestmark = pytest.mark.browser


def test_a_buyer_pays_and_reads_the_prompt_at_once(buyer_page: Page, shop: Shop) -> None:
    page = buyer_page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/")
    page.get_by_role("link", name=TITLE, exact=True).click()
    page.evaluate("window.sameDocument = true")
    page.get_by_role("button", name="구매하기").click()
    form = page.get_by_role("region", name="주문")
    expect(form.get_by_label("이름")).to_have_value("김찐")
    expect(form.get_by_label("동의합니다")).not_to_be_checked()
    assert page.evaluate("window.sameDocument"), "the order form swaps in"
    assert page.evaluate("document.activeElement.closest('section')?.id") == f"order-{story.PROMPT}"
    expect(form.get_by_role("button", name="₩10,000 결제하기")).to_be_enabled()

    order_id = submit_order(page)
    expect(pg_window(page).get_by_text("₩10,000")).to_be_visible()
    pay(page)
    expect_heading(page, "결제가 끝났습니다")
    assert page.url == f"{shop.url}/payments/{order_id}", "nothing of the PG's stays in the address"
    expect(page.get_by_role("region", name="영수증")).to_contain_text("부가세 ₩909")
    expect(page.get_by_role("region", name="프롬프트 전문")).to_contain_text(story.BODY)
    page.get_by_role("button", name="복사하기").click()
    expect(page.get_by_role("button", name="복사했습니다")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == story.BODY
    assert shop.sandbox.ledger(order_id)["charged"] == 10_000


def test_a_declined_buyer_reads_why_and_pays_after_all(buyer_page: Page, shop: Shop) -> None:
    page = buyer_page
    first = order(page)
    pay(page, "한도초과로 거절")
    expect_heading(page, "결제되지 않았습니다")
    outcome = page.locator(".outcome")
    expect(outcome).to_contain_text("카드 한도를 넘었거나 잔액이 부족합니다")
    expect(outcome.get_by_text("REJECT_CARD_PAYMENT")).to_be_hidden()
    outcome.get_by_text("자세한 정보").click()
    expect(outcome.get_by_text("REJECT_CARD_PAYMENT")).to_be_visible()
    assert outcome.locator("a, button").count() == 1, "one way on"

    outcome.get_by_role("link", name="다시 결제하기").click()
    second = submit_order(page)
    pay(page)
    expect_heading(page, "결제가 끝났습니다")
    assert [shop.sandbox.ledger(order_id)["charged"] for order_id in (first, second)] == [0, 10_000]


def test_closing_the_window_costs_nothing_on_a_desktop(buyer_page: Page, shop: Shop) -> None:
    order_id = order(buyer_page)
    pay(buyer_page, "창 닫기")
    _expect_not_paid(buyer_page, "USER_CANCEL")
    assert shop.sandbox.ledger(order_id)["charged"] == 0


def test_closing_the_window_costs_nothing_on_a_phone(phone: Page, shop: Shop) -> None:
    """There the window is the whole page, and the PG sends the buyer back without saying which order it was."""
    order_id = order(phone)
    phone.get_by_role("button", name="창 닫기").tap()
    _expect_not_paid(phone, "PAY_PROCESS_CANCELED")
    assert shop.sandbox.ledger(order_id)["charged"] == 0


def _expect_not_paid(page: Page, code: str) -> None:
    expect_heading(page, "결제하지 않았습니다")
    outcome = page.locator(".outcome")
    expect(outcome).to_contain_text("결제창을 닫아 결제하지 않았습니다")
    expect(outcome.locator("code")).to_have_text(code)
    expect(outcome.get_by_role("link", name="다시 결제하기")).to_be_visible()


def test_a_phone_pays_and_back_never_leads_to_a_pay_button(phone: Page, shop: Shop, console: Console) -> None:
    console.expect("status of 410")  # the PG's window is over
    order_id = order(phone)
    phone.get_by_role("button", name="결제 승인").tap()
    expect_heading(phone, "결제가 끝났습니다")
    for _ in range(3):  # the PG's window, our window page, the order form
        phone.go_back()
        expect(phone.get_by_role("heading", level=1).first).to_be_visible()
        expect(phone.get_by_role("button", name=re.compile("결제하기|결제 승인|구매하기"))).to_have_count(0)
    phone.goto(f"/payments/{order_id}/return?code=PAY_PROCESS_CANCELED")
    expect_heading(phone, "결제가 끝났습니다")
    assert shop.sandbox.ledger(order_id)["charged"] == 10_000


def test_a_buyer_who_authenticates_and_never_returns_may_come_back(buyer_page: Page, shop: Shop) -> None:
    order_id = order(buyer_page)
    pay(buyer_page, "인증만 하고 돌아가지 않기")
    expect(pg_window(buyer_page).get_by_text("인증을 마쳤습니다")).to_be_visible()

    later = buyer_page.context.new_page()
    buyer_page.close()
    later.goto(f"/payments/{order_id}")
    expect_heading(later, "아직 결제하지 않았습니다")
    later.get_by_role("link", name="결제창 열기").click()
    pay(later)
    expect_heading(later, "결제가 끝났습니다")
    assert shop.sandbox.ledger(order_id)["charged"] == 10_000


def test_back_after_paying_shows_the_receipt(buyer_page: Page, shop: Shop) -> None:
    page = buyer_page
    page.goto(f"/prompts/{story.PROMPT}")
    page.get_by_role("button", name="구매하기").click()
    order_id = submit_order(page)
    pay(page)
    expect_heading(page, "결제가 끝났습니다")
    page.go_back()
    assert page.url == f"{shop.url}/payments/{order_id}", "the window page knows that it is over"
    expect_heading(page, "결제가 끝났습니다")
    page.go_back()
    expect(page.get_by_role("region", name="프롬프트 전문")).to_be_visible()
    expect(page.get_by_role("button", name="구매하기")).to_have_count(0)
    page.go_forward()
    expect_heading(page, "결제가 끝났습니다")


def test_a_page_out_of_the_browsers_memory_asks_again(buyer_page: Page, shop: Shop) -> None:
    """Browsers keep whole pages for Back; automation turns that off, so the event is made by hand."""
    buyer_page.goto(f"/payments/new?prompt_id={story.PROMPT}")
    shop.bought(story.BUYER)
    buyer_page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(buyer_page.get_by_role("region", name="프롬프트 전문")).to_be_visible()


def test_two_tabs_and_a_reload_of_one_order_pay_once(buyer_page: Page, shop: Shop, console: Console) -> None:
    console.expect("status of 409")
    order_id = order(buyer_page)
    expect(pg_window(buyer_page).get_by_role("button", name="결제 승인")).to_be_visible()
    buyer_page.reload()
    other = buyer_page.context.new_page()
    other.goto(f"/payments/{order_id}/window")
    pay(other)
    expect_heading(other, "결제가 끝났습니다")
    pay(buyer_page)
    expect_heading(buyer_page, "결제하지 않았습니다")
    buyer_page.get_by_role("link", name="주문 보기").click()
    expect_heading(buyer_page, "결제가 끝났습니다")
    assert shop.sandbox.ledger(order_id)["charged"] == 10_000


def test_a_silent_pg_is_asked_until_the_page_turns_by_itself(buyer_page: Page, shop: Shop) -> None:
    shop.hang_up()
    shop.sandbox.fault("confirm", "status", status=500, when="after")
    shop.sandbox.fault("find", "status", status=500, times=100)
    order_id = order(buyer_page)
    pay(buyer_page)
    expect_heading(buyer_page, "결제를 확인하고 있습니다")
    expect(buyer_page.get_by_role("link", name="다시 결제하기")).to_have_count(0)
    buyer_page.evaluate("window.sameDocument = true")
    shop.speak_again()
    expect_heading(buyer_page, "결제가 끝났습니다")
    expect(buyer_page.get_by_role("region", name="프롬프트 전문")).to_contain_text(story.BODY)
    assert buyer_page.evaluate("window.sameDocument"), "nobody reloaded it"
    assert shop.sandbox.ledger(order_id)["charged"] == 10_000


@pytest.mark.parametrize("device", ["buyer_page", "phone"])
def test_a_window_that_does_not_load_is_told(
    device: str, request: pytest.FixtureRequest, shop: Shop, console: Console
) -> None:
    console.expect(r"Failed to load resource: net::ERR_FAILED \(.*/toss/v2/standard")
    page: Page = request.getfixturevalue(device)
    page.route("**/toss/v2/standard", lambda route: route.abort())
    order(page)
    expect_heading(page, "결제되지 않았습니다")
    expect(page.locator(".outcome")).to_contain_text("결제창을 불러오지 못했습니다")
    page.unroute("**/toss/v2/standard")
    page.get_by_role("link", name="다시 결제하기").click()
    submit_order(page)


def test_an_order_that_is_not_filled_in_keeps_what_was_typed(buyer_page: Page, console: Console) -> None:
    console.expect("status of 422")
    page = buyer_page
    page.goto(f"/payments/new?prompt_id={story.PROMPT}")
    page.locator(".order form").evaluate("form => form.noValidate = true")
    page.get_by_label("이름").fill("김찐찐")
    page.get_by_label("휴대폰 번호").fill("12")
    page.get_by_role("button", name="결제하기").click()
    expect(page.get_by_label("휴대폰 번호")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("이름")).to_have_value("김찐찐")
    expect(page.get_by_role("alert").first).to_be_focused()
    for sentence, label in (("휴대폰 번호를 숫자로", "휴대폰 번호"), ("동의해 주세요", "동의합니다")):
        page.get_by_role("link", name=sentence).click()
        expect(page.get_by_label(label)).to_be_focused()


def test_a_deposit_turns_the_page_and_goes_back_to_an_account(
    buyer_page: Page, admin_page: Page, open_browser: Open, shop: Shop
) -> None:
    page = buyer_page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.clock.install()
    order_id = order(page, method="가상계좌")
    pay(page, "가상계좌 발급")
    expect_heading(page, "입금을 기다리고 있습니다")
    account = page.get_by_role("region", name="입금 계좌")
    expect(account).to_contain_text("국민은행")
    account.get_by_role("button", name="복사하기").click()
    expect(account.get_by_role("button", name="복사했습니다")).to_be_visible()
    assert re.fullmatch("X[0-9]{13}", page.evaluate("navigator.clipboard.readText()"))

    shop.rewrite(order_id, checked_at=None)  # the PG was not asked about it a moment ago
    bank = open_browser()
    bank.goto(shop.sandbox.url)
    bank.get_by_role("row", name=order_id).get_by_role("button", name="입금 처리").click()
    expect(bank.get_by_role("row", name=order_id).get_by_role("button", name="입금 되돌리기")).to_be_visible()
    admin = watch_payments(admin_page)
    expect(row(admin, order_id)).to_contain_text("결제 완료")
    page.clock.fast_forward(10_000)
    expect_heading(page, "결제가 끝났습니다")
    expect(page.get_by_role("region", name="프롬프트 전문")).to_contain_text(story.BODY)

    row(admin, order_id).get_by_role("button", name="환불").click()
    form = refund_row(admin, order_id)
    form.get_by_label("환불 사유").fill("단순 변심")
    form.get_by_label("환불 은행").select_option("신한은행")
    form.get_by_label("환불 계좌번호").fill("110-123-456789")
    form.get_by_label("예금주").fill("김찐")
    form.get_by_role("button", name="환불하기").click()
    expect(row(admin, order_id)).to_contain_text("환불 완료")
    expect_no_reload(admin)
    assert shop.sandbox.ledger(order_id)["refunded"] == 10_000


def test_a_method_is_chosen_by_the_arrow_keys(buyer_page: Page) -> None:
    page = buyer_page
    page.goto(f"/payments/new?prompt_id={story.PROMPT}")
    expect(page.get_by_role("radio", name="카드·간편결제", exact=True)).to_be_checked()
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.name") != "payment_method":
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    chosen = page.get_by_role("radio", name="토스페이", exact=True)
    expect(chosen).to_be_focused()
    expect(chosen).to_be_checked()
    expect(chosen).to_have_accessible_description("토스 앱으로 바로")
    assert page.evaluate("getComputedStyle(document.activeElement.closest('label')).outlineWidth") == "3px"
    submit_order(page)
    expect(pg_window(page).get_by_role("heading", name="토스페이", exact=True)).to_be_visible()
    pay(page)
    expect_heading(page, "결제가 끝났습니다")
