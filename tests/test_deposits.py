"""Virtual accounts: issued, paid into, missed, taken back, given back, not wanted any more."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select
from starlette.datastructures import Secret

from app import receipts, reconciler, seal, sweep
from app.audit import audit
from app.clock import KST, now
from app.gateways import RefundAccount
from app.models import DEPOSIT_MARGIN, RARELY, Event, Payment
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import (
    assert_form_again,
    assert_fragment,
    assert_leaves_for,
    assert_notice,
    assert_page,
    assert_problem,
    assert_row_redrawn,
    one,
    words,
)
from tests.sandboxes import Sandbox
from tests.test_settlement import due, paid, set_to

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ACCOUNT = {"bank": "신한은행", "number": "110-123-456789", "holder": "김찐"}
DIGITS = "110123456789"
HOURS = 3600


@pytest.fixture
def order(buyer: Visitor, cashier: Cashier) -> Checkout:
    """An account is issued."""
    checkout = cashier.press(cashier.open(buyer, cashier.order(buyer, payment_method="virtual_account")))
    assert_leaves_for(buyer.get(checkout.back), checkout.path)
    return checkout


def pay_in(sandbox: Sandbox, order: Checkout, *, undo: bool = False) -> None:
    body = {"undo": True} if undo else {}
    sandbox.http.post(f"/toss/_deposit/{order.order_id}", json=body).raise_for_status()


def call_back(house: House, stranger: Visitor, order: Checkout, status: str) -> None:
    """Toss's flat word (pg/toss.md §5.3): no event type, no payment key."""
    body = {
        "createdAt": f"{now().astimezone(KST):%Y-%m-%dT%H:%M:%S.%f}",
        "secret": house.payment(order.order_id).pg_secret,
        "status": status,
        "transactionKey": "9FF15E1A29D0E77C218F57262BFA4986",
        "orderId": order.order_id,
    }
    set_to(house, order.order_id, checked_at=None)  # nobody has asked a moment ago
    assert stranger.post("/webhooks/toss", json=body).status_code == 200


@pytest.fixture
def deposited(house: House, stranger: Visitor, sandbox: Sandbox, order: Checkout) -> Checkout:
    pay_in(sandbox, order)
    call_back(house, stranger, order, "DONE")
    assert house.payment(order.order_id).status == "completed"
    return order


def sound(house: House) -> list[Any]:
    async def look() -> list[Any]:
        async with house.till.db.read() as session:
            return list(await audit(session))

    return list(house.run(look))


# ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@SQLITE
def test_the_buyer_sees_where_how_much_and_until_when(
    house: House, buyer: Visitor, stranger: Visitor, admin: Visitor, order: Checkout
) -> None:
    payment = house.payment(order.order_id)
    assert payment.status == "waiting"
    assert payment.deposit_due_at
    assert payment.account_number
    assert payment.receipt_url
    assert "영수증" not in words(assert_page(buyer.get(order.path))), "nothing is paid yet"
    until = f"{payment.deposit_due_at.astimezone(KST):%Y-%m-%d %H:%M:%S}"
    expected = ("국민은행", payment.account_number, "김찐", "₩10,000", until, "저절로 취소")
    for page in (
        assert_page(buyer.get(order.path), *expected),
        assert_fragment(buyer.part("GET", order.path), *expected),
    ):
        copied = one(str(page), "[data-copy^=number-]")["data-copy"]
        assert words(one(str(page), f"#{copied}")) == payment.account_number
        assert one(str(page), "[hx-get]")["hx-trigger"] == "every 10s"
    assert abs(payment.deposit_due_at - now() - timedelta(hours=72)) < timedelta(minutes=1)
    seen = assert_page(stranger.get(order.path), "입금을 기다리고 있습니다", "로그인하고 입금 계좌 보기")
    assert payment.account_number not in seen.get_text()
    assert_page(admin.get(f"/admin{order.path}"), "가상계좌", payment.account_number, "주문 취소", "발급되었습니다")
    told = buyer.get(f"/api{order.path.replace('payments', 'payment')}").json()
    assert told["account"] == {
        "bank": "국민은행",
        "number": payment.account_number,
        "holder": "김찐",
        "due": payment.deposit_due_at.isoformat().replace("+00:00", "Z"),
    }
    assert sound(house) == []


