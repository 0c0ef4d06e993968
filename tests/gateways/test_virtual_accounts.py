"""What every gateway with virtual accounts must keep, against the pretend PG on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import httpx
import pytest

from app.clock import now
from app.config import read_settings
from app.gateways import Declined, Gateway, InDoubt, Receipt, RefundAccount, load
from app.main import http_client
from app.models import Payment
from tests.gateways.rows import payment, refund
from tests.gateways.test_contract import BACK, BUYERS, PATIENCE, Counter, keep
from tests.sandboxes import Sandbox

load(read_settings({}), httpx.AsyncClient())  # imports, and so registers, them all
WITH_ACCOUNTS = sorted(kind.name for kind in Gateway.registry if kind.banks)


@pytest.fixture(params=WITH_ACCOUNTS)
async def counter(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[Counter]:
    buyer = BUYERS[request.param]
    settings = read_settings(buyer.settings(sandbox.url) | {"PG_TIMEOUT": str(PATIENCE)})
    async with http_client(settings) as client:
        yield Counter(load(settings, client)[request.param], buyer, sandbox)


async def issue(counter: Counter) -> tuple[Payment, Receipt]:
    """An account for our order, and what the PG says of it."""
    gateway = counter.gateway
    method = next(key for key in gateway.methods if "virtual_account" in key)
    order = payment(gateway=gateway.name, payment_method=method)
    step = await gateway.start(order, BACK)
    keep(order, step, gateway.handed(await asyncio.to_thread(counter.buyer.act, counter.sandbox, step, "pay")))
    receipt = await gateway.confirm(order)
    order.pg_transaction_id = receipt.transaction_id
    order.status = order.status.WAITING
    return order, receipt


def pay_in(counter: Counter, order: Payment) -> bool:
    """Does the bank take it?"""
    return counter.sandbox.http.post(f"/{counter.gateway.name}/_deposit/{order.order_id}", json={}).is_success


async def test_the_account_says_where_and_until_when(counter: Counter) -> None:
    order, receipt = await issue(counter)
    assert receipt.status == "waiting"
    assert receipt.account
    assert receipt.account.bank in counter.gateway.banks
    assert receipt.account.number
    assert receipt.account.due
    assert receipt.account.due.utcoffset() == timedelta(0)
    assert now() < receipt.account.due < now() + timedelta(days=90)
    assert await counter.gateway.find(order) == receipt
    assert counter.moved(order) == (0, 0)


async def test_a_deposit_is_a_payment(counter: Counter) -> None:
    order, _ = await issue(counter)
    assert pay_in(counter, order)
    receipt = await counter.gateway.find(order)
    assert (receipt.status, receipt.paid, receipt.left) == ("paid", 10_000, 10_000)
    assert counter.moved(order) == (10_000, 0)


async def test_a_deposit_goes_back_only_to_an_account(counter: Counter) -> None:
    order, _ = await issue(counter)
    pay_in(counter, order)
    with pytest.raises((Declined, InDoubt)):
        await counter.gateway.cancel(order, refund(1), 10_000)
    assert counter.moved(order) == (10_000, 0)
    account = RefundAccount(counter.gateway.banks[0], "110123456789", "김찐")
    left = 10_000
    for number, amount in ((2, 4_000), (3, 6_000)):
        receipt = await counter.gateway.cancel(order, refund(number, amount), left, account)
        left -= amount
        assert receipt.left == left
    assert counter.moved(order) == (10_000, 10_000)


async def test_a_missed_deadline_is_told_when_it_is_asked_for(counter: Counter) -> None:
    order, _ = await issue(counter)
    counter.sandbox.advance(timedelta(days=91).total_seconds())
    assert (await counter.gateway.find(order)).status in ("expired", "canceled")
    assert not pay_in(counter, order)
    assert counter.moved(order) == (0, 0)


async def test_before_the_deposit_the_account_is_closed_and_takes_nothing(counter: Counter) -> None:
    order, _ = await issue(counter)
    assert (await counter.gateway.withdraw(order)).status == "canceled"
    assert (await counter.gateway.find(order)).status == "canceled"
    assert not pay_in(counter, order)
    assert counter.moved(order) == (0, 0)


async def test_after_the_deposit_it_cannot_be_closed_any_more(counter: Counter) -> None:
    order, _ = await issue(counter)
    pay_in(counter, order)
    with suppress(Declined, InDoubt):
        assert (await counter.gateway.withdraw(order)).status == "paid"
    assert counter.moved(order) == (10_000, 0)
