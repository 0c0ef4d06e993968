"""Every way to pay that no other test here walks: paid, and given back in part and then whole out of the live table."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from app.config import Settings, read_settings
from tests import story
from tests.browser.serving import Shop
from tests.browser.walks import expect_heading, order, pay, refund_row, row, watch_payments
from tests.conftest import PortOneCashier
from tests.sandboxes import Sandbox

pytestmark = pytest.mark.browser


@pytest.fixture
def settings(settings: Settings, sandbox: Sandbox) -> Settings:
    """PortOne beside Toss and KakaoPay."""
    keys = read_settings(PortOneCashier.keys(sandbox.url))
    return replace(settings, **{name: value for name, value in vars(keys).items() if name.startswith("portone_")})


def at_toss(page: Page, label: str) -> str:
    order_id = order(page, method=label)
    pay(page)
    expect_heading(page, "결제가 끝났습니다")  # the operator's row may know it before the buyer's page has come
    return order_id


def at_kakaopay(page: Page, button: str) -> str:
    """Its page is the whole browser, and comes right after the order form."""
    page.goto(f"/payments/new?prompt_id={story.PROMPT}")
    page.get_by_role("radio", name="카카오페이", exact=True).check()
    page.get_by_label("동의합니다").check()
    page.get_by_role("button", name="결제하기").click()
    page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_url(re.compile(r"/payments/\w{24}$"))
    return page.url.rpartition("/")[2]


def at_portone(page: Page, shop: Shop) -> str:
    """An account is given, and somebody pays into it at the bank, which is in the sandbox."""
    order_id = order(page, method="가상계좌 (포트원)")
    page.frame_locator("iframe[title='포트원 결제창']").get_by_role("button", name="계좌 발급").click()
    expect_heading(page, "입금을 기다리고 있습니다")
    expect(page.get_by_role("region", name="입금 계좌")).to_contain_text("국민은행")
    shop.rewrite(order_id, checked_at=None)  # the PG was not asked about it a moment ago
    page.goto(shop.sandbox.url)
    page.get_by_role("row", name=order_id).get_by_role("button", name="입금 처리").click()
    page.wait_for_url(shop.sandbox.url + "/")
    return order_id


def give_back(admin: Page, order_id: str, amount: str, then: str) -> None:
    row(admin, order_id).get_by_role("button", name="환불").click()
    form = refund_row(admin, order_id)
    form.get_by_label("환불 금액").fill(amount)
    form.get_by_label("환불 사유").fill("단순 변심")
    if row(admin, order_id).get_by_text("가상계좌").count():
        form.get_by_label("환불 은행").select_option("신한은행")
        form.get_by_label("환불 계좌번호").fill("110-123-456789")
        form.get_by_label("예금주").fill("김찐")
    form.get_by_role("button", name="환불하기").click()
    expect(row(admin, order_id)).to_contain_text(then)


def test_every_method_is_paid_and_goes_back_in_part_and_whole(buyer_page: Page, admin_page: Page, shop: Shop) -> None:
    webhooks = {"portone_webhook_url": f"{shop.url}/webhooks/portone"}
    shop.sandbox.http.put("/_settings", json=webhooks).raise_for_status()
    page, admin = buyer_page, watch_payments(admin_page)
    walks: dict[str, Callable[[], str]] = {
        "Toss's easy pay": lambda: at_toss(page, "토스페이"),
        "Toss's transfer": lambda: at_toss(page, "계좌이체"),
        "KakaoPay's money": lambda: at_kakaopay(page, "카카오페이머니로 결제"),
        "KakaoPay's card": lambda: at_kakaopay(page, "카드로 결제"),
        "PortOne's account": lambda: at_portone(page, shop),
    }
    for name, walk in walks.items():
        order_id = walk()
        expect(row(admin, order_id)).to_contain_text("결제 완료")
        page.goto(f"/payments/{order_id}")
        expect_heading(page, "결제가 끝났습니다")
        give_back(admin, order_id, "3000", "일부 환불")
        give_back(admin, order_id, "", "환불 완료")
        book = shop.sandbox.ledger(order_id)
        assert (book["charged"], [it["amount"] for it in book["cancels"]]) == (10_000, [3_000, 7_000]), name

    for button, heading in (("결제 취소", "결제하지 않았습니다"), ("시간 만료", "결제되지 않았습니다")):
        order_id = at_kakaopay(page, button)
        expect_heading(page, heading)
        assert shop.sandbox.ledger(order_id)["charged"] == 0