def test_a_deposit_opens_the_prompt(
    house: House, buyer: Visitor, stranger: Visitor, sandbox: Sandbox, order: Checkout
) -> None:
    assert story.BODY not in buyer.get(order.path).text
    pay_in(sandbox, order)
    call_back(house, stranger, order, "DONE")
    assert_fragment(buyer.part("GET", order.path), "결제가 끝났습니다", story.BODY)
    assert house.kinds(order.order_id) == ["created", "claimed", "waiting", "completed"]
    payment = house.payment(order.order_id)
    assert (payment.paid_amount, payment.next_check_at) == (10_000, None)
    assert sound(house) == []


@SQLITE
def test_a_deposit_that_nobody_tells_of_is_found_by_the_page_that_waits(
    house: House, buyer: Visitor, sandbox: Sandbox, order: Checkout
) -> None:
    pay_in(sandbox, order)
    for _ in range(3):
        assert "입금을 기다리고" in buyer.part("GET", order.path).text
    assert sandbox.ledger(order.order_id)["find_calls"] == 0, "a page that asks every ten seconds is no reason to ask"
    set_to(house, order.order_id, created_at=now() - timedelta(minutes=2))
    assert "결제가 끝났습니다" in buyer.part("GET", order.path).text
    assert sandbox.ledger(order.order_id)["find_calls"] == 1


def test_at_its_deadline_the_account_is_asked_about_and_closed(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, order: Checkout
) -> None:
    """No webhook comes then."""
    due(house, order.order_id)
    house.run(reconciler.reconcile, house.till)
    payment = house.payment(order.order_id)
    assert payment.next_check_at
    assert abs(payment.next_check_at - now() - RARELY) < timedelta(minutes=1), "until then it is asked rarely"
    ends = now() + timedelta(hours=1)
    set_to(house, order.order_id, deposit_due_at=ends)
    due(house, order.order_id)
    house.run(reconciler.reconcile, house.till)
    payment = house.payment(order.order_id)
    assert payment.next_check_at == ends + DEPOSIT_MARGIN, "and right after it"

    sandbox.advance(72 * HOURS + 1)
    set_to(house, order.order_id, deposit_due_at=now() - timedelta(hours=1))
    due(house, order.order_id)
    house.run(reconciler.reconcile, house.till)
    payment = house.payment(order.order_id)
    assert (payment.status, payment.next_check_at) == ("expired", None)
    assert_page(buyer.get(order.path), "입금 기한이 지났습니다", "입금하지 마세요", "다시 결제하기")
    assert cashier.buy(buyer).order_id != order.order_id
    assert sound(house) == []


# ── a deposit taken back ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deposit_taken_back_locks_the_prompt_and_another_one_opens_it(
    house: House, buyer: Visitor, stranger: Visitor, admin: Visitor, sandbox: Sandbox, deposited: Checkout
) -> None:
    pay_in(sandbox, deposited, undo=True)
    call_back(house, stranger, deposited, "WAITING_FOR_DEPOSIT")
    payment = house.payment(deposited.order_id)
    assert (payment.status, payment.paid_amount, payment.completed_at) == ("waiting", 0, None)
    for url in (deposited.path, "/prompts/1", "/purchases"):
        assert story.BODY not in buyer.get(url).text
    assert_page(buyer.get(deposited.path), "은행에서 입금이 취소되어", payment.account_number or "?")
    assert_page(admin.get(f"/admin{deposited.path}"), "입금이 취소되어 프롬프트를 닫고", "DEPOSIT_RETURNED")
    assert sound(house) == []

    pay_in(sandbox, deposited)
    call_back(house, stranger, deposited, "DONE")
    assert_page(buyer.get(deposited.path), "결제가 끝났습니다", story.BODY)
    assert len(house.purchases(deposited.order_id)) == 1
    assert house.kinds(deposited.order_id)[-3:] == ["completed", "returned", "completed"]
    assert sound(house) == []


