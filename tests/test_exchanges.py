"""What a PG was asked and answered: there for whoever must explain it, without what nobody should read."""

import json
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import col, select

from app import exchanges
from app.exchanges import LONGEST, Exchange, scrubbed
from app.models import Payment
from tests.conftest import EVERY_PG, Cashier, Checkout, House, Visitor
from tests.fragments import assert_page, words
from tests.sandboxes import Sandbox

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def of(house: House, checkout: Checkout) -> list[Exchange]:
    house.run(exchanges.write, house.till)
    query = select(Exchange).join(Payment).where(col(Payment.order_id) == checkout.order_id)
    return house.rows(query.order_by(col(Exchange.id)))


@EVERY_PG
def test_what_a_purchase_and_its_refund_asked_of_the_pg_stands_beside_them(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    checkout = cashier.buy(buyer)
    cashier.refund(admin, checkout, amount="3000")
    page = assert_page(admin.get(f"/admin/payments/{checkout.order_id}"), "PG와 주고받은 것")
    told = [words(entry) for entry in page.select(".exchange summary")]
    for verb in ("승인" if cashier.confirm != "find" else "조회", "환불"):
        assert any(verb in line and " 200 " in line and "ms" in line for line in told), told
    raw = [words(answer) for answer in page.select(".exchange pre")]
    assert any(checkout.order_id in answer and "10000" in answer for answer in raw)
    for private in ("김찐", "buyer@example.com", "01012345678"):
        assert private not in str(page)
    assert all(0 <= exchange.milliseconds < 5_000 for exchange in of(house, checkout))


def test_every_call_is_known_by_its_verb_its_time_and_the_pg_s_own_number(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    sandbox.fault("confirm", "status", when="after", status=503)
    buyer.get(checkout.back)
    sandbox.fault("find", "reset")
    buyer.get(checkout.path)
    silent, looked = of(house, checkout)[:2]
    assert (silent.verb, silent.asked, silent.status) == ("confirm", "POST /toss/v1/payments/confirm", 503)
    assert silent.request_id, "Toss names its calls"
    assert silent.silence == "UNREADABLE"
    assert (looked.verb, looked.status, looked.answer) == ("find", None, None)
    assert looked.silence == "NO_ANSWER"


@one_database
def test_a_database_that_takes_no_exchange_loses_no_money(
    house: House,
    buyer: Visitor,
    cashier: Cashier,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_table: Any) -> Any:
        raise OperationalError("INSERT INTO exchange", None, Exception("disk I/O error"))

    monkeypatch.setattr(exchanges, "insert", broken)
    checkout = cashier.buy(buyer)
    assert of(house, checkout) == []
    assert house.payment(checkout.order_id).status == "completed"
    assert "PG와 주고받은 것" in caplog.text


def test_only_what_is_known_to_be_harmless_is_kept() -> None:
    answer = {
        "status": "DONE",
        "totalAmount": 10_000,
        "orderId": "A" * 24,
        "secret": "ps_secret",
        "customerName": "김찐",
        "card": {"number": "43301234****123*", "installmentPlanMonths": 0, "approveNo": "00000000"},
        "virtualAccount": {"accountNumber": 6505636518308, "bankCode": "20", "customerName": "김찐"},
        "cashReceipt": {"status": "NONE", "customerIdentityNumber": "01012345678"},
        "checkout": {"url": "https://pay.example/secret"},
        "cancels": [{"cancelAmount": 100, "transactionKey": "T", "cancelReason": "010-1234-5678로 a@b.co 연락"}],
        "message": "key test_sk_UNMISTAKABLEtoss is wrong [REJECT_CARD_COMPANY_FOREVER]",
        "\x00<script>": "x",
        "tomorrow": {"status": "DONE"},
        "nothing": None,
    }
    kept = json.loads(scrubbed(answer))
    assert kept == {
        "status": "DONE",
        "totalAmount": 10_000,
        "orderId": "A" * 24,
        "secret": "…",
        "customerName": "…",
        "card": {"number": "…", "installmentPlanMonths": 0, "approveNo": "…"},
        "virtualAccount": {"accountNumber": "…", "bankCode": "20", "customerName": "…"},
        "cashReceipt": "…",
        "checkout": "…",
        "cancels": [{"cancelAmount": 100, "transactionKey": "T", "cancelReason": "…로 … 연락"}],
        "message": "key … is wrong [REJECT_CARD_COMPANY_FOREVER]",
        "…": "…",
        "tomorrow": "…",
        "nothing": None,
    }


@pytest.mark.parametrize(
    "answer",
    [
        "a secret",
        ["a secret"],
        {"items": [{"status": "\ud800" * 10}] * 500},
        {"cancels": [[[[[[[["a secret"]]]]]]]]},
        {f"{number}": "a secret" for number in range(9_000)},
    ],
)
def test_whatever_a_pg_answers_can_be_written_down_and_is_short(answer: Any) -> None:
    text = scrubbed(answer)
    assert "secret" not in text
    assert len(text.encode()) <= 4 * LONGEST
    assert "\x00" not in text
