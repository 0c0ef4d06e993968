from typing import Any

import pytest

from tests.sandbox.shop import ORDER, SECRET, Shop, refusal


def test_a_whole_cancel_gives_everything_back(shop: Shop) -> None:
    key = shop.paid()
    payment = shop.cancel(key).json()
    assert payment["status"] == "CANCELED"
    assert (payment["balanceAmount"], payment["suppliedAmount"], payment["vat"]) == (0, 0, 0)
    assert payment["totalAmount"] == 9900
    cancel = payment["cancels"][0]
    assert cancel == {
        "transactionKey": payment["lastTransactionKey"],
        "cancelReason": "변심",
        "taxExemptionAmount": 0,
        "canceledAt": cancel["canceledAt"],
        "transferDiscountAmount": 0,
        "easyPayDiscountAmount": 0,
        "receiptKey": None,
        "cancelAmount": 9900,
        "taxFreeAmount": 0,
        "refundableAmount": 0,
        "cancelStatus": "DONE",
        "cancelRequestId": None,
    }
    assert shop.ledger()["refunded"] == 9900


def test_a_canceled_payment_cannot_be_canceled_again(shop: Shop) -> None:
    key = shop.paid()
    shop.cancel(key)
    assert refusal(shop.cancel(key)) == (400, "ALREADY_CANCELED_PAYMENT")
    assert shop.ledger()["refunded"] == 9900


def test_parts_add_up_and_stay_partly_canceled(shop: Shop) -> None:
    key = shop.paid()
    first = shop.cancel(key, cancelAmount=3300).json()
    assert (first["status"], first["balanceAmount"], first["vat"]) == ("PARTIAL_CANCELED", 6600, 600)
    rest = shop.cancel(key).json()
    assert (rest["status"], rest["balanceAmount"]) == ("PARTIAL_CANCELED", 0)
    assert [cancel["refundableAmount"] for cancel in rest["cancels"]] == [6600, 0]
    assert len({cancel["transactionKey"] for cancel in rest["cancels"]}) == 2
    assert refusal(shop.cancel(key)) == (403, "NOT_CANCELABLE_AMOUNT")
    assert shop.ledger()["refunded"] == 9900
    assert [cancel["amount"] for cancel in shop.ledger()["cancels"]] == [3300, 6600]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"cancelAmount": 9901}, (403, "NOT_CANCELABLE_AMOUNT")),
        ({"refundableAmount": 9000}, (400, "NOT_MATCHES_REFUNDABLE_AMOUNT")),
        ({"cancelReason": ""}, (400, "INVALID_REQUEST")),
        ({"cancelReason": None}, (400, "INVALID_REQUEST")),
        ({"cancelReason": "가" * 201}, (400, "INVALID_REQUEST")),
        ({"cancelAmount": 0}, (400, "INVALID_REQUEST")),
        ({"cancelAmount": -5}, (400, "INVALID_REQUEST")),
        ({"cancelAmount": "많이"}, (400, "INVALID_REQUEST")),
        ({"currency": "USD"}, (400, "INVALID_REQUEST")),
    ],
)
def test_a_wrong_cancel_changes_nothing(shop: Shop, wanted: dict[str, Any], expected: tuple[int, str]) -> None:
    key = shop.paid()
    assert refusal(shop.cancel(key, **wanted)) == expected
    found = shop.find(key).json()
    assert (found["status"], found["balanceAmount"], found["cancels"]) == ("DONE", 9900, None)


def test_the_right_balance_opens_the_lock(shop: Shop) -> None:
    assert shop.cancel(shop.paid(), cancelAmount=900, refundableAmount=9900).status_code == 200


def test_only_paid_payments_can_be_canceled(shop: Shop) -> None:
    assert refusal(shop.cancel(shop.open())) == (403, "NOT_CANCELABLE_PAYMENT")
    assert refusal(shop.cancel("tviva00000000000000aaaaa")) == (404, "NOT_FOUND_PAYMENT")


def test_tax_exemption_forbids_partial_cancels(shop: Shop) -> None:
    key = shop.paid(card={"taxExemptionAmount": 1000})
    assert refusal(shop.cancel(key, cancelAmount=1000)) == (403, "NOT_ALLOWED_PARTIAL_REFUND")
    assert shop.cancel(key).json()["status"] == "CANCELED"


@pytest.mark.parametrize("days", [(179, 200), (181, 403)])
def test_a_transfer_can_be_canceled_for_180_days(shop: Shop, days: tuple[int, int]) -> None:
    key = shop.paid(method="TRANSFER")
    shop.wait(days[0] * 24 * 3600)
    assert shop.cancel(key).status_code == days[1]


def test_transactions_are_a_bare_array_a_row_per_move(shop: Shop) -> None:
    key = shop.paid()
    shop.cancel(key, cancelAmount=900)
    rows = shop.http.get(
        "/toss/v1/transactions", params={"startDate": "2020-01-01", "endDate": "2100-01-01"}, auth=(SECRET, "")
    ).json()
    assert [(row["status"], row["amount"]) for row in rows] == [("DONE", 9900), ("PARTIAL_CANCELED", 900)]
    assert list(rows[0]) == [
        "mId",
        "transactionKey",
        "paymentKey",
        "orderId",
        "method",
        "customerKey",
        "useEscrow",
        "receiptUrl",
        "status",
        "transactionAt",
        "currency",
        "amount",
    ]


