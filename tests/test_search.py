"""The list finds everything it should and nothing else, in both directions, without reading what it does not show."""

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import event, text
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import counts, demo
from app.clock import KST, now
from app.config import ROOT
from app.db import Database
from app.filters import Filter, read_search, why_attention
from app.folder import _LOCKED, _take_out, _wake_others
from app.migrate import migrate
from app.models import Payment, RefundStatus, Status, User
from app.orders import Order, Wanted, _on_offer
from app.search import LAST, PAGE, Listed, Page, search
from app.till import find
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import assert_page, one, soup, words
from tests.gateways.rows import refund
from tests.postgres import create_database, drop_database

Answer = TypeVar("Answer")
COUNT = 3000
BEFORE = "6c0d9a4e51b7"  # the migration before the search
FIRST = "1f150aef3899"
RUNNER, OPEN = asyncio.Runner(), dict[str, Database]()


def at(url: str, act: Callable[[AsyncSession], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        if url not in OPEN:
            OPEN[url] = Database(url)
        async with OPEN[url].read() as session:
            return await act(session)

    return RUNNER.run(run())


def close_all() -> None:
    while OPEN:
        RUNNER.run(OPEN.popitem()[1].close())


def fill(url: str) -> str:
    async def run() -> None:
        db = Database(url)
        await demo.fill(db, COUNT, 1, lambda _: None)
        await db.close()

    migrate(url)
    asyncio.run(run())
    return url


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three thousand payments, only to be read."""
    if request.param == "sqlite":
        yield fill(f"sqlite:///{tmp_path_factory.mktemp('search') / 'app.db'}")
        close_all()
        return
    server, name = request.getfixturevalue("postgres"), f"search_{uuid4().hex}"
    yield fill(create_database(server, name))
    close_all()
    drop_database(server, name)


def walked(url: str, **query: str) -> list[str]:
    """The order ids of every page, from the first to the last."""

    async def walk(session: AsyncSession) -> list[str]:
        found, cursor = [], ""
        while True:
            page = await search(session, Filter.model_validate(query | {"cursor": cursor}), limit=200)
            found += [row.order_id for row in page.payments]
            if page.next is None:
                return found
            cursor = page.next

    return at(url, walk)


def like(url: str, *conditions: Any) -> set[str]:
    async def read(session: AsyncSession) -> set[str]:
        return set((await session.exec(select(Payment.order_id).where(*conditions))).all())

    return at(url, read)


# ── what is found ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_part_of_every_name_finds_what_like_finds(shop: str) -> None:
    names = at(shop, lambda session: _all(session, select(Payment.buyer_name).distinct().limit(60)))
    parts = {name[start:end] for name in names for start, end in ((0, 1), (0, 2), (1, 3), (0, 3))}
    assert len(parts) > 60
    for part in (*sorted(parts)[::4], "영희", "뷁"):
        assert set(walked(shop, q=part)) == like(shop, col(Payment.buyer_name).contains(part)), part


def test_every_part_of_an_address_finds_what_like_finds(shop: str) -> None:
    emails = at(shop, lambda session: _all(session, select(Payment.buyer_email).distinct().limit(12)))
    whole = set(emails[:3])
    parts = {email[start : start + size] for email in emails[::3] for start, size in ((0, 2), (1, 3), (2, 6), (5, 9))}
    for part in sorted(whole | parts | {emails[0][-2:], "m@", "zq", "example.net"}):
        if part.replace(".", "").isdigit():
            continue  # read as the end of a phone number
        assert set(walked(shop, q=part)) == like(shop, col(Payment.buyer_email).contains(part)), part


def test_the_end_of_a_phone_number_finds_its_buyer(shop: str) -> None:
    phones = at(shop, lambda session: _all(session, select(Payment.buyer_phone).distinct().limit(5)))
    for phone in phones:
        for typed in (f"{phone[:3]}-{phone[3:7]}-{phone[7:]}", f"-{phone[-4:]}", f"+82 {phone[1:]}"):
            tail = phone[-4:] if typed.startswith("-") else phone
            assert set(walked(shop, q=typed)) == like(shop, col(Payment.buyer_phone).endswith(tail)), typed


def test_a_search_holds_inside_every_other_filter(shop: str) -> None:
    for query in ({"status": "failed"}, {"sort": "-amount"}, {"period": "30d"}, {"amount_from": "10,000"}):
        found, wanted = set(walked(shop, q="민", **query)), set(walked(shop, **query))
        assert found == wanted & like(shop, col(Payment.buyer_name).contains("민")), query


def test_the_live_list_takes_in_what_the_query_finds_and_nothing_else(shop: str) -> None:
    payments = at(shop, lambda session: _all(session, select(Payment)))
    for query in (
        {"status": "failed"},
        {"status": "completed", "payment_method": "card", "gateway": "toss", "period": "30d"},
        {"from": "2026-01-31", "to": "2026-03-01", "amount_to": "9900"},
        {"amount_from": "10000", "period": "month"},
        {"q": "민"},
        {"q": "suji", "status": "refunded"},
        {"q": "0101"},
        {"attention": "any"},
    ):
        wanted = Filter.model_validate(query)
        fitting = {
            payment.order_id
            for payment in payments
            if wanted.fits(payment, payment.status, why_attention(payment, None))
        }
        assert fitting == set(walked(shop, **query)), query


async def _all(session: AsyncSession, query: Any) -> list[Any]:
    return list((await session.exec(query)).all())


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        ("민수", "이름"),
        ("김", "이름"),
        ("minsu", "이름·이메일"),
        ("kim@", "이메일"),
        ("010-1234-5678", "전화번호"),
        ("5678", "전화번호·이메일"),
        ("77", "이름·이메일"),
    ],
)
def test_the_box_knows_what_is_typed(typed: str, label: str) -> None:
    assert read_search(typed).label == label


def test_the_box_says_what_it_understood_and_goes_straight_to_a_number(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.buy(buyer)
    cashier.order(buyer, story.DISCOUNTED)
    for typed, label in (
        (checkout.order_id, "주문번호"),
        (checkout.order_id[:8], "주문번호"),
        (checkout.payment_key, "결제사 거래번호"),
    ):
        page = assert_page(admin.get(f"/admin/payments?q={typed}"), f"찾은 곳 · {label}")
        assert [row["id"] for row in page.select("tr[data-status]")] == [f"payment-{checkout.order_id}"]


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("query", [{}, {"sort": "amount"}, {"q": "김"}, {"status": "failed", "sort": "created_at"}])
def test_pages_lead_both_ways_and_the_last_is_the_end(shop: str, query: dict[str, str]) -> None:
    def page(cursor: str | None) -> Page:
        assert cursor is not None
        wanted = Filter.model_validate(query | {"cursor": cursor})
        return at(shop, lambda session: search(session, wanted, limit=40))

    def ids(page: Page) -> list[int]:
        return [row.id for row in page.payments]

    first = page("")
    assert first.previous is None
    second = page(first.next)
    back = page(second.previous)
    assert ids(back) == ids(first)
    assert back.previous is None
    assert ids(page(back.next)) == ids(second)
    last = page(LAST)
    assert last.next is None
    everything = walked(shop, **query)
    assert [row.order_id for row in last.payments] == everything[-40:]
    before = page(last.previous)
    assert [row.order_id for row in before.payments] == everything[-80:-40]
    assert ids(page(before.next)) == ids(last)


def test_a_page_links_to_its_neighbours(
    buyer: Visitor, admin: Visitor, cashier: Cashier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.routes.admin.PAGE", 2)
    for _ in range(5):
        cashier.order(buyer)
    first = admin.get("/admin/payments").text
    assert words(one(first, "#pages")) == "다음 마지막"
    second = admin.get(str(one(first, "#pages [rel=next]")["href"])).text
    assert words(one(second, "#pages")) == "지금으로 이전 다음 마지막"
    last = admin.get("/admin/payments?cursor=last").text
    assert words(one(last, "#pages")) == "지금으로 이전"


# ── filters and counts ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_period_counts_back_from_today_in_korea(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    midnight = now().astimezone(KST).replace(hour=0, minute=0, second=0, microsecond=0)
    moments = {
        "now": now(),
        "yesterday": midnight - timedelta(seconds=1),
        "six days": midnight - timedelta(days=6),
        "seven days": midnight - timedelta(days=6, seconds=1),
    }
    orders = {name: cashier.order(buyer).order_id for name in moments}

    async def date(session: AsyncSession) -> None:
        for name, moment in moments.items():
            (await find(session, orders[name])).created_at = moment.astimezone(UTC)

    house.change(date)
    for period, expected in (
        ("today", {"now"}),
        ("yesterday", {"yesterday"}),
        ("7d", {"now", "yesterday", "six days"}),
        ("30d", set(orders)),
    ):
        answer = admin.get(f"/admin/payments?period={period}").text
        found = {str(row["id"]).removeprefix("payment-") for row in soup(answer).select("tr[data-status]")}
        assert found == {orders[name] for name in expected}, period
        assert one(answer, "#period option[selected]")["value"] == period, "the address stays relative"


def test_amounts_are_a_range_and_wrong_ones_are_told(buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    cheap, dear = cashier.order(buyer, story.DISCOUNTED), cashier.order(buyer)
    for query, expected in (
        ("amount_from=9,901", [dear]),
        ("amount_to=₩9900", [cheap]),
        ("amount_from=9900&amount_to=10000&sort=amount", [cheap, dear]),
        ("gateway=toss&payment_method=card", [dear, cheap]),
        ("gateway=kakaopay", []),
    ):
        rows = soup(admin.get(f"/admin/payments?{query}").text).select("tr[data-status]")
        assert [row["id"] for row in rows] == [f"payment-{checkout.order_id}" for checkout in expected], query
    page = assert_page(admin.get("/admin/payments?amount_from=천원"), "최소 금액을 1원 이상의", status=422)
    assert one(str(page), "#amount_from")["value"] == "천원"


def test_tabs_count_what_they_hold_and_stop_at_a_thousand(
    buyer: Visitor, admin: Visitor, cashier: Cashier, monkeypatch: pytest.MonkeyPatch
) -> None:
    cashier.buy(buyer)
    cashier.order(buyer, story.DISCOUNTED)
    tabs = words(one(admin.get("/admin/payments").text, ".tabs"))
    assert "결제 대기 1 " in tabs
    assert "결제 완료 1 " in tabs
    assert "환불 완료 0" in tabs
    assert "결제 완료 0" in words(one(admin.get("/admin/payments?payment_method=transfer").text, ".tabs"))
    assert not one(admin.get("/admin/payments?q=김").text, ".tabs").select("small"), "nobody counts inside a search"
    monkeypatch.setattr(counts, "MANY", 1)
    counts._glanced.cache_clear()
    cashier.order(buyer, story.DISCOUNTED)
    assert "결제 대기 1+ " in words(one(admin.part("GET", "/admin/payments/counts").text, ".tabs"))
    counts._glanced.cache_clear()


def test_what_needs_a_person_comes_first(house: House, buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    assert_page(admin.get("/admin/payments"), "살펴볼 결제가 없습니다")
    fine = cashier.order(buyer)
    orders: dict[str, Checkout] = {}
    for why in ("in_doubt", "mismatch", "stuck", "refund"):
        visitor = house.visitor({"in_doubt": story.BUYER, "mismatch": story.MEMBER}.get(why, story.OTHER))
        prompt = story.PROMPT if why != "refund" else story.DISCOUNTED
        orders[why] = cashier.order(visitor, prompt)

    async def trouble(session: AsyncSession) -> None:
        (await find(session, orders["in_doubt"].order_id)).status = Status.IN_DOUBT
        (await find(session, orders["mismatch"].order_id)).failure_code = "ORDER_MISMATCH"
        (await find(session, orders["stuck"].order_id)).created_at = now() - timedelta(hours=2)
        refunded = await find(session, orders["refund"].order_id)
        refunded.status, refunded.paid_amount, refunded.refunded_amount = Status.COMPLETED, refunded.amount, 100
        session.add(refund(None, amount=100, payment_id=refunded.id, status=RefundStatus.IN_DOUBT))

    house.change(trouble)
    page = assert_page(admin.get("/admin/payments"), "결과 확인 중 1", "PG와 다름 1", "멈춘 결제 1", "환불 확인 중 1")
    links = [str(link["href"]) for link in page.select(".attention a")]
    for link, checkout in zip(links, orders.values(), strict=True):
        found = [row["id"] for row in soup(admin.get(link).text).select("tr[data-status]")]
        assert found == [f"payment-{checkout.order_id}"], link
    everyone = soup(admin.get("/admin/payments?attention=any").text).select("tr[data-status]")
    assert len(everyone) == 4
    assert f"payment-{fine.order_id}" not in {row["id"] for row in everyone}


def test_a_listed_row_says_of_its_payment_what_the_payment_says(shop: str) -> None:
    """It is read past the entity and its types: moments above all."""

    async def both(session: AsyncSession) -> list[tuple[Any, Any]]:
        rows = (await search(session, Filter(), limit=200)).payments
        entities = (await session.exec(select(Payment).where(col(Payment.id).in_([row.id for row in rows])))).all()
        payments = {payment.id: payment for payment in entities}
        names = [name for name in Listed._fields if name in Payment.model_fields]
        return [(getattr(row, name), getattr(payments[row.id], name)) for row in rows for name in names]

    values = at(shop, both)
    assert len({type(value) for value, _ in values}) > 4
    assert [value for value, _ in values] == [value for _, value in values]
    assert {value.utcoffset() for value, _ in values if isinstance(value, datetime)} == {timedelta()}


# ── how ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

TIME = [
    {"status": status, "payment_method": method, "gateway": gateway, "period": period, "sort": sort}
    for status, method, gateway, period, sort in itertools.product(
        ("", "failed"), ("", "card"), ("", "toss"), ("", "30d"), ("-created_at", "created_at")
    )
]
AMOUNT = [{"sort": sort, "amount_from": least} for sort in ("amount", "-amount") for least in ("", "10000")]
SEARCH = [{"q": typed} for typed in ("민수", "영희", "minsu", "kim@example.com", "5678", "z" * 24, "z" * 8)]
# Where the filter and the order want different indexes, a bounded number of rows may be sorted.
CONFLICT: list[dict[str, str]] = [
    {"sort": "-amount", "status": "failed"},
    {"sort": "amount", "period": "30d", "gateway": "toss"},
    {"amount_from": "10000"},
    {"amount_from": "999999", "status": "failed"},
    {"attention": "any"},
    {"q": "민수", "status": "failed"},
    {"q": "민수", "sort": "-amount"},
    {"q": "김", "sort": "-amount", "period": "30d"},
]


async def plans(session: AsyncSession, query: dict[str, str], cursor: str) -> str:
    """How the database goes about every question of the list."""
    wanted = Filter.model_validate(query | {"cursor": cursor})
    return await planned(session, lambda: search(session, wanted, PAGE))


async def planned(
    session: AsyncSession, ask: Callable[[], Awaitable[Any]], *, deep: bool = False, bitmaps: bool = False
) -> str:
    connection = await session.connection()
    asked: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        asked.append((statement, parameters))

    sync = connection.sync_connection
    event.listen(sync, "before_cursor_execute", remember)
    await ask()
    event.remove(sync, "before_cursor_execute", remember)
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:  # a table this small would be read whole; what is left is what an index cannot do
        for way in ("seqscan", "sort", *(() if bitmaps else ("bitmapscan",))):
            await connection.execute(text(f"SET enable_{way} = off"))
    told = []
    for statement, parameters in asked:
        if statement.lstrip().upper().startswith("SELECT"):
            explained = await connection.exec_driver_sql(
                f"EXPLAIN {'QUERY PLAN ' if sqlite else ''}{statement}", tuple(parameters)
            )
            # What SQLite does for one row (its refunds) hangs below what it does for the page.
            told += [str(row[-1]) for row in map(tuple, explained) if not sqlite or deep or row[1] == 0]
    return "\n".join(told)


def cursors(url: str, query: dict[str, str]) -> list[str]:
    page = at(url, lambda session: search(session, Filter.model_validate(query), limit=5))
    return ["", LAST, *([page.next] if page.next else [])]


def test_every_filter_is_one_walk_along_an_index(shop: str) -> None:
    for query in (*TIME, *AMOUNT):
        for cursor in cursors(shop, query):
            plan = at(shop, partial(plans, query=query, cursor=cursor))
            assert "Index" in plan or "INDEX" in plan, (query, plan)
            for slow in ("Seq Scan on payment", "SCAN payment\n", "Sort", "TEMP B-TREE"):
                assert slow not in f"{plan}\n", (query, cursor, plan)


def test_no_search_and_no_conflict_reads_the_whole_table(shop: str) -> None:
    for query in (*SEARCH, *CONFLICT):
        plan = at(shop, partial(plans, query=query, cursor=""))
        for slow in ("Seq Scan on payment", "SCAN payment\n"):
            assert slow not in f"{plan}\n", (query, plan)


def test_what_needs_a_person_is_counted_without_reading_payments_or_the_log(shop: str) -> None:
    plan = at(shop, lambda session: planned(session, lambda: counts.glance(session), deep=True))
    for index in ("ix_payment_next_check_at", "uq_approval_open", "uq_plea_unanswered", "ix_event_refund_owed"):
        assert index in plan, plan
    assert "Seq Scan" not in plan


# ── before ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def to_be_migrated(shop: str, directory: Path) -> tuple[str, Config]:
    """A copy where that is cheap; these tests are the last ones to read the shop."""
    if shop.startswith("sqlite"):
        shop = f"sqlite:///{shutil.copy(shop.removeprefix('sqlite:///'), directory / 'old.db')}"
    config = Config(ROOT / "alembic.ini")
    config.attributes["url"] = shop
    return shop, config


def test_what_was_there_before_the_migration_is_found_and_counted(shop: str, tmp_path: Path) -> None:
    url, config = to_be_migrated(shop, tmp_path)
    totals = text("SELECT day, gateway, payment_method, created, gross, refunded FROM daily ORDER BY 1, 2, 3")
    before = at(url, lambda session: _all(session, totals)), walked(url, q="민수"), walked(url, q="jiho")
    assert before[0]
    assert before[1]
    command.downgrade(config, BEFORE)
    command.upgrade(config, "head")
    assert (at(url, lambda session: _all(session, totals)), walked(url, q="민수"), walked(url, q="jiho")) == before


def test_every_migration_but_the_first_is_taken_back_with_all_payments_in_their_place(
    shop: str, tmp_path: Path
) -> None:
    url, config = to_be_migrated(shop, tmp_path)
    rows = text("SELECT order_id, status, paid_amount, refunded_amount, buyer_name FROM payment ORDER BY id")
    before = at(url, lambda session: _all(session, rows))
    assert before
    command.downgrade(config, FIRST)
    assert at(url, lambda session: _all(session, rows)) == before
    command.upgrade(config, "head")
    assert at(url, lambda session: _all(session, rows)) == before


def test_a_moment_of_the_past_has_a_day_in_korea() -> None:
    assert Filter.model_validate({"from": "2026-03-01"}).since == datetime(2026, 2, 28, 15, tzinfo=UTC)


@pytest.mark.parametrize("many", [1, 3])
def test_taking_money_looks_at_its_own_rows_only(shop: str, many: int) -> None:
    async def take_out(session: AsyncSession) -> None:
        paid = select(Payment.order_id).where(col(Payment.status) == Status.COMPLETED).limit(many)
        order_ids = (await session.exec(paid)).all()
        till: Any = None
        folders = await session.run_sync(_take_out, _LOCKED, dict.fromkeys(order_ids, till))
        await session.run_sync(_wake_others, [folder.payment for folder in folders.values()])
        await session.run_sync(
            _on_offer, [Wanted(await buyer(session), Order(1, "card", "", ""), "toss", now())] * many
        )

    plan = at(shop, lambda session: planned(session, lambda: take_out(session), bitmaps=True))
    for table in ("payment", "refund", "purchase", "webhook", "prompt"):
        for slow in (f"Seq Scan on {table} ", f"SCAN {table}\n"):
            assert slow not in f"{plan}\n", plan


async def buyer(session: AsyncSession) -> User:
    return (await session.exec(select(User).where(col(User.email) == story.BUYER))).one()
