import httpx
import pytest

from tests.sandbox.shop import ORDER, Shop, refusal

LOST = (httpx.RemoteProtocolError, httpx.ReadError)


@pytest.mark.parametrize("kind", ["timeout", "reset", "half_body"])
@pytest.mark.parametrize(("when", "confirms"), [("before", 0), ("after", 1)])
def test_a_lost_answer_charges_only_after_the_effect(live: Shop, kind: str, when: str, confirms: int) -> None:
    key = live.authenticated()
    live.put("/_faults/toss/confirm", {"kind": kind, "when": when, "seconds": 0.1})
    with pytest.raises(LOST):
        live.confirm(key, idem="k1")
    assert live.ledger()["confirms"] == confirms
    assert live.confirm(key, idem="k1").json()["status"] == "DONE"
    assert live.ledger()["confirms"] == 1


def test_a_reset_is_a_reset_of_the_socket(live: Shop) -> None:
    live.put("/_faults/toss/find", {"kind": "reset"})
    with pytest.raises(httpx.ReadError, match="reset"):
        live.find_order()


def test_a_timeout_holds_the_answer_longer_than_the_caller_waits(live: Shop) -> None:
    key = live.authenticated()
    live.put("/_faults/toss/confirm", {"kind": "timeout", "when": "after", "seconds": 30})
    live.http.timeout = 0.2
    with pytest.raises(httpx.ReadTimeout):
        live.confirm(key)
    live.http.timeout = 5
    assert live.ledger()["charged"] == 9900


@pytest.mark.parametrize(("when", "refunded"), [("before", 0), ("after", 9900)])
def test_a_cancel_can_lose_its_answer(live: Shop, when: str, refunded: int) -> None:
    key = live.paid()
    live.put("/_faults/toss/cancel", {"kind": "reset", "when": when})
    with pytest.raises(LOST):
        live.cancel(key, idem="k1")
    assert live.ledger()["refunded"] == refunded
    assert live.cancel(key, idem="k1").json()["status"] == "CANCELED"
    assert live.ledger()["refunded"] == 9900


def test_a_proxy_answers_in_html(shop: Shop) -> None:
    shop.put("/_faults/toss/find", {"kind": "html", "status": 200})
    answer = shop.find_order()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_status_is_answered_as_often_as_asked(shop: Shop) -> None:
    shop.paid()
    shop.put("/_faults/toss/find", {"kind": "status", "status": 503, "times": 2})
    assert [shop.find_order().status_code for _ in range(3)] == [503, 503, 200]


def test_a_fault_without_end_lasts_until_removed(shop: Shop) -> None:
    shop.paid()
    shop.put("/_faults/toss/find", {"kind": "status", "times": None})
    assert [shop.find_order().status_code for _ in range(3)] == [500, 500, 500]
    shop.http.delete("/_faults")
    assert shop.find_order().status_code == 200


def test_faults_can_queue(shop: Shop) -> None:
    shop.paid()
    shop.put("/_faults/toss/find", [{"kind": "status", "status": 502}, {"kind": "code", "code": "PROVIDER_ERROR"}])
    assert [shop.find_order().status_code for _ in range(3)] == [502, 400, 200]


def test_a_fault_can_wait_for_one_order(shop: Shop) -> None:
    shop.paid()
    shop.paid(orderId="order-0002")
    shop.put("/_faults/toss/find", {"kind": "status", "order_id": ORDER})
    assert shop.find_order("order-0002").status_code == 200
    assert shop.find_order(ORDER).status_code == 500


def test_a_decline_on_order_ends_the_payment(shop: Shop) -> None:
    key = shop.authenticated()
    shop.put("/_faults/toss/confirm", {"kind": "code", "code": "REJECT_CARD_PAYMENT"})
    assert refusal(shop.confirm(key, idem="k1")) == (403, "REJECT_CARD_PAYMENT")
    assert refusal(shop.confirm(key, idem="k1")) == (403, "REJECT_CARD_PAYMENT")
    assert shop.find(key).json()["status"] == "ABORTED"


def test_an_error_after_the_charge_is_a_lie_that_a_replay_corrects(shop: Shop) -> None:
    key = shop.authenticated()
    code = "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING"
    shop.put("/_faults/toss/confirm", {"kind": "code", "code": code, "when": "after"})
    assert refusal(shop.confirm(key, idem="k1")) == (500, code)
    assert shop.ledger()["charged"] == 9900
    assert shop.confirm(key, idem="k1").json()["status"] == "DONE"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "flood"},
        {"kind": "code"},
        {"kind": "status", "when": "during"},
        {"kind": "status", "times": 0},
        {"kind": "status", "colour": "red"},
        "timeout",
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(shop: Shop, wrong: object) -> None:
    assert shop.http.put("/_faults/toss/confirm", json=wrong).status_code == 422
    assert shop.http.get("/_faults").json() == {}


def test_a_fault_needs_a_call_that_exists(shop: Shop) -> None:
    assert shop.http.put("/_faults/toss/dance", json={"kind": "status"}).status_code == 404
    assert shop.http.put("/_faults/nopg/confirm", json={"kind": "status"}).status_code == 404
