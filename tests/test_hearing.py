"""A PG whose webhooks no longer come in is noticed, though its payments go on."""

import time_machine

from app.clock import now
from app.hearing import SOON
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.fragments import assert_page, words

MISSED = "결제가 있었는데 웹훅이 오지 않았습니다"


def pages(house: House) -> tuple[str, str]:
    """What the webhooks' page and the overview say an hour from now."""
    with time_machine.travel(now() + SOON * 1.1):
        admin = house.visitor(story.ADMIN)
        return words(assert_page(admin.get("/admin/webhooks"))), words(assert_page(admin.get("/admin")))


def test_money_that_no_webhook_told_of_within_the_hour_is_pointed_out(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    assert all(MISSED not in page for page in pages(house)), "nothing was paid"
    cashier.buy(buyer)
    assert MISSED not in words(assert_page(admin.get("/admin"))), "it may still come"
    listed, overview = pages(house)
    assert "토스페이먼츠 · 받은 웹훅 없음 " + MISSED in listed
    assert MISSED in overview


def test_a_pg_that_tells_is_not_pointed_out_and_one_that_never_does_is_not_listed(
    house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.buy(buyer)
    body = {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": checkout.order_id, "status": "DONE"}}
    assert stranger.post("/webhooks/toss", json=body).status_code == 200
    listed, overview = pages(house)
    assert "토스페이먼츠 · 마지막 웹훅" in listed
    assert "카카오페이 ·" not in listed
    assert MISSED not in listed + overview


def test_a_forged_webhook_is_no_sign_of_life(house: House, buyer: Visitor, stranger: Visitor, cashier: Cashier) -> None:
    checkout = cashier.buy(buyer)
    body = {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": checkout.order_id, "secret": "ps_guessed"}}
    assert stranger.post("/webhooks/toss", json=body).status_code == 200
    assert MISSED in pages(house)[0]
