"""What holds on every page, in every state that it can be in."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize, expect

from app import demo
from app.config import Settings
from app.db import Database
from app.models import Status
from tests import story
from tests.browser.conftest import Console, Open
from tests.browser.serving import Shop
from tests.browser.walks import expect_heading, log_in, refund_row, row, watch_payments
from tests.conftest import Checkout

pytestmark = pytest.mark.browser


def every_page(page: Page, shop: Shop) -> Iterator[str]:
    """Goes everywhere, and stops in every state for the caller to look. An admin who buys sees both sides."""
    yield from _before_logging_in(page)
    log_in(page, story.ADMIN)
    yield from _shopping(page)
    yield from _paying(page, shop)
    yield from _operating(page, shop)


def _before_logging_in(page: Page) -> Iterator[str]:
    page.goto("/nowhere")
    yield "an error"
    for name, button in (("login", "로그인"), ("register", "가입하기")):
        page.goto(f"/{name}")
        yield name
        page.locator("main form").evaluate("form => form.noValidate = true")
        page.get_by_label("이메일").fill("nobody")
        page.locator("main").get_by_role("button", name=button).click()
        expect(page.get_by_role("alert").first).to_be_visible()
        yield f"{name} with errors"


def _shopping(page: Page) -> Iterator[str]:
    page.goto("/")
    yield "shop"
    page.goto("/?q=nothing")
    yield "shop without results"
    page.goto("/purchases")
    yield "purchases, none yet"
    page.goto(f"/prompts/{story.DISCOUNTED}")
    yield "prompt"
    page.goto(f"/payments/new?prompt_id={story.DISCOUNTED}")
    for folded in ("미리보기", "환불 규정"):
        page.get_by_text(folded, exact=True).click()
    expect(page.get_by_text("3영업일")).to_be_visible()
    yield "order"
    page.locator(".order form").evaluate("form => form.noValidate = true")
    page.get_by_label("이름").fill("")
    page.get_by_label("휴대폰 번호").fill("12")
    page.get_by_role("button", name="결제하기").click()
    expect(page.locator("#buyer_phone-error")).to_be_visible()
    yield "order with errors"


def _paying(page: Page, shop: Shop) -> Iterator[str]:
    shop.hang_up()  # nobody corrects the states that are made up here
    pending = shop.cashier.order(shop.person(story.ADMIN), story.DISCOUNTED)
    page.goto("/purchases")
    expect_heading(page, "내 프롬프트")
    expect(page.locator(".orders")).to_contain_text("결제 대기")
    yield "purchases with an order under way"
    page.route("**/toss/v2/standard", lambda route: None)  # never loads, never fails
    page.goto(f"{pending.path}/window", wait_until="commit")
    expect_heading(page, "결제창을 여는 중입니다")
    yield "window"
    page.goto(f"{pending.path}/return?paymentKey=other&orderId=other&amount=1")
    yield "a return that is refused"
    bought = shop.bought(story.ADMIN)
    shop.refunded(bought, amount="1000")
    shop.rewrite(bought.order_id, account_bank="국민은행", account_holder="김찐", deposit_due_at="2026-11-25 13:49:45")
    for status in Status:
        code = "REJECT_CARD_PAYMENT" if status == Status.FAILED else None
        account = "X9018612307559" if status == Status.WAITING else None
        shop.rewrite(bought.order_id, status=status, failure_code=code, next_check_at=None, account_number=account)
        page.goto(bought.path)
        expect(page.locator(".result")).to_have_attribute("data-status", status)
        yield f"payment {status}"
    shop.rewrite(bought.order_id, status=Status.COMPLETED)
    page.goto(bought.path)
    page.get_by_text("환불 요청", exact=True).click()
    page.get_by_role("button", name="작동하지 않음").click()
    expect(page.get_by_label("환불받으려는 이유")).to_have_value("작동하지 않음")
    yield "payment with a form to ask for the money back"
    page.get_by_role("button", name="환불 요청하기").click()
    expect(page.get_by_text("3영업일 안에 답을 드립니다")).to_be_visible()
    yield "payment whose money was asked back"
    page.goto("/purchases")
    page.locator("summary").click()
    yield "purchases"


def _operating(page: Page, shop: Shop) -> Iterator[str]:
    checkout, _ = shop.bought(story.BUYER), shop.bought(story.OTHER)
    shop.person(story.MEMBER).get(f"{shop.cashier.order(shop.person(story.MEMBER)).path}/return?code=USER_CANCEL")
    watch_payments(page)
    yield "admin table"
    row(page, checkout.order_id).get_by_role("button", name="환불").click()
    form = refund_row(page, checkout.order_id)
    form.get_by_label("환불 금액").fill("99999")
    expect(form.locator("button[type=submit]")).to_be_disabled()
    yield "admin table with a refund form"
    form.get_by_label("환불 금액").fill("5000")
    form.get_by_label("환불 사유").fill("가" * 201)
    form.get_by_role("button", name="환불하기").click()
    expect(form.get_by_label("환불 사유")).to_have_attribute("aria-invalid", "true")
    yield "admin table with a refund form with errors"
    form.get_by_label("환불 사유").fill("광고와 다름")
    form.get_by_role("button", name="환불하기").click()
    expect(page.get_by_text("₩5,000을 환불했습니다.")).to_be_visible()
    yield "admin table with a notice"
    yield from _deciding(page, shop, checkout)
    yield from _looking_around(page)
    with shop.database() as db:
        db.execute("DELETE FROM approval")
    account = {"account_bank": "국민은행", "account_number": "X9018612307559", "account_holder": "김찐"}
    shop.rewrite(checkout.order_id, payment_method="virtual_account", **account)
    watch_payments(page)
    row(page, checkout.order_id).get_by_role("button", name="환불").click()
    expect(refund_row(page, checkout.order_id).get_by_label("환불 은행")).to_be_visible()
    yield "admin table with a refund form for an account"
    shop.rewrite(checkout.order_id, status=Status.WAITING)
    watch_payments(page)
    expect(row(page, checkout.order_id).get_by_role("button", name="주문 취소")).to_be_visible()
    yield "admin table with a payment that waits"
    page.goto(f"/admin/payments/{checkout.order_id}")
    yield "admin detail of a payment that waits"


def _looking_around(page: Page) -> Iterator[str]:
    watch_payments(page, "?q=nothing")
    yield "admin table without results"
    page.goto("/admin/payments?from=2026-02-01&to=2026-01-01")
    yield "admin table with a filter that cannot be"
    page.goto("/admin/payments?gateway=toss&q=김&attention=any&cursor=last")
    page.get_by_text("이 조건을 보기로 저장").click()
    page.get_by_label("보기 이름").fill("살펴볼 김씨")
    page.keyboard.press("Enter")
    expect(page.get_by_text("보기를 저장했습니다")).to_be_visible()
    yield "admin table, narrowed, at its end, saved as a view"
    page.get_by_role("link", name="보기 정리").click()
    expect_heading(page, "저장한 보기")
    yield "admin views"
    page.goto("/admin")
    page.get_by_text("표로 보기").click()
    yield "admin overview"
    page.goto("/admin/payments/export?period=7d")
    yield "admin export"
    page.goto("/admin/webhooks")
    yield "admin webhooks"
    page.goto("/admin/reconciliation")
    page.get_by_role("button", name="맞춰 보기").click()
    expect(page.get_by_role("status").filter(has_text="맞춰 보았습니다")).to_be_visible()
    yield "admin reconciliation"


def _deciding(page: Page, shop: Shop, checkout: Checkout) -> Iterator[str]:
    row(page, checkout.order_id).get_by_role("button", name="펼치기").click()
    expect(page.locator(".detail-row")).to_contain_text("왜 이 상태인가?")
    page.locator(".pick input").nth(1).check()
    expect(page.get_by_text("1건을 골랐습니다")).to_be_visible()
    page.get_by_role("button", name="모두 고르기").click()
    expect(page.get_by_role("button", name="조건에 맞는 5건 모두 미리 보기")).to_be_visible()
    page.get_by_role("button", name="고르기 풀기").click()
    expect(page.get_by_role("button", name="모두 미리 보기")).to_have_count(0)
    page.locator(".pick input").nth(1).check()
    shop.bought(story.MEMBER)
    expect(page.get_by_role("button", name="새 결제 1건")).to_be_visible()
    yield "admin table with details, a pick and what waits"
    page.locator("body").press("?")
    yield "admin table with its keys"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="일괄 환불 미리 보기").click()
    expect_heading(page, "일괄 환불")
    yield "admin bulk refund"
    page.get_by_label("환불 사유").fill("오류")
    page.get_by_role("button", name="환불하기").click()
    expect(page.get_by_text("1건 중 1건")).to_be_visible()
    expect(page.get_by_text("환불 완료").first).to_be_visible()
    yield "admin bulk refund, done"
    page.goto("/admin/bulk-refunds")
    yield "admin bulk refunds"
    with shop.database() as db:
        db.execute(
            "INSERT INTO approval (payment_id, amount, remaining, reason, asked_by, asked_at, granted) SELECT id, 100,"
            " 100, '오류', 'other@example.com', created_at, 0 FROM payment WHERE order_id = ?",
            (checkout.order_id,),
        )
    page.goto("/admin/approvals")
    page.get_by_text("환불하지 않기", exact=True).first.click()
    expect(page.get_by_label("환불하지 않는 이유")).to_be_visible()
    yield "admin approvals, and what buyers ask back"
    watch_payments(page)
    row(page, checkout.order_id).get_by_role("button", name="펼치기").click()
    expect(page.locator(".detail-row")).to_contain_text("₩100 승인하고 돌려주기")
    yield "admin table with a refund that waits"
    page.goto(f"/admin/payments/{checkout.order_id}/refunds/new")
    yield "admin refund"
    page.goto(f"/admin/payments/{checkout.order_id}")
    page.get_by_text("PG와 주고받은 것").click()
    page.locator(".exchange summary").last.click()
    expect(page.locator(".exchange pre").last).to_contain_text(checkout.order_id)
    yield "admin detail with what was said to the PG"
    page.get_by_label("메모 남기기").fill("전화로 확인했습니다")
    page.get_by_role("button", name="남기기").click()
    expect(page.locator("#main")).to_contain_text("전화로 확인했습니다 admin@example.com")
    page.get_by_label("열람 사유").fill("환불 문의")
    page.get_by_role("button", name="가린 정보 보기").click()
    expect(page.locator("#main")).to_contain_text(story.BUYER)
    yield "admin detail with a note, and the buyer unmasked"


@pytest.mark.timeout(180)  # some forty pages, on whatever machine
def test_no_page_shuts_anybody_out_or_scrolls_sideways(open_browser: Open, shop: Shop, console: Console) -> None:
    """axe finds nothing serious or critical, light and dark by turns; a phone of 360 pixels shows all of it."""
    console.expect(r"status of 4\d\d")
    page = open_browser(reduced_motion="reduce")
    found: list[str] = []
    for number, name in enumerate(every_page(page, shop)):
        scheme = SCHEMES[number % 2]
        page.emulate_media(color_scheme=scheme)
        page.evaluate(AXE)
        page.evaluate(STYLED)
        page.evaluate("document.getAnimations().forEach(animation => animation.cancel())")  # nothing half faded in
        found += [f"{name}, {scheme}: {problem}" for problem in _problems(page)]
        page.set_viewport_size(NARROW)
        if (width := page.evaluate("document.documentElement.scrollWidth")) > NARROW["width"]:
            found.append(f"{name}: {width} px, because of {page.evaluate(WHAT_IS_WIDE)}")
        page.set_viewport_size(WIDE)
    assert not found, "\n".join(found)


SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")
NARROW: ViewportSize = {"width": 360, "height": 780}
WIDE: ViewportSize = {"width": 1280, "height": 720}
AXE: str = Axe().axe_script
# Words may be there before their stylesheets. (What polls, as `wait_for_function` does, needs the eval that we forbid.)
STYLED = """Promise.all([...document.querySelectorAll("link[rel=stylesheet]")].map(
    link => link.sheet || new Promise(come => link.addEventListener("load", come)))).then(() => true)"""
RUN = "axe.run({preload: false, iframes: false, resultTypes: ['violations']}).then(results => results.violations)"


def _problems(page: Page) -> Iterator[str]:
    for violation in page.evaluate(RUN):
        if violation["impact"] in ("serious", "critical"):
            for node in violation["nodes"]:
                why = node["failureSummary"].partition("\n")[2].strip()
                yield f"{violation['id']} ({violation['impact']}) at {' '.join(map(str, node['target']))}: {why}"


WHAT_IS_WIDE = """
    [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > 360)
        .map((e) => e.tagName + "." + e.className).slice(0, 8).join(", ")
"""


def test_a_first_visit_weighs_little(open_browser: Open, shop: Shop, settings: Settings) -> None:
    """Everything a browser with an empty cache transfers, counted by itself, on pages as full as they get."""

    async def stock() -> None:
        db = Database(settings.database_url)
        await demo.fill(db, payments=80, say=lambda _: None)
        await db.close()

    with shop.database() as db:
        db.execute("DELETE FROM prompt")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, stock()).result()

    weights = {}
    for path in ("/", "/payments/new?prompt_id=1", "/admin/payments"):
        page = open_browser()
        page.context.add_cookies([_session(shop)])
        page.goto(path, wait_until="networkidle" if "admin" not in path else "load")
        weights[path] = page.evaluate(TRANSFERRED) / 1024
    assert max(weights.values()) <= 60, weights


def _session(shop: Shop) -> Any:
    """An admin is logged in: a browser that has logged in itself would have everything in its cache."""
    client: Any = shop.person(story.ADMIN)
    return {"name": "session", "value": client.cookies["session"], "url": shop.url}


TRANSFERRED = """
    performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource"))
        .reduce((sum, entry) => sum + entry.transferSize, 0)
"""
