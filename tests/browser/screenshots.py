"""The README's pictures: `.venv/bin/python -m tests.browser.screenshots` writes checkout.png and admin.png to docs/."""

import asyncio
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from app import demo
from app.config import ROOT, read_settings
from app.db import Database
from app.migrate import migrate
from tests import browsers
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.serving import Shop, listen, serve
from tests.browser.walks import log_in, watch_payments
from tests.sandboxes import serve_sandbox

DOCS = ROOT / "docs"
LIMIT = 150 * 1024  # bytes of one picture

# How the newest payments stand, from the top: status, given back in percent, how that refund stands.
STANDING = (
    ("pending", 0, ""),
    ("completed", 0, ""),
    ("completed", 0, ""),
    ("completed", 40, "done"),
    ("in_doubt", 0, ""),
    ("completed", 0, ""),
    ("failed", 0, ""),
    ("refunded", 100, "done"),
    ("completed", 0, ""),
    ("canceled", 0, ""),
    ("completed", 100, "in_doubt"),
    ("expired", 0, ""),
)
OPEN = 2  # the row whose refund form is open


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serve_sandbox() as sandbox, listen() as listener:
        url = f"sqlite:///{folder}/app.db"
        migrate(url)
        asyncio.run(fill(url))
        shop = Shop(f"http://localhost:{listener.getsockname()[1]}", sandbox, url)
        vary(shop)
        settings = read_settings(
            {
                "DATABASE_URL": url,
                "SECRET_KEY": "not a secret, only for pictures 0123456789",
                "BASE_URL": shop.url,
                "TOSS_CLIENT_KEY": "test_ck_sandbox",
                "TOSS_SECRET_KEY": "test_sk_sandbox",
                "TOSS_API_URL": f"{sandbox.url}/toss",
                "TOSS_SDK_URL": f"{sandbox.url}/toss/v2/standard",
                "RECONCILE_EVERY": "0",
            }
        )
        with serve(settings, listener), sync_playwright() as playwright, browsers.launch(playwright) as browser:
            picture_checkout(browser, shop)
            picture_admin(browser, shop)


async def fill(url: str) -> None:
    db = Database(url)
    await demo.fill(db, payments=8_000, seed=4)
    await db.close()


def vary(shop: Shop) -> None:
    """The newest payments show every state; what the demo wrote about them goes."""
    newest = "SELECT id, amount FROM payment ORDER BY created_at DESC, id DESC LIMIT ?"
    with shop.database() as db:
        for (payment_id, amount), (status, percent, refund) in zip(
            db.execute(newest, (len(STANDING),)).fetchall(), STANDING, strict=True
        ):
            back = amount * percent // 100 // 100 * 100 if percent < 100 else amount
            paid = amount if status in ("completed", "refunded") else 0
            db.execute("DELETE FROM refund WHERE payment_id = ?", (payment_id,))
            db.execute(
                "UPDATE payment SET status = ?, paid_amount = ?, refunded_amount = ? WHERE id = ?",
                (status, paid, back, payment_id),
            )
            if "in_doubt" in (status, refund):  # whatever is in doubt is asked about again
                soon = "strftime('%Y-%m-%d %H:%M:%f', 'now', '+40 seconds')"
                db.execute(f"UPDATE payment SET checks = 2, next_check_at = {soon} WHERE id = ?", (payment_id,))
            if refund:
                db.execute(
                    "INSERT INTO refund (payment_id, key, amount, reason, status, requested_by, created_at)"
                    " SELECT id, 'picture', ?, '광고와 다름', ?, ?, created_at FROM payment WHERE id = ?",
                    (back, refund, demo.ADMIN_EMAIL, payment_id),
                )


def picture_checkout(browser: Browser, shop: Shop) -> None:
    page = browser.new_context(base_url=shop.url, locale="ko-KR", **PHONE).new_page()
    log_in(page, demo.BUYER_EMAIL, demo.BUYER_PASSWORD)
    page.goto("/payments/new?prompt_id=1")
    page.get_by_label("동의합니다").check()
    page.locator("main").focus()
    save(page, DOCS / "checkout.png", full_page=True)


def picture_admin(browser: Browser, shop: Shop) -> None:
    page = browser.new_context(base_url=shop.url, locale="ko-KR", viewport=DESKTOP | {"height": 1000}).new_page()
    log_in(page, demo.ADMIN_EMAIL, demo.ADMIN_PASSWORD)
    watch_payments(page)
    page.locator("#payment-rows tr[data-status]").nth(OPEN).get_by_role("button", name="환불").click()
    form = page.locator(".refund-row")
    form.get_by_label("환불 금액").fill("3,000")
    form.get_by_label("환불 사유").fill("광고와 다름")
    expect(form).to_contain_text("환불 후 잔액")
    save(page, DOCS / "admin.png", full_page=False)


def save(page: Page, path: Path, *, full_page: bool) -> None:
    """At the device's scale if that is small enough, else at 1x."""
    for scale in ("device", "css"):
        page.screenshot(path=path, full_page=full_page, scale=scale, animations="disabled")
        if path.stat().st_size <= LIMIT:
            break
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
