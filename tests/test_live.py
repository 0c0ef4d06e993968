"""The live table: what happens appears by itself, once, where it belongs."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.middleware.gzip import GZipResponder
from starlette.requests import Request
from starlette.testclient import TestClient

from app.config import Settings
from app.main import create_app
from app.models import User
from app.settlement import settle
from app.till import find
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import PARTIAL, one, soup, words
from tests.sandboxes import Sandbox

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Stream:
    """What a viewer's browser receives, message by message."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.last_id = ""

    def next(self) -> str:
        """The HTML of the next message; waits for it."""
        data: list[str] = []
        for line in self.lines:
            if line.startswith("id: "):
                self.last_id = line[4:]
            elif line.startswith("data: "):
                data.append(line[6:])
            elif not line and data:
                return "\n".join(data)
        raise AssertionError("the stream has ended")

    def until(self, selector: str) -> str:
        """The first message that holds such an element."""
        while not soup(message := self.next()).select_one(selector):
            pass
        return message


@contextmanager
def watching(admin: Visitor, query: str = "", last_id: str | None = None) -> Iterator[Stream]:
    page = admin.get(f"/admin/payments?{query}")
    url = str(soup(page.text).select("[hx-sse\\:connect]")[0]["hx-sse:connect"])
    headers = PARTIAL | ({"Last-Event-ID": last_id} if last_id else {})
    with admin.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert "content-encoding" not in answer.headers
        yield Stream(answer.iter_lines())


