"""What a fresh shop is tried out with: its prompts, its two accounts, and a history that keeps every rule."""

import asyncio
import re
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel, col, func, select

from app import auth, demo
from app.audit import audit
from app.clock import KST
from app.db import Database
from app.demo.store import Postgres, Sqlite
from app.gateways.toss import SENTENCES
from app.migrate import migrate
from app.models import UNSETTLED, Event, Payment, Prompt, Purchase, Refund, RefundStatus, Status, User
from tests.postgres import create_database, drop_database

Answer = TypeVar("Answer")
NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
COUNT, FEW = 2000, 300
TABLES: tuple[type[SQLModel], ...] = (User, Prompt, Payment, Purchase, Refund, Event)


def at(url: str, act: Callable[[Database], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        db = Database(url)
        try:
            return await act(db)
        finally:
            await db.close()

    return asyncio.run(run())


def fill(url: str, payments: int = 0, seed: int = 1) -> list[str]:
    """What it says."""
    said: list[str] = []
    with patch.object(demo, "now", lambda: NOW):
        at(url, lambda db: demo.fill(db, payments, seed, said.append))
    return said


def rows(url: str, query: Any) -> list[Any]:
    async def read(db: Database) -> list[Any]:
        async with db.read() as session:
            return list((await session.exec(query)).all())

    return at(url, read)


def everything(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, but for what differs by design: the accounts' salt, and when they were made."""
    found = {
        str(table.__tablename__): [row.model_dump() for row in rows(url, select(table).order_by(text("id")))]
        for table in TABLES
    }
    for account in found["user"][:2]:
        del account["password_hash"], account["created_at"]
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "app.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def empty_postgres(postgres: str) -> Iterator[str]:
    name = f"empty_{uuid4().hex}"
    migrate(create_database(postgres, name))
    yield name
    drop_database(postgres, name)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Makes migrated databases with nothing in them, of both kinds in turn."""
    if request.param == "sqlite":
        template = request.getfixturevalue("empty")
        yield lambda: f"sqlite:///{shutil.copy(template, tmp_path_factory.mktemp('demo') / 'app.db')}"
        return
    server, template, made = request.getfixturevalue("postgres"), request.getfixturevalue("empty_postgres"), []

    def make() -> str:
        made.append(f"demo_{uuid4().hex}")
        return create_database(server, made[-1], template)

    yield make
    for name in made:
        drop_database(server, name)


@pytest.fixture(scope="module")
def shop(new_url: Callable[[], str]) -> str:
    """A shop with two years of history, only to be read."""
    url = new_url()
    fill(url, COUNT)
    return url


@pytest.fixture(scope="module")
def small_shop(new_url: Callable[[], str]) -> str:
    """With as much as is quickly compared, row by row."""
    url = new_url()
    fill(url, FEW)
    return url


# ── prompts and accounts ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fresh_shop_sells_24_prompts_in_six_categories() -> None:
    prompts = demo.prompts()
    assert len({prompt.title for prompt in prompts}) == 24
    assert set(Counter(prompt.category for prompt in prompts).values()) == {4}
    assert len({prompt.category for prompt in prompts}) == 6


def test_prices_are_natural_and_most_have_a_member_price() -> None:
    prompts = demo.prompts()
    prices = [prompt.price for prompt in prompts]
    assert all(2_900 <= price <= 29_000 and price % 100 == 0 for price in prices)
    assert (prices.count(10_000), prices.count(9_900)) == (1, 1)
    discounts = [1 - prompt.member_price / prompt.price for prompt in prompts if prompt.member_price]
    assert len(discounts) == 16
    assert all(0.1 <= discount <= 0.25 for discount in discounts)


@pytest.mark.parametrize("prompt", demo.prompts(), ids=lambda prompt: str(prompt.title))
def test_a_prompt_is_worth_its_price_and_does_not_give_itself_away(prompt: Prompt) -> None:
    assert len(prompt.title) <= 30
    assert "\n" not in prompt.summary
    assert 2 <= len(prompt.preview.splitlines()) <= 4
    assert 12 <= len(prompt.body.splitlines()) <= 30
    assert len(re.findall(r": \[[^\]]+\]", prompt.body)) >= 3, "places to fill in"
    assert all(part in prompt.body for part in ("## 입력", "## 순서", "## 규칙"))
    shared = set(prompt.preview.splitlines()) & set(prompt.body.splitlines())
    assert len(shared) <= 1, "the role may be read, what is paid for may not"


def test_the_two_accounts_are_a_member_and_an_admin(shop: str) -> None:
    buyer, admin = rows(shop, select(User).where(col(User.email).in_(auth.DEMO_EMAILS)).order_by(col(User.id)))
    assert (buyer.email, buyer.name, buyer.is_member, buyer.is_admin) == ("buyer@example.com", "김찐", True, False)
    assert (admin.email, admin.name, admin.is_member, admin.is_admin) == ("admin@example.com", "박부부", False, True)
    assert auth.hasher.verify(buyer.password_hash, "buyer-demo-pass")
    assert auth.hasher.verify(admin.password_hash, "admin-demo-pass")


def test_filling_twice_changes_nothing(new_url: Callable[[], str]) -> None:
    url = new_url()
    assert fill(url) == ["프롬프트 24개와 데모 계정 2개를 넣었습니다."]
    before = everything(url)
    assert fill(url) == []
    assert everything(url) == before
    assert {name: len(found) for name, found in before.items() if found} == {"user": 2, "prompt": 24}


def test_an_account_that_is_there_already_is_left_alone(new_url: Callable[[], str]) -> None:
    url = new_url()

    async def register(db: Database) -> None:
        async with db.write() as session:
            session.add(User(email=demo.ADMIN_EMAIL, password_hash="theirs", name="주인", phone=""))

    at(url, register)
    fill(url)
    (admin,) = rows(url, select(User).where(col(User.email) == demo.ADMIN_EMAIL))
    assert (admin.password_hash, admin.name) == ("theirs", "주인")


# ── history ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_seed_makes_the_same_history_and_another_seed_another(
    new_url: Callable[[], str], small_shop: str
) -> None:
    again, other = new_url(), new_url()
    fill(again, FEW, seed=1)
    fill(other, FEW, seed=2)
    assert everything(again) == everything(small_shop)
    order_ids = select(Payment.order_id)
    assert not set(rows(other, order_ids)) & set(rows(small_shop, order_ids))


def test_sqlite_and_postgresql_tell_the_same_history(tmp_path: Path, empty: Path, small_shop: str) -> None:
    url = f"sqlite:///{shutil.copy(empty, tmp_path)}"
    fill(url, FEW)
    assert everything(url) == everything(small_shop)


def test_the_books_are_right(shop: str) -> None:
    async def find(db: Database) -> Any:
        async with db.read() as session:
            return await audit(session)

    assert at(shop, find) == []


def test_everyone_paid_the_price_of_the_catalogue(shop: str) -> None:
    query = select(Payment, Prompt, User)
    query = query.join(Prompt, col(Payment.prompt_id) == Prompt.id).join(User, col(Payment.user_id) == User.id)
    found = rows(shop, query)
    assert len(found) == COUNT
    for payment, prompt, user in found:
        assert (payment.amount, payment.list_price) == (prompt.price_for(user), prompt.price)
        assert (payment.buyer_name, payment.buyer_email, payment.buyer_phone) == (user.name, user.email, user.phone)
        assert payment.item_name == prompt.title
        assert user.created_at < payment.created_at
    assert any(payment.amount < payment.list_price for payment, _, _ in found)


def test_nothing_is_left_unsettled_and_nothing_is_yet_to_come(shop: str) -> None:
    payments = rows(shop, select(Payment))
    shares = Counter(payment.status for payment in payments)
    assert not shares.keys() & set(UNSETTLED)
    assert shares.keys() == {
        Status.COMPLETED,
        Status.REFUNDED,
        Status.FAILED,
        Status.CANCELED,
        Status.EXPIRED,
    }
    assert shares[Status.COMPLETED] > 0.75 * COUNT
    assert all(payment.next_check_at is None for payment in payments)
    assert max(rows(shop, select(Event.at))) < NOW
    assert {refund.status for refund in rows(shop, select(Refund))} == {RefundStatus.DONE}
    assert any(0 < payment.refunded_amount < payment.paid_amount for payment in payments)


def test_ids_follow_the_order_of_time(shop: str) -> None:
    for table, moment in ((Payment, "created_at"), (Purchase, "created_at"), (Refund, "created_at"), (Event, "at")):
        moments = [getattr(row, moment) for row in rows(shop, select(table).order_by(text("id")))]
        assert all(before <= after for before, after in pairwise(moments)), table


def test_events_tell_when_and_why(shop: str) -> None:
    """The states themselves are the audit's."""
    told: dict[int, list[Event]] = {}
    for event in rows(shop, select(Event).order_by(col(Event.id))):
        told.setdefault(event.payment_id, []).append(event)
    payments = rows(shop, select(Payment))
    assert told.keys() == {payment.id for payment in payments}
    for payment in payments:
        events = {event.kind: event for event in told[payment.id]}
        assert next(iter(events)) == "created"
        assert events["created"].at == payment.created_at
        ends = events.keys() & {"completed", "declined", "canceled", "expired"}
        assert len(ends) == 1
        if payment.completed_at:
            assert events["completed"].at == payment.completed_at
            assert "claimed" in events
        else:
            assert events[ends.pop()].note == payment.failure_code
        if payment.refunded_at:
            assert events["refunded"].at == payment.refunded_at
    asked = Counter(
        (e.payment_id, e.amount, e.note, e.actor) for es in told.values() for e in es if "requested" in e.kind
    )
    assert asked == Counter((r.payment_id, r.amount, r.reason, r.requested_by) for r in rows(shop, select(Refund)))


def test_failures_speak_as_toss_does(shop: str) -> None:
    failed = rows(shop, select(Payment).where(col(Payment.status).in_([Status.FAILED, Status.CANCELED])))
    assert {"REJECT_CARD_PAYMENT", "PAY_PROCESS_CANCELED"} <= {payment.failure_code for payment in failed}
    assert all(payment.failure_message == SENTENCES[payment.failure_code] for payment in failed)
    keys = rows(shop, select(Payment.pg_transaction_id).where(col(Payment.pg_transaction_id).is_not(None)))
    assert all(re.fullmatch(r"tviva20\d{12}[A-Za-z0-9]{5}", key) for key in keys)
    assert all(re.fullmatch(r"[A-Za-z0-9]{24}", order_id) for order_id in rows(shop, select(Payment.order_id)))


def test_buyers_have_korean_names_and_reach_nobody(shop: str) -> None:
    buyers = rows(shop, select(User).where(col(User.email).not_in(auth.DEMO_EMAILS)))
    assert COUNT * 0.25 < len(buyers) < COUNT * 0.4
    for buyer in buyers:
        assert re.fullmatch(r"[가-힣]{3}", buyer.name)
        assert re.fullmatch(r"[a-z.]+\d{2,4}@example\.(com|net|org)", buyer.email)
        assert re.fullmatch(r"0101\d{7}", buyer.phone)
        assert buyer.password_hash == "!"
    surnames = Counter(buyer.name[0] for buyer in buyers)
    assert [surname for surname, _ in surnames.most_common(3)] == ["김", "이", "박"]


def test_the_shop_grows_over_two_years_and_sleeps_at_night(shop: str) -> None:
    moments = [moment.astimezone(KST) for moment in rows(shop, select(Payment.created_at))]
    days = [(NOW.astimezone(KST).date() - moment.date()).days for moment in moments]
    assert 0 < min(days) < 5
    assert 690 < max(days) <= 730
    assert sum(day <= 365 for day in days) > 1.5 * sum(day > 365 for day in days)
    evening, night = (sum(moment.hour in hours for moment in moments) for hours in ((19, 20, 21, 22), (2, 3, 4, 5)))
    assert evening > 4 * night


# ── writing it ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_added_goes_on_from_what_is_there(new_url: Callable[[], str]) -> None:
    url = new_url()
    fill(url, FEW)
    fill(url, FEW)

    async def register(db: Database) -> int | None:
        async with db.write() as session:
            user = User(email="new@example.com", password_hash="!", name="새사람", phone="")
            session.add(user)
        return user.id

    assert len(set(rows(url, select(Payment.order_id)))) == 2 * FEW
    assert rows(url, select(Payment.id).order_by(col(Payment.id))) == list(range(1, 2 * FEW + 1))
    assert at(url, register) == len(rows(url, select(User.id)))


def test_a_large_history_leaves_every_index_and_key_in_its_place(new_url: Callable[[], str], small_shop: str) -> None:
    url = new_url()
    sqlite = url.startswith("sqlite")
    queries = (
        ["SELECT name, sql FROM sqlite_master ORDER BY name", "PRAGMA journal_mode", "PRAGMA foreign_key_check"]
        if sqlite
        else [
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname",
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype <> 'n' ORDER BY conname",
        ]
    )
    before = [rows(url, text(query)) for query in queries]
    with patch.object(demo, "LARGE", 100), patch.object(demo, "CHUNK", 64):
        said = fill(url, FEW)
    assert "색인을 만드는 중 …" in said
    assert [rows(url, text(query)) for query in queries] == before
    assert everything(url) == everything(small_shop)


def test_who_stops_it_halfway_has_changed_nothing(new_url: Callable[[], str]) -> None:
    url = new_url()
    fill(url)
    before = everything(url)

    kind = Sqlite if url.startswith("sqlite") else Postgres
    insert = kind.insert
    calls = iter(range(7))

    async def insert_a_little(self: Any, table: str, found: list[Any]) -> None:
        if next(calls, None) is None:
            raise InterruptedError
        await insert(self, table, found)

    with (
        patch.object(kind, "insert", insert_a_little),
        patch.object(demo, "LARGE", 100),
        patch.object(demo, "CHUNK", 64),
        pytest.raises(InterruptedError),
    ):
        fill(url, 1000)
    assert everything(url) == before
    fill(url, 100)
    assert rows(url, select(func.count()).select_from(Payment)) == [100]


def test_it_says_how_far_it_is(new_url: Callable[[], str]) -> None:
    url = new_url()
    clock = iter(range(0, 100, 2))
    with patch.object(demo, "monotonic", lambda: next(clock)), patch.object(demo, "CHUNK", 100):
        said = fill(url, 200)
    assert said[1].split() == ["결제", "100", "/", "200건", "50%", "4.0초"]
    assert said[-1].startswith("결제 200건을 넣었습니다.")
