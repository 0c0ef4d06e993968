"""Don't know is a state with a way out, and what we cannot deliver is given back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import anyio
import pytest
import time_machine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import payments, receipts, reconciler, refunds, settlement
from app.clock import now
from app.folder import Folder
from app.gateways import Cancellation, InDoubt, Receipt
from app.gateways.toss import Toss
from app.models import CHECK_AFTER, Event, Payment, Purchase, Status
from app.till import LAST_LOOK, find
from tests import story
from tests.conftest import EVERY_CONFIRM, EVERY_WINDOW, Cashier, Checkout, House, Visitor
from tests.fragments import assert_page
from tests.sandboxes import Sandbox
from tests.test_locks import read_unlocked


def set_to(house: House, order_id: str, **facts: object) -> None:
    """Write columns that no page can."""

    async def write(session: AsyncSession) -> None:
        payment = await find(session, order_id)
        for name, value in facts.items():
            setattr(payment, name, value)

    house.change(write)


def due(house: House, order_id: str) -> None:
    set_to(house, order_id, next_check_at=now() - timedelta(seconds=1), checked_at=None)


def paid(payment: Payment, **changed: object) -> Receipt:
    known: dict[str, object] = {
        "status": "paid",
        "order_id": payment.order_id,
        "transaction_id": payment.pg_transaction_id or "key",
        "paid": payment.amount,
    }
    return Receipt(**(known | changed))  # type: ignore[arg-type]


def test_questions_grow_apart_and_never_end(house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox) -> None:
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "status", status=500, when="after")
    buyer.get(checkout.back)
    sandbox.fault("find", "status", status=503, times=None)
    pauses = []
    for _ in range(len(CHECK_AFTER) + 3):
        due(house, checkout.order_id)
        house.run(reconciler.reconcile, house.till)
        payment = house.payment(checkout.order_id)
        assert payment.status == "in_doubt"
        assert payment.next_check_at
        pauses.append(round((payment.next_check_at - now()).total_seconds()))
    assert pauses == sorted(pauses)
    assert pauses[0] <= CHECK_AFTER[1]
    assert pauses[-1] == CHECK_AFTER[-1]


@EVERY_WINDOW
def test_what_a_forgotten_window_takes_comes_back_though_nobody_tells_of_it(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """The order ended in one window and was paid in another: no webhook, and nobody returns."""
    checkout = cashier.order(buyer)
    one, another = cashier.open(buyer, checkout), cashier.open(buyer, checkout)
    buyer.get(cashier.press(one, "close").back)
    assert house.payment(checkout.order_id).status == "canceled"
    cashier.press(another)
    assert sandbox.total()["charged"] == 10_000
    looked_at(house, checkout.order_id, early=timedelta(minutes=1))
    assert house.payment(checkout.order_id).paid_amount == 0
    looked_at(house, checkout.order_id)
    assert house.payment(checkout.order_id).status == "refunded"
    assert sandbox.total()["refunded"] == 10_000


@EVERY_WINDOW
def test_a_payment_that_is_slower_by_a_moment_is_given_back(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two windows took money for one prompt; while the second looks whether it is owned, the first unlocks it."""
    first, second = cashier.authenticate(buyer), cashier.authenticate(buyer)
    assert buyer.get(first.back).status_code == 303
    looked: list[Purchase | None] = []

    def owned(folder: Folder) -> Purchase | None:
        looked.append(next(iter(folder.purchases), None))
        return None if len(looked) == 1 else looked[-1]

    monkeypatch.setattr(Folder, "owned", property(owned))
    assert buyer.get(second.back).status_code == 303
    assert len(looked) == 2
    assert house.payment(second.order_id).status == "refunded"
    total = sandbox.total()
    assert (total["charged"], total["refunded"]) == (20_000, 10_000)


