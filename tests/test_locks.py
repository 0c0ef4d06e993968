"""Whoever changes a payment has read it under its lock: on PostgreSQL nothing else keeps two verbs apart."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session

from app import payments, reconciler, settlement
from app.models import Payment
from app.till import find
from tests.conftest import Cashier, House, Visitor
from tests.sandboxes import Sandbox
from tests.test_money import long_ago


@contextmanager
def read_unlocked() -> Iterator[list[str]]:
    """The payments that are changed in a transaction which has not locked them: by SQLAlchemy's own words, for SQLite
    has no locks of rows to look at."""
    found: list[str] = []

    def read(asked: ORMExecuteState) -> None:
        entities = [entity.class_ for entity in asked.all_mappers] if asked.is_select else []
        locks = getattr(asked.statement, "_for_update_arg", None) is not None
        if Payment in entities and locks:
            asked.session.info["locked"] = True

    def flush(session: Session, _context: Any, _instances: Any) -> None:
        changed = [row for row in session.dirty if isinstance(row, Payment) and session.is_modified(row)]
        if not session.info.get("locked"):
            found.extend(row.order_id for row in changed)

    event.listen(Session, "do_orm_execute", read)
    event.listen(Session, "before_flush", flush)
    try:
        yield found
    finally:
        event.remove(Session, "do_orm_execute", read)
        event.remove(Session, "before_flush", flush)


@pytest.mark.parametrize(
    ("database_url", "at"),
    [("sqlite", at) for at in ("toss", "kakaopay", "portone", "portone_confirm")],
    indirect=True,
)
def test_whoever_changes_a_payment_holds_its_lock(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    closed = cashier.authenticate(buyer, button="quit" if cashier.pg == "kakaopay" else "close")
    declined = cashier.authenticate(buyer, button="over-limit")
    bought = cashier.authenticate(buyer)
    with read_unlocked() as unlocked:
        cashier.order(buyer)
        for checkout in (closed, declined):
            buyer.get(checkout.back)
        cashier.fault("confirm", "reset", when="before")
        buyer.get(bought.back.partition("&paymentToken")[0])  # where there is one it comes with the second return
        buyer.get(bought.back)
        long_ago_unlocked(house, bought.order_id, unlocked)
        house.run(reconciler.reconcile, house.till)
        assert house.payment(bought.order_id).status == "completed"
        cashier.refund(admin, bought, amount="1000")
        cashier.fault("cancel", "reset", when="after")
        cashier.refund(admin, bought, amount="2000")
        long_ago_unlocked(house, bought.order_id, unlocked)
        house.run(reconciler.reconcile, house.till)
        assert house.payment(bought.order_id).refunded_amount == 3000
        if cashier.pg == "toss":
            body = {"cancelReason": "콘솔", "cancelAmount": 4000}
            url = f"/toss/v1/payments/{bought.payment_key}/cancel"
            sandbox.http.post(url, auth=("test_sk_sandbox", ""), json=body).raise_for_status()
            house.run(settlement.settle, house.till, bought.order_id, "reconciler")
            assert house.payment(bought.order_id).refunded_amount == 7000
    assert unlocked == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_payment_that_somebody_holds_locked_keeps_no_other_waiting(
    house: House, buyer: Visitor, other: Visitor, cashier: Cashier
) -> None:
    """Those that are paid at one moment are one transaction, which must not wait for a lock of one of them."""
    held, free = cashier.authenticate(buyer), cashier.authenticate(other)
    names = parse_qs(urlsplit(held.back).query), parse_qs(urlsplit(free.back).query)
    queries = [{name: values[0] for name, values in its.items()} for its in names]

    async def story() -> str:
        async with house.till.db.write() as session:
            await find(session, held.order_id, lock=True)
            waits = asyncio.create_task(payments.come_back(house.till, held.order_id, queries[0]))
            paid = await asyncio.wait_for(payments.come_back(house.till, free.order_id, queries[1]), 10)
            assert (paid.status, waits.done()) == ("completed", False)
        return (await waits).status

    assert house.run(story) == "completed"


def long_ago_unlocked(house: House, order_id: str, unlocked: list[str]) -> None:
    """The test's own hand is not looked at."""
    before = list(unlocked)
    long_ago(house, order_id)
    unlocked[:] = before
