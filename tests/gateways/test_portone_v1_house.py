"""PortOne V1 through the front door. Nothing there has an idempotency key."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app.clock import now
from app.gateways.portone_v1 import PATIENT_ATTEMPTS
from app.reconciler import reconcile
from app.till import find
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.sandboxes import Sandbox

pytestmark = pytest.mark.parametrize(("database_url", "at"), [("sqlite", "portone_v1")], indirect=True)


@pytest.fixture
def lost(house: House, buyer: Visitor, admin: Visitor, cashier: Cashier) -> Checkout:
    """A refund of 4000 that the PG has not answered, and every repeat of it is refused."""
    checkout = cashier.buy(buyer)
    cashier.fault("cancel", "reset")
    cashier.refund(admin, checkout, amount="4000")
    cashier.fault("cancel", "code", code="ALREADY_PROCESSING", times=None)
    return checkout


@pytest.fixture
def ask_again(house: House, lost: Checkout) -> Callable[[], str]:
    """The reconciler does; answers where the refund stands."""

    async def due(session: AsyncSession) -> None:
        payment = await find(session, lost.order_id)
        payment.next_check_at, payment.checked_at = now() - timedelta(seconds=1), None

    def ask() -> str:
        house.change(due)
        house.run(reconcile, house.till)
        return str(house.refunds(lost.order_id)[0].status)

    return ask


def test_a_refused_repeat_says_nothing_of_the_first_request_which_may_be_at_work(
    house: House, lost: Checkout, ask_again: Callable[[], str], sandbox: Sandbox
) -> None:
    assert [ask_again() for _ in range(PATIENT_ATTEMPTS)] == ["in_doubt"] * PATIENT_ATTEMPTS
    sandbox.http.post(f"/portone_v1/_cancel/{lost.order_id}", json={"amount": 4_000}).raise_for_status()  # it arrives
    assert ask_again() == "done"
    assert house.payment(lost.order_id).refunded_amount == sandbox.ledger(lost.order_id)["refunded"] == 4_000


def test_a_pg_that_keeps_refusing_while_its_book_stands_still_has_refused(
    house: House, lost: Checkout, ask_again: Callable[[], str], cashier: Cashier, admin: Visitor, sandbox: Sandbox
) -> None:
    assert [ask_again() for _ in range(PATIENT_ATTEMPTS + 1)][-1] == "failed"
    assert house.payment(lost.order_id).refunded_amount == 0
    sandbox.http.delete("/_faults").raise_for_status()
    assert cashier.refund(admin, lost, amount="4000").status_code == 200
    assert sandbox.ledger(lost.order_id)["refunded"] == 4_000
