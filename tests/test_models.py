"""The life of a payment: which moves there are, what they leave behind, and what cannot happen."""

import string
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import MOVES, UNSETTLED, Event, Prompt, Purchase, Refund, RefundStatus, Status, User
from app.order_id import new_order_id
from tests import story
from tests.conftest import House
from tests.gateways.rows import payment, refund

# The moves once more, the other way round: what can happen to a payment that stands here, and where it takes it.
LIFE: dict[str, dict[str, str]] = {
    "pending": {
        "claimed": "confirming",
        "completed": "completed",
        "waiting": "waiting",
        "declined": "failed",
        "canceled": "canceled",
        "expired": "expired",
    },
    "confirming": {
        "completed": "completed",
        "waiting": "waiting",
        "doubted": "in_doubt",
        "canceled": "canceled",
        "declined": "failed",
        "expired": "expired",
    },
    "waiting": {"completed": "completed", "canceled": "canceled", "expired": "expired"},
    "in_doubt": {
        "completed": "completed",
        "waiting": "waiting",
        "declined": "failed",
        "canceled": "canceled",
        "expired": "expired",
    },
    "completed": {"refunded": "refunded", "returned": "waiting"},
    "failed": {"completed": "completed"},
    "canceled": {"completed": "completed"},
    "expired": {"completed": "completed"},
    "refunded": {},
}
PAIRS = [(status, kind) for status in Status for kind in MOVES]
LEGAL = [(status, kind) for status, kind in PAIRS if kind in LIFE[status]]
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]
SOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def ids(pairs: list[tuple[Status, str]]) -> list[str]:
    return [f"{status}-{kind}" for status, kind in pairs]


# ── moves ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("status", "kind"), LEGAL, ids=ids(LEGAL))
def test_a_legal_move_moves_and_is_told(status: Status, kind: str) -> None:
    row = payment(id=7, status=status, next_check_at=SOON)
    before = row.model_dump()
    assert row.can(kind)
    event = row.move(kind, "webhook", pg_transaction_id="T1", failure_code="CODE")
    facts = {"status": LIFE[status][kind], "pg_transaction_id": "T1", "failure_code": "CODE"}
    assert row.model_dump() == before | facts, "and nothing else"
    assert (event.payment_id, event.kind, event.actor, event.note) == (7, kind, "webhook", "CODE")
    assert (event.before, event.after) == (status, row.status)


@pytest.mark.parametrize(("status", "kind"), ILLEGAL, ids=ids(ILLEGAL))
def test_an_impossible_move_is_our_bug_and_changes_nothing(status: Status, kind: str) -> None:
    row = payment(status=status, next_check_at=SOON)
    before = row.model_dump()
    assert not row.can(kind)
    with pytest.raises(AssertionError, match=row.order_id):
        row.move(kind, "webhook", pg_transaction_id="T1", failure_code="CODE")
    assert row.model_dump() == before


def test_the_moves_are_walked_in_full() -> None:
    assert (len(PAIRS), len(LEGAL), len(ILLEGAL)) == (81, 25, 56)
    assert {kind for moves in LIFE.values() for kind in moves} == set(MOVES)
    assert set(LIFE) == set(Status)


def test_a_move_that_is_not_in_the_book_is_no_move() -> None:
    with pytest.raises(KeyError):
        payment().move("given_away", "buyer")


@pytest.mark.parametrize("status", Status)
def test_every_state_but_the_last_has_a_way_out(status: Status) -> None:
    assert bool(LIFE[status]) == (status != "refunded")


@pytest.mark.parametrize("status", Status)
def test_money_at_the_pg_is_never_too_late_until_it_was_taken(status: Status) -> None:
    assert payment(status=status).can("completed") == (status not in ("completed", "refunded"))


def test_unsettled_is_every_state_in_which_the_pg_may_still_speak() -> None:
    assert set(UNSETTLED) == {"pending", "confirming", "waiting", "in_doubt"}
    assert {status for status in Status if payment(status=status).unsettled} == set(UNSETTLED)


def test_an_event_tells_of_a_stored_payment() -> None:
    with pytest.raises(AssertionError, match="stored"):
        payment(id=None).tell("created", "buyer")


def test_what_happens_without_a_move_is_told_where_the_payment_stands() -> None:
    event = payment(status=Status.COMPLETED).tell("refund_done", "admin@example.com", amount=4_000, note="단순변심")
    assert (event.before, event.after) == ("completed", "completed")
    assert (event.amount, event.note, event.actor) == (4_000, "단순변심", "admin@example.com")


