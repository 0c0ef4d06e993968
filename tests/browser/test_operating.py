"""An operator at the live table: payments arrive by themselves, and money goes back without leaving it."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests import story
from tests.browser.conftest import Console, Open
from tests.browser.serving import Shop
from tests.browser.walks import expect_heading, expect_no_reload, log_in, order, pay, refund_row, row, watch_payments
from tests.conftest import Checkout

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_payment_appears_by_itself_and_changes_where_it_stands(
    admin_page: Page, buyer_page: Page, shop: Shop
) -> None:
    admin = watch_payments(admin_page)
    expect(admin.get_by_text("맞는 결제가 없습니다")).to_be_visible()
    first = order(buyer_page)
    expect(row(admin, first)).to_have_attribute("data-status", "pending")
    expect(admin.get_by_text("맞는 결제가 없습니다")).to_be_hidden()
    row(admin, first).get_by_role("link").focus()
    pay(buyer_page)
    expect(row(admin, first)).to_contain_text("결제 완료")
    expect(row(admin, first).get_by_role("button", name="환불")).to_be_visible()
    expect(row(admin, first).get_by_role("link")).to_be_focused()

    second = shop.bought(story.OTHER).order_id
    expect(row(admin, second)).to_contain_text("결제 완료")
    expect(admin.get_by_role("link", name="결제 완료 2")).to_be_visible(timeout=4_500)  # sooner than every ten seconds
    rows = admin.get_by_role("table", name="결제 목록").locator("tbody tr[data-status]")
    assert [rows.nth(n).get_attribute("id") for n in range(2)] == [f"payment-{second}", f"payment-{first}"]
    expect_no_reload(admin)


def test_a_filter_chosen_while_payments_stream_in_holds_for_what_comes_next(admin_page: Page, shop: Shop) -> None:
    admin = watch_payments(admin_page)
    shop.bought(story.BUYER)
    admin.get_by_label("상태").select_option(label="결제 완료")
    expect(admin).to_have_url(re.compile("[?&]status=completed(&|$)"))
    expect(admin.locator("#payments")).to_have_attribute("data-live", "on")
    pending = shop.cashier.order(shop.person(story.OTHER)).order_id
    bought = shop.bought(story.OTHER).order_id
    expect(row(admin, bought)).to_be_visible()
    expect(row(admin, pending)).to_have_count(0)

    search = admin.get_by_label("주문번호·이름·이메일 검색")
    search.press_sequentially("member@", delay=20)
    expect(admin.get_by_text("맞는 결제가 없습니다")).to_be_visible()
    expect(admin.locator("#payments")).to_have_attribute("data-live", "on")
    members = shop.bought(story.MEMBER).order_id
    expect(row(admin, members)).to_be_visible()
    expect(search).to_be_focused()
    expect(search).to_have_value("member@")
    expect_no_reload(admin)
    admin.reload()
    expect(row(admin, members)).to_be_visible()
    expect(row(admin, bought)).to_have_count(0)
    expect(admin.get_by_label("상태")).to_have_value("completed")
    expect(search).to_have_value("member@")


def test_a_half_typed_refund_survives_whatever_happens_around_it(admin_page: Page, shop: Shop) -> None:
    older, checkout = shop.bought(story.OTHER), shop.bought(story.BUYER)
    admin = watch_payments(admin_page)
    row(admin, checkout.order_id).get_by_role("button", name="환불").click()
    form = refund_row(admin, checkout.order_id)
    expect(form.get_by_label("환불 금액")).to_be_focused()
    form.get_by_label("환불 금액").fill("3,000")
    expect(form).to_contain_text("환불 후 잔액 ₩7,000 · 이용권 유지")
    expect(form.get_by_role("button", name="₩3,000 환불하기")).to_be_visible()
    reason = form.get_by_label("환불 사유")
    reason.press_sequentially("광고와")

    arrived = shop.bought(story.MEMBER)
    waiting = admin.get_by_role("button", name="새 결제 1건")
    expect(waiting).to_be_visible()
    expect(row(admin, arrived.order_id)).to_be_hidden()
    shop.refunded(checkout, amount="1000")
    expect(row(admin, checkout.order_id)).to_contain_text("일부 환불")
    shop.refunded(older)
    expect(row(admin, older.order_id)).to_contain_text("환불 완료")
    expect(reason).to_be_focused()
    reason.press_sequentially(" 다름")
    expect(reason).to_have_value("광고와 다름")
    expect(form.get_by_label("환불 금액")).to_have_value("3,000")
    following = row(admin, checkout.order_id).evaluate("row => row.nextElementSibling.id")
    assert following == f"refund-{checkout.order_id}", "the form stays below its payment"
    waiting.click()
    expect(row(admin, arrived.order_id)).to_contain_text("결제 완료")
    expect(row(admin, arrived.order_id)).to_be_focused()
    expect(waiting).to_be_hidden()
    expect(reason).to_have_value("광고와 다름")
    expect_no_reload(admin)


def test_a_refund_is_typed_inline_and_seen_by_everyone(
    admin_page: Page, open_browser: Open, shop: Shop, console: Console
) -> None:
    console.expect("status of 409")
    checkout = shop.bought(story.BUYER)
    colleague = watch_payments(log_in(open_browser(), story.ADMIN))
    admin = watch_payments(admin_page)
    row(admin, checkout.order_id).get_by_role("button", name="환불").click()
    form = refund_row(admin, checkout.order_id)
    form.get_by_label("환불 금액").fill("4,000")
    form.get_by_label("환불 사유").fill("광고와 다름")
    shop.refunded(checkout, amount="1000")
    form.get_by_role("button", name="환불하기").click()
    expect(form.get_by_label("환불 금액")).to_have_accessible_description(
        "그 사이 최관리가 ₩1,000 환불함 · 남은 금액 ₩9,000"
    )
    expect(form.get_by_label("환불 금액")).to_have_value("4,000")
    expect(form.get_by_label("환불 사유")).to_have_value("광고와 다름")
    form.get_by_role("button", name="환불하기").click()
    for page in (admin, colleague):
        expect(row(page, checkout.order_id)).to_contain_text("일부 환불")
        expect(row(page, checkout.order_id)).to_contain_text("₩5,000")
    expect(form).to_have_count(0)
    expect(admin.get_by_text("₩4,000을 환불했습니다.")).to_be_visible()

    row(colleague, checkout.order_id).get_by_role("button", name="환불").click()
    form = refund_row(colleague, checkout.order_id)
    form.get_by_label("환불 사유").fill("단순 변심")
    form.get_by_role("button", name="환불하기").click()
    for page in (admin, colleague):
        expect(row(page, checkout.order_id)).to_contain_text("환불 완료")
        expect(row(page, checkout.order_id).get_by_role("button", name="환불")).to_have_count(0)
        expect_no_reload(page)
    assert shop.sandbox.ledger(checkout.order_id)["refunded"] == 10_000
    buyer = log_in(open_browser(), story.BUYER)
    buyer.goto(f"/prompts/{story.PROMPT}")
    expect(buyer.get_by_role("button", name="구매하기")).to_be_visible()
    expect(buyer.get_by_text(story.BODY)).to_have_count(0)


def test_a_refund_needs_no_mouse(admin_page: Page, shop: Shop) -> None:
    checkout = shop.bought(story.BUYER)
    admin = watch_payments(admin_page)
    opener = row(admin, checkout.order_id).get_by_role("button", name="환불")
    form = refund_row(admin, checkout.order_id)
    press = admin.keyboard.press
    row(admin, checkout.order_id).get_by_role("link").focus()
    press("Tab")
    expect(opener).to_be_focused()
    press("Enter")
    expect(form.get_by_label("환불 금액")).to_be_focused()
    press("Escape")
    expect(form).to_have_count(0)
    expect(opener).to_be_focused()
    press("Enter")
    expect(form.get_by_label("환불 금액")).to_be_focused()
    press("Shift+Tab")
    expect(form.get_by_role("button", name="50 %")).to_be_focused()
    press("Enter")
    expect(form.get_by_label("환불 금액")).to_be_focused()
    press("Tab")
    expect(form.get_by_label("환불 사유")).to_be_focused()
    for _ in range(3):
        press("Tab")
    expect(form.get_by_role("button", name="중복결제")).to_be_focused()
    press("Enter")
    expect(form.get_by_label("환불 사유")).to_be_focused()
    for _ in range(6):
        press("Tab")
    expect(form.get_by_role("button", name="₩5,000 환불하기")).to_be_focused()
    press("Enter")
    expect(row(admin, checkout.order_id)).to_contain_text("일부 환불")
    expect(row(admin, checkout.order_id).locator(":focus")).to_have_count(1)
    assert shop.sandbox.ledger(checkout.order_id)["refunded"] == 5_000


def test_a_payment_is_found_and_partly_refunded_by_six_keys(admin_page: Page, shop: Shop) -> None:
    """Beside the name, the amount and the reason: / Enter r Tab Enter, and one to spare."""
    shop.bought(story.OTHER)
    buyer, cashier = shop.person(story.BUYER), shop.cashier
    checkout = cashier.press(cashier.open(buyer, cashier.order(buyer, buyer_name="나유진")))
    buyer.get(checkout.back)
    admin = watch_payments(admin_page)
    press = admin.keyboard.press
    press("/")
    admin.keyboard.type("유진")
    press("Enter")
    expect(row(admin, checkout.order_id)).to_be_focused()
    press("r")
    expect(refund_row(admin, checkout.order_id).get_by_label("환불 금액")).to_be_focused()
    admin.keyboard.type("2500")
    press("Tab")
    admin.keyboard.type("광고와 다름")
    press("Enter")
    expect(row(admin, checkout.order_id)).to_contain_text("일부 환불")
    assert shop.sandbox.ledger(checkout.order_id)["refunded"] == 2_500
    expect(row(admin, checkout.order_id)).to_be_focused()
    expect_no_reload(admin)


def test_every_key_presses_a_control_and_focus_comes_back(admin_page: Page, shop: Shop) -> None:
    first, second = shop.bought(story.OTHER).order_id, shop.bought(story.BUYER).order_id
    admin = watch_payments(admin_page)
    press, picked = admin.keyboard.press, admin.locator(".pick input:checked")
    press("j")
    expect(row(admin, second)).to_be_focused()
    press("j")
    expect(row(admin, first)).to_be_focused()
    press("Enter")
    expect(admin.locator(f"#detail-{first}")).to_contain_text("왜 이 상태인가?")
    press("Escape")
    expect(admin.locator(f"#detail-{first}")).to_have_count(0)
    expect(row(admin, first)).to_be_focused()
    press("r")
    expect(refund_row(admin, first).get_by_label("환불 금액")).to_be_focused()
    press("Escape")
    expect(refund_row(admin, first)).to_have_count(0)
    expect(row(admin, first)).to_be_focused()
    press("x")
    press("k")
    press("Shift+X")
    expect(picked).to_have_count(2)
    expect(admin.get_by_text("2건을 골랐습니다")).to_be_visible()
    shop.refunded(shop.bought(story.MEMBER))
    expect(admin.get_by_role("button", name="새 결제 1건")).to_be_visible()
    expect(picked).to_have_count(2)
    shop.refunded(Checkout(second), amount="1000")
    expect(row(admin, second)).to_contain_text("일부 환불")
    expect(picked).to_have_count(2)
    expect(row(admin, second)).to_be_focused()
    press("?")
    expect(admin.get_by_role("dialog", name="단축키")).to_be_visible()
    press("x")
    press("Escape")
    expect(admin.get_by_role("dialog", name="단축키")).to_be_hidden()
    expect(row(admin, second)).to_be_focused()
    press("f")
    expect(admin.get_by_label("상태")).to_be_focused()
    press("j")
    expect(picked).to_have_count(2)
    admin.get_by_label("상태").select_option("completed")
    expect(admin).to_have_url(re.compile("status=completed"))
    expect(admin.locator("#payments")).to_have_attribute("data-live", "on")
    expect(admin.get_by_role("button", name="새 결제")).to_be_hidden()
    shop.refunded(Checkout(first))
    expect(row(admin, first)).to_have_count(0)
    expect(row(admin, second)).to_be_visible()


def test_the_retry_that_paid_twice_elsewhere_pays_once(admin_page: Page, shop: Shop, console: Console) -> None:
    """The PG gives the money back, but its answer gets lost; ours to the operator, too; so they press again."""
    console.expect("net::ERR_FAILED", "htmx:error", "Failed to fetch")
    checkout = shop.bought(story.BUYER)
    shop.hang_up()
    shop.sandbox.fault("cancel", "reset", when="after")
    admin = watch_payments(admin_page)
    row(admin, checkout.order_id).get_by_role("button", name="환불").click()
    form = refund_row(admin, checkout.order_id)
    form.get_by_label("환불 금액").fill("3000")
    form.get_by_label("환불 사유").fill("광고와 다름")

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    admin.route("**/refunds", lose_the_answer, times=1)
    form.get_by_role("button", name="환불하기").click()
    expect(admin.get_by_role("alert")).to_contain_text("서버에 연결하지 못했습니다")
    expect(row(admin, checkout.order_id)).to_contain_text("환불 확인 중")
    form.get_by_role("button", name="환불하기").click()
    expect(form).to_have_count(0)
    expect(admin.get_by_role("alert")).to_contain_text("다시 누르지 마세요")
    expect(row(admin, checkout.order_id)).to_contain_text("환불 확인 중")
    assert shop.sandbox.ledger(checkout.order_id)["refunded"] == 3_000

    row(admin, checkout.order_id).get_by_role("link").click()
    expect_heading(admin, "₩10,000")
    expect(admin.locator(".refund-entry")).to_have_count(1)
    expect(admin.locator(".refund-entry")).to_contain_text("환불 확인 중")


def test_a_payment_that_belongs_further_down_comes_with_what_is_around_it(admin_page: Page, shop: Shop) -> None:
    """The list shows fifty; an old payment that changes has its place behind them."""
    late = shop.cashier.authenticate(shop.person(story.BUYER))
    shop.repeat(shop.bought(story.OTHER).order_id, times=59)
    admin = watch_payments(admin_page, "?status=completed")
    rows = admin.locator("#payment-rows tr[data-status]")
    expect(rows).to_have_count(50)
    shop.person(story.BUYER).get(late.back)
    arrived = shop.bought(story.MEMBER)
    expect(row(admin, arrived.order_id)).to_be_visible()
    expect(rows).to_have_count(51)
    admin.get_by_role("link", name="더 보기").scroll_into_view_if_needed()
    expect(row(admin, late.order_id)).to_be_visible()
    expect(rows).to_have_count(62)
