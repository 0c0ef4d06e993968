"""What every gateway must keep, against the pretend PG on a real socket. A new gateway adds one entry to BUYERS."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from app.clock import now
from app.config import read_settings
from app.gateways import RETURN, Declined, Gateway, Handed, InDoubt, Receipt, Redirect, Window, load
from app.main import http_client
from app.models import Payment, Refund
from tests.gateways.rows import payment, refund
from tests.sandboxes import Sandbox

BACK = "http://testserver/payments/A/return"
PATIENCE = 5.0  # seconds for one call: the sandbox answers in milliseconds, a busy machine does not
IMPATIENCE = 0.6  # where no answer will come

Query = Mapping[str, str]
Next = Redirect | Window


@dataclass(frozen=True)
class Buyer:
    """A person at one PG's window, and the keys without which that PG is not there."""

    settings: Callable[[str], dict[str, str]]
    """By the sandbox's URL."""
    act: Callable[[Sandbox, Next, str], Query]
    """Opens the window and does one of: pay, decline (the PG will say no when we confirm), close."""
    look: Callable[[Sandbox, Next], object]
    """Opens the window and does nothing yet."""
    switches: Mapping[str, Any] = field(default_factory=dict)
    """Of the sandbox, without which this PG has nothing to confirm, or nothing to sign with."""
    is_told: bool = True
    """The PG sends webhooks."""


def toss_settings(url: str) -> dict[str, str]:
    return {
        "TOSS_CLIENT_KEY": "test_ck_contract",
        "TOSS_SECRET_KEY": "test_sk_contract",
        "TOSS_API_URL": f"{url}/toss",
        "TOSS_SDK_URL": f"{url}/toss/v2/standard",
    }


def at_toss(sandbox: Sandbox, step: Next, deed: str) -> Query:
    assert isinstance(step, Window)
    button = {"pay": "authenticate", "decline": "over-limit", "close": "close"}[deed]
    back = sandbox.press(sandbox.open(step.steps, windowTarget="self"), button)
    assert back.startswith(BACK)
    return dict(parse_qsl(urlsplit(back).query))


def look_at_toss(sandbox: Sandbox, step: Next) -> object:
    assert isinstance(step, Window)
    return sandbox.open(step.steps)


def kakaopay_settings(url: str) -> dict[str, str]:
    secret = "DEV" + "CONTRACT00" * 3 + "CONTRAC"
    return {"KAKAOPAY_SECRET_KEY": secret, "KAKAOPAY_CID": "TC0ONETIME", "KAKAOPAY_API_URL": f"{url}/kakaopay"}


def at_kakaopay(sandbox: Sandbox, step: Next, deed: str) -> Query:
    look_at_kakaopay(sandbox, step)
    button = {"pay": "authenticate", "decline": "over-limit", "close": "quit"}[deed]
    back = sandbox.press(str(step.transaction_id), button, "kakaopay")
    assert back.startswith(BACK)
    return dict(parse_qsl(urlsplit(back).query))


WHSEC = "whsec_b3VyIHNlY3JldCBvZiB0aGlzIGNvbnRyYWN0"


def portone_settings(url: str) -> dict[str, str]:
    return {
        "PORTONE_STORE_ID": "store-of-the-contract",
        "PORTONE_CHANNEL_KEY": "channel-key-of-the-contract",
        "PORTONE_API_SECRET": "secret-of-the-contract",
        "PORTONE_WEBHOOK_SECRET": WHSEC,
        "PORTONE_API_URL": f"{url}/portone",
        "PORTONE_SDK_URL": f"{url}/portone/v2/browser-sdk.js",
    }


def look_at_portone(sandbox: Sandbox, step: Next) -> str:
    assert isinstance(step, Window)
    ((name, request),) = step.steps
    assert name == "PortOne.requestPayment"
    sandbox.http.put("/_settings", json={"portone_webhook_secrets": WHSEC}).raise_for_status()
    answer = sandbox.http.post("/portone/_open", json=request).raise_for_status()
    return str(answer.json()["paymentKey"])


def at_portone(sandbox: Sandbox, step: Next, deed: str) -> Query:
    button = {"pay": "authenticate", "decline": "over-limit", "close": "close"}[deed]
    answer = sandbox.http.post(f"/portone/_window/{look_at_portone(sandbox, step)}/{button}")
    back = answer.headers["location"]
    assert back.startswith(BACK)
    return dict(parse_qsl(urlsplit(back).query))


