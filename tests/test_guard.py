"""What stands before every endpoint: writes only from our own pages, and headers that keep a browser careful."""

import logging
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import uvicorn
from sqlalchemy import update
from sqlmodel import col
from starlette.datastructures import Secret
from starlette.testclient import TestClient
from starlette.types import Message

from app import streams
from app.config import Settings
from app.main import FORM_LIMIT, WEBHOOK_LIMIT, create_app
from app.models import User
from tests import story
from tests.conftest import ORDER, Cashier, Checkout, House, Visitor
from tests.fragments import PARTIAL, soup
from tests.sandboxes import Sandbox

OURS = "http://testserver"


@pytest.fixture(autouse=True)
def _streams_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LIFETIME", 0.01)


@pytest.fixture
def paid(buyer: Visitor, cashier: Cashier) -> Checkout:
    return cashier.buy(buyer)


def writes(checkout: Checkout) -> dict[str, dict[str, Any]]:
    return {
        "/login": {"data": {"email": story.BUYER, "password": story.PASSWORD}},
        "/register": {"data": {}},
        "/logout": {"data": {}},
        "/payments": {"data": ORDER | {"prompt_id": "2"}},
        f"/admin/payments/{checkout.order_id}/refunds": {"data": {"reason": "단순변심", "key": "k"}},
        "/api/payment/prepare": {"json": {"prompt_id": 2, "payment_method": "card"}},
        "/api/payment/complete": {"json": {}},
        f"/api/payment/{checkout.order_id}/refund": {
            "json": {"reason": "단순변심"},
            "headers": {"Idempotency-Key": "k"},
        },
    }


def test_another_site_cannot_write(house: House, admin: Visitor, paid: Checkout, sandbox: Sandbox) -> None:
    foreign = (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": OURS},
        {"Origin": "https://evil.example"},
        {"Origin": "http://testserver.evil.example"},
        {"Origin": "http://evil.example/testserver"},
        {"Origin": "http://testserver:8080"},
        {"Origin": "http://user@evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://["},
    )
    before = dict(admin.cookies)
    for url, options in writes(paid).items():
        for headers in foreign:
            sent = options | {"headers": options.get("headers", {}) | headers}
            assert admin.post(url, **sent).status_code == 403, (url, headers)
    assert dict(admin.cookies) == before, "nobody was logged in or out"
    assert house.payment(paid.order_id).refunded_amount == 0
    assert sandbox.ledger(paid.order_id)["cancel_calls"] == 0


def test_our_own_pages_and_programs_can_write(house: House, paid: Checkout) -> None:
    for headers in (
        {"Sec-Fetch-Site": "same-origin", "Origin": OURS},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": OURS},
        {},
    ):
        answer = house.visitor().post("/login", headers=headers, **writes(paid)["/login"])
        assert answer.status_code == 303, headers