@SQLITE
def test_an_answer_that_was_on_its_way_when_the_deposit_came_takes_nothing_back(
    house: House, buyer: Visitor, deposited: Checkout
) -> None:
    late = paid(house.payment(deposited.order_id), status="waiting")
    house.run(receipts.write, house.till, deposited.order_id, late, "reconciler", asked_at="waiting")
    house.run(receipts.write, house.till, deposited.order_id, late, "buyer")
    assert house.payment(deposited.order_id).status == "completed"
    assert story.BODY in buyer.get(deposited.path).text


@SQLITE
def test_what_was_given_back_in_part_is_never_taken_back_on_top(
    house: House, admin: Visitor, cashier: Cashier, deposited: Checkout
) -> None:
    assert cashier.refund(admin, deposited, amount="3000", **ACCOUNT).status_code == 200
    odd = paid(house.payment(deposited.order_id), status="waiting")
    house.run(receipts.write, house.till, deposited.order_id, odd, "webhook", asked_at="completed")
    assert house.payment(deposited.order_id).status == "completed"
    assert sound(house) == []


@SQLITE
@pytest.mark.parametrize("amount", ["10000", "4000"])
def test_a_deposit_taken_back_ends_the_refund_that_nobody_has_answered(
    house: House,
    buyer: Visitor,
    admin: Visitor,
    cashier: Cashier,
    sandbox: Sandbox,
    deposited: Checkout,
    amount: str,
) -> None:
    sandbox.fault("cancel", "reset", when="before")
    assert cashier.refund(admin, deposited, amount=amount, **ACCOUNT).status_code == 202
    pay_in(sandbox, deposited, undo=True)
    due(house, deposited.order_id)
    house.run(reconciler.reconcile, house.till)
    payment, [entry] = house.payment(deposited.order_id), house.refunds(deposited.order_id)
    assert (payment.status, payment.paid_amount, payment.refunded_amount) == ("waiting", 0, 0)
    assert (entry.status, entry.failure_code, entry.account_sealed) == ("failed", "DEPOSIT_RETURNED", None)
    assert house.kinds(deposited.order_id)[-2:] == ["refund_failed", "returned"]
    assert story.BODY not in buyer.get("/prompts/1").text
    assert_page(admin.get(f"/admin{deposited.path}"), "돌려줄 돈이 없습니다")
    assert sound(house) == []

    pay_in(sandbox, deposited)
    due(house, deposited.order_id)
    house.run(reconciler.reconcile, house.till)
    assert_page(buyer.get(deposited.path), "결제가 끝났습니다", story.BODY)
    assert cashier.refund(admin, deposited, **ACCOUNT).status_code == 200
    assert sandbox.ledger(deposited.order_id)["refunded"] == 10_000
    assert sound(house) == []


@SQLITE
def test_a_refund_that_only_closes_the_account_of_a_deposit_taken_back_closes_the_prompt(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox, deposited: Checkout
) -> None:
    """The PG says yes, and has given nothing back: there was nothing any more."""
    pay_in(sandbox, deposited, undo=True)
    assert cashier.refund(admin, deposited, **ACCOUNT).status_code == 202
    for _ in range(2):  # first the deposit is gone, then the account
        due(house, deposited.order_id)
        house.run(reconciler.reconcile, house.till)
    payment, [entry] = house.payment(deposited.order_id), house.refunds(deposited.order_id)
    assert (payment.status, payment.paid_amount, payment.next_check_at) == ("canceled", 0, None)
    assert (entry.status, entry.failure_code) == ("failed", "DEPOSIT_RETURNED")
    assert house.kinds(deposited.order_id)[-3:] == ["refund_failed", "returned", "canceled"]
    assert story.BODY not in buyer.get("/prompts/1").text
    assert sandbox.ledger(deposited.order_id)["refunded"] == 0
    assert sound(house) == []