# ── order ids ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_order_ids_are_24_letters_and_digits_and_never_the_same() -> None:
    drawn = [new_order_id() for _ in range(10_000)]
    assert len(set(drawn)) == 10_000
    assert {len(order_id) for order_id in drawn} == {24}
    letters = Counter("".join(drawn))
    assert set(letters) == set(string.ascii_letters + string.digits)
    fair = 240_000 / 62
    assert all(0.85 * fair < count < 1.15 * fair for count in letters.values()), "some letters can be guessed"


def test_every_payment_draws_an_order_id_of_its_own() -> None:
    assert payment().order_id != payment().order_id


# ── what is left ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("paid", "given_back", "remaining"), [(10_000, 0, 10_000), (10_000, 4_000, 6_000), (10_000, 10_000, 0), (0, 0, 0)]
)
def test_what_was_paid_and_not_given_back_remains(paid: int, given_back: int, remaining: int) -> None:
    row = payment(status=Status.COMPLETED, paid_amount=paid, refunded_amount=given_back)
    assert row.remaining == remaining
    assert row.refundable == (remaining > 0)


@pytest.mark.parametrize("status", [status for status in Status if status != "completed"])
def test_only_a_completed_payment_can_be_refunded(status: Status) -> None:
    assert not payment(status=status, paid_amount=10_000).refundable


# ── asking again ─────────────────────────────────────────────────────────────────────────────────────────────────────


def pause(checks: int) -> timedelta:
    """How long until the PG is asked again after so many questions."""
    with time_machine.travel(SOON, tick=False):
        row = payment(checks=checks)
        row.check_later()
    assert row.next_check_at
    return row.next_check_at - SOON


def test_the_pg_is_asked_again_ever_more_rarely() -> None:
    pauses = [pause(checks) for checks in range(10)]
    assert pauses == sorted(set(pauses)), "every pause is longer than the one before"
    assert pauses[0] <= timedelta(seconds=10), "the buyer may be watching"
    assert sum(pauses[:4], timedelta()) <= timedelta(minutes=2)


@pytest.mark.parametrize("checks", [10, 11, 1_000, 1_000_000])
def test_the_pg_is_asked_for_ever(checks: int) -> None:
    assert pause(checks) == pause(9)
    assert timedelta(minutes=30) <= pause(checks) <= timedelta(days=1)


# ── prices and keys ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("member_price", "who", "price"),
    [
        (7_900, None, 9_900),
        (7_900, {"is_member": False}, 9_900),
        (7_900, {"is_member": True}, 7_900),
        (None, {"is_member": True}, 9_900),
        (0, {"is_member": True}, 0),
    ],
)
def test_a_member_pays_the_member_price_where_there_is_one(
    member_price: int | None, who: dict[str, Any] | None, price: int
) -> None:
    prompt = Prompt(category="", title="", summary="", preview="", body="", price=9_900, member_price=member_price)
    user = User(email="", password_hash="", name="", phone="", **who) if who else None
    assert prompt.price_for(user) == price


def test_a_refund_is_known_to_the_pg_by_a_key_that_stays_and_is_its_own() -> None:
    first, second = refund(1), refund(2)
    assert first.pg_key == first.pg_key
    assert first.pg_key != second.pg_key
    assert refund(1, attempt=1, created_at=first.created_at).pg_key not in (first.pg_key, second.pg_key)
    later = refund(1, created_at=first.created_at + timedelta(microseconds=1))
    assert later.pg_key != first.pg_key, "a new database numbers its refunds from 1 again"
    with pytest.raises(AssertionError, match="stored"):
        _ = Refund(payment_id=1, key="k", amount=1, reason="r", requested_by="b").pg_key


# ── what the database refuses ────────────────────────────────────────────────────────────────────────────────────────


def stored(house: House, *rows: Any) -> list[Any]:
    async def add(session: AsyncSession) -> None:
        for row in rows:
            session.add(row)
            await session.flush()

    house.change(add)
    return list(rows)