def test_a_new_payment_goes_to_its_place_and_then_changes_there(
    buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    with watching(admin) as stream:
        checkout = cashier.order(buyer)
        partial = one(stream.next(), "hx-partial")
        assert partial["hx-target"] == "#payment-rows"
        assert partial["hx-swap"] == "upsert key:data-created sort:desc"
        assert one(str(partial), f"#payment-{checkout.order_id}")["data-status"] == "pending"

        buyer.get(f"{checkout.path}/return?code=USER_CANCEL")
        partial = one(stream.next(), "hx-partial")
        assert partial["hx-target"] == f"#payment-{checkout.order_id}"
        assert partial["hx-swap"] == "outerMorph"
        assert one(str(partial), "tr")["data-status"] == "canceled"


def test_a_refund_is_seen_by_every_other_operator(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    with watching(admin) as stream:
        cashier.refund(admin, checkout)
        stream.until(f"#payment-{checkout.order_id}[data-status=refunded]")


def test_a_viewer_gets_what_the_filter_shows_and_nothing_else(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    with watching(admin, "status=completed&payment_method=card") as stream:
        cashier.order(buyer, story.DISCOUNTED)
        checkout = cashier.buy(buyer)
        message = stream.next()
        assert one(message, "tr")["id"] == f"payment-{checkout.order_id}"
        assert one(message, "hx-partial")["hx-target"] == "#payment-rows", "it has come to fit"


def test_a_row_that_no_longer_fits_shows_what_became_of_it_and_leaves(
    buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.buy(buyer)
    with watching(admin, "status=completed") as stream:
        cashier.refund(admin, checkout, amount="1000")
        assert not soup(stream.until(".is-refunded")).select("[data-leaves]"), "it still fits"
        cashier.refund(admin, checkout)
        leaving = one(stream.until("[data-leaves]"), "hx-partial[data-leaves]")
        assert leaving["hx-target"] == f"#payment-{checkout.order_id}"
        assert one(str(leaving), "tr")["data-status"] == "refunded"


def test_a_refund_in_doubt_comes_to_who_watches_for_it_and_leaves_once_it_is_known(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """Only the refund's state changes: the payment is completed before and after."""
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "reset", when="after")
    with watching(admin, "attention=refund") as stream, watching(admin, "attention=any") as every:
        cashier.refund(admin, checkout, amount="1000")
        for watched in (stream, every):
            arriving = one(watched.next(), "hx-partial")
            assert arriving["hx-target"] == "#payment-rows", "it has come to fit"
            assert "환불 확인 중" in words(arriving)
        house.run(settle, house.till, checkout.order_id, "reconciler")
        for watched in (stream, every):
            leaving = one(watched.until("[data-leaves]"), "hx-partial[data-leaves]")
            assert leaving["hx-target"] == f"#payment-{checkout.order_id}"
            assert "일부 환불" in words(leaving)


@one_database
def test_a_payment_in_doubt_is_counted_on_its_tab_and_above_it_and_leaves_both(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    def told() -> tuple[str, str]:
        html = admin.part("GET", "/admin/payments/counts").text
        return words(one(html, ".attention")), words(one(html, ".tabs"))

    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "reset", when="after")
    with watching(admin, "attention=mismatch") as stream, watching(admin, "attention=in_doubt") as doubts:
        buyer.get(checkout.back)
        assert one(doubts.until(".is-in_doubt"), "hx-partial")["hx-target"] == "#payment-rows"
        attention, tabs = told()
        assert "결과 확인 중 1" in attention
        assert "확인 중 1" in tabs

        async def mismatch(session: AsyncSession) -> None:
            payment = await find(session, checkout.order_id)
            payment.failure_code = "ORDER_MISMATCH"
            session.add(payment.tell("checked", "reconciler"))

        house.change(mismatch)
        stream.until(f"#payment-{checkout.order_id}")
        house.run(settle, house.till, checkout.order_id, "reconciler")
        for watched in (stream, doubts):
            watched.until(f"[data-leaves][hx-target='#payment-{checkout.order_id}']")
    attention, tabs = told()
    assert attention == "살펴볼 결제가 없습니다."
    assert "확인 중 0" in tabs


def test_what_one_worker_writes_another_shows_at_once(
    settings: Settings, house: House, buyer: Visitor, cashier: Cashier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the workers ring for each other; on SQLite, and when that fails, they look by themselves."""
    if not house.till.db.is_sqlite:
        monkeypatch.setattr("app.live.POLL_BESIDE_BELL", 60)  # so that nothing but the bell can have told
    with TestClient(create_app(settings)) as door:
        other_worker = House(house.app, settings, door)
        live = door.app_state["live"]
        deadline = time.monotonic() + 5
        while not (live.listening or house.till.db.is_sqlite) and time.monotonic() < deadline:
            time.sleep(0.01)
        with watching(other_worker.visitor(story.ADMIN)) as stream:
            time.sleep(0.2)  # both are at rest
            checkout = cashier.order(buyer)
            stream.until(f"#payment-{checkout.order_id}")


def test_a_browser_that_comes_back_misses_nothing(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    with watching(admin) as stream:
        first = cashier.order(buyer)
        stream.until(f"#payment-{first.order_id}")
        seen = stream.last_id
    second = cashier.order(buyer)
    with watching(admin, last_id=seen) as stream:
        stream.until(f"#payment-{second.order_id}")


def test_what_happens_between_the_page_and_its_stream_is_told(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    page = admin.get("/admin/payments").text
    checkout = cashier.order(buyer)
    url = str(soup(page).select("[hx-sse\\:connect]")[0]["hx-sse:connect"])
    with admin.stream("GET", url, headers=PARTIAL) as answer:
        Stream(answer.iter_lines()).until(f"#payment-{checkout.order_id}")


@pytest.mark.parametrize(
    ("query", "last_id"), [({}, None), ({"after": ""}, None), ({"after": ""}, "?"), ({"after": "{}"}, "-1")]
)
def test_a_stream_without_a_readable_place_begins_where_the_address_says_or_now(
    buyer: Visitor, admin: Visitor, cashier: Cashier, query: dict[str, str], last_id: str | None
) -> None:
    after = {name: value.format(_place(admin)) for name, value in query.items()}
    headers = PARTIAL | ({"Last-Event-ID": last_id} if last_id else {})
    with admin.stream("GET", "/admin/payments/live", params=after, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        checkout = cashier.order(buyer)
        Stream(answer.iter_lines()).until(f"#payment-{checkout.order_id}")


@one_database
def test_a_stream_without_a_place_tells_nothing_of_before(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    before = cashier.order(buyer)
    with admin.stream("GET", "/admin/payments/live") as answer:
        checkout = cashier.order(buyer)
        first = Stream(answer.iter_lines()).next()
        assert checkout.order_id in first
        assert before.order_id not in first
    for place in ("-1", "nonsense", "2147483648", "00000000000" + "9" * 15):
        assert admin.get("/admin/payments/live", params={"after": place}).status_code == 422


def _place(admin: Visitor) -> str:
    """The page's own, as its stream's address says it."""
    url = str(soup(admin.get("/admin/payments").text).select("[hx-sse\\:connect]")[0]["hx-sse:connect"])
    return url.partition("after=")[2].partition("&")[0]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer: nothing can be late
def test_an_event_that_becomes_visible_late_is_told_all_the_same(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    """PostgreSQL hands out ids before commit: an event may appear below one that was told already."""
    checkout = cashier.order(buyer)
    live = house.door.app_state["live"]
    with watching(admin) as stream:
        live.told.clear()  # as if the events below the cursor had not been visible when we looked
        stream.until(f"#payment-{checkout.order_id}")


def test_a_page_that_slept_too_long_is_asked_to_reload(
    buyer: Visitor, admin: Visitor, cashier: Cashier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.live.CATCH_UP", 2)
    page = admin.get("/admin/payments").text
    for _ in range(4):
        cashier.order(buyer)
    url = str(soup(page).select("[hx-sse\\:connect]")[0]["hx-sse:connect"])
    with admin.stream("GET", url, headers=PARTIAL) as answer:
        assert "새로고침" in Stream(answer.iter_lines()).until("[hx-target='#notice']")


def test_leaving_the_page_leaves_nothing_behind(house: House, admin: Visitor) -> None:
    live = house.door.app_state["live"]
    with watching(admin):
        assert len(live.viewers) == 1
    deadline = time.monotonic() + 2
    while live.viewers and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not live.viewers


@one_database
def test_a_viewer_who_waits_keeps_nothing_of_its_request_and_of_the_layers_it_came_through(
    house: House, admin: Visitor
) -> None:
    """Two thousand of them wait on one worker."""

    def alive(kind: type) -> int:
        gc.collect()
        return sum(type(thing) is kind for thing in gc.get_objects())

    kinds = (Request, User, GZipResponder)
    before = [alive(kind) for kind in kinds]
    with watching(admin, "status=completed") as one_stream, watching(admin, "status=completed") as another:
        assert [next(stream.lines) for stream in (one_stream, another)] == ["retry: 1000", "retry: 1000"]
        live = house.door.app_state["live"]
        assert len(live.viewers) == 2
        assert len({id(viewer.wanted) for viewer in live.viewers}) == 1, "one filter does for both"
        deadline = time.monotonic() + 10  # each look takes long: the others must have their turn
        while (now := [alive(kind) for kind in kinds]) != before and time.monotonic() < deadline:
            time.sleep(0.1)
        assert now == before