@SQLITE
def test_a_refund_that_came_after_the_question_is_not_ended_by_its_answer(
    house: House, admin: Visitor, cashier: Cashier, sandbox: Sandbox, deposited: Checkout
) -> None:
    late = paid(house.payment(deposited.order_id), status="waiting")
    sandbox.fault("cancel", "reset", when="after")
    cashier.refund(admin, deposited, amount="4000", **ACCOUNT)
    house.run(receipts.write, house.till, deposited.order_id, late, "webhook", asked_at="completed")
    due(house, deposited.order_id)
    house.run(reconciler.reconcile, house.till)
    assert [entry.status for entry in house.refunds(deposited.order_id)] == ["done"]
    assert house.payment(deposited.order_id).status == "completed"
    assert sound(house) == []


# ── giving it back ───────────────────────────────────────────────────────────────────────────────────────────────────


def given_to(sandbox: Sandbox, order: Checkout) -> Any:
    shown = sandbox.http.get(f"/toss/v1/payments/{order.payment_key}", auth=("test_sk_sandbox", "")).json()
    return shown["virtualAccount"]["refundReceiveAccount"]


def written(house: House) -> str:
    """Everything that we keep of refunds and events."""
    rows = [*house.rows(select(Event)), *house.rows(select(Payment))]
    return " ".join(str(row.model_dump()) for row in rows)


def test_a_refund_goes_to_the_account_in_parts_and_leaves_no_trace_of_it(
    house: House,
    buyer: Visitor,
    admin: Visitor,
    cashier: Cashier,
    sandbox: Sandbox,
    deposited: Checkout,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "app")
    assert_row_redrawn(
        cashier.refund(admin, deposited, amount="3000", **ACCOUNT), deposited.order_id, "일부 환불", status="completed"
    )
    assert given_to(sandbox, deposited) == {"bankCode": "88", "accountNumber": DIGITS, "holderName": "김찐"}
    assert_row_redrawn(cashier.refund(admin, deposited, **ACCOUNT), deposited.order_id, status="refunded")
    assert sandbox.ledger(deposited.order_id)["refunded"] == 10_000
    assert [entry.account_sealed for entry in house.refunds(deposited.order_id)] == [None, None]
    assert DIGITS not in written(house) + caplog.text + admin.get(f"/admin{deposited.path}").text
    assert_page(buyer.get(deposited.path), "환불되었습니다", "2영업일")
    assert sound(house) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_silent_refund_keeps_the_account_sealed_until_it_is_settled(
    house: House,
    admin: Visitor,
    cashier: Cashier,
    sandbox: Sandbox,
    deposited: Checkout,
    caplog: pytest.LogCaptureFixture,
    when: str,
) -> None:
    caplog.set_level(logging.DEBUG, "app")
    sandbox.fault("cancel", "reset", when=when)
    assert cashier.refund(admin, deposited, amount="4000", **ACCOUNT).status_code == 202
    [entry] = house.refunds(deposited.order_id)
    assert entry.status == "in_doubt"
    assert entry.account_sealed
    assert DIGITS not in entry.account_sealed
    page = assert_page(admin.get(f"/admin{deposited.path}"), "신한은행 ····6789")
    assert DIGITS not in str(page)

    due(house, deposited.order_id)
    house.run(reconciler.reconcile, house.till)
    [entry] = house.refunds(deposited.order_id)
    assert (entry.status, entry.account_sealed) == ("done", None)
    assert sandbox.ledger(deposited.order_id)["refunded"] == 4_000
    assert given_to(sandbox, deposited)["accountNumber"] == DIGITS
    assert DIGITS not in written(house) + caplog.text
    assert sound(house) == []


