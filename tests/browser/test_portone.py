"""PortOne in a real browser: its SDK is another one, its window takes the money by itself."""

from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect
from starlette.datastructures import Secret

from app.config import Settings
from tests import story
from tests.browser.serving import Shop
from tests.browser.walks import expect_heading, refund_row, row, submit_order, watch_payments
from tests.sandboxes import Sandbox

pytestmark = pytest.mark.browser


@pytest.fixture
def settings(settings: Settings, sandbox: Sandbox) -> Settings:
    """PortOne, old and new, beside Toss."""
    return replace(
        settings,
        portone_store_id="store-of-the-browser",
        portone_channel_key="channel-key-of-the-browser",
        portone_api_secret=Secret("secret-of-the-browser"),
        portone_api_url=f"{sandbox.url}/portone",
        portone_sdk_url=f"{sandbox.url}/portone/v2/browser-sdk.js",
        portone_v1_imp_key="key",
        portone_v1_imp_secret=Secret("secret-of-the-browser"),
        portone_v1_imp_code="imp00000000",
        portone_v1_channel_key="channel-key-of-the-browser",
        portone_v1_api_url=f"{sandbox.url}/portone_v1",
        portone_v1_sdk_url=f"{sandbox.url}/portone_v1/v1/iamport.js",
    )


def test_a_card_is_paid_at_portone_and_the_money_goes_back(buyer_page: Page, admin_page: Page, shop: Shop) -> None:
    admin = watch_payments(admin_page)
    page = buyer_page
    page.goto(f"/payments/new?prompt_id={story.PROMPT}")
    page.get_by_label("카드 (포트원)").check()
    order_id = submit_order(page)
    window = page.frame_locator("iframe[title='포트원 결제창']")
    expect(window.get_by_text("₩10,000")).to_be_visible()
    window.get_by_label("국민").check()
    window.get_by_role("button", name="결제 승인").click()
    expect_heading(page, "결제가 끝났습니다")
    assert page.url == f"{shop.url}/payments/{order_id}", "nothing of the PG's stays in the address"
    expect(page.get_by_role("region", name="프롬프트 전문")).to_contain_text(story.BODY)

    row(admin, order_id).get_by_role("button", name="환불").click()
    form = refund_row(admin, order_id)
    form.get_by_label("환불 사유").fill("단순 변심")
    form.get_by_role("button", name="환불하기").click()
    expect(row(admin, order_id)).to_contain_text("환불 완료")
    book = shop.sandbox.ledger(order_id)
    assert (book["gateway"], book["charged"], book["refunded"]) == ("portone", 10_000, 10_000)


def test_an_sdk_that_calls_back_brings_the_buyer_back(buyer_page: Page, shop: Shop) -> None:
    """IMP tells a function how it went; our window page takes what it is told to the return address."""
    page = buyer_page
    for button, heading, charged in (("창 닫기", "결제하지 않았습니다", 0), ("결제 승인", "결제가 끝났습니다", 10_000)):
        page.goto(f"/payments/new?prompt_id={story.PROMPT}")
        page.get_by_label("카드 (포트원 V1)").check()
        order_id = submit_order(page)
        page.frame_locator("iframe[title='포트원 결제창']").get_by_role("button", name=button).click()
        expect_heading(page, heading)
        assert shop.sandbox.ledger(order_id)["charged"] == charged
