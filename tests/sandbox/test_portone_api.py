"""PortOne V2's server API in the sandbox (pg/portone.md §2–§5, §7, §8, §18)."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.portone_shop import PAYMENT, SECRET, STORE, PortOneShop, refusal
from tests.sandbox.shop import Shop, until

REFUND_ACCOUNT = {"bank": "KOOKMIN", "number": "12345678901234", "holderName": "김찐"}


def test_a_card_payment_is_charged_when_the_buyer_approves(portone: PortOneShop) -> None:
    portone.pay(customer={"fullName": "김찐"}, customData={"kept": True})
    payment = portone.payment().json()
    assert (payment["status"], payment["id"], payment["version"]) == ("PAID", PAYMENT, "V2")
    assert payment["amount"]["total"] == 9900
    assert payment["amount"]["supply"] + payment["amount"]["vat"] == 9900
    assert payment["channel"]["type"] == "TEST"
    assert payment["customer"]["name"] == "김찐"
    assert json.loads(payment["customData"]) == {"kept": True}
    assert payment["disputes"] == []
    assert None not in payment.values()
    assert (portone.ledger(PAYMENT)["charged"], portone.ledger(PAYMENT)["confirms"]) == (9900, 1)


def test_an_opened_window_is_ready_for_ever(portone: PortOneShop) -> None:
    assert refusal(portone.payment()) == (404, "PAYMENT_NOT_FOUND")
    portone.open()
    portone.wait(7 * 24 * 3600)
    assert portone.payment().json()["status"] == "READY"
    assert portone.ledger(PAYMENT)["charged"] == 0


@pytest.mark.parametrize(("action", "code"), [("close", "PAY_PROCESS_CANCELED"), ("over-limit", "REJECT_CARD_PAYMENT")])
def test_a_no_at_the_window_makes_the_payment_failed(portone: PortOneShop, action: str, code: str) -> None:
    query = parse_qs(urlsplit(portone.pay(action)["redirect"]).query)
    assert (query["code"], query["pgCode"], query["paymentId"]) == (["FAILURE_TYPE_PG"], [code], [PAYMENT])
    payment = portone.payment().json()
    assert (payment["status"], payment["failure"]["pgCode"]) == ("FAILED", code)
    assert payment["failure"]["reason"].startswith(f"[{code}]")
    assert payment["amount"]["paid"] == 9900, "amount.paid says nothing about money"
    assert portone.ledger(PAYMENT)["charged"] == 0


def test_a_failed_payment_may_be_tried_again_and_succeeds_once(portone: PortOneShop) -> None:
    first, second, third = portone.open(), portone.open(), portone.open()
    portone.act(first, "close")
    portone.act(second, "authenticate")
    assert portone.act(third, "authenticate").json()["code"] == "PaymentAlreadyPaid"
    assert portone.ask().json()["code"] == "PaymentAlreadyPaid"
    assert portone.payment().json()["transactionId"] == second != first
    headers = {"authorization": f"PortOne {SECRET}"}
    attempts = portone.http.get(f"/portone/payments/{PAYMENT}/transactions", headers=headers).json()["items"]
    assert [(it["id"], it["status"]) for it in attempts] == [(first, "FAILED"), (second, "PAID"), (third, "READY")]
    assert portone.ledger(PAYMENT)["charged"] == 9900


def test_a_registered_amount_cannot_be_changed_in_the_browser(portone: PortOneShop) -> None:
    assert portone.api(f"{PAYMENT}/pre-register", {"totalAmount": 9900, "currency": "KRW"}).json() == {}
    assert portone.ask(totalAmount=100).json()["code"] == "AmountNotEqualToPredefined"
    assert portone.ask(taxFreeAmount=0).status_code == 200
    portone.pay()
    assert refusal(portone.api(f"{PAYMENT}/pre-register", {"totalAmount": 1})) == (409, "ALREADY_PAID")


def test_without_registration_a_dishonest_browser_pays_what_it_likes(portone: PortOneShop) -> None:
    portone.pay(totalAmount=100)
    assert portone.payment().json()["amount"]["total"] == 100


@pytest.mark.parametrize(
    "header", ["", "PortOne", "PortOne  ", "PortOne test_sk_oops123", "Basic abc", "Bearer nobody"]
)
def test_only_an_api_secret_opens_the_api(portone: PortOneShop, header: str) -> None:
    answer = portone.http.get(f"/portone/payments/{PAYMENT}", headers={"authorization": header})
    assert refusal(answer) == (401, "UNAUTHORIZED"), "before anything is looked up"


def test_a_registered_secret_is_the_only_one_and_its_token_lives_for_half_an_hour(portone: PortOneShop) -> None:
    portone.put("/_settings", {"portone_api_secret": "the-right-one"})
    portone.open()
    assert portone.payment().status_code == 401
    wrong = portone.http.post("/portone/login/api-secret", json={"apiSecret": "wrong"})
    assert refusal(wrong) == (401, "UNAUTHORIZED")
    tokens = portone.http.post("/portone/login/api-secret", json={"apiSecret": "the-right-one"}).json()
    bearer = {"authorization": f"Bearer {tokens['accessToken']}"}
    assert portone.http.get(f"/portone/payments/{PAYMENT}", headers=bearer).status_code == 200
    portone.wait(1801)
    assert portone.http.get(f"/portone/payments/{PAYMENT}", headers=bearer).status_code == 401
    fresh = portone.http.post("/portone/token/refresh", json={"refreshToken": tokens["refreshToken"]})
    assert fresh.json().keys() == {"accessToken", "refreshToken"}


def test_another_store_has_no_such_payment(portone: PortOneShop) -> None:
    portone.pay()
    assert portone.payment(storeId=STORE).status_code == 200
    assert refusal(portone.payment(storeId="store-of-somebody-else")) == (404, "PAYMENT_NOT_FOUND")
    portone.turn(portone_store_default="not_found")
    assert refusal(portone.payment()) == (404, "PAYMENT_NOT_FOUND")


# ── manual confirm ───────────────────────────────────────────────────────────────────────────────────────────────────


def authorized(portone: PortOneShop, action: str = "authenticate", **more: Any) -> str:
    """The token that the buyer brings back."""
    portone.turn(portone_manual_confirm=True)
    told: dict[str, list[str]] = parse_qs(urlsplit(portone.pay(action, **more)["redirect"]).query)
    return told["paymentToken"][0]


def test_a_manual_confirm_moves_the_money_and_its_token_works_once(portone: PortOneShop) -> None:
    token = authorized(portone)
    assert portone.ledger(PAYMENT)["charged"] == 0
    answer = portone.api(f"{PAYMENT}/confirm", {"paymentToken": token, "totalAmount": 9900, "currency": "KRW"})
    assert answer.json().keys() == {"pgTxId", "paidAt"}
    assert portone.ledger(PAYMENT)["charged"] == 9900
    assert refusal(portone.api(f"{PAYMENT}/confirm", {"paymentToken": token})) == (409, "ALREADY_PAID")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"paymentToken": None}, (400, "INVALID_REQUEST")),
        ({"paymentToken": "of-another"}, (400, "INVALID_PAYMENT_TOKEN")),
        ({"totalAmount": 1}, (409, "INFORMATION_MISMATCH")),
        ({"currency": "USD"}, (409, "INFORMATION_MISMATCH")),
        ({"isTest": False}, (409, "INFORMATION_MISMATCH")),
        ({"txId": "another"}, (409, "INFORMATION_MISMATCH")),
        ({"storeId": "store-other"}, (404, "PAYMENT_NOT_FOUND")),
    ],
)
def test_a_confirm_that_does_not_fit_moves_nothing(
    portone: PortOneShop, changed: dict[str, Any], expected: tuple[int, str]
) -> None:
    token = authorized(portone)
    assert refusal(portone.api(f"{PAYMENT}/confirm", {"paymentToken": token} | changed)) == expected
    assert portone.ledger(PAYMENT)["charged"] == 0
    assert portone.api(f"{PAYMENT}/confirm", {"paymentToken": token}).status_code == 200


def test_a_token_dies_and_a_declined_confirm_is_the_pgs_error(portone: PortOneShop) -> None:
    token = authorized(portone, "over-limit")
    answer = portone.api(f"{PAYMENT}/confirm", {"paymentToken": token})
    assert refusal(answer) == (502, "PG_PROVIDER")
    assert answer.json()["pgCode"] == "REJECT_CARD_PAYMENT"
    assert portone.payment().json()["status"] == "FAILED"
    token = authorized(portone, paymentId="order0002")
    portone.wait(601)
    assert refusal(portone.api("order0002/confirm", {"paymentToken": token})) == (400, "INVALID_PAYMENT_TOKEN")


# ── cancel ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_part_and_then_the_rest_go_back(portone: PortOneShop) -> None:
    portone.pay()
    part = portone.cancelled(amount=900, currentCancellableAmount=9900).json()["cancellation"]
    assert (part["status"], part["totalAmount"], part["trigger"]) == ("SUCCEEDED", 900, "API")
    assert portone.payment().json()["status"] == "PARTIAL_CANCELLED"
    portone.cancelled()
    payment = portone.payment().json()
    assert (payment["status"], payment["amount"]["cancelled"]) == ("CANCELLED", 9900)
    assert [it["totalAmount"] for it in payment["cancellations"]] == [900, 9000]
    assert refusal(portone.cancelled()) == (409, "PAYMENT_ALREADY_CANCELLED")
    assert portone.ledger(PAYMENT)["refunded"] == 9900


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"amount": 9901}, (409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT")),
        ({"amount": 1, "currentCancellableAmount": 9000}, (409, "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN")),
        ({"amount": 1, "taxFreeAmount": 1}, (409, "CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT")),
        ({"amount": 10, "vatAmount": 11}, (409, "SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT")),
        ({"amount": 0}, (400, "INVALID_REQUEST")),
        ({"amount": "900"}, (400, "INVALID_REQUEST")),
        ({"reason": ""}, (400, "INVALID_REQUEST")),
        ({"requester": "CAT"}, (400, "INVALID_REQUEST")),
    ],
)
def test_a_cancel_that_does_not_fit_gives_nothing_back(
    portone: PortOneShop, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    portone.pay()
    assert refusal(portone.cancelled(**body)) == expected
    assert portone.ledger(PAYMENT)["refunded"] == 0


def test_nothing_goes_back_that_was_not_paid(portone: PortOneShop) -> None:
    portone.open()
    assert refusal(portone.cancelled()) == (409, "PAYMENT_NOT_PAID")
    assert refusal(portone.cancelled("nobody00")) == (404, "PAYMENT_NOT_FOUND")


@pytest.mark.parametrize(("success", "refunded"), [(True, 400), (False, 0)])
def test_a_cancellation_can_wait_for_the_pg(portone: PortOneShop, success: bool, refunded: int) -> None:
    portone.turn(portone_cancel_waits=True)
    portone.pay()
    assert portone.cancelled(amount=400).json()["cancellation"]["status"] == "REQUESTED"
    assert (portone.payment().json()["status"], portone.ledger(PAYMENT)["refunded"]) == ("PAID", 0)
    assert refusal(portone.cancelled(amount=9501)) == (409, "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT")
    portone.control("settle", success=success)
    assert portone.ledger(PAYMENT)["refunded"] == refunded


def test_the_console_cancels_with_its_own_mark_and_the_pgs_console_without_a_trace(portone: PortOneShop) -> None:
    portone.pay()
    portone.control("cancel", amount=900)
    assert portone.payment().json()["cancellations"][0]["trigger"] == "CONSOLE"
    portone.control("cancel", amount=1000, at_pg=True)
    assert portone.payment().json()["amount"]["cancelled"] == 900
    assert portone.ledger(PAYMENT)["refunded"] == 1900


# ── virtual accounts ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_virtual_account_waits_for_its_deposit(portone: PortOneShop) -> None:
    portone.account()
    issued = portone.payment().json()
    assert (issued["status"], issued["method"]["bank"]) == ("VIRTUAL_ACCOUNT_ISSUED", "KOOKMIN")
    assert portone.ledger(PAYMENT)["charged"] == 0
    assert refusal(portone.cancelled()) == (409, "PAYMENT_NOT_PAID")
    assert portone.control("deposit").json()["status"] == "PAID"
    assert portone.ledger(PAYMENT)["charged"] == 9900
    assert refusal(portone.control("deposit")) == (409, "PAYMENT_NOT_WAITING_FOR_DEPOSIT")
    assert refusal(portone.cancelled()) == (400, "INVALID_REQUEST"), "cash needs an account to go back to"
    assert portone.cancelled(refundAccount=REFUND_ACCOUNT).status_code == 200
    assert portone.payment().json()["method"]["refundStatus"] == "COMPLETED"


@pytest.mark.parametrize("status", ["CANCELLED", "FAILED", "VIRTUAL_ACCOUNT_ISSUED"])
def test_a_closed_account_takes_no_deposit_whatever_its_status(portone: PortOneShop, status: str) -> None:
    portone.turn(portone_account_over=status)
    portone.account()
    assert portone.api(f"{PAYMENT}/virtual-account/close").json().keys() == {"closedAt"}
    assert portone.payment().json()["status"] == status
    assert refusal(portone.control("deposit"))[0] == 409
    assert refusal(portone.api(f"{PAYMENT}/virtual-account/close")) == (409, "PAYMENT_NOT_WAITING_FOR_DEPOSIT")


def test_an_account_expires(portone: PortOneShop) -> None:
    portone.account()
    portone.wait(24 * 3600 + 1)
    assert portone.payment().json()["status"] == "CANCELLED"


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def listed(portone: PortOneShop, as_query: bool = True, **wanted: Any) -> Any:
    headers = {"authorization": f"PortOne {SECRET}"}
    if as_query:
        return portone.http.get("/portone/payments", params={"requestBody": json.dumps(wanted)}, headers=headers)
    return portone.http.request("GET", "/portone/payments", json=wanted, headers=headers)


@pytest.mark.parametrize("as_query", [True, False])
def test_a_list_is_asked_for_by_body_or_query_and_comes_in_pages(portone: PortOneShop, as_query: bool) -> None:
    for number in range(3):
        portone.pay(paymentId=f"order000{number}")
    page = listed(portone, as_query, page={"number": 1, "size": 2}, filter={"sortOrder": "ASC"}).json()
    assert [it["id"] for it in page["items"]] == ["order0002"]
    assert page["page"] == {"number": 1, "size": 2, "totalCount": 3}
    assert refusal(listed(portone, as_query, page={"number": 60, "size": 1000})) == (400, "INVALID_REQUEST")


def test_a_list_has_what_changed_in_the_time_asked_for(portone: PortOneShop) -> None:
    portone.pay()
    portone.pay("close", paymentId="order0002")
    assert [it["id"] for it in listed(portone, filter={"status": ["PAID"]}).json()["items"]] == [PAYMENT]
    assert listed(portone, filter={"until": "2020-01-01T00:00:00Z"}).json()["items"] == []
    portone.wait(91 * 24 * 3600)
    assert listed(portone).json()["items"] == [], "90 days unless said"
    portone.cancelled()
    assert [it["id"] for it in listed(portone).json()["items"]] == [PAYMENT]
    assert listed(portone, filter={"timestampType": "CREATED_AT"}).json()["items"] == []


# ── repeats ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_same_key_replays_the_first_answer_for_three_hours(portone: PortOneShop) -> None:
    portone.pay()
    key = "refund-0001-attempt-1"
    first = portone.api(f"{PAYMENT}/cancel", {"reason": "변심", "amount": 400}, idem=key)
    assert portone.api(f"{PAYMENT}/cancel", {"reason": "변심", "amount": 400}, idem=key).json() == first.json()
    assert portone.ledger(PAYMENT)["refunded"] == 400
    portone.turn(portone_key_reused="refuse")
    assert refusal(portone.api(f"{PAYMENT}/cancel", {"reason": "변심", "amount": 5}, idem=key))[0] == 400
    portone.wait(3 * 3600 + 1)
    portone.api(f"{PAYMENT}/cancel", {"reason": "변심", "amount": 400}, idem=key)
    assert portone.ledger(PAYMENT)["refunded"] == 800


def test_errors_are_bound_to_their_key_too(portone: PortOneShop) -> None:
    portone.pay()
    portone.put("/_faults/portone/cancel", {"kind": "code", "code": "PG_PROVIDER:EXCEED_MAX_REFUND_DUE"})
    for _ in range(2):
        answer = portone.api(f"{PAYMENT}/cancel", {"reason": "변심"}, idem="refund-0001-attempt-1")
        assert refusal(answer) == (502, "PG_PROVIDER")
        assert answer.json()["pgCode"] == "EXCEED_MAX_REFUND_DUE"
    assert portone.api(f"{PAYMENT}/cancel", {"reason": "변심"}, idem="refund-0001-attempt-2").status_code == 200


def test_a_key_without_quotes_is_refused_until_the_switch_says_otherwise(portone: PortOneShop) -> None:
    portone.pay()
    bare = {"idempotency-key": "refund-0001-attempt-1"}
    assert refusal(portone.api(f"{PAYMENT}/cancel", {"reason": "변심"}, **bare)) == (400, "INVALID_REQUEST")
    assert refusal(portone.api(f"{PAYMENT}/cancel", {"reason": "변심"}, idem="short")) == (400, "INVALID_REQUEST")
    portone.turn(portone_unquoted_key="accept")
    assert portone.api(f"{PAYMENT}/cancel", {"reason": "변심"}, **bare).status_code == 200


# ── accidents ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("when", "refunded"), [("before", 0), ("after", 9900)])
def test_a_502_from_the_pg_may_or_may_not_have_moved_money(portone: PortOneShop, when: str, refunded: int) -> None:
    portone.pay()
    portone.put("/_faults/portone/cancel", {"kind": "code", "code": "PG_PROVIDER", "when": when})
    assert refusal(portone.cancelled()) == (502, "PG_PROVIDER")
    assert portone.ledger(PAYMENT)["refunded"] == refunded


@pytest.mark.parametrize("call", ["start", "confirm", "find", "get", "cancel", "transactions", "close"])
def test_every_call_can_fail(portone: PortOneShop, call: str) -> None:
    portone.put(f"/_faults/portone/{call}", {"kind": "status", "status": 503})
    answers: dict[str, Callable[[], Any]] = {
        "start": lambda: portone.api(f"{PAYMENT}/pre-register"),
        "confirm": lambda: portone.api(f"{PAYMENT}/confirm"),
        "find": portone.payment,
        "get": portone.payment,
        "cancel": portone.cancelled,
        "transactions": lambda: listed(portone),
        "close": lambda: portone.api(f"{PAYMENT}/virtual-account/close"),
    }
    assert answers[call]().status_code == 503


def test_errors_may_come_without_a_sentence_and_times_in_seconds(portone: PortOneShop) -> None:
    portone.turn(portone_error_messages=False, portone_times="seconds")
    assert portone.payment().json() == {"type": "PAYMENT_NOT_FOUND"}
    portone.pay()
    assert len(portone.payment().json()["paidAt"]) == len("2026-11-22T05:20:49Z")


def test_a_pending_payment_is_decided_later(portone: PortOneShop) -> None:
    portone.pay("pend")
    assert (portone.payment().json()["status"], portone.ledger(PAYMENT)["charged"]) == ("PAY_PENDING", 0)
    portone.control("settle")
    assert portone.ledger(PAYMENT)["charged"] == 9900
    portone.pay("pend", paymentId="order0002")
    assert portone.control("settle", "order0002", success=False).json()["status"] == "FAILED"


def test_everything_is_kept_across_a_restart(portone: PortOneShop) -> None:
    """What the state file would hold is enough to go on."""
    portone.account()
    portone.api("order0002/pre-register", {"totalAmount": 500})
    books = portone.http.app.state.world.gateways["portone"]
    kept = json.loads(json.dumps(books.dump()))
    books.load(kept)
    assert books.dump() == kept
    assert portone.ask(paymentId="order0002").json()["code"] == "AmountNotEqualToPredefined"
    assert portone.control("deposit").json()["status"] == "PAID"


def test_while_the_first_request_runs_its_key_is_busy(live: Shop) -> None:
    shop = PortOneShop(live.http)
    shop.pay()
    shop.put("/_faults/portone/cancel", {"kind": "delay", "seconds": 0.5})
    ask = partial(shop.api, f"{PAYMENT}/cancel", {"reason": "변심", "amount": 400}, idem="refund-0001-attempt-1")
    with ThreadPoolExecutor(1) as hand:
        first = hand.submit(ask)
        until(lambda: shop.ledger(PAYMENT)["cancel_calls"])
        answers = [ask(), first.result()]
    assert [answer.status_code for answer in answers] == [409, 200]
    assert answers[0].json()["type"] == "IDEMPOTENCY_OUTSTANDING_REQUEST"
    assert shop.ledger(PAYMENT)["refunded"] == 400