@SQLITE
def test_an_account_sealed_with_another_key_is_asked_for_again(
    house: House, admin: Visitor, cashier: Cashier, sandbox: Sandbox, deposited: Checkout
) -> None:
    sandbox.fault("cancel", "reset", when="before")
    cashier.refund(admin, deposited, **ACCOUNT)
    object.__setattr__(house.till.gateways["toss"].settings, "secret_key", Secret("rotated 0123456789 0123456789"))
    assert_page(admin.get(f"/admin{deposited.path}"), "환불 확인 중")
    due(house, deposited.order_id)
    house.run(reconciler.reconcile, house.till)
    [entry] = house.refunds(deposited.order_id)
    assert (entry.status, entry.failure_code, entry.account_sealed) == ("failed", "ACCOUNT_UNREADABLE", None)
    assert cashier.refund(admin, deposited, **ACCOUNT).status_code == 200
    assert sandbox.ledger(deposited.order_id)["refunded"] == 10_000


@SQLITE
def test_a_sealed_account_says_nothing_and_never_the_same_twice(settings: Any) -> None:
    account = RefundAccount("신한은행", DIGITS, "김찐")
    first, second = seal.seal(settings, account), seal.seal(settings, account)
    assert first != second
    assert seal.unseal(settings, first) == seal.unseal(settings, second) == account


WRONG = (
    ("bank", "", "은행을 골라"),
    ("bank", "은하은행", "환불할 수 없는 은행"),
    ("number", "", "계좌번호를 숫자로"),
    ("number", "11o-123", "계좌번호를 숫자로"),
    ("number", "1" * 21, "계좌번호를 숫자로"),
    ("holder", "", "예금주 이름을"),
    ("holder", "김" * 61, "예금주 이름을"),
)


@SQLITE
def test_a_wrong_account_is_told_beside_its_field_and_keeps_what_was_typed(
    house: House, admin: Visitor, deposited: Checkout
) -> None:
    url = f"/admin{deposited.path}/refunds"
    for ask in (admin.request, admin.part):
        for field, value, sentence in WRONG:
            data = {"amount": "3,000", "reason": "단순변심", "key": "press", **ACCOUNT, field: value}
            answer = ask("POST", url, data=data)
            kept: dict[str, Any] = {name: typed for name, typed in data.items() if name not in ("bank", field)}
            assert_form_again(answer, field, sentence, **kept)
            if field != "bank":
                assert one(answer.text, "select[name=bank] option[selected]").text == "신한은행"
    assert house.refunds(deposited.order_id) == []


@SQLITE
def test_an_account_that_is_not_the_buyers_can_be_corrected_at_once(
    house: House, admin: Visitor, cashier: Cashier, sandbox: Sandbox, deposited: Checkout
) -> None:
    sandbox.fault("cancel", "code", code="INVALID_REFUND_ACCOUNT_INFO")
    answer = cashier.refund(admin, deposited, amount="3000", **ACCOUNT)
    sentence = "환불 계좌번호와 예금주명이 일치하지 않습니다."
    assert_form_again(answer, "number", sentence, status=402, amount="3000", number="110-123-456789", holder="김찐")
    again = {name: str(one(answer.text, f"input[name={name}]")["value"]) for name in ("key", "amount", "number")}
    data = {"reason": "단순변심", "bank": "신한은행", "holder": "김진", **again}
    assert admin.part("POST", f"/admin{deposited.path}/refunds", data=data).status_code == 200
    assert given_to(sandbox, deposited)["holderName"] == "김진"
    assert house.payment(deposited.order_id).refunded_amount == 3_000


@SQLITE
def test_a_program_names_the_account_too(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox, deposited: Checkout
) -> None:
    def refund(order_id: str, key: str, **more: Any) -> Any:
        url, headers = f"/api/payment/{order_id}/refund", {"Idempotency-Key": key}
        return admin.post(url, headers=headers, json={"reason": "단순변심", **more})

    assert_problem(refund(deposited.order_id, "a"), 422, "ACCOUNT_REQUIRED")
    wrong = assert_problem(refund(deposited.order_id, "b", refund_account=ACCOUNT | {"number": "x"}), 422, "INVALID")
    assert set(wrong["errors"]) == {"refund_account"}
    unknown = refund(deposited.order_id, "c", refund_account=ACCOUNT | {"bank": "은하은행"})
    assert_problem(unknown, 422, "UNKNOWN_BANK")
    assert house.refunds(deposited.order_id) == []
    for _ in range(2):
        answer = refund(deposited.order_id, "d", refund_account=ACCOUNT)
        assert answer.status_code == 200
        assert DIGITS not in answer.text
    assert sandbox.ledger(deposited.order_id)["refunded"] == 10_000
    card = cashier.buy(buyer, story.DISCOUNTED)
    assert_problem(refund(card.order_id, "e", refund_account=ACCOUNT), 422, "ACCOUNT_NOT_NEEDED")