def test_another_site_may_link_and_pgs_may_send_webhooks(stranger: Visitor, paid: Checkout) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://api.tosspayments.com"}
    for url in ("/", "/prompts/1", paid.path, f"{paid.path}/return"):
        assert stranger.get(url, headers=foreign).status_code in (200, 303), url
    body = {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": paid.order_id}}
    assert stranger.post("/webhooks/toss", json=body, headers=foreign).status_code == 200


def test_a_refused_write_says_why_in_the_language_of_the_asker(admin: Visitor, paid: Checkout) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    for url, options in writes(paid).items():
        answer = admin.post(url, **options | {"headers": options.get("headers", {}) | foreign})
        kind = "application/problem+json" if url.startswith("/api/") else "text/"
        assert answer.headers["content-type"].startswith(kind), url
        assert "다른 사이트" in answer.text


# ── headers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def policy(answer: Any) -> dict[str, list[str]]:
    rules = [rule.split() for rule in answer.headers["content-security-policy"].split(";")]
    return {name: sources for name, *sources in rules}


def pages(paid: Checkout) -> list[str]:
    return [
        *(
            "/",
            "/?q=블로그",
            "/prompts/1",
            "/prompts/2",
            "/login",
            "/register",
            "/payments/new?prompt_id=2",
            "/purchases",
        ),
        *(paid.path, "/admin/payments", f"/admin/payments/{paid.order_id}", "/admin/payments/live?after=0"),
        *(f"/admin/payments/{paid.order_id}/refunds/new", "/admin/payments.csv", "/api/openapi.json", "/healthz"),
        *(f"/api/payment/{paid.order_id}", "/api/admin/payments", "/static/app.js", "/static/vendor/htmx-4.0.1.min.js"),
        *("/nothing", "/api/nothing", "/static/nothing", "/webhooks/toss", "/readyz", "/payments/" + "N" * 24),
    ]


def assert_careful(answer: Any, url: str) -> None:
    assert answer.headers["x-content-type-options"] == "nosniff", url
    assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin", url
    assert answer.headers["cross-origin-opener-policy"] == "same-origin", url
    assert "camera=()" in answer.headers["permissions-policy"], url
    rules = policy(answer)
    assert "unsafe" not in answer.headers["content-security-policy"], url
    assert rules["default-src"] == ["'none'"], url
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == ["'self'"], url
    for closed in ("frame-src", "frame-ancestors", "base-uri"):
        assert rules[closed] == ["'none'"], (url, closed)


def test_every_answer_carries_careful_headers(
    stranger: Visitor, buyer: Visitor, admin: Visitor, paid: Checkout
) -> None:
    for visitor in (stranger, buyer, admin):
        for url in pages(paid):
            for headers in ({}, PARTIAL):
                assert_careful(visitor.get(url, headers=headers), url)
        assert_careful(visitor.post("/login", headers={"Sec-Fetch-Site": "cross-site"}), "403 of the guard")
        assert_careful(visitor.post("/login", content=b"x" * (FORM_LIMIT + 1)), "413")
        assert_careful(visitor.put("/login"), "405")


def test_a_crash_of_ours_is_careful_too_and_tells_nothing(
    house: House, buyer: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("the secret of the crash")

    monkeypatch.setattr("app.orders.start", crash)
    careless = TestClient(house.app, raise_server_exceptions=False, cookies=dict(buyer.cookies))
    careless.portal = house.door.portal
    careless.app_state.update(house.door.app_state)
    for url, options in (
        ("/payments", {"data": ORDER | {"prompt_id": "2"}}),
        ("/api/payment/prepare", {"json": {"prompt_id": 2, "payment_method": "card"}}),
    ):
        answer = careless.post(url, **options)
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "서비스에 문제가 생겼습니다" in answer.text
        assert_careful(answer, url)
        assert answer.headers["cache-control"] == "no-store"


def test_only_the_window_page_opens_to_the_pg(
    stranger: Visitor, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox, paid: Checkout
) -> None:
    window = buyer.get(f"{cashier.order(buyer, story.DISCOUNTED).path}/window")
    rules = policy(window)
    for name in ("script-src", "connect-src", "frame-src"):
        assert sandbox.url in rules[name], name
    assert "unsafe" not in window.headers["content-security-policy"]
    assert window.headers["cross-origin-opener-policy"] == "same-origin-allow-popups"
    for visitor in (stranger, buyer, admin):
        for url in pages(paid):
            rules = policy(visitor.get(url))
            open_to = {name for name, sources in rules.items() if sandbox.url in sources}
            assert open_to <= {"form-action"}, url


def test_no_page_has_an_inline_script_or_style(
    stranger: Visitor, buyer: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    window = f"{cashier.order(buyer, story.DISCOUNTED).path}/window"
    seen = 0
    for visitor in (stranger, buyer, admin):
        for url in (*pages(paid), window):
            answer = visitor.get(url)
            if not answer.headers.get("content-type", "").startswith("text/html"):
                continue
            seen += 1
            html = soup(answer.text)
            assert not html.select("style, [style], script:not([src]), base, object, embed, iframe"), url
            for tag in html.find_all(True):
                assert not [name for name in tag.attrs if name.startswith(("on", "hx-on"))], (url, tag.name)
                assert not str(tag.get("href", "")).lower().startswith("javascript:"), (url, tag)
                for name in ("src", "action"):
                    assert not str(tag.get(name, "")).startswith(("http", "//")), (url, tag)
            for tag in html.select("script, link[rel=stylesheet]"):
                assert str(tag.get("src") or tag.get("href")).startswith("/static/"), url
    assert seen > 40


def test_nothing_but_static_files_is_ever_cached(
    stranger: Visitor, buyer: Visitor, admin: Visitor, paid: Checkout
) -> None:
    for visitor in (stranger, buyer, admin):
        for url in pages(paid):
            answer = visitor.get(url)
            cached = url.startswith("/static/") and answer.status_code == 200
            expected = "public, max-age=31536000, immutable" if cached else "no-store"
            assert answer.headers["cache-control"] == expected, url
            assert not cached or "set-cookie" not in answer.headers
    assert stranger.get(f"{paid.path}/return").headers["cache-control"] == "no-store"


# ── redirects ────────────────────────────────────────────────────────────────────────────────────────────────────────

ELSEWHERE = (
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "HTTPS:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/\x00/evil.example",
    "/\u2028/evil.example",
    "/%2f%2fevil.example",
    "/%5cevil.example",
    "/%09/evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/;@evil.example",
    "/@evil.example",
    "?next=//evil.example",
    "",
)


def lands_at(location: str) -> str:
    """Where a browser goes: it drops tabs and newlines, and reads a backslash as a slash."""
    seen = "".join(letter for letter in location if letter not in "\t\r\n").strip().replace("\\", "/")
    return urlsplit(urljoin(f"{OURS}/login", seen)).netloc


def test_a_slash_too_many_leads_nowhere_and_least_of_all_to_a_forged_host(stranger: Visitor, admin: Visitor) -> None:
    for visitor in (stranger, admin):
        for url in ("/login/", "/purchases/", "/admin/payments/", "/api/openapi.json/", "/static"):
            answer = visitor.get(url, headers={"Host": "evil.example"})
            assert answer.status_code == 404, url
            assert "location" not in answer.headers, url
            assert "evil.example" not in answer.text, url


def test_next_never_leaves_the_site(house: House) -> None:
    for number, target in enumerate(ELSEWHERE):
        for url, form in (
            ("/login", {"email": story.BUYER, "password": story.PASSWORD}),
            ("/register", {"email": f"new{number}@example.com", "password": "quite a long one", "name": "새손님"}),
        ):
            answer = house.visitor().post(url, data=form | {"next": target})
            assert answer.status_code == 303, answer.text
            location = answer.headers["location"]
            assert location.startswith("/"), (target, location)
            assert location[1:2] not in ("/", "\\"), (target, location)
            assert lands_at(location) == "testserver", (target, location)
            assert "\n" not in location


def test_next_leads_back_inside_the_site(house: House) -> None:
    for target in ("/payments/new?prompt_id=2", "/admin/payments?q=%EA%B9%80&status=completed", "/?q=블로그"):
        page = house.visitor().get("/login", params={"next": target})
        kept = soup(page.text).select_one('input[name="next"]')
        assert kept
        assert kept["value"] == target
        form = {"email": story.BUYER, "password": story.PASSWORD, "next": target}
        location = house.visitor().post("/login", data=form).headers["location"]
        assert location in (target, "/?q=%EB%B8%94%EB%A1%9C%EA%B7%B8")


def test_a_foreign_referer_does_not_become_next(stranger: Visitor) -> None:
    for url in ("http://evil.example//evil.example/", "//evil.example//evil.example", "http://evil.example/\\x"):
        posted = stranger.post("/payments", headers={"Referer": url}).headers["location"]
        part = stranger.part("GET", "/purchases", headers={"HX-Current-URL": url}).headers["hx-redirect"]
        for location in (posted, part):
            assert location.startswith("/login?next=/")
            assert "next=//" not in location
            assert "%5C" not in location.upper()


# ── cookies, sizes, compression ──────────────────────────────────────────────────────────────────────────────────────


def cookie_flags(answer: Any) -> tuple[str, set[str]]:
    name, *flags = answer.headers["set-cookie"].split(";")
    return name.partition("=")[0], {flag.strip().lower() for flag in flags}


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(stranger: Visitor) -> None:
    answer = stranger.post("/login", data={"email": story.BUYER, "password": story.PASSWORD})
    name, flags = cookie_flags(answer)
    assert name == "session"
    assert {"httponly", "samesite=lax", "path=/"} <= flags
    assert "secure" not in flags, "http://localhost could not log in"


@pytest.fixture
def production(house: House, settings: Settings) -> Iterator[TestClient]:
    """The app as it faces the public: no demo accounts, https everywhere."""

    async def move_out(session: Any) -> None:
        for email in (story.BUYER, story.ADMIN):
            query = update(User).where(col(User.email) == email).values(email=f"real.{email}")
            await session.exec(query)

    house.change(move_out)
    changed = replace(
        settings,
        app_env="production",
        secret_key=Secret("kX8vQ2mZ5tR9wB4nL7pD1fG6hJ3sC0yA"),
        base_url="https://shop.example",
        toss_api_url="https://api.tosspayments.com",
        toss_sdk_url="https://js.tosspayments.com/v2/standard",
        kakaopay_api_url="https://open-api.kakaopay.com",
    )
    with TestClient(create_app(changed), base_url="https://shop.example", follow_redirects=False) as client:
        yield client


def test_in_production_the_cookie_is_bound_to_https_and_this_host(production: TestClient) -> None:
    answer = production.post("/login", data={"email": f"real.{story.BUYER}", "password": story.PASSWORD})
    assert answer.status_code == 303, answer.text
    name, flags = cookie_flags(answer)
    assert name == "__Host-session"
    assert {"httponly", "samesite=lax", "path=/", "secure"} <= flags
    assert not [flag for flag in flags if flag.startswith("domain")], "__Host- forbids it"
    assert production.get("/purchases").status_code == 200
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
    page = production.get("/payments/new?prompt_id=1")
    assert {"https://js.tosspayments.com", "https://*.kakaopay.com"} <= {*policy(page)["form-action"]}


def test_a_body_beyond_the_limit_is_refused(stranger: Visitor, admin: Visitor, paid: Checkout) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(FORM_LIMIT // 1024 + 1):
            yield b"x" * 1024

    form = {"content-type": "application/x-www-form-urlencoded"}
    for url in ("/login", "/payments", f"/admin/payments/{paid.order_id}/refunds", "/api/payment/prepare"):
        for body in (b"x" * (FORM_LIMIT + 1), pieces()):
            assert admin.post(url, content=body, headers=form).status_code == 413, url
    assert stranger.post("/webhooks/toss", content=b"x" * (WEBHOOK_LIMIT + 1)).status_code == 413, "it would be kept"
    assert stranger.post("/webhooks/toss", content=b"x" * WEBHOOK_LIMIT).status_code == 400
    inside = b"email=a&password=b&name=" + b"x" * (FORM_LIMIT - 100)
    assert stranger.post("/register", content=inside, headers=form).status_code == 422


def test_pages_are_compressed_and_the_stream_is_not(admin: Visitor, paid: Checkout) -> None:
    for url in ("/", "/admin/payments", paid.path, "/api/openapi.json", "/static/app.css"):
        answer = admin.get(url, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip", url
        assert "Accept-Encoding" in answer.headers["vary"]
        plain = admin.get(url, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert len(plain.content) == len(answer.content) > len(zlib.compress(plain.content))
    stream = admin.get("/admin/payments/live?after=0", headers={"Accept-Encoding": "gzip"})
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert "content-encoding" not in stream.headers
    assert stream.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_access_log_keeps_no_query(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """`serve` writes none; whoever starts the app otherwise must not find a pg_token in it."""
    caplog.set_level(logging.INFO, "uvicorn.access")
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None, access_log=True))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client() as client:
        client.get(f"http://127.0.0.1:{port}/payments/A/return?pg_token=onlyonce", follow_redirects=False)
    server.should_exit = True
    thread.join()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "uvicorn.access"]
    assert '"GET /payments/A/return HTTP/1.1" 404' in line


@pytest.mark.parametrize("path", ["/login", "/webhooks/toss"])
def test_whoever_leaves_while_their_words_are_read_is_no_error_of_ours(
    house: House, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    begun: Message = {"type": "http.request", "body": b"email=", "more_body": True}
    coming, told = [begun, {"type": "http.disconnect"}], list[Message]()
    headers = [(b"host", b"testserver"), (b"content-type", b"application/x-www-form-urlencoded")]
    asked = {"method": "POST", "path": path, "query_string": b"", "headers": headers, "http_version": "1.1"}
    where = {"scheme": "http", "server": ("testserver", 80), "client": ("127.0.0.1", 1), "root_path": ""}

    async def ask() -> None:
        async def receive() -> Message:
            return coming.pop(0)

        async def send(message: Message) -> None:
            told.append(message)

        await house.app({"type": "http", **asked, **where, "state": dict(house.door.app_state)}, receive, send)

    house.run(ask)
    assert told[0]["status"] == 400
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
