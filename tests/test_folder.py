"""What belongs to a payment comes with it, and only that; several at one moment do not mix."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql

from app.clock import now
from app.exchanges import Exchange
from app.folder import _FREE, _LOCKED, _UNREAD, Folder, change
from app.models import Status
from app.till import Refused, find
from tests import story
from tests.conftest import Cashier, House, Visitor

NEVER = "A" * 24


def at_once(house: House, order_ids: Sequence[str], act: Any) -> list[Any]:
    """In one transaction, if they let each other."""

    async def all_of_them() -> list[Any]:
        asked = (change(house.till, order_id, act) for order_id in order_ids)
        return await asyncio.gather(*asked, return_exceptions=True)

    answers: list[Any] = house.run(all_of_them)
    return answers


def test_a_refusal_that_comes_after_a_change_leaves_nothing_of_it(
    house: House, buyer: Visitor, other: Visitor, cashier: Cashier
) -> None:
    first, second = cashier.order(buyer).order_id, cashier.order(other).order_id

    def half(its: Folder) -> str:
        its.payment.failure_code = "HALF"
        if its.payment.order_id == first:
            raise Refused("NO", "안 됩니다.")
        return "done"

    no, yes = at_once(house, [first, second], half)
    assert (isinstance(no, Refused), yes) == (True, "done")
    assert [house.payment(order_id).failure_code for order_id in (first, second)] == [None, "HALF"]


@pytest.mark.parametrize("others", [0, 1])
def test_an_order_that_is_not_there_is_not_found_and_keeps_nobody_from_theirs(
    house: House, buyer: Visitor, cashier: Cashier, others: int
) -> None:
    known = [cashier.order(buyer).order_id] * others
    *found, missing = at_once(house, [*known, NEVER], lambda its: its.payment.order_id)
    assert found == known
    assert isinstance(missing, Refused)
    assert (missing.code, missing.status) == ("NOT_FOUND", 404)


def test_a_buyer_owns_only_what_they_have_bought(
    house: House, buyer: Visitor, other: Visitor, cashier: Cashier
) -> None:
    """They are asked about together: each of these buyers with each of these prompts."""
    cashier.buy(buyer)
    cashier.buy(other, story.DISCOUNTED)
    again, new = cashier.order(other), cashier.order(buyer, story.DISCOUNTED)
    assert at_once(house, [again.order_id, new.order_id], lambda its: its.owned) == [None, None]


def test_refunds_and_what_was_opened_come_with_their_own_payment(
    house: House, buyer: Visitor, other: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    one, two = cashier.buy(buyer), cashier.buy(other)
    for amount in ("100", "200"):
        cashier.refund(admin, one, amount=amount)
    cashier.refund(admin, two, amount="300")

    def seen(its: Folder) -> Any:
        assert its.purchase
        assert its.owned is its.purchase
        return its.purchase.payment_id == its.payment.id, [entry.amount for entry in its.refunds], its.open_refund

    assert at_once(house, [one.order_id, two.order_id], seen) == [(True, [100, 200], None), (True, [300], None)]


def test_what_was_taken_back_is_not_owned(house: House, buyer: Visitor, admin: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    cashier.refund(admin, checkout)
    [(owned, purchase)] = at_once(house, [checkout.order_id], lambda its: (its.owned, its.purchase))
    assert owned is None
    assert purchase.revoked_at


def test_what_is_added_is_written_with_what_has_changed(house: House, buyer: Visitor, cashier: Cashier) -> None:
    checkout = cashier.order(buyer)

    def cancel(its: Folder) -> None:
        its.add(its.payment.move("canceled", "buyer", failure_code="USER_CANCEL"))
        its.rest()

    at_once(house, [checkout.order_id], cancel)
    payment = house.payment(checkout.order_id)
    assert (payment.status, payment.next_check_at, payment.awaiting_answer) == (Status.CANCELED, None, False)
    assert house.kinds(checkout.order_id) == ["created", "canceled"]


@pytest.mark.parametrize("due", [None, timedelta(hours=3)])
def test_what_is_open_is_asked_about_again_and_not_sooner_than_was_said(
    house: House, buyer: Visitor, cashier: Cashier, due: timedelta | None
) -> None:
    order_id, said = cashier.order(buyer).order_id, now() + due if due else None

    def rest(its: Folder) -> None:
        its.payment.next_check_at = said
        its.rest()

    at_once(house, [order_id], rest)
    at = house.payment(order_id).next_check_at
    assert at
    assert at == said or (said is None and now() < at < now() + timedelta(hours=1))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("many", "first"), [(1, False), (2, False), (1, True)])
def test_who_is_locked_by_somebody_is_waited_for_by_nobody_else(
    house: House, buyer: Visitor, other: Visitor, member: Visitor, cashier: Cashier, many: int, first: bool
) -> None:
    """Neither by those of the same moment, nor by those that come after it."""
    held, *free = (cashier.order(visitor).order_id for visitor in (buyer, other, member)[: many + 1])

    async def story_of_a_lock() -> list[str]:
        async with house.till.db.write() as session:
            await find(session, held, lock=True)
            asked = [change(house.till, order_id, lambda its: its.payment.order_id) for order_id in (held, *free)]
            waits = asyncio.create_task(asked.pop(0))
            await asyncio.sleep(0.05 if first else 0)
            others = list(map(asyncio.create_task, asked))
            done, _ = await asyncio.wait(others, timeout=10)
            assert done == set(others)
            assert not waits.done()
        return [await waits, *(task.result() for task in others)]

    assert house.run(story_of_a_lock) == [held, *free]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_writes_about_a_payment_keeps_nobody_from_changing_it(
    house: House, buyer: Visitor, cashier: Cashier
) -> None:
    """What was said to a PG is written down beside the till, for hundreds of payments at once."""
    order_id = cashier.order(buyer).order_id
    remark = Exchange(payment_id=house.payment(order_id).id or 0, verb="find", asked="GET /", at=now(), milliseconds=1)

    async def story_of_a_remark() -> str:
        async with house.till.db.write() as session:
            session.add(remark)
            await session.flush()
            return await asyncio.wait_for(change(house.till, order_id, lambda its: its.payment.order_id), 5)

    assert house.run(story_of_a_remark) == order_id


def test_what_a_webhook_says_is_not_read_where_it_only_counts_that_it_came() -> None:
    assert "webhook.received_at" in str(_UNREAD)
    assert "webhook.body" not in str(_UNREAD)


def test_only_who_is_alone_waits_for_a_lock() -> None:
    """SQLite has none; what PostgreSQL is asked is read from the statements."""
    kind: Any = postgresql.dialect
    waits, goes_on = (str(query.compile(dialect=kind())) for query in (_LOCKED, _FREE))
    assert waits.endswith("FOR NO KEY UPDATE")
    assert goes_on.endswith("FOR NO KEY UPDATE SKIP LOCKED")
