"""What people do in a browser, in the words of the pages."""

import re

from playwright.sync_api import FrameLocator, Locator, Page, expect

from tests import story

TITLE = "블로그 초안 쓰기"


def log_in(page: Page, email: str, password: str = story.PASSWORD) -> Page:
    """Through the real form."""
    page.goto("/login")
    page.get_by_label("이메일").fill(email)
    page.get_by_label("비밀번호").fill(password)
    page.get_by_role("button", name="로그인", exact=True).click()
    expect(page.get_by_role("button", name="로그아웃")).to_be_visible()
    return page


def order(page: Page, prompt_id: int = story.PROMPT, method: str = "") -> str:
    """From the order form to the window page, by the method of this label or the one chosen already; the order id."""
    page.goto(f"/payments/new?prompt_id={prompt_id}")
    if method:
        page.get_by_role("radio", name=method, exact=True).check()
    return submit_order(page)


def submit_order(page: Page) -> str:
    """Presses 결제하기; answers the order id. A phone is at the PG the next moment: its address says nothing then."""
    page.get_by_label("동의합니다").check()
    with page.expect_response(re.compile("/payments/[A-Za-z0-9]+/window$")) as window:
        page.get_by_role("button", name="결제하기").click()
    return window.value.url.split("/")[-2]


def pg_window(page: Page) -> FrameLocator:
    """The PG's window as it lies over our page on a desktop."""
    return page.frame_locator("iframe[title='토스페이먼츠 결제창']")


def pay(page: Page, button: str = "결제 승인") -> None:
    """Press something in the window over our page."""
    pg_window(page).get_by_role("button", name=button).click()


def expect_heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1, name=text)).to_be_visible()


def row(page: Page, order_id: str) -> Locator:
    return page.locator(f"#payment-{order_id}")


def refund_row(page: Page, order_id: str) -> Locator:
    return page.locator(f"#refund-{order_id}")


def watch_payments(page: Page, query: str = "") -> Page:
    """The live table, once its stream is connected. The mark is gone when the page is loaded anew."""
    page.goto(f"/admin/payments{query}")
    expect(page.get_by_text("실시간으로 갱신됩니다")).to_be_visible()
    expect(page.locator("#payments")).to_have_attribute("data-live", "on")
    page.evaluate("window.sameDocument = true")
    return page


def expect_no_reload(page: Page) -> None:
    assert page.evaluate("window.sameDocument"), "the page was loaded anew"