def portone_v1_settings(url: str) -> dict[str, str]:
    return {
        "PORTONE_V1_IMP_KEY": "key-of-the-contract",
        "PORTONE_V1_IMP_SECRET": "secret-of-the-contract",
        "PORTONE_V1_IMP_CODE": "imp00000000",
        "PORTONE_V1_CHANNEL_KEY": "channel-key-of-the-contract",
        "PORTONE_V1_API_URL": f"{url}/portone_v1",
        "PORTONE_V1_SDK_URL": f"{url}/portone_v1/v1/iamport.js",
    }


def look_at_portone_v1(sandbox: Sandbox, step: Next) -> str:
    assert isinstance(step, Window)
    (_, code), (name, request, told) = step.steps
    assert (name, told) == ("IMP.request_pay", RETURN)
    asked = request | {"impCode": code, "windowTarget": "iframe"}
    return str(sandbox.http.post("/portone_v1/_open", json=asked).raise_for_status().json()["paymentKey"])


def at_portone_v1(sandbox: Sandbox, step: Next, deed: str) -> Query:
    """On a PC: the callback is told, and takes it to the return URL as it is."""
    button = {"pay": "authenticate", "decline": "over-limit", "close": "close"}[deed]
    answer = sandbox.http.post(f"/portone_v1/_window/{look_at_portone_v1(sandbox, step)}/{button}", json={})
    told: dict[str, str] = answer.raise_for_status().json()["result"]
    return told


def look_at_kakaopay(sandbox: Sandbox, step: Next) -> object:
    assert isinstance(step, Redirect)
    page = sandbox.http.get(step.url).raise_for_status()
    assert f"/_window/{step.transaction_id}/" in page.text
    return page


BUYERS = {
    "toss": Buyer(toss_settings, at_toss, look_at_toss),
    "kakaopay": Buyer(kakaopay_settings, at_kakaopay, look_at_kakaopay, is_told=False),
    "portone": Buyer(portone_settings, at_portone, look_at_portone, {"portone_manual_confirm": True}),
    "portone_v1": Buyer(portone_v1_settings, at_portone_v1, look_at_portone_v1),
}


def test_every_gateway_there_is_keeps_this_contract() -> None:
    load(read_settings({}), httpx.AsyncClient())  # imports, and so registers, them all
    assert {kind.name for kind in Gateway.registry} == set(BUYERS)


def keep(order: Payment, step: Next, handed: Handed) -> None:
    """What the core writes down of a window, and of the way back from it."""
    order.pg_transaction_id = handed.transaction_id or step.transaction_id
    order.pg_token = handed.token


@dataclass(frozen=True)
class Counter:
    """One gateway, a buyer who knows its window, and the sandbox that tells what really moved."""

    gateway: Gateway
    buyer: Buyer
    sandbox: Sandbox

    async def order(self, deed: str = "pay", **changed: Any) -> tuple[Payment, Handed]:
        """A payment up to the moment the browser is back."""
        order = payment(gateway=self.gateway.name, payment_method=next(iter(self.gateway.methods)), **changed)
        step = await self.gateway.start(order, BACK)
        handed = self.gateway.handed(await asyncio.to_thread(self.buyer.act, self.sandbox, step, deed))
        keep(order, step, handed)
        return order, handed

    async def give_back(self, order: Payment, entry: Refund, left: int | None = None) -> Receipt:
        """`left`: what our books say the PG holds; by default what it really holds."""
        took, gave = self.moved(order)
        return await self.gateway.cancel(order, entry, took - gave if left is None else left)

    async def paid(self, **changed: Any) -> Payment:
        order, _ = await self.order(**changed)
        await self.gateway.confirm(order)
        order.status = order.status.COMPLETED
        return order

    def taken(self, order: Payment) -> int:
        """Whole won that a PG which charges in its window has taken before we ask."""
        return order.amount if self.gateway.charges_in_window and not order.pg_token else 0

    def spoil(self, call: str, kind: str, **more: Any) -> None:
        place = f"/_faults/{self.gateway.name}/{call}"
        self.sandbox.http.put(place, json={"kind": kind, **more}).raise_for_status()

    async def unanswered(self, call: str, answer: Awaitable[Receipt], **fault: Any) -> None:
        """The PG is asked, and says nothing that can be used."""
        self.spoil(call, **fault)
        client = self.gateway.client
        client.timeout = httpx.Timeout(IMPATIENCE if fault["kind"] == "timeout" else PATIENCE)
        with pytest.raises(InDoubt):
            await answer
        client.timeout = httpx.Timeout(PATIENCE)

    def moved(self, order: Payment) -> tuple[int, int]:
        """Whole won that the PG really took, and gave back."""
        book = self.sandbox.ledger(order.order_id)
        return book["charged"], book["refunded"]


