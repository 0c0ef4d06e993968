"""No script runs: everything works that a PG's own window does not need a script for."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests import story
from tests.browser.conftest import Console
from tests.browser.serving import Shop
from tests.browser.walks import TITLE, expect_heading, log_in, row

pytestmark = pytest.mark.browser


def test_a_buyer_without_javascript_gets_as_far_as_the_pgs_window(no_js: Page, console: Console) -> None:
    console.expect("status of 422")
    page = log_in(no_js, story.BUYER)
    page.goto("/")
    page.get_by_label("프롬프트 검색").fill("블로그")
    page.get_by_role("button", name="찾기").click()
    expect(page.get_by_role("heading", level=2)).to_have_text([TITLE])
    page.get_by_role("link", name=TITLE, exact=True).click()
    page.get_by_role("button", name="구매하기").click()
    expect_heading(page, "주문하기")
    expect(page.locator("noscript p")).to_be_visible()
    expect(page.locator("noscript p")).to_contain_text("이 결제수단만 쓸 수 있습니다: 카카오페이")
    page.get_by_label("휴대폰 번호").fill("12")
    page.get_by_label("동의합니다").check()
    page.get_by_role("button", name="결제하기").click()
    expect(page.get_by_label("휴대폰 번호")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("휴대폰 번호").fill("010-1234-5678")
    page.get_by_role("button", name="결제하기").click()
    expect(page.get_by_role("alert")).to_contain_text("자바스크립트가 있어야 열립니다")
    expect(page.get_by_role("link", name="결제하지 않고 돌아가기")).to_be_visible()


def test_an_operator_without_javascript_filters_and_refunds(no_js: Page, shop: Shop, console: Console) -> None:
    console.expect("status of 409")
    checkout, other = shop.bought(story.BUYER), shop.bought(story.OTHER)
    page = log_in(no_js, story.ADMIN)
    page.get_by_role("link", name="결제 관리").click()
    page.get_by_label("주문번호·이름·이메일 검색").fill(story.BUYER)
    page.get_by_label("상태").select_option("completed")
    page.get_by_role("button", name="찾기").click()
    expect(row(page, checkout.order_id)).to_be_visible()
    expect(row(page, other.order_id)).to_have_count(0)
    row(page, checkout.order_id).get_by_role("button", name="환불").click()
    page.get_by_label("환불 금액").fill("10001")
    page.get_by_label("환불 사유").fill("광고와 다름")
    page.get_by_role("button", name="환불하기").click()
    expect(page.get_by_label("환불 금액")).to_have_accessible_description("환불할 수 있는 금액은 ₩10,000입니다.")
    page.get_by_label("환불 금액").fill("3000")
    page.get_by_role("button", name="환불하기").click()
    expect(page).to_have_url(re.compile(f"/admin/payments/{checkout.order_id}$"))
    expect(page.locator(".refund-entry")).to_contain_text("환불 완료")
    assert shop.sandbox.ledger(checkout.order_id)["refunded"] == 3_000

    page.goto("/admin/payments")
    row(page, checkout.order_id).get_by_role("checkbox").check()
    row(page, other.order_id).get_by_role("checkbox").check()
    page.get_by_role("button", name="일괄 환불 미리 보기").click()
    expect(page.get_by_text("2건 = ₩17,000")).to_be_visible()
    page.get_by_label("환불 사유").fill("오류")
    page.get_by_role("button", name="환불하기").click()
    expect_heading(page, "일괄 환불")
    while page.get_by_text("2건 중 2건").count() == 0:
        page.reload()
    assert shop.sandbox.ledger(other.order_id)["refunded"] == 10_000


def test_a_buyer_without_javascript_pays_with_kakaopay_and_gets_a_part_back(no_js: Page, shop: Shop) -> None:
    page = log_in(no_js, story.BUYER)
    page.goto("/payments/new?prompt_id=1")
    page.get_by_label("카카오페이").check()
    page.get_by_label("동의합니다").check()
    page.get_by_role("button", name="결제하기").click()
    expect_heading(page, "카카오페이")
    expect(page.get_by_role("img", name="QR 코드")).to_be_visible()
    page.get_by_role("button", name="카카오페이머니로 결제").click()
    expect(page.get_by_text("결제가 끝났습니다")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/payments/\w{24}$"))
    order_id = page.url.rsplit("/", 1)[1]
    page.context.clear_cookies()
    page = log_in(page, story.ADMIN)
    page.goto("/admin/payments")
    row(page, order_id).get_by_role("button", name="환불").click()
    page.get_by_label("환불 금액").fill("3000")
    page.get_by_label("환불 사유").fill("광고와 다름")
    page.get_by_role("button", name="환불하기").click()
    expect(page.locator(".refund-entry")).to_contain_text("환불 완료")
    line = shop.sandbox.ledger(order_id)
    assert (line["gateway"], line["charged"], line["refunded"]) == ("kakaopay", 10_000, 3_000)