@SQLITE
def test_a_deposit_that_came_before_we_heard_of_the_account_needs_one_to_go_back_too(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    lost = cashier.press(cashier.open(buyer, cashier.order(buyer, payment_method="virtual_account")))
    sandbox.fault("confirm", "reset", when="after")
    buyer.get(lost.back)
    pay_in(sandbox, lost)
    due(house, lost.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(lost.order_id).status == "completed"
    assert house.payment(lost.order_id).account_number is None

    pay_in(sandbox, lost, undo=True)
    due(house, lost.order_id)
    house.run(reconciler.reconcile, house.till)
    assert_page(buyer.get(lost.path), "입금 계좌", house.payment(lost.order_id).account_number or "?")
    pay_in(sandbox, lost)
    due(house, lost.order_id)
    house.run(reconciler.reconcile, house.till)
    assert_form_again(cashier.refund(admin, lost), "number", "계좌번호를 숫자로")
    assert cashier.refund(admin, lost, **ACCOUNT).status_code == 200
    assert given_to(sandbox, lost)["accountNumber"] == DIGITS


@SQLITE
def test_a_deposit_for_what_the_buyer_owns_by_now_is_owed_until_an_account_is_known(
    house: House,
    buyer: Visitor,
    stranger: Visitor,
    admin: Visitor,
    cashier: Cashier,
    sandbox: Sandbox,
    order: Checkout,
) -> None:
    card = cashier.buy(buyer)
    pay_in(sandbox, order)
    call_back(house, stranger, order, "DONE")
    assert house.payment(order.order_id).status == "completed"
    assert house.purchases(order.order_id) == []
    assert house.refunds(order.order_id) == [], "nowhere to send it yet"
    assert_page(buyer.get(order.path), "돌려드릴 계좌를 판매자가 여쭤보겠습니다")
    assert_page(admin.get(f"/admin{order.path}"), "구매자에게 계좌를 물어 환불해 주세요", "이미 보유한 상품")
    assert [finding.order_ids for finding in sound(house)] == [[order.order_id]], (
        "the audit does not let it be forgotten"
    )
    assert_page(admin.get("/admin/payments"), "기다리는 환불 1")
    waiting = one(assert_page(admin.get("/admin/approvals"), "구매자에게 계좌를 물어").decode(), "[id^=owed-]")
    assert waiting["id"] == f"owed-{order.order_id}"
    assert cashier.refund(admin, order, **ACCOUNT).status_code == 200
    assert sound(house) == []
    assert_page(admin.get("/admin/approvals"), "돌려줄 입금이 없습니다")
    assert_fragment(admin.part("GET", "/admin/payments/counts"), "살펴볼 결제가 없습니다.")
    assert story.BODY in buyer.get(card.path).text


# ── not wanted any more ──────────────────────────────────────────────────────────────────────────────────────────────


def test_before_the_deposit_the_buyer_cancels_the_order(
    house: House, buyer: Visitor, admin: Visitor, sandbox: Sandbox, order: Checkout
) -> None:
    assert_fragment(buyer.part("POST", f"{order.path}/cancel"), "결제하지 않았습니다", "다시 결제하기")
    payment = house.payment(order.order_id)
    assert (payment.status, payment.next_check_at) == ("canceled", None)
    assert sandbox.ledger(order.order_id)["status"] == "CANCELED"
    assert house.kinds(order.order_id)[-2:] == ["withdraw_requested", "canceled"]
    assert_page(admin.get(f"/admin{order.path}"), "주문을 취소해 계좌를 닫았습니다")
    again = "입금을 기다리는 주문이 아닙니다"
    assert_notice(buyer.part("POST", f"{order.path}/cancel"), again, status=409)
    assert sound(house) == []


@SQLITE
def test_before_the_deposit_the_operator_cancels_the_order_in_the_table(
    house: House, admin: Visitor, sandbox: Sandbox, order: Checkout
) -> None:
    row = one(admin.get("/admin/payments").text, f"#payment-{order.order_id}")
    form = one(str(row), "form")
    assert words(one(str(form), "button")) == "주문 취소"
    assert "환불" not in words(row)
    answer = admin.part("POST", str(form["action"]))
    assert_row_redrawn(answer, order.order_id, "취소됨", status="canceled")
    assert "주문을 취소했습니다" in answer.text
    assert sandbox.ledger(order.order_id)["status"] == "CANCELED"


@SQLITE
def test_without_scripts_a_cancel_leads_back_to_the_payment(buyer: Visitor, admin: Visitor, order: Checkout) -> None:
    assert_leaves_for(buyer.post(f"{order.path}/cancel"), order.path)
    assert_page(admin.post(f"/admin{order.path}/cancel"), "입금을 기다리는 주문이 아닙니다", status=409)


@SQLITE
@pytest.mark.parametrize(("when", "ends"), [("before", "waiting"), ("after", "canceled")])
def test_a_silent_cancel_is_looked_up(
    house: House, buyer: Visitor, sandbox: Sandbox, order: Checkout, when: str, ends: str
) -> None:
    sandbox.fault("cancel", "reset", when=when)
    answer = buyer.part("POST", f"{order.path}/cancel")
    assert house.payment(order.order_id).status == ends
    if ends == "waiting":
        assert_notice(answer, "자동으로 확인하고 있습니다", status=502)
        assert_fragment(buyer.part("POST", f"{order.path}/cancel"), "결제하지 않았습니다")
    else:
        assert_fragment(answer, "결제하지 않았습니다")


@SQLITE
def test_an_account_is_closed_once_the_buyer_has_paid_another_way(
    house: House, buyer: Visitor, cashier: Cashier, sandbox: Sandbox, order: Checkout
) -> None:
    card = cashier.buy(buyer)
    house.run(reconciler.reconcile, house.till)
    assert house.payment(order.order_id).status == "canceled"
    assert sandbox.ledger(order.order_id)["status"] == "CANCELED"
    assert_page(buyer.get(order.path), "결제하지 않았습니다", "이미 보유한 프롬프트 읽기")
    assert house.payment(card.order_id).status == "completed"
    assert sound(house) == []


@SQLITE
def test_a_deposit_that_is_faster_than_the_cancel_is_kept(
    house: House, buyer: Visitor, sandbox: Sandbox, order: Checkout
) -> None:
    pay_in(sandbox, order)
    assert_fragment(buyer.part("POST", f"{order.path}/cancel"), "결제가 끝났습니다", story.BODY)
    assert house.payment(order.order_id).status == "completed"
    assert sandbox.ledger(order.order_id)["refunded"] == 0
    assert sound(house) == []


@SQLITE
@pytest.mark.parametrize("end", ["expired", "canceled", "returned", "completed"])
def test_the_two_books_agree_however_it_ends(
    house: House, buyer: Visitor, stranger: Visitor, sandbox: Sandbox, order: Checkout, end: str
) -> None:
    if end == "expired":
        sandbox.advance(73 * HOURS)
    elif end == "canceled":
        buyer.post(f"{order.path}/cancel")
    else:
        pay_in(sandbox, order)
        call_back(house, stranger, order, "DONE")
    if end == "returned":
        pay_in(sandbox, order, undo=True)
    due(house, order.order_id)
    house.run(reconciler.reconcile, house.till)
    assert house.kinds(order.order_id)[-1] == end
    swept = house.run(sweep.sweep, house.till, now() - timedelta(days=1), now() + timedelta(days=7))
    assert swept.differences == []
