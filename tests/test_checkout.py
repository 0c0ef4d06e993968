"""A buyer buys a prompt."""

from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import assert_page
from tests.sandboxes import Sandbox


def test_a_buyer_pays_and_reads_the_prompt_at_once(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.buy(buyer)
    assert_page(buyer.get(checkout.path), "결제가 끝났습니다", "₩10,000", story.BODY)
    assert sandbox.ledger(checkout.order_id)["charged"] == 10_000
    assert house.payment(checkout.order_id).status == "completed"
    assert house.kinds(checkout.order_id) == ["created", "claimed", "completed"]
    assert len(house.purchases(checkout.order_id)) == 1
