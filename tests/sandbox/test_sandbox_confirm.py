from typing import Any

import pytest

from tests.sandbox.shop import CLIENT, ORDER, SECRET, Shop, refusal

# The order of a real answer, pg/toss.md §3.3 (a)
KEYS = """
mId lastTransactionKey paymentKey orderId orderName taxExemptionAmount status requestedAt approvedAt useEscrow
cultureExpense card virtualAccount transfer mobilePhone giftCertificate cashReceipt cashReceipts discount cancels secret
type easyPay country failure isPartialCancelable receipt checkout currency totalAmount balanceAmount suppliedAmount vat
taxFreeAmount method version metadata
""".split()


def test_a_good_confirm_charges_and_shows_the_payment(shop: Shop) -> None:
    key = shop.authenticated()
    answer = shop.confirm(key, idem="try-1")
    payment = answer.json()
    assert answer.status_code == 200
    assert answer.headers["idempotency-key"] == "try-1"
    assert len(answer.headers["x-tosspayments-trace-id"]) == 32
    assert list(payment) == KEYS
    assert payment["status"] == "DONE"
    assert payment["method"] == "카드"
    assert payment["card"]["amount"] == payment["totalAmount"] == payment["balanceAmount"] == 9900
    assert (payment["suppliedAmount"], payment["vat"]) == (9000, 900)
    assert payment["cancels"] is None
    assert payment["failure"] is None
    assert payment["easyPay"] is None
    assert payment["secret"].startswith("ps_")
    assert payment["approvedAt"].endswith("+09:00")
    assert payment["receipt"]["url"].endswith(f"/receipt/redirection?transactionId={key}&ref=PX")
    assert payment["checkout"]["url"] == f"https://api.tosspayments.com/v1/payments/{key}/checkout"


def test_the_ledger_knows_what_was_charged(shop: Shop) -> None:
    key = shop.paid()
    shop.find(key)
    assert shop.ledger() == {
        "gateway": "toss",
        "payment_key": key,
        "status": "DONE",
        "charged": 9900,
        "refunded": 0,
        "confirms": 1,
        "cancels": [],
        "confirm_calls": 1,
        "cancel_calls": 0,
        "find_calls": 1,
        "payments": [key],
    }
    assert shop.http.get("/_ledger").json()["charged"] == 9900


def test_a_card_has_the_object_of_the_sheet(shop: Shop) -> None:
    key = shop.open()
    shop.act(key, "authenticate", card="국민")
    card = shop.confirm(key).json()["card"]
    assert card == {
        "issuerCode": "11",
        "acquirerCode": "11",
        "number": "43301234****123*",
        "installmentPlanMonths": 0,
        "isInterestFree": False,
        "interestPayer": None,
        "approveNo": "00000000",
        "useCardPoint": False,
        "cardType": "신용",
        "ownerType": "개인",
        "acquireStatus": "READY",
        "amount": 9900,
    }


def test_easy_pay_is_a_method_of_its_own(shop: Shop) -> None:
    key = shop.open()
    shop.act(key, "authenticate", easy_pay="토스페이")
    payment = shop.confirm(key).json()
    assert payment["method"] == "간편결제"
    assert payment["card"] is None
    assert payment["easyPay"] == {"provider": "토스페이", "amount": 9900, "discountAmount": 0}


def test_a_second_confirm_with_another_key_is_refused(shop: Shop) -> None:
    key = shop.paid()
    assert refusal(shop.confirm(key)) == (400, "ALREADY_PROCESSED_PAYMENT")
    assert refusal(shop.confirm(key, idem="another")) == (400, "ALREADY_PROCESSED_PAYMENT")
    assert shop.ledger()["confirms"] == 1


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"paymentKey": "tviva00000000000000aaaaa"}, (404, "NOT_FOUND_PAYMENT_SESSION")),
        ({"orderId": "order-9999"}, (403, "FORBIDDEN_REQUEST")),
        ({"amount": 1000}, (400, "INVALID_REQUEST")),
        ({"amount": None}, (400, "INVALID_REQUEST")),
        ({"amount": ...}, (400, "INVALID_REQUEST")),
        ({"amount": True}, (400, "INVALID_REQUEST")),
        ({"amount": "9,900"}, (400, "INVALID_REQUEST")),
        ({"orderId": ...}, (400, "INVALID_REQUEST")),
        ({"paymentKey": 1}, (400, "INVALID_REQUEST")),
    ],
)
def test_a_wrong_confirm_charges_nothing_and_spoils_nothing(
    shop: Shop, wrong: dict[str, Any], expected: tuple[int, str]
) -> None:
    key = shop.authenticated()
    sent = {"paymentKey": key} | wrong
    assert refusal(shop.confirm(sent.pop("paymentKey"), **sent)) == expected
    assert shop.ledger()["charged"] == 0
    assert shop.confirm(key).status_code == 200


