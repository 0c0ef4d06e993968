"""Two operators in a real browser while changes stream in: one watches, the other is in the middle of something."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.servers import Server
from benchmarks.timing import Visitor
from tests import browsers

# A row counts from the frame in which it is drawn, by the clock on the wall.
WATCH = """() => {
  window.drawn = {};
  const look = () => {
    for (const row of document.querySelectorAll("#payment-rows > tr[data-created]"))
      window.drawn[row.id.slice(8)] ??= performance.timeOrigin + performance.now();
  };
  new MutationObserver(() => requestAnimationFrame(look)).observe(document.body, {childList: true, subtree: true});
}"""
HANDS = """() => ({
  focus: document.activeElement.id || document.activeElement.name,
  typed: document.activeElement.value,
  caret: document.activeElement.selectionStart,
  top: Math.round(document.activeElement.getBoundingClientRect().top),
  scroll: Math.round(scrollY),
  picked: [...document.querySelectorAll("input[name=order_id]:checked")].map(box => box.value).join(),
})"""


@dataclass
class Browsing:
    """After the changes: when each row was drawn (seconds on the wall's clock), and what the busy one has in hand."""

    hands: Callable[[], dict[str, Any]]
    drawn: Callable[[], dict[str, float]]


@contextmanager
def browsing(server: Server, operator: Visitor) -> Iterator[Browsing]:
    """In a thread of its own: who measures has a loop of its own, too."""
    with ThreadPoolExecutor(1) as thread:
        opened = _open(server, operator)
        watching, working = thread.submit(lambda: next(opened)).result()
        try:
            yield Browsing(
                hands=lambda: thread.submit(lambda: working.evaluate(HANDS)).result(),
                drawn=lambda: thread.submit(lambda: _drawn(watching)).result(),
            )
        finally:
            thread.submit(opened.close).result()


def _drawn(page: Page) -> dict[str, float]:
    found: dict[str, float] = page.evaluate("drawn")
    return {name: at / 1000 for name, at in found.items()}


def _open(server: Server, operator: Visitor) -> Generator[tuple[Page, Page]]:
    name, _, value = operator.headers["Cookie"].partition("=")
    with sync_playwright() as playwright, browsers.launch(playwright) as browser:
        pages = []
        for _ in range(2):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            context.add_cookies([{"name": name, "value": value, "url": server.url}])
            pages.append(page := context.new_page())
            page.goto(f"{server.url}/admin/payments")
            page.locator("#payments[data-live=on]").wait_for()
        watching, working = pages
        watching.evaluate(WATCH)
        _take_in_hand(working)
        yield watching, working


def _take_in_hand(page: Page) -> None:
    """Two payments are picked, and a refund's reason is half typed, further down."""
    for place in (3, 5):
        page.locator("input[name=order_id]").nth(place).check()
    page.locator("a[aria-keyshortcuts=r]").first.click()
    reason = page.get_by_label("환불 사유")
    reason.press_sequentially("광고와")
    page.mouse.wheel(0, 60)
    page.wait_for_timeout(300)