@pytest.fixture(params=sorted(BUYERS))
async def counter(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[Counter]:
    buyer = BUYERS[request.param]
    settings = read_settings(buyer.settings(sandbox.url) | {"PG_TIMEOUT": str(PATIENCE)})
    if buyer.switches:
        sandbox.switch(**buyer.switches)
    async with http_client(settings) as client:
        yield Counter(load(settings, client)[request.param], buyer, sandbox)


# ── what it says of itself ───────────────────────────────────────────────────────────────────────────────────────────


async def test_it_introduces_itself_to_people(counter: Counter) -> None:
    gateway = counter.gateway
    assert gateway.name.isidentifier()
    assert gateway.name.islower()
    assert gateway.label
    assert gateway.methods
    assert all(method.label for method in gateway.methods.values())
    assert all(urlsplit(origin).netloc and not urlsplit(origin).path for origin in gateway.origins)
    assert gateway.sentence("A_CODE_OF_TOMORROW").endswith("주세요.")


# ── a purchase ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_buyer_comes_back_with_our_order(counter: Counter) -> None:
    order, handed = await counter.order()
    assert handed.transaction_id or handed.token
    assert handed.code is None
    assert handed.order_id in (None, order.order_id)
    assert handed.amount in (None, str(order.amount))
    assert counter.moved(order) == (counter.taken(order), 0), "nothing is taken before we confirm"


async def test_confirm_takes_our_amount_for_our_order(counter: Counter) -> None:
    order, _ = await counter.order(amount=7_900)
    receipt = await counter.gateway.confirm(order)
    assert (receipt.status, receipt.order_id, receipt.paid) == ("paid", order.order_id, 7_900)
    assert (receipt.currency, receipt.canceled) == ("KRW", ())
    assert receipt.transaction_id == order.pg_transaction_id
    assert counter.moved(order) == (7_900, 0)


async def test_a_repeated_confirm_brings_the_same_receipt_and_takes_nothing_more(counter: Counter) -> None:
    order, _ = await counter.order()
    first = await counter.gateway.confirm(order)
    assert await counter.gateway.confirm(order) == first
    assert counter.sandbox.ledger(order.order_id)["confirms"] == 1
    assert counter.moved(order) == (10_000, 0)


async def test_two_confirms_at_once_take_the_money_once(counter: Counter) -> None:
    order, _ = await counter.order()
    counter.spoil("confirm", "delay", seconds=0.1)
    answers = await asyncio.gather(*(counter.gateway.confirm(order) for _ in range(2)), return_exceptions=True)
    receipts = [answer for answer in answers if isinstance(answer, Receipt)]
    doubts = [answer for answer in answers if isinstance(answer, InDoubt)]
    assert {receipt.status for receipt in receipts} == {"paid"}
    assert len(receipts) + len(doubts) == 2
    assert counter.moved(order) == (10_000, 0)


async def test_find_tells_how_far_a_payment_has_come(counter: Counter) -> None:
    order = payment(gateway=counter.gateway.name, payment_method=next(iter(counter.gateway.methods)))
    assert (await counter.gateway.find(order)).status == "absent"
    step = await counter.gateway.start(order, BACK)
    await asyncio.to_thread(counter.buyer.look, counter.sandbox, step)
    assert (await counter.gateway.find(order)).status in ("absent", "open")
    back = await asyncio.to_thread(counter.buyer.act, counter.sandbox, step, "pay")
    keep(order, step, counter.gateway.handed(back))
    taken = ("paid",) if counter.taken(order) else ("absent", "open", "authenticated")
    assert (await counter.gateway.find(order)).status in taken
    receipt = await counter.gateway.confirm(order)
    assert await counter.gateway.find(order) == receipt


async def test_find_needs_no_more_than_what_we_knew_when_the_window_opened(counter: Counter) -> None:
    """The browser may never have brought the PG's number."""
    order = payment(gateway=counter.gateway.name, payment_method=next(iter(counter.gateway.methods)))
    step = await counter.gateway.start(order, BACK)
    back = await asyncio.to_thread(counter.buyer.act, counter.sandbox, step, "pay")
    keep(order, step, counter.gateway.handed(back))
    await counter.gateway.confirm(order)
    transaction, order.pg_transaction_id = order.pg_transaction_id, step.transaction_id
    found = await counter.gateway.find(order)
    assert (found.status, found.paid, found.transaction_id) == ("paid", 10_000, transaction)


async def test_a_declined_card_is_a_definite_no(counter: Counter) -> None:
    order, _ = await counter.order("decline")
    with pytest.raises(Declined) as raised:
        await counter.gateway.confirm(order)
    assert raised.value.why == "declined"
    assert counter.gateway.sentence(raised.value.code)
    assert counter.moved(order) == (0, 0)
    assert (await counter.gateway.find(order)).status in ("failed", "absent")


async def test_a_closed_window_is_no_payment(counter: Counter) -> None:
    order, handed = await counter.order("close")
    assert handed.transaction_id is None
    assert handed.code in counter.gateway.canceled_codes
    assert counter.moved(order) == (0, 0)


async def test_a_transaction_nobody_knows_is_declined(counter: Counter) -> None:
    order, _ = await counter.order()
    order.pg_transaction_id = "T0000000000"
    with pytest.raises(Declined):
        await counter.gateway.confirm(order)
    assert counter.moved(order) == (counter.taken(order), 0)


async def test_a_transaction_cannot_pay_another_order(counter: Counter) -> None:
    """The same amount, so that only the order tells them apart."""
    one, _ = await counter.order()
    another, _ = await counter.order()
    another.pg_transaction_id = one.pg_transaction_id
    with pytest.raises(Declined):
        await counter.gateway.confirm(another)
    assert counter.moved(one) == (counter.taken(one), 0)
    assert counter.moved(another) == (counter.taken(another), 0)


# ── giving back ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_part_and_then_the_rest_go_back(counter: Counter) -> None:
    order = await counter.paid()
    part = await counter.give_back(order, refund(1, amount=4_000))
    assert (part.status, part.paid) == ("paid", 10_000)
    assert [back.amount for back in part.canceled] == [4_000]
    rest = await counter.give_back(order, refund(2, amount=6_000))
    assert sorted(back.amount for back in rest.canceled) == [4_000, 6_000]
    assert len({back.transaction_id for back in rest.canceled}) == 2
    assert part.canceled[0] in rest.canceled, "a refund keeps its number"
    assert counter.moved(order) == (10_000, 10_000)
    assert sum(back.amount for back in (await counter.gateway.find(order)).canceled) == 10_000


async def test_a_whole_payment_goes_back_at_once(counter: Counter) -> None:
    order = await counter.paid()
    receipt = await counter.give_back(order, refund(amount=10_000))
    assert (receipt.paid, [back.amount for back in receipt.canceled]) == (10_000, [10_000])
    assert counter.moved(order) == (10_000, 10_000)


async def test_a_repeated_refund_pays_out_once(counter: Counter) -> None:
    order, entry = await counter.paid(), refund(1, amount=4_000)
    first = await counter.give_back(order, entry, 10_000)
    assert await counter.give_back(order, entry, 10_000) == first
    assert counter.moved(order) == (10_000, 4_000)


async def test_two_refunds_of_one_amount_are_two(counter: Counter) -> None:
    order = await counter.paid()
    for number in (1, 2):
        await counter.give_back(order, refund(number, amount=4_000))
    assert counter.moved(order) == (10_000, 8_000)


async def test_more_than_is_left_is_declined(counter: Counter) -> None:
    order = await counter.paid()
    await counter.give_back(order, refund(1, amount=4_000))
    with pytest.raises(Declined):
        await counter.give_back(order, refund(2, amount=6_001))
    assert counter.moved(order) == (10_000, 4_000)


async def book(counter: Counter, order: Payment) -> list[int]:
    """The PG's lines about one order, as amounts; where there is no list, its answer about the order stands for it."""
    if not counter.gateway.keeps_book:
        found = await counter.gateway.find(order)
        return sorted(amount for amount in (found.paid, *(-back.amount for back in found.canceled)) if amount)
    since, until = now() - timedelta(minutes=5), now() + timedelta(minutes=5)
    lines = [line async for line in counter.gateway.movements(since, until)]
    assert len({line.transaction_id for line in lines}) == len(lines)
    assert all(since <= line.at <= until for line in lines)
    return sorted(line.amount for line in lines if line.order_id == order.order_id)


async def test_its_book_has_a_line_for_every_movement(counter: Counter) -> None:
    order = await counter.paid()
    assert await book(counter, order) == [10_000]
    await counter.give_back(order, refund(1, amount=4_000))
    await counter.give_back(order, refund(2, amount=6_000))
    assert await book(counter, order) == [-6_000, -4_000, 10_000]


async def test_its_book_has_no_line_for_money_that_did_not_move(counter: Counter) -> None:
    order, _ = await counter.order("decline")
    with pytest.raises(Declined):
        await counter.gateway.confirm(order)
    assert await book(counter, order) == []


async def test_its_book_has_only_the_time_asked_for(counter: Counter) -> None:
    early = now() - timedelta(hours=2)
    if not counter.gateway.keeps_book:  # then nobody may take its silence for an empty book
        with pytest.raises(NotImplementedError):
            counter.gateway.movements(early, now())
        return
    await counter.paid()
    assert [line async for line in counter.gateway.movements(early, early + timedelta(hours=1))] == []


# ── silence ──────────────────────────────────────────────────────────────────────────────────────────────────────────

SILENCES: list[dict[str, Any]] = [
    {"kind": "timeout", "seconds": 4},
    {"kind": "reset"},
    {"kind": "half_body"},
    {"kind": "html"},
    {"kind": "html", "status": 200},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
]


@pytest.fixture(params=SILENCES, ids=lambda silence: "-".join(str(value) for value in silence.values()))
def silence(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each way of not answering, in turn."""
    fault: dict[str, Any] = request.param
    return fault


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_confirm_without_an_answer_is_in_doubt_and_its_repeat_takes_the_money_once(
    counter: Counter, silence: dict[str, Any], when: str
) -> None:
    order, _ = await counter.order()
    await counter.unanswered("confirm", counter.gateway.confirm(order), when=when, **silence)
    assert counter.moved(order) == (10_000 if when == "after" else counter.taken(order), 0)
    assert (await counter.gateway.confirm(order)).status == "paid"
    assert counter.moved(order) == (10_000, 0)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_refund_without_an_answer_is_in_doubt_and_its_repeat_pays_out_once(
    counter: Counter, silence: dict[str, Any], when: str
) -> None:
    order, entry = await counter.paid(), refund(amount=4_000)
    await counter.unanswered("cancel", counter.give_back(order, entry, 10_000), when=when, **silence)
    assert counter.moved(order) == (10_000, 4_000 if when == "after" else 0)
    receipt = await counter.give_back(order, entry, 10_000)
    assert [back.amount for back in receipt.canceled] == [4_000]
    assert counter.moved(order) == (10_000, 4_000)


async def test_a_lookup_without_an_answer_is_in_doubt_not_absent(counter: Counter, silence: dict[str, Any]) -> None:
    order = await counter.paid()
    await counter.unanswered("find", counter.gateway.find(order), **silence)
    assert (await counter.gateway.find(order)).status == "paid"


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_its_own_webhook_names_our_order(counter: Counter) -> None:
    if not counter.buyer.is_told:
        await counter.paid()
        assert counter.sandbox.http.get("/_webhooks").json() == []
        assert counter.gateway.hear({}, b"{}") is None
        return
    nobody = {f"{counter.gateway.name}_webhook_url": f"{counter.sandbox.url}/nobody"}
    counter.sandbox.http.put("/_settings", json=nobody).raise_for_status()
    order = await counter.paid()
    deliveries = await asyncio.to_thread(sent, counter.sandbox)
    for delivery in deliveries:
        heard = counter.gateway.hear(delivery["attempts"][0]["headers"], delivery["body"].encode())
        assert heard
        assert heard.order_id == order.order_id


def sent(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The webhooks, once all have left."""
    while True:
        found: list[dict[str, Any]] = sandbox.http.get("/_webhooks").raise_for_status().json()
        if found and all(delivery["attempts"] for delivery in found):
            return found
        time.sleep(0.01)