@EVERY_WINDOW
def test_an_order_that_nobody_paid_is_looked_at_once_more_and_then_rests(
    house: House, buyer: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.authenticate(buyer, button="close")
    buyer.get(checkout.back)
    looked_at(house, checkout.order_id)
    payment = house.payment(checkout.order_id)
    assert (payment.status, payment.next_check_at) == ("canceled", None)


def looked_at(house: House, order_id: str, early: timedelta = timedelta()) -> None:
    """The reconciler's pass when the last window has closed, or so much sooner."""
    with time_machine.travel(house.payment(order_id).created_at + LAST_LOOK - early, tick=True):
        house.run(reconciler.reconcile, house.till)


def test_two_workers_that_overlap_ask_the_pg_once(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer))
    due(house, checkout.order_id)

    async def both() -> None:
        async with anyio.create_task_group() as workers:
            for _ in range(5):
                workers.start_soon(reconciler.reconcile, house.till)

    house.run(both)
    assert sandbox.ledger(checkout.order_id)["find_calls"] == 1


def test_a_silent_pg_is_asked_by_scouts_only_and_one_answer_brings_all_the_others(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    order_ids = [cashier.order(buyer).order_id for _ in range(reconciler.SCOUTS + 4)]
    for order_id in order_ids:
        due(house, order_id)
    sandbox.fault("find", "reset", times=None)
    for _ in range(2):
        house.run(reconciler.reconcile, house.till)
    assert sum(house.payment(order_id).checks for order_id in order_ids) == 2 * reconciler.SCOUTS

    sandbox.reset()
    for order_id in order_ids[:-1]:
        set_to(house, order_id, checked_at=now() - timedelta(minutes=1))
    house.till.stir.clear()
    house.run(reconciler.reconcile, house.till)
    assert house.till.stir.is_set(), "the next pass must not be slept over"
    house.run(reconciler.reconcile, house.till)
    assert not any(house.payment(order_id).awaiting_answer for order_id in order_ids)


UNSURE = {"toss": "PROVIDER_ERROR", "kakaopay": "-783", "portone": "A_TYPE_OF_TOMORROW"}


@pytest.mark.parametrize("accident", ["code", "reset", "status"])
@EVERY_CONFIRM
def test_a_doubt_is_looked_at_before_its_time_only_when_the_pg_kept_silent(
    house: House, buyer: Visitor, member: Visitor, cashier: Cashier, accident: str
) -> None:
    """An answer that leaves a doubt says the same a moment later."""
    doubt, other = cashier.authenticate(buyer), cashier.order(member)
    cashier.fault("confirm", accident, **({"code": UNSURE[cashier.pg]} if accident == "code" else {"status": 503}))
    buyer.get(doubt.back)
    assert house.payment(doubt.order_id).status == "in_doubt"
    long_ago, later = now() - timedelta(minutes=1), now() + timedelta(minutes=1)
    silent = accident != "code"

    set_to(house, doubt.order_id, checked_at=long_ago, next_check_at=later)
    due(house, other.order_id)
    house.run(reconciler.reconcile, house.till)
    assert (house.payment(doubt.order_id).next_check_at != later) is silent, "when the PG speaks of another"
    set_to(house, doubt.order_id, next_check_at=later)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(doubt.order_id).checks == silent, "when nothing else is due"


@pytest.mark.parametrize("took", [100, 9_999, 10_001, 1_000_000])
def test_another_amount_at_the_pg_unlocks_nothing_and_is_given_back_once(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, took: int
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer), amount={"currency": "KRW", "value": took})
    cashier.press(checkout)
    body = {"paymentKey": checkout.payment_key, "orderId": checkout.order_id, "amount": took}
    sandbox.http.post("/toss/v1/payments/confirm", auth=("test_sk_sandbox", ""), json=body).raise_for_status()

    for _ in range(2):
        house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert house.purchases(checkout.order_id) == []
    kept = house.payment(checkout.order_id)
    assert (kept.paid_amount, kept.refunded_amount) == (took, took), "what the PG took is kept as evidence"
    [refund] = house.refunds(checkout.order_id)
    assert (refund.amount, refund.status, kept.status) == (took, "done", "refunded")
    assert "주문과 달라" in refund.reason
    assert sandbox.ledger(checkout.order_id)["refunded"] == took
    assert story.BODY not in buyer.get(checkout.path).text


