"""A real app, a real PG over a socket, and people with real browsers. SQLite, unless a test asks for PostgreSQL too."""

import re
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    ViewportSize,
    WebError,
    expect,
    sync_playwright,
)

from app.config import Settings
from tests import browsers, story
from tests.browser.serving import Shop, listen, serve
from tests.browser.walks import log_in
from tests.postgres import create_database, drop_database
from tests.sandboxes import Sandbox

SCREENSHOTS = Path("test-output")
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
    "user_agent": "Mozilla/5.0 (Linux; Android 15; SM-S931N) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Mobile Safari/537.36",
}
expect.set_options(timeout=10_000)


# ── the app ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """With the story in it; `parametrize("database_url", ["sqlite", "postgresql"], indirect=True)` runs on both."""
    if getattr(request, "param", "sqlite") == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "app.db")
        yield f"sqlite:///{tmp_path / 'app.db'}"
        return
    server, name = request.getfixturevalue("postgres"), f"test_{uuid4().hex}"
    yield create_database(server, name, request.getfixturevalue("postgres_template"))
    drop_database(server, name)


@pytest.fixture
def shop(settings: Settings, sandbox: Sandbox) -> Iterator[Shop]:
    """On `localhost`, with the PG on 127.0.0.1: for the browser that is another site, as in real life."""
    with listen() as listener:
        shop = Shop(f"http://localhost:{listener.getsockname()[1]}", sandbox, settings.database_url)
        sandbox.http.put("/_settings", json={"toss_webhook_url": f"{shop.url}/webhooks/toss"}).raise_for_status()
        with serve(replace(settings, base_url=shop.url), listener):
            yield shop
        shop.close()
        sandbox.reset()  # no webhook for whoever gets this port next


# ── the browsers ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="package")
def browser(sqlite_template: Path, postgres_template: str) -> Iterator[Browser]:
    """One for this folder. Playwright runs an event loop in this thread, and no other may run there meanwhile:

    so the databases are built before, and it is gone before other tests begin.
    """
    assert sqlite_template, postgres_template
    with sync_playwright() as playwright, browsers.launch(playwright) as browser:
        yield browser


@dataclass
class Console:
    """What the browsers complained about. A test names what it expects; anything else fails it."""

    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, *patterns: str) -> None:
        self.expected += patterns

    def hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            place = message.location
            self.complaints.append(f"{message.text} ({place.get('url')}:{place.get('lineNumber')})")

    def hear_exception(self, error: WebError) -> None:
        self.complaints.append(f"exception: {error.error}")

    @property
    def unexpected(self) -> list[str]:
        return [text for text in self.complaints if not any(re.search(known, text) for known in self.expected)]


@pytest.fixture(autouse=True)
def console() -> Console:
    return Console()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """What a browser complained about fails the test itself."""
    outcome = yield
    console: Any = pyfuncitem.funcargs["console"]
    assert not console.unexpected, "the browser complained:\n" + "\n".join(console.unexpected)
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A picture of every open page when a test fails."""
    report = yield
    browser: Any = item.funcargs.get("browser") if isinstance(item, pytest.Function) else None
    if report.failed and report.when in ("setup", "call") and browser:
        SCREENSHOTS.mkdir(exist_ok=True)
        pages = [page for context in browser.contexts for page in context.pages]
        name = re.sub(r"[^\w-]+", "-", item.name)
        taken = [photograph(page, SCREENSHOTS / f"{name}-{number}.png") for number, page in enumerate(pages, 1)]
        report.sections.append(("Screenshots", "\n".join(taken)))
    return report


def photograph(page: Page, path: Path) -> str:
    try:
        page.screenshot(path=path, timeout=5_000)
    except Error as error:
        return f"{page.url}: {error}"
    return f"{path}  {page.url}"


@pytest.fixture
def open_browser(browser: Browser, shop: Shop, console: Console) -> Iterator[Callable[..., Page]]:
    """Somebody's browser with nothing in it, at the shop's address; `more` says what kind."""
    contexts: list[BrowserContext] = []

    def open_it(**more: Any) -> Page:
        context = browser.new_context(base_url=shop.url, locale="ko-KR", **({"viewport": DESKTOP} | more))
        context.set_default_timeout(10_000)
        context.on("console", console.hear)
        context.on("weberror", console.hear_exception)
        contexts.append(context)
        return context.new_page()

    yield open_it
    for context in contexts:
        context.close()


Open = Callable[..., Page]


@pytest.fixture
def buyer_page(open_browser: Open) -> Page:
    return log_in(open_browser(), story.BUYER)


@pytest.fixture
def admin_page(open_browser: Open) -> Page:
    return log_in(open_browser(), story.ADMIN)


@pytest.fixture
def phone(open_browser: Open) -> Page:
    """The buyer on the move."""
    return log_in(open_browser(**PHONE), story.BUYER)


@pytest.fixture
def no_js(open_browser: Open) -> Page:
    """Nobody is logged in, and no script runs."""
    return open_browser(java_script_enabled=False)