def test_an_amount_may_be_a_numeric_string(shop: Shop) -> None:
    assert shop.confirm(shop.authenticated(), amount="9900").status_code == 200


def test_confirm_before_authentication_is_refused(shop: Shop) -> None:
    assert refusal(shop.confirm(shop.open())) == (404, "NOT_FOUND_PAYMENT_SESSION")


def test_an_unreadable_body_is_an_invalid_request(shop: Shop) -> None:
    answer = shop.http.post("/toss/v1/payments/confirm", content=b"{oops", auth=(SECRET, ""))
    assert refusal(answer) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("over-limit", (403, "REJECT_CARD_PAYMENT")),
        ("no-balance", (403, "REJECT_CARD_PAYMENT")),
        ("stopped-card", (400, "INVALID_STOPPED_CARD")),
        ("lost-card", (400, "INVALID_CARD_LOST_OR_STOLEN")),
    ],
)
def test_a_decline_at_confirm_aborts_the_payment(shop: Shop, action: str, expected: tuple[int, str]) -> None:
    key = shop.open()
    assert shop.act(key, action).json()["redirect"].startswith("https://shop.example/return?")
    assert refusal(shop.confirm(key)) == expected
    found = shop.find(key).json()
    assert found["status"] == "ABORTED"
    assert found["failure"]["code"] == expected[1]
    assert shop.ledger()["charged"] == 0
    assert refusal(shop.confirm(key)) == (400, "ALREADY_PROCESSED_PAYMENT")


def test_a_system_error_leaves_the_payment_open(shop: Shop) -> None:
    key = shop.open()
    shop.act(key, "system-error")
    assert refusal(shop.confirm(key)) == (500, "FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING")
    assert shop.find(key).json()["status"] == "IN_PROGRESS"
    assert shop.confirm(key).status_code == 200


def test_too_small_an_amount_is_declined(shop: Shop) -> None:
    key = shop.authenticated(amount={"currency": "KRW", "value": 99})
    assert refusal(shop.confirm(key, amount=99)) == (400, "BELOW_MINIMUM_AMOUNT")


def test_an_approved_order_is_not_approved_again(shop: Shop) -> None:
    first, second = shop.authenticated(), shop.authenticated()
    assert shop.confirm(first).status_code == 200
    assert refusal(shop.confirm(second)) == (400, "DUPLICATED_ORDER_ID")
    assert shop.find_order().json()["paymentKey"] == first
    assert shop.ledger()["payments"] == [first, second]
    assert shop.ledger()["charged"] == 9900


def test_a_ready_payment_expires_after_30_minutes(shop: Shop) -> None:
    key = shop.open()
    shop.wait(29 * 60)
    assert shop.find(key).json()["status"] == "READY"
    shop.wait(61)
    found = shop.find(key).json()
    assert found["status"] == "EXPIRED"
    assert found["failure"]["code"] == "EXPIRED_PAYMENT"
    assert found["transactionKey"] is None
    assert found["method"] is None
    assert found["useEscrow"] is None
    assert found["totalAmount"] == 9900


def test_an_authenticated_payment_expires_after_10_minutes(shop: Shop) -> None:
    key = shop.authenticated()
    shop.wait(9 * 60)
    assert shop.find(key).json()["status"] == "IN_PROGRESS"
    shop.wait(61)
    assert refusal(shop.confirm(key)) == (404, "NOT_FOUND_PAYMENT_SESSION")
    assert shop.find(key).json()["status"] == "EXPIRED"
    assert shop.ledger()["charged"] == 0


def test_what_is_not_there_is_not_found(shop: Shop) -> None:
    assert refusal(shop.find("tviva00000000000000aaaaa")) == (404, "NOT_FOUND_PAYMENT")
    assert refusal(shop.find_order("order-9999")) == (404, "NOT_FOUND_PAYMENT")
    assert refusal(shop.http.get("/toss/v1/nowhere", auth=(SECRET, ""))) == (404, "NOT_FOUND")