@pytest.mark.parametrize("lie", [{"order_id": "x" * 24}, {"currency": "USD"}])
def test_another_order_or_currency_at_the_pg_is_a_doubt(
    house: House, buyer: Visitor, cashier: Cashier, lie: dict[str, str]
) -> None:
    checkout = cashier.order(buyer)
    payment = house.payment(checkout.order_id)
    house.run(receipts.write, house.till, payment.order_id, paid(payment, **lie), "webhook")
    assert house.payment(checkout.order_id).status == "pending", "before we asked for money it says nothing of ours"
    set_to(house, checkout.order_id, status=Status.CONFIRMING)
    house.run(receipts.write, house.till, payment.order_id, paid(payment, **lie), "webhook")
    assert house.payment(checkout.order_id).failure_code == "ORDER_MISMATCH"
    assert house.payment(checkout.order_id).status == "in_doubt"
    assert house.purchases(checkout.order_id) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("refunded", [False, True])
@pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "code", "code": "ALREADY_PROCESSED_PAYMENT"}])
def test_a_key_of_another_order_decides_nothing_and_the_doubt_ends_with_the_window(
    house: House,
    buyer: Visitor,
    admin: Visitor,
    cashier: Cashier,
    sandbox: Sandbox,
    fault: dict[str, str],
    refunded: bool,
) -> None:
    """From the buyer's own address bar; and the PG's no to it got lost."""
    theirs, ours = cashier.buy(buyer), cashier.authenticate(buyer, story.DISCOUNTED)
    if refunded:
        cashier.refund(admin, theirs)
    cashier.fault("confirm", **fault)
    buyer.get(ours.back.replace(ours.payment_key, theirs.payment_key))
    due(house, ours.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(ours.order_id).status == "in_doubt"

    due(house, ours.order_id)
    set_to(house, ours.order_id, claimed_at=now() - timedelta(minutes=46))
    house.run(reconciler.reconcile, house.till)
    payment = house.payment(ours.order_id)
    assert (payment.status, payment.paid_amount, payment.next_check_at) == ("expired", 0, None)
    assert "돌려드렸습니다" not in assert_page(buyer.get(ours.path), "결제되지 않았습니다").get_text()
    assert house.payment(cashier.buy(buyer, story.DISCOUNTED).order_id).status == "completed"
    assert sandbox.ledger(ours.order_id)["charged"] == 0


@pytest.mark.parametrize("closed", [Status.EXPIRED, Status.FAILED])
def test_money_that_arrives_late_opens_the_prompt(
    house: House, buyer: Visitor, cashier: Cashier, closed: Status
) -> None:
    checkout = cashier.order(buyer)
    set_to(house, checkout.order_id, status=closed)
    payment = house.payment(checkout.order_id)
    house.run(receipts.write, house.till, payment.order_id, paid(payment), "webhook")
    assert_page(buyer.get(checkout.path), story.BODY)


def test_money_for_an_order_canceled_here_is_given_back(house: House, buyer: Visitor, cashier: Cashier) -> None:
    checkout = cashier.order(buyer)
    buyer.get(f"{checkout.path}/return?code=USER_CANCEL")
    payment = house.payment(checkout.order_id)
    house.run(receipts.write, house.till, payment.order_id, paid(payment), "webhook")
    assert house.purchases(checkout.order_id) == []
    assert [refund.reason for refund in house.refunds(checkout.order_id)] == ["취소한 주문이라 자동 환불"]


def test_nobody_asks_before_the_time_has_come_nor_about_what_is_at_rest(
    house: House, buyer: Visitor, member: Visitor, cashier: Cashier
) -> None:
    rested, young = cashier.buy(buyer), cashier.order(member)
    set_to(house, young.order_id, created_at=now() - timedelta(seconds=30))
    for checkout in (rested, young):
        before = house.payment(checkout.order_id)
        assert house.run(settlement.lease, house.till, checkout.order_id, "reconciler") is False
        assert house.payment(checkout.order_id).checks == before.checks


def test_a_question_about_a_doubt_stands_in_the_timeline(house: House, buyer: Visitor, cashier: Cashier) -> None:
    checkout = cashier.authenticate(buyer)
    cashier.fault("confirm", "reset", when="before")
    buyer.get(checkout.back)
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.kinds(checkout.order_id) == ["created", "claimed", "doubted", "checked", "completed"]


@pytest.mark.parametrize(("minutes", "status"), [(44.9, "pending"), (45.1, "expired")])
def test_a_window_that_nobody_came_back_from_is_over_after_45_minutes(
    house: House, buyer: Visitor, cashier: Cashier, minutes: float, status: str
) -> None:
    checkout = cashier.order(buyer)
    set_to(house, checkout.order_id, created_at=now() - timedelta(minutes=minutes))
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert house.payment(checkout.order_id).status == status


def test_a_won_that_the_pg_still_holds_opens_the_prompt(house: House, buyer: Visitor, cashier: Cashier) -> None:
    """Its console gave the rest back before we heard of the payment: whoever wanted it closed gives all of it."""
    payment = house.payment(cashier.order(buyer).order_id)
    most = paid(payment, canceled=(Cancellation("console", 9_999),))
    house.run(receipts.write, house.till, payment.order_id, most, "webhook")
    assert len(house.purchases(payment.order_id)) == 1


def test_a_refund_is_due_before_the_pg_is_asked_and_soon_when_it_is_silent(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    """A process that dies in between leaves the row to the reconciler, not before its own call may have an answer."""
    checkout = cashier.buy(buyer)
    seen = list[Payment]()

    async def silent(*_: object) -> Receipt:
        async with house.till.db.read() as session:
            seen.append(await find(session, checkout.order_id))
        raise InDoubt("NO_ANSWER")

    with patch.object(Toss, "cancel", silent):
        cashier.refund(admin, checkout, amount="3000")
    [row] = seen
    soon = timedelta(seconds=2)
    assert row.awaiting_answer
    assert row.next_check_at == pytest.approx(now() + timedelta(seconds=house.till.settle_after), abs=soon)
    after = house.payment(checkout.order_id)
    assert after.awaiting_answer
    assert after.next_check_at == pytest.approx(now() + timedelta(seconds=CHECK_AFTER[0]), abs=soon)
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    rested = house.payment(checkout.order_id)
    assert (rested.awaiting_answer, rested.next_check_at, rested.refunded_amount) == (False, None, 3_000)


def test_a_not_now_to_a_first_request_ends_it_and_it_can_be_pressed_again(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """Nothing was on its way before it, so that the no is the whole truth."""
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "code", code="NOT_AVAILABLE_BANK")
    cashier.refund(admin, checkout, amount="3000")
    assert [entry.status for entry in house.refunds(checkout.order_id)] == ["failed"]
    cashier.refund(admin, checkout, amount="3000")
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3_000


@pytest.fixture
def undeliverable(house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox) -> Callable[..., Checkout]:
    """Paid for a prompt that they own by now, and the request to give it back goes wrong as told."""

    def pay(kind: str, **more: Any) -> Checkout:
        first, second = cashier.authenticate(buyer), cashier.authenticate(buyer)
        buyer.get(first.back)
        sandbox.fault("cancel", kind, **more)
        set_to(house, second.order_id, status=Status.CONFIRMING, pg_transaction_id=second.payment_key)
        house.run(payments.ask_to_confirm, house.till, house.payment(second.order_id), "reconciler")
        assert [(owed.amount, owed.status) for owed in house.refunds(second.order_id)] == [(10_000, "in_doubt")]
        return second

    return pay


def test_a_no_of_the_pg_does_not_let_us_keep_what_we_cannot_deliver(
    house: House, undeliverable: Callable[..., Checkout], sandbox: Sandbox
) -> None:
    checkout = undeliverable("code", code="NOT_CANCELABLE_PAYMENT")
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert [owed.status for owed in house.refunds(checkout.order_id)] == ["done"]
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000


def test_what_the_console_left_of_it_is_asked_for_with_a_key_of_its_own(
    house: House, undeliverable: Callable[..., Checkout], sandbox: Sandbox
) -> None:
    """The request for the whole may still be on its way: the PG would hold the second for a repeat of it."""
    checkout = undeliverable("reset", when="before")
    [whole] = house.refunds(checkout.order_id)
    console_cancels(sandbox, checkout, 4_000)
    with read_unlocked() as unlocked:
        for _ in range(2):
            house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert unlocked == []
    rest, console = house.refunds(checkout.order_id)
    assert [(entry.amount, entry.status) for entry in (rest, console)] == [(6_000, "done"), (4_000, "done")]
    assert rest.pg_key != whole.pg_key
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000


@pytest.mark.parametrize("parts", [(9_999,), (4_000, 6_000)])
def test_however_the_console_gave_it_back_nothing_that_we_cannot_deliver_is_kept(
    house: House, undeliverable: Callable[..., Checkout], sandbox: Sandbox, parts: tuple[int, ...]
) -> None:
    checkout = undeliverable("reset", when="before")
    for amount in parts:
        console_cancels(sandbox, checkout, amount)
    for _ in range(2):
        house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    done = [entry.amount for entry in house.refunds(checkout.order_id) if entry.status == "done"]
    assert sum(done) == sandbox.ledger(checkout.order_id)["refunded"] == 10_000
    assert house.payment(checkout.order_id).status == "refunded"


def test_what_the_console_gave_back_waits_for_the_doubt_that_holds_its_money(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "reset", when="before")
    cashier.refund(admin, checkout, amount="8000")
    console_cancels(sandbox, checkout, 4_000)
    payment = house.payment(checkout.order_id)
    receipt = house.run(house.till.gateway_for(payment).find, payment)
    house.run(refunds._adopt, house.till, payment, receipt.canceled[0], receipt, "reconciler")
    assert [entry.amount for entry in house.refunds(checkout.order_id)] == [8_000]
    assert house.payment(checkout.order_id).refunded_amount == 8_000


def test_whose_refund_was_the_last_stands_in_the_timeline(
    house: House, buyer: Visitor, operator: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.buy(buyer)
    cashier.refund(operator, checkout, amount="3000")
    cashier.refund(admin, checkout)
    [event] = house.rows(select(Event).where(col(Event.kind) == "refunded"))
    assert event.actor == story.ADMIN


def test_whoever_comes_late_changes_no_refund_that_is_over(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """Two that look into one book at once: under the lock the second finds everything written down."""
    checkout = cashier.buy(buyer)
    console_cancels(sandbox, checkout, 4_000)
    payment = house.payment(checkout.order_id)
    receipt = house.run(house.till.gateway_for(payment).find, payment)
    for _ in range(2):
        house.run(refunds._adopt, house.till, payment, receipt.canceled[0], receipt, "reconciler")
    [over] = house.refunds(checkout.order_id)
    house.run(refunds._owe_less, house.till, payment, over, replace(receipt, paid=4_001), "reconciler")
    assert house.refunds(checkout.order_id) == [over]
    assert house.payment(checkout.order_id).refunded_amount == over.amount == 4_000


def test_money_for_a_prompt_they_own_is_given_back_and_the_timeline_says_why(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    cashier.buy(buyer)

    async def second(session: AsyncSession) -> None:
        first = (await session.exec(select(Payment))).one()
        session.add(
            Payment(**first.model_dump(exclude={"id", "order_id", "status", "paid_amount"}), status=Status.PENDING)
        )

    house.change(second)
    payment = house.rows(select(Payment).where(col(Payment.status) == Status.PENDING))[0]
    house.run(receipts.write, house.till, payment.order_id, paid(payment), "reconciler")
    assert len(house.rows(select(Purchase))) == 1
    assert_page(admin.get(f"/admin/payments/{payment.order_id}"), "이미 보유한 상품이라 자동 환불")


@pytest.mark.parametrize(("minutes", "closed"), [(44, False), (46, True)])
def test_an_order_is_closed_by_what_the_pg_said_after_its_time_not_by_what_is_written_down_after_it(
    house: House, buyer: Visitor, cashier: Cashier, minutes: int, closed: bool
) -> None:
    """A process that slept holds an answer from before the bank has decided."""
    checkout = cashier.authenticate(buyer)
    cashier.fault("confirm", "reset", when="before")
    buyer.get(checkout.back)
    payment = house.payment(checkout.order_id)
    assert payment.claimed_at
    said = paid(payment, status="open", paid=0, asked=payment.claimed_at + timedelta(minutes=minutes))
    with time_machine.travel(now() + timedelta(hours=1), tick=True):
        house.run(receipts.write, house.till, payment.order_id, said, "reconciler")
    assert house.payment(checkout.order_id).status == ("expired" if closed else "in_doubt")


@pytest.mark.parametrize("late", ["open", "authenticated", "failed", "expired", "canceled", "absent", "waiting"])
def test_a_late_event_never_downgrades_settled_money(house: House, buyer: Visitor, cashier: Cashier, late: str) -> None:
    checkout = cashier.buy(buyer)
    payment = house.payment(checkout.order_id)
    house.run(receipts.write, house.till, payment.order_id, paid(payment, status=late), "webhook")
    assert house.payment(checkout.order_id).status == "completed"
    assert_page(buyer.get(checkout.path), story.BODY)


def console_cancels(sandbox: Sandbox, checkout: Checkout, amount: int) -> None:
    sandbox.http.post(
        f"/toss/v1/payments/{checkout.payment_key}/cancel",
        auth=("test_sk_sandbox", ""),
        json={"cancelReason": "콘솔", "cancelAmount": amount},
    ).raise_for_status()


def test_what_the_pg_gave_back_in_its_own_console_becomes_our_refund(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    console_cancels(sandbox, checkout, 4_000)
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert [(refund.amount, refund.reason) for refund in house.refunds(checkout.order_id)] == [(4000, "PG에서 취소됨")]

    console_cancels(sandbox, checkout, 6_000)
    house.run(settlement.settle, house.till, checkout.order_id, admin_email := story.ADMIN)
    assert house.payment(checkout.order_id).status == "refunded"
    assert house.refunds(checkout.order_id)[-1].requested_by == admin_email
    assert story.BODY not in buyer.get(f"/prompts/{story.PROMPT}").text


def test_two_refunds_of_one_amount_are_told_apart_by_the_pg_s_book(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    cashier.refund(admin, checkout, amount="3000")
    sandbox.fault("cancel", "reset", when="after")
    cashier.refund(admin, checkout, amount="3000")
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    done = house.refunds(checkout.order_id)
    assert [refund.status for refund in done] == ["done", "done"]
    assert len({refund.pg_transaction_id for refund in done}) == 2
    assert sandbox.ledger(checkout.order_id)["refunded"] == 6000


def test_while_a_refund_is_in_doubt_another_is_refused_with_the_reason(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "status", status=500, when="before")
    cashier.refund(admin, checkout, amount="3000")
    answer = cashier.refund(admin, checkout, amount="3000")
    assert answer.status_code == 409
    assert "앞선 환불의 결과를 확인하고 있습니다" in answer.text
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3000


def test_a_yes_that_the_pg_s_own_book_does_not_show_is_a_doubt(
    house: House, buyer: Visitor, cashier: Cashier, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = cashier.buy(buyer)
    payment = house.payment(checkout.order_id)

    async def hollow(self: Toss, payment: Payment, refund: object, left: int, account: object) -> Receipt:
        return paid(payment, canceled=(Cancellation("t", 1),))

    monkeypatch.setattr(Toss, "cancel", hollow)
    words = {"amount": 3000, "reason": "x", "key": "k", "by": "a"}
    _, refund = house.run(refunds.refund, house.till, payment.order_id, **words)
    assert (refund.status, refund.failure_code) == ("in_doubt", "REFUND_NOT_SHOWN")
    assert refund.attempt == 0, "with another key it could be given back twice"


def test_a_refund_that_died_before_the_pg_was_asked_is_taken_up(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = cashier.buy(buyer)

    async def die(*_: object) -> None:
        raise RuntimeError("the power went")

    with monkeypatch.context() as broken:
        broken.setattr(refunds, "send", die)
        with pytest.raises(RuntimeError):
            house.run(refunds.refund, house.till, checkout.order_id, amount=None, reason="x", key="k", by="a")
    assert house.payment(checkout.order_id).next_check_at, "the intent was committed with a time to come back"
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "refunded"
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_refund_under_way_outlives_the_loss_of_its_gateways_keys(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "reset")
    assert cashier.refund(admin, checkout).status_code == 202
    with monkeypatch.context() as lost:
        lost.delitem(house.till.gateways, "toss")
        due(house, checkout.order_id)
        house.run(reconciler.reconcile, house.till)
        assert house.refunds(checkout.order_id)[0].status == "in_doubt"
        assert_page(admin.get(f"/admin/payments/{checkout.order_id}"), "결과를 확인하고 있습니다")
        payment, entry = house.payment(checkout.order_id), house.refunds(checkout.order_id)[0]
        assert payment.next_check_at, "it is asked again"
        _, entry = house.run(refunds.send, house.till, payment, entry, repeat=True)
        assert entry.status == "in_doubt"
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(checkout.order_id).status == "refunded"
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000


def console_cancel(sandbox: Sandbox, payment_key: str, **body: object) -> None:
    """Somebody gives money back in the PG's own console."""
    url = f"/toss/v1/payments/{payment_key}/cancel"
    answer = sandbox.http.post(url, auth=("test_sk_sandbox", ""), json={"cancelReason": "콘솔"} | body)
    answer.raise_for_status()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_that_the_pg_has_bound_to_our_key_does_not_lock_the_refund(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox, when: str
) -> None:
    """Toss keeps an error for 15 days: the next attempt has a key of its own, and what Toss holds is its guard."""
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "code", code="FAILED_METHOD_HANDLING_CANCEL", when=when)
    cashier.refund(admin, checkout, amount="3000")
    (refund,) = house.refunds(checkout.order_id)
    assert (refund.status, refund.attempt) == ("in_doubt", 1)
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    (refund,) = house.refunds(checkout.order_id)
    assert (refund.status, refund.amount) == ("done", 3000)
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3000
    assert house.payment(checkout.order_id).next_check_at is None


def test_a_no_to_a_new_attempt_is_believed_only_after_a_look_into_the_book(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """The first request may have come through between our look and the second."""
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "code", code="FAILED_METHOD_HANDLING_CANCEL")
    cashier.refund(admin, checkout, amount="3000")
    payment, (refund,) = house.payment(checkout.order_id), house.refunds(checkout.order_id)
    console_cancel(sandbox, checkout.payment_key, cancelAmount=3000)
    sandbox.fault("cancel", "code", code="NOT_CANCELABLE_AMOUNT")
    house.run(refunds.send, house.till, payment, refund, repeat=True)
    assert [refund.status for refund in house.refunds(checkout.order_id)] == ["done"]
    assert house.payment(checkout.order_id).refunded_amount == 3000


def test_a_not_now_to_a_repeat_is_no_answer_to_the_first(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """The first request may still be on its way: were it taken for failed, a second press would pay twice."""
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "reset", when="before")
    cashier.refund(admin, checkout, amount="3000")
    sandbox.fault("cancel", "code", code="FORBIDDEN_CONSECUTIVE_REQUEST")
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert [refund.status for refund in house.refunds(checkout.order_id)] == ["in_doubt"]
    assert house.payment(checkout.order_id).refunded_amount == 3000, "still reserved"
    assert cashier.refund(admin, checkout, amount="3000").status_code == 409


@pytest.mark.parametrize(("code", "status"), [("NOT_AVAILABLE_BANK", "in_doubt"), ("REJECT_CARD_COMPANY", "failed")])
def test_a_repeated_confirm_believes_a_no_and_not_a_not_now(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, code: str, status: str
) -> None:
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "reset", when="before")
    buyer.get(checkout.back)
    sandbox.fault("confirm", "code", code=code)
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert house.payment(checkout.order_id).status == status


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_first_confirm_believes_a_not_now_too(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "code", code="NOT_AVAILABLE_BANK")
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == "failed", "nothing else was asked that could still be on its way"


@pytest.mark.parametrize(
    ("database_url", "at"), [("sqlite", "toss"), ("sqlite", "kakaopay"), ("sqlite", "portone_confirm")], indirect=True
)
def test_who_dies_while_the_pg_is_asked_leaves_a_row_that_waits_for_its_answer(
    house: House, buyer: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.authenticate(buyer)
    gateway = house.till.gateways[cashier.pg]
    before = now()
    assert (house.payment(checkout.order_id).next_check_at or before) > before, "the buyer has time to pay"

    async def die(_payment: Payment) -> Receipt:
        raise RuntimeError("the process dies")

    handed = gateway.handed(dict(parse_qsl(checkout.back.partition("?")[2])))
    brought = [replace(handed, token=None), handed] if cashier.confirm == "confirm" and cashier.pg == "portone" else []
    for words in brought or [handed]:
        set_to(house, checkout.order_id, awaiting_answer=False, next_check_at=before)
        with patch.object(type(gateway), "confirm", lambda _, payment: die(payment)), pytest.raises(RuntimeError):
            house.run(payments.confirm, house.till, checkout.order_id, words)
        payment = house.payment(checkout.order_id)
        assert payment.awaiting_answer
        assert payment.next_check_at
        assert payment.next_check_at > before + timedelta(seconds=house.till.settle_after - 1)
        if payment.status == "confirming":  # asked in vain without the token
            set_to(house, checkout.order_id, status=Status.IN_DOUBT)


def test_a_refund_that_the_console_overtook_ends_and_the_books_agree(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.fault("cancel", "reset", when="before")
    cashier.refund(admin, checkout, amount="3000")
    console_cancel(sandbox, checkout.payment_key)
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    told = [(refund.amount, refund.status, refund.failure_code) for refund in house.refunds(checkout.order_id)]
    assert told == [(3000, "failed", "NOTHING_LEFT"), (10_000, "done", None)]
    assert house.payment(checkout.order_id).status == "refunded"
    assert story.BODY not in buyer.get(f"/prompts/{story.PROMPT}").text


def test_what_we_owe_stays_owed_while_the_bank_is_shut(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.open(buyer, cashier.order(buyer), amount={"currency": "KRW", "value": 100})
    cashier.press(checkout)
    body = {"paymentKey": checkout.payment_key, "orderId": checkout.order_id, "amount": 100}
    sandbox.http.post("/toss/v1/payments/confirm", auth=("test_sk_sandbox", ""), json=body).raise_for_status()
    sandbox.fault("cancel", "code", code="NOT_AVAILABLE_BANK")
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    assert [refund.status for refund in house.refunds(checkout.order_id)] == ["in_doubt"]
    assert house.payment(checkout.order_id).next_check_at, "it is asked for again"


def test_money_that_came_and_went_while_we_were_in_doubt_opens_nothing(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "reset", when="after")
    buyer.get(checkout.back)
    console_cancel(sandbox, checkout.payment_key, cancelAmount=4000)
    console_cancel(sandbox, checkout.payment_key, cancelAmount=6000)
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.purchases(checkout.order_id) == []
    assert [refund.amount for refund in house.refunds(checkout.order_id)] == [4000, 6000]
    assert house.payment(checkout.order_id).status == "refunded"
    assert house.payment(checkout.order_id).next_check_at is None


def test_an_answer_that_comes_second_does_not_claim_another_movement(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """Two callers hear of one refund. The later must not take an equal amount that belongs to something else."""
    checkout = cashier.buy(buyer)
    cashier.refund(admin, checkout, amount="3000")
    [first] = house.refunds(checkout.order_id)
    console_cancel(sandbox, checkout.payment_key, cancelAmount=3000)
    payment = house.payment(checkout.order_id)
    receipt = house.run(house.till.gateways["toss"].find, payment)
    assert len(receipt.canceled) == 2
    house.run(refunds._close, house.till, payment, first, "done", receipt=receipt)
    house.run(settlement.settle, house.till, checkout.order_id, "reconciler")
    told = [refund.pg_transaction_id for refund in house.refunds(checkout.order_id)]
    assert told == [given.transaction_id for given in receipt.canceled]
    assert house.payment(checkout.order_id).refunded_amount == sandbox.ledger(checkout.order_id)["refunded"] == 6000


def test_a_buyer_whose_money_came_and_went_is_not_told_that_it_never_left(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    """Taken and cancelled in the PG's console before we had heard of either."""
    checkout = cashier.authenticate(buyer)
    body = {"paymentKey": checkout.payment_key, "orderId": checkout.order_id, "amount": 10_000}
    sandbox.http.post("/toss/v1/payments/confirm", auth=("test_sk_sandbox", ""), json=body).raise_for_status()
    console_cancel(sandbox, checkout.payment_key)
    due(house, checkout.order_id)
    house.run(reconciler.reconcile, house.till)
    text = buyer.get(checkout.path).text
    assert "₩10,000을 모두 돌려드렸습니다" in text
    assert "돈은 나가지 않았습니다" not in text