def test_transactions_page_by_the_last_key(shop: Shop) -> None:
    for number in range(5):
        shop.paid(orderId=f"order-{number}")
    seen: list[str] = []
    query: dict[str, Any] = {"startDate": "2020-01-01T00:00:00", "endDate": "2100-01-01T00:00:00", "limit": 2}
    while rows := shop.http.get("/toss/v1/transactions/", params=query, auth=(SECRET, "")).json():
        assert len(rows) <= 2
        seen += [row["orderId"] for row in rows]
        query["startingAfter"] = rows[-1]["transactionKey"]
    assert seen == [f"order-{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"endDate": "2100-01-01"}, "INVALID_REQUEST"),
        ({"startDate": "2020-01-01T00:00:00+00:00", "endDate": "2100-01-01"}, "INVALID_DATE"),
        ({"startDate": "2020-13-01", "endDate": "2100-01-01"}, "INVALID_DATE"),
        ({"startDate": "2020-01-01", "endDate": "2100-01-01", "limit": "5001"}, "EXCEED_MAX_QUERY_LIMIT"),
        ({"startDate": "2020-01-01", "endDate": "2100-01-01", "startingAfter": "x"}, "INVALID_PAGING_KEY"),
    ],
)
def test_a_wrong_list_query_is_refused(shop: Shop, query: dict[str, str], code: str) -> None:
    assert refusal(shop.http.get("/toss/v1/transactions", params=query, auth=(SECRET, ""))) == (400, code)


def test_a_virtual_account_is_paid_by_its_deposit(shop: Shop) -> None:
    key = shop.authenticated(method="VIRTUAL_ACCOUNT")
    issued = shop.confirm(key).json()
    assert (issued["status"], issued["approvedAt"], issued["method"]) == ("WAITING_FOR_DEPOSIT", None, "가상계좌")
    assert issued["virtualAccount"]["accountNumber"].startswith("X")
    assert shop.ledger()["charged"] == 0
    assert refusal(shop.cancel(key, cancelAmount=100)) == (403, "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT")
    paid = shop.http.post(f"/toss/_deposit/{ORDER}", json={}).json()
    assert paid["status"] == "DONE"
    assert paid["secret"] == issued["secret"]
    assert shop.ledger()["charged"] == 9900


def test_a_paid_virtual_account_needs_an_account_to_refund_to(shop: Shop) -> None:
    key = shop.paid(method="VIRTUAL_ACCOUNT")
    shop.http.post(f"/toss/_deposit/{ORDER}", json={})
    account = {"bank": "신한", "accountNumber": "110123456789", "holderName": "홍길동"}
    assert refusal(shop.cancel(key)) == (400, "INVALID_REFUND_ACCOUNT_INFO")
    assert refusal(shop.cancel(key, refundReceiveAccount=account | {"bank": "은하"})) == (400, "INVALID_BANK")
    assert refusal(shop.cancel(key, refundReceiveAccount=account | {"accountNumber": "11-0"})) == (
        400,
        "INVALID_REFUND_ACCOUNT_NUMBER",
    )
    refunded = shop.cancel(key, refundReceiveAccount=account).json()
    assert refunded["status"] == "CANCELED"
    assert refunded["virtualAccount"]["refundReceiveAccount"]["bankCode"] == "88"
    assert shop.ledger()["refunded"] == 9900


def test_canceling_before_the_deposit_gives_nothing_back(shop: Shop) -> None:
    key = shop.paid(method="VIRTUAL_ACCOUNT")
    assert shop.cancel(key).json()["status"] == "CANCELED"
    assert shop.ledger()["refunded"] == 0


def test_a_deposit_can_be_taken_back(shop: Shop) -> None:
    shop.paid(method="VIRTUAL_ACCOUNT")
    shop.http.post(f"/toss/_deposit/{ORDER}", json={})
    back = shop.http.post(f"/toss/_deposit/{ORDER}", json={"undo": True}).json()
    assert (back["status"], back["approvedAt"]) == ("WAITING_FOR_DEPOSIT", None)
    assert shop.ledger()["charged"] == 0


def test_a_missed_deposit_only_flips_expired(shop: Shop) -> None:
    key = shop.paid(method="VIRTUAL_ACCOUNT", virtualAccount={"validHours": 1})
    assert shop.find(key).json()["virtualAccount"]["expired"] is False
    shop.wait(3601)
    found = shop.find(key).json()
    assert (found["status"], found["virtualAccount"]["expired"]) == ("WAITING_FOR_DEPOSIT", True)
    late = shop.http.post(f"/toss/_deposit/{ORDER}", json={})
    assert refusal(late) == (400, "INVALID_REQUEST"), "the bank takes no late deposit"
    assert shop.ledger()["charged"] == 0