def test_lookup_before_confirm_is_a_switch(shop: Shop) -> None:
    key = shop.authenticated()
    assert shop.find(key).json()["status"] == "IN_PROGRESS"
    shop.turn(lookup_before_confirm="not_found")
    assert refusal(shop.find(key)) == (404, "NOT_FOUND_PAYMENT")
    assert refusal(shop.find_order()) == (404, "NOT_FOUND_PAYMENT")


def test_the_amount_mismatch_code_is_a_switch(shop: Shop) -> None:
    shop.turn(amount_mismatch_code="FORBIDDEN_REQUEST")
    assert refusal(shop.confirm(shop.authenticated(), amount=1)) == (403, "FORBIDDEN_REQUEST")


def test_registered_pairs_are_merchants_of_their_own(shop: Shop) -> None:
    shop.put("/_settings", {"toss_keys": {CLIENT: SECRET, "test_ck_other": "test_sk_other"}})
    key = shop.authenticated()
    assert refusal(shop.confirm(key, secret="test_sk_other")) == (404, "NOT_FOUND_PAYMENT_SESSION")
    assert refusal(shop.find(key, secret="test_sk_other")) == (404, "NOT_FOUND_PAYMENT")
    assert refusal(shop.confirm(key, secret="test_sk_stranger")) == (401, "UNAUTHORIZED_KEY")
    assert refusal(shop.ask(clientKey="test_ck_stranger")) == (401, "UNAUTHORIZED_KEY")
    assert shop.confirm(key).status_code == 200
    assert refusal(shop.cancel(key, secret="test_sk_other")) == (404, "NOT_FOUND_PAYMENT")
    assert shop.http.get("/_ledger").json()["refunded"] == 0


def test_a_live_secret_does_not_confirm_a_test_payment(shop: Shop) -> None:
    assert refusal(shop.confirm(shop.authenticated(), secret="live_sk_sandbox")) == (404, "NOT_FOUND_PAYMENT_SESSION")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (401, "UNAUTHORIZED_KEY")),
        ("Basic dGVzdF9za19zYW5kYm94ZGVtbw==", (403, "INCORRECT_BASIC_AUTH_FORMAT")),  # no colon
        ("Basic d3Jvbmc6", (401, "UNAUTHORIZED_KEY")),  # wrong:
        ("Basic dGVzdF9ja19zYW5kYm94ZGVtbzo=", (401, "UNAUTHORIZED_KEY")),  # the client key
        ("Basic 77u/dGVzdF9za19zYW5kYm94ZGVtbzo=", (400, "INVALID_API_KEY")),  # a BOM
        ("Basic ???", (400, "INVALID_API_KEY")),
        ("Bearer test_sk_sandboxdemo", (400, "INVALID_API_KEY")),
    ],
)
def test_a_bad_authorization_is_refused(shop: Shop, header: str, expected: tuple[int, str]) -> None:
    headers = {"authorization": header} if header else {}
    assert refusal(shop.http.get(f"/toss/v1/payments/orders/{ORDER}", headers=headers)) == expected


def test_basic_without_padding_is_understood(shop: Shop) -> None:
    shop.paid()
    headers = {"authorization": "Basic dGVzdF9za19zYW5kYm94ZGVtbzo"}
    assert shop.http.get(f"/toss/v1/payments/orders/{ORDER}", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("REJECT_CARD_PAYMENT", 403),
        ("ALREADY_PROCESSED_PAYMENT", 400),
        ("IDEMPOTENT_REQUEST_PROCESSING", 409),
        ("DUPLICATED_ORDER_ID", 400),
        ("FAILED_PAYMENT_INTERNAL_SYSTEM_PROCESSING", 500),
        ("COMMON_ERROR", 500),
    ],
)
def test_a_test_code_is_answered_before_anything_is_checked(shop: Shop, code: str, status: int) -> None:
    answer = shop.post("/toss/v1/payments/confirm", {"paymentKey": "bogus"}, headers={"TossPayments-Test-Code": code})
    assert refusal(answer) == (status, code)


def test_test_codes_mean_nothing_to_live_keys_and_unknown_ones_are_refused(shop: Shop) -> None:
    body = {"paymentKey": "bogus", "orderId": ORDER, "amount": 1}
    live = shop.post(
        "/toss/v1/payments/confirm", body, secret="live_sk_x1y2", headers={"TossPayments-Test-Code": "COMMON_ERROR"}
    )
    assert refusal(live) == (404, "NOT_FOUND_PAYMENT_SESSION")
    unknown = shop.post("/toss/v1/payments/confirm", body, headers={"TossPayments-Test-Code": "NO_SUCH_CODE"})
    assert refusal(unknown) == (400, "INVALID_TEST_CODE")