def test_rows_come_back_as_they_were_stored(house: House) -> None:
    moment = datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=UTC)
    row = payment(id=None, status=Status.IN_DOUBT, created_at=moment, next_check_at=moment)
    (row,) = stored(house, row)
    found = house.payment(row.order_id)
    assert found.status is Status.IN_DOUBT
    assert (found.created_at, found.next_check_at) == (moment, moment)
    assert found.created_at.utcoffset() == timedelta(), "the day of a payment must not depend on the server's zone"


def test_a_refund_s_key_is_the_same_before_and_after_it_was_stored(house: House) -> None:
    """The PG knows the refund by it, and who repeats it may have read it from the database."""
    (row,) = stored(house, payment(id=None, status=Status.COMPLETED, paid_amount=10_000))
    (entry,) = stored(house, refund(None, payment_id=row.id))
    assert house.refunds(row.order_id)[0].pg_key == entry.pg_key


def purchase(payment_id: int | None, **changed: Any) -> Purchase:
    return Purchase(**{"user_id": 1, "prompt_id": story.PROMPT, "payment_id": payment_id} | changed)


# What cannot be stored, and the words by which SQLite or PostgreSQL says why.
IMPOSSIBLE: dict[str, tuple[list[Any], str]] = {
    "nothing to pay": ([payment(id=None, amount=0)], "ck_payment_amount"),
    "less than nothing to pay": ([payment(id=None, amount=-1)], "ck_payment_amount"),
    "more back than in": (
        [payment(id=None, paid_amount=10_000, refunded_amount=10_001)],
        "ck_payment_refunded_amount",
    ),
    "back without in": ([payment(id=None, paid_amount=0, refunded_amount=1)], "ck_payment_refunded_amount"),
    "less than nothing back": (
        [payment(id=None, paid_amount=10_000, refunded_amount=-1)],
        "ck_payment_refunded_amount",
    ),
    "two at the PG at once": (
        [payment(id=None, status=Status.CONFIRMING), payment(id=None, status=Status.IN_DOUBT)],
        r"uq_payment_in_flight|payment\.user_id, payment\.prompt_id",
    ),
    "one order twice": (
        [payment(id=None, order_id="A" * 24), payment(id=None, order_id="A" * 24)],
        r"uq_payment_order_id|payment\.order_id",
    ),
    "a refund of nothing": ([payment(id=None), refund(None, amount=0)], "ck_refund_amount"),
    "one press, two refunds": (
        [payment(id=None), refund(None, key="k", status=RefundStatus.DONE), refund(None, key="k")],
        r"uq_refund_payment_id_key|refund\.payment_id, refund\.key",
    ),
    "two refunds of one payment at once": (
        [payment(id=None), refund(None, key="a"), refund(None, key="b", status=RefundStatus.IN_DOUBT)],
        r"uq_refund_open|refund\.payment_id",
    ),
    "one prompt bought twice": (
        [payment(id=None), payment(id=None), purchase(1), purchase(2)],
        r"uq_purchase_live|purchase\.user_id, purchase\.prompt_id",
    ),
    "one payment, two purchases": (
        [payment(id=None), purchase(1, revoked_at=SOON), purchase(1)],
        r"uq_purchase_payment_id|purchase\.payment_id",
    ),
    "a refund of nothing we know": ([refund(None, payment_id=99)], "fk_refund_payment_id|FOREIGN KEY"),
    "an event of nothing we know": (
        [Event(payment_id=99, kind="created", actor="buyer", before=Status.PENDING, after=Status.PENDING)],
        "fk_event_payment_id|FOREIGN KEY",
    ),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_the_database_refuses_what_must_not_be(house: House, what: str) -> None:
    rows, why = IMPOSSIBLE[what]
    copies = [type(row)(**row.model_dump()) for row in rows]
    with pytest.raises(IntegrityError, match=why):
        stored(house, *copies)


def test_the_database_allows_what_only_looks_like_it(house: House) -> None:
    one, two, three = stored(
        house,
        payment(id=None, status=Status.CONFIRMING),
        payment(id=None, status=Status.PENDING),
        payment(id=None, status=Status.IN_DOUBT, user_id=2),
    )
    stored(
        house,
        purchase(one.id, revoked_at=SOON),
        purchase(two.id),
        refund(None, payment_id=one.id, key="k"),
        refund(None, payment_id=two.id, key="k", status=RefundStatus.IN_DOUBT),
    )
    assert [entry.status for entry in house.refunds(two.order_id)] == [RefundStatus.IN_DOUBT]
    assert not house.refunds(three.order_id)
