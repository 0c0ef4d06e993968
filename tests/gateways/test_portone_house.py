"""PortOne through the front door: the real forms, the pretend window, signed webhooks. Only on SQLite."""

import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app import payments
from app.clock import now
from app.config import Settings, read_settings
from app.models import Status
from app.reconciler import reconcile
from app.sweep import sweep
from app.till import BREATH, Refused, find
from tests.conftest import House, PortOneCashier, Visitor
from tests.fragments import assert_page, assert_row_redrawn
from tests.sandboxes import Sandbox, steps_of

SOON = timedelta(seconds=1)
WHSEC = "whsec_b3VyIHNlY3JldCBvZiB0aGUgaG91c2UuLi4="


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    shutil.copy(sqlite_template, tmp_path / "app.db")
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.fixture
def settings(database_url: str, sandbox: Sandbox) -> Settings:
    return read_settings(
        {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "not a secret, only for tests 0123456789",
            "BASE_URL": "http://testserver",
            "PORTONE_STORE_ID": "store-of-the-house",
            "PORTONE_CHANNEL_KEY": "channel-key-of-the-house",
            "PORTONE_API_SECRET": "secret-of-the-house",
            "PORTONE_WEBHOOK_SECRET": WHSEC,
            "PORTONE_API_URL": f"{sandbox.url}/portone",
            "PORTONE_SDK_URL": f"{sandbox.url}/portone/v2/browser-sdk.js",
            "PG_TIMEOUT": "2",
            "RECONCILE_EVERY": "0",
        }
    )


@pytest.fixture
def cashier(sandbox: Sandbox) -> PortOneCashier:
    return PortOneCashier(sandbox)


def test_the_window_takes_the_money_and_the_return_opens_the_prompt(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    assert sandbox.ledger(checkout.order_id)["charged"] == 10_000
    assert house.payment(checkout.order_id).status == "pending"
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == "completed"
    assert len(house.purchases(checkout.order_id)) == 1
    assert_page(buyer.get(checkout.path), "결제가 끝났습니다")


def test_a_token_takes_the_money_once_however_often_the_buyer_returns(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    sandbox.switch(portone_manual_confirm=True)
    checkout = cashier.authenticate(buyer)
    assert sandbox.ledger(checkout.order_id)["charged"] == 0
    for _ in range(2):
        assert buyer.get(checkout.back).status_code == 303
    assert (house.payment(checkout.order_id).status, sandbox.ledger(checkout.order_id)["confirms"]) == ("completed", 1)


def test_a_token_that_comes_second_still_takes_the_money(
    house: House, buyer: Visitor, stranger: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    """Whoever calls back without it, our API or an old page, must not shut out the buyer who brings it."""
    sandbox.switch(portone_manual_confirm=True)
    checkout = cashier.authenticate(buyer)
    bare = {"order_id": checkout.order_id, "pg_transaction_id": checkout.order_id}
    assert buyer.post("/api/payment/complete", json=bare).status_code == 202
    stranger.get(f"{checkout.path}/return?paymentId={checkout.order_id}")
    assert house.payment(checkout.order_id).status == "in_doubt"
    for _ in range(2):
        assert buyer.get(checkout.back).status_code == 303
    assert (house.payment(checkout.order_id).status, sandbox.ledger(checkout.order_id)["confirms"]) == ("completed", 1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_confirm_is_found_again_and_takes_the_money_once(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox, when: str
) -> None:
    sandbox.switch(portone_manual_confirm=True)
    checkout = cashier.authenticate(buyer)
    sandbox.http.put("/_faults/portone/confirm", json={"kind": "reset", "when": when}).raise_for_status()
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == "in_doubt"
    house.run(_due, house)
    house.run(reconcile, house.till)
    assert house.payment(checkout.order_id).status == "completed"
    assert sandbox.ledger(checkout.order_id)["charged"] == 10_000


async def _due(house: House) -> None:
    """Its time has come."""
    from sqlalchemy import update

    from app.models import Payment

    async with house.till.db.write() as session:
        await session.exec(update(Payment).values(next_check_at=now(), checked_at=None))


def test_a_buyer_who_paid_and_never_returned_gets_the_prompt_by_webhook(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    nobody = {"portone_webhook_url": f"{sandbox.url}/nobody", "portone_webhook_secrets": WHSEC}
    sandbox.http.put("/_settings", json=nobody).raise_for_status()
    checkout = cashier.open(buyer, cashier.order(buyer))
    assert sandbox.http.post(f"/portone/_window/{checkout.payment_key}/stay").status_code == 303
    (delivery,) = [it for it in sent(sandbox, 2) if it["event"] == "Transaction.Paid"]
    body, headers = delivery["body"].encode(), delivery["attempts"][0]["headers"]
    forged = house.visitor().post("/webhooks/portone", content=body, headers=headers | {"webhook-id": "another"})
    assert forged.status_code >= 400
    assert house.payment(checkout.order_id).status == "pending"
    for _ in range(2):
        assert house.visitor().post("/webhooks/portone", content=body, headers=headers).status_code == 200
    assert eventually(lambda: house.payment(checkout.order_id).status == "completed")
    assert len(house.purchases(checkout.order_id)) == 1


def sent(sandbox: Sandbox, number: int) -> list[dict[str, Any]]:
    """So many webhooks, once they have left."""
    found: list[dict[str, Any]] = []

    def all_left() -> bool:
        found[:] = sandbox.http.get("/_webhooks").json()
        return len(found) == number and all(it["attempts"] for it in found)

    assert eventually(all_left)
    return found


def eventually(claim: Any) -> bool:
    end = time.monotonic() + 5
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_a_closed_window_is_asked_about_before_it_is_believed(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    closed = cashier.authenticate(buyer, button="close")
    buyer.get(closed.back)
    assert house.payment(closed.order_id).status == "canceled"
    lied = cashier.authenticate(buyer)
    buyer.get(f"{lied.path}/return?paymentId={lied.order_id}&code=FAILURE_TYPE_PG&pgCode=PAY_PROCESS_CANCELED")
    assert house.payment(lied.order_id).status == "completed", "it was paid, whatever the browser says"


def test_a_closed_window_is_asked_about_once_a_breath(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer, button="close")
    for _ in range(2):
        buyer.get(checkout.back)
    assert cashier.confirm_calls(checkout) == 1

    async def breathe(session: AsyncSession) -> None:
        (await find(session, checkout.order_id)).checked_at = now() - BREATH

    house.change(breathe)
    cashier.fault("find", "reset")
    buyer.get(checkout.back)
    assert cashier.confirm_calls(checkout) == 2
    due = house.payment(checkout.order_id).next_check_at
    assert due, "money may have moved: the reconciler asks again"
    assert due > now(), "in its own time"


def test_a_look_that_gets_no_answer_is_looked_for_again(house: House, buyer: Visitor, cashier: PortOneCashier) -> None:
    """The order was closed and at rest: the browser says that money has moved, and the PG says nothing."""
    checkout = cashier.authenticate(buyer)

    async def close(session: AsyncSession) -> None:
        payment = await find(session, checkout.order_id)
        payment.status, payment.next_check_at, payment.checked_at = Status.EXPIRED, None, None

    async def rest(session: AsyncSession) -> None:
        (await find(session, checkout.order_id)).next_check_at = None

    house.change(close)
    cashier.fault("find", "status", status=500)
    buyer.get(checkout.back)
    asked = house.payment(checkout.order_id)
    assert asked.checked_at
    assert asked.next_check_at == pytest.approx(asked.checked_at + timedelta(seconds=house.till.settle_after), abs=SOON)

    house.change(rest)
    buyer.get(checkout.back)
    again = house.payment(checkout.order_id)
    assert (again.checked_at, again.next_check_at) == (asked.checked_at, asked.checked_at + BREATH), "within a breath"


def test_a_browser_that_names_its_own_price_opens_no_window(
    buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    checkout = cashier.order(buyer)
    request = steps_of(buyer.get(f"{checkout.path}/window").text)[0][1]
    answer = sandbox.http.post("/portone/_open", json=request | {"totalAmount": 100})
    assert answer.json()["code"] == "AmountNotEqualToPredefined"


def test_no_window_opens_for_an_order_that_ended_while_the_pg_was_asked(
    house: House, buyer: Visitor, cashier: PortOneCashier
) -> None:
    """In it money would move, and with the browser and the webhook lost nobody would look."""
    checkout = cashier.order(buyer)
    as_read = house.payment(checkout.order_id)
    as_read.pg_window = None
    buyer.get(f"{checkout.path}/return?paymentId={checkout.order_id}&code=FAILURE_TYPE_PG")
    assert house.payment(checkout.order_id).status != "pending"
    with pytest.raises(Refused, match="그 사이 끝난 주문입니다"):
        house.run(payments.open_window, house.till, as_read, "http://testserver/back")


def test_a_virtual_account_is_delivered_when_the_deposit_arrives(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    checkout = cashier.order(buyer, payment_method="portone_virtual_account")
    checkout = cashier.press(cashier.open(buyer, checkout))
    buyer.get(checkout.back)
    payment = house.payment(checkout.order_id)
    assert (payment.status, payment.account_bank, payment.paid_amount) == ("waiting", "국민은행", 0)
    assert payment.account_number
    assert payment.deposit_due_at
    sandbox.http.post(f"/portone/_deposit/{checkout.order_id}").raise_for_status()
    house.run(_due, house)
    house.run(reconcile, house.till)
    assert house.payment(checkout.order_id).status == "completed"


def test_parts_and_then_the_rest_go_back_and_both_books_agree(
    house: House, buyer: Visitor, admin: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    part = cashier.refund(admin, checkout, amount="3000")
    assert_row_redrawn(part, checkout.order_id, "일부 환불", status="completed")
    assert_row_redrawn(cashier.refund(admin, checkout), checkout.order_id, "환불 완료", status="refunded")
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000
    now = house.payment(checkout.order_id).created_at
    assert house.run(sweep, house.till, now.replace(hour=0), now.replace(hour=23, minute=59)).differences == []


def test_a_refund_the_pg_takes_its_time_over_is_done_when_the_pg_is(
    house: House, buyer: Visitor, admin: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.switch(portone_cancel_waits=True)
    cashier.refund(admin, checkout, amount="3000")
    for _ in range(2):
        assert [entry.status for entry in house.refunds(checkout.order_id)] == ["in_doubt"]
        house.run(_due, house)
        house.run(reconcile, house.till)
    sandbox.http.post(f"/portone/_settle/{checkout.order_id}", json={"success": True}).raise_for_status()
    house.run(_due, house)
    house.run(reconcile, house.till)
    assert [entry.status for entry in house.refunds(checkout.order_id)] == ["done"]
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3_000


def test_a_refund_the_pg_gives_up_in_the_end_has_failed_and_can_be_asked_for_again(
    house: House, buyer: Visitor, admin: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    """For three hours the same key would only bring the first answer: that it is at work."""
    checkout = cashier.buy(buyer)
    sandbox.switch(portone_cancel_waits=True)
    cashier.refund(admin, checkout, amount="3000")
    sandbox.http.post(f"/portone/_settle/{checkout.order_id}", json={"success": False}).raise_for_status()
    house.run(_due, house)
    house.run(reconcile, house.till)
    (failed,) = house.refunds(checkout.order_id)
    assert (failed.status, failed.failure_code) == ("failed", "CANCEL_FAILED")
    assert (house.payment(checkout.order_id).refunded_amount, house.payment(checkout.order_id).next_check_at) == (
        0,
        None,
    )

    sandbox.switch(portone_cancel_waits=False)
    assert cashier.refund(admin, checkout, amount="3000").status_code == 200
    assert sandbox.ledger(checkout.order_id)["refunded"] == 3_000


def test_what_we_cannot_deliver_is_asked_for_again_by_another_key_when_the_pg_gives_up(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    first, second = cashier.authenticate(buyer), cashier.authenticate(buyer)
    buyer.get(first.back)
    sandbox.switch(portone_cancel_waits=True)
    buyer.get(second.back)
    sandbox.http.post(f"/portone/_settle/{second.order_id}", json={"success": False}).raise_for_status()
    sandbox.switch(portone_cancel_waits=False)
    for status in ("in_doubt", "done"):
        house.run(_due, house)
        house.run(reconcile, house.till)
        assert [entry.status for entry in house.refunds(second.order_id)] == [status]
    assert sandbox.ledger(second.order_id)["refunded"] == 10_000


def test_what_the_console_gave_back_is_in_our_books(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    sandbox.http.post(f"/portone/_cancel/{checkout.order_id}", json={"amount": 4_000}).raise_for_status()
    house.run(_due, house)
    house.run(reconcile, house.till)
    assert [(entry.amount, entry.status) for entry in house.refunds(checkout.order_id)] == [(4_000, "done")]


def test_what_is_left_of_an_undeliverable_payment_goes_back_too(
    house: House, buyer: Visitor, cashier: PortOneCashier, sandbox: Sandbox
) -> None:
    """The console gave a part back before we knew that the window had taken the money."""
    first, second = cashier.authenticate(buyer), cashier.authenticate(buyer)
    buyer.get(first.back)
    sandbox.http.post(f"/portone/_cancel/{second.order_id}", json={"amount": 4_000}).raise_for_status()
    buyer.get(second.back)
    for _ in range(2):
        house.run(_due, house)
        house.run(reconcile, house.till)
    assert sandbox.ledger(second.order_id)["refunded"] == 10_000
    assert sorted((entry.amount, entry.status) for entry in house.refunds(second.order_id)) == [
        (4_000, "done"),
        (6_000, "done"),
    ]
    assert house.payment(second.order_id).status == "refunded"
