"""One payment as operators see it: masked, explained, noted on, and given back by two people when it is much."""

from dataclasses import replace

import pytest
from bs4 import Tag
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.config import Settings
from app.desk import Approval
from app.models import Payment, Status
from app.render import masked_email, masked_name, masked_phone
from app.settlement import settle
from app.till import find
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import (
    assert_form_again,
    assert_fragment,
    assert_notice,
    assert_page,
    assert_problem,
    assert_row_redrawn,
    one,
    soup,
    words,
)
from tests.sandboxes import Sandbox

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

LIMIT = 5_000


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """One person may give back ₩5,000 of a payment; more needs two."""
    return replace(settings, refund_approval_above=LIMIT)


@pytest.fixture
def paid(buyer: Visitor, cashier: Cashier) -> Checkout:
    return cashier.buy(buyer)


def record(paid: Checkout) -> str:
    return f"/admin/payments/{paid.order_id}"


# ── who bought ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mask", "whole", "masked"),
    [
        (masked_name, "김철수", "김*수"),
        (masked_name, "김찐", "김*"),
        (masked_name, "남", "남*"),
        (masked_name, "남궁민수", "남**수"),
        (masked_phone, "01012345678", "010-****-5678"),
        (masked_phone, "0212345", "****"),
        (masked_email, "kim@example.com", "k***@example.com"),
    ],
)
def test_a_mask_leaves_enough_to_tell_people_apart(mask: object, whole: str, masked: str) -> None:
    assert callable(mask)
    assert mask(whole) == masked


@one_database
def test_nobody_is_named_before_somebody_says_what_for(house: House, admin: Visitor, paid: Checkout) -> None:
    private = ("김찐", story.BUYER, "01012345678", "010-1234-5678")
    url = record(paid)
    for answer in (
        admin.get("/admin/payments"),
        admin.get(url),
        admin.part("GET", url),
        admin.get(f"{url}/refunds/new"),
    ):
        assert answer.status_code == 200
        assert not [text for text in private if text in answer.text], answer.url
    empty = admin.part("POST", f"{url}/reveal", data={"purpose": " "})
    assert_form_again(empty, "purpose", "까닭을")
    assert "revealed" not in house.kinds(paid.order_id)

    seen = assert_fragment(admin.part("POST", f"{url}/reveal", data={"purpose": "환불 문의"}), "김찐", story.BUYER)
    timeline = one(str(seen), f"hx-partial[hx-target='#timeline-{paid.order_id}'] .timeline")
    assert "구매자 정보를 보았습니다 · 환불 문의" in words(timeline), "the page at hand tells it, too"
    assert_page(admin.post(f"{url}/reveal", data={"purpose": "배송 확인"}), "김찐", story.BUYER, "01012345678")
    told = [words(entry) for entry in assert_page(admin.get(url)).select(".timeline li")]
    assert "구매자 정보를 보았습니다 · 환불 문의 관리자 admin@example.com" in told[-2]
    assert story.BUYER not in admin.get(url).text, "the next look is masked again"


@one_database
def test_a_viewer_is_offered_nothing_that_is_not_theirs(viewer: Visitor, paid: Checkout) -> None:
    page = assert_page(viewer.get(record(paid)), "메모", "구매자")
    assert not page.select("main form")
    listed = assert_page(viewer.get("/admin/payments"))
    assert listed.select_one("#payments[data-viewer]"), "the stylesheet hides what a row offers to others"
    assert "CSV 내려받기" not in words(listed)
    assert_notice(viewer.part("GET", f"{record(paid)}/refunds/new"), "권한이 없습니다", status=403)


# ── why, notes, twins ────────────────────────────────────────────────────────────────────────────────────────────────


@one_database
def test_one_sentence_says_why_it_stands_there(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    def why(checkout: Checkout) -> str:
        return words(one(admin.get(record(checkout)).text, f"#why-{checkout.order_id}"))

    pending = cashier.order(buyer, story.DISCOUNTED)
    assert "아직 결제창에서 승인하지 않았습니다" in why(pending)
    checkout = cashier.buy(buyer)
    assert "결제사가 승인했고 구매자에게 프롬프트를" in why(checkout)
    cashier.refund(admin, checkout, amount="1000")
    assert "그 뒤 ₩1,000을 돌려주었습니다. 이용권은 그대로입니다" in why(checkout)
    sandbox.fault("cancel", "reset", when="after")
    cashier.refund(admin, checkout, amount="2000")
    assert "₩2,000 환불을 결제사에 요청했고 결과를 확인하고 있습니다" in why(checkout)
    page = admin.get(record(checkout)).text
    for place in (".timeline", f"#exchanges-{checkout.order_id}", ".refund-entry[data-status=in_doubt]"):
        assert "연결이 끊겨 답을 받지 못했습니다" in words(one(page, place)), place


@one_database
def test_what_an_operator_notes_the_next_one_reads(operator: Visitor, admin: Visitor, paid: Checkout) -> None:
    url = record(paid)
    note = "<b>전화로 확인했습니다</b>"
    assert_fragment(operator.part("POST", f"{url}/notes", data={"note": note}), note, "operator@example.com")
    assert operator.post(f"{url}/notes", data={"note": "두 번째"}).headers["location"] == url
    page = assert_page(admin.get(url), note, "두 번째")
    assert [words(entry) for entry in page.select(".refund-entry b")] == []
    long = operator.part("POST", f"{url}/notes", data={"note": "가" * 501})
    assert_form_again(long, "note", "500자", note="가" * 501)


@one_database
def test_a_second_payment_for_the_same_thing_is_seen_and_its_refund_proposed(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    twin = cashier.order(buyer, story.DISCOUNTED)
    assert "같은 상품" not in admin.get(record(paid)).text

    async def pay_twice(session: AsyncSession) -> None:
        payment = await find(session, twin.order_id)
        payment.prompt_id, payment.status, payment.paid_amount = story.PROMPT, Status.COMPLETED, payment.amount

    house.change(pay_twice)
    page = assert_page(admin.get(record(twin)), "같은 구매자, 같은 상품", "두 번 결제된 것 같습니다")
    proposed = str(one(str(page), f"#twins-{twin.order_id} .is-summary a")["href"])
    assert one(admin.get(proposed).text, "input[name=reason]")["value"] == "중복결제"


# ── two people ───────────────────────────────────────────────────────────────────────────────────────────────────────


def asked(house: House) -> Approval:
    (approval,) = house.rows(select(Approval))
    assert isinstance(approval, Approval)
    return approval


def decide(visitor: Visitor, approval: Approval, decision: str = "grant", amount: int | None = None) -> int:
    data = {"decision": decision, "amount": str(amount or approval.amount)}
    status: int = visitor.post(f"/admin/approvals/{approval.id}", data=data).status_code
    return status


@one_database
def test_the_refund_form_says_from_which_amount_on_it_takes_two(
    operator: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    def form() -> Tag:
        return one(operator.part("GET", f"{record(paid)}/refunds/new").text, "form.refund")

    assert "₩5,000을 넘으면 두 번째 사람의 승인이 필요합니다" in words(form())
    assert (form()["data-alone"], form()["data-remaining"]) == ("5000", "10000")
    cashier.refund(operator, paid, amount="3000")
    assert "₩2,000을 넘으면 두 번째 사람" in words(form()), "what was given back before counts"
    assert_page(operator.get(record(paid)), "₩2,000을 넘으면 두 번째 사람")
    cashier.refund(operator, paid, amount="2000")
    assert "비우면 전액 · 두 번째 사람의 승인이 필요합니다" in words(form())
    assert words(one(str(form()), "button[type=submit]")) == "승인 요청하기"


@one_database
def test_while_a_second_person_is_waited_for_nobody_is_offered_another_refund(
    operator: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    cashier.refund(operator, paid)
    for visitor in (operator, admin):
        row = one(visitor.get("/admin/payments").text, f"#payment-{paid.order_id}")
        assert words(one(str(row), ".do")) == "승인 보기"
        assert one(str(row), ".do a")["href"] == f"/admin/approvals#asked-{paid.order_id}"
        assert "승인 대기 · 요청 operator@example.com" in words(one(str(row), ".state"))
    one(admin.get("/admin/approvals").text, f"#asked-{paid.order_id}")
    glance = assert_fragment(admin.part("GET", record(paid)), "₩10,000 환불", "요청 operator@example.com")
    assert "₩10,000 승인하고 돌려주기" in words(glance)
    assert "승인하고 돌려주기" not in operator.part("GET", record(paid)).text
    assert_page(admin.get(record(paid)), "승인을 기다리는 환불이 있습니다")


def waits(admin: Visitor) -> bool:
    return "승인 대기" in words(one(admin.get("/admin/payments").text, "tr[data-status] .state"))


def test_more_than_the_limit_needs_a_second_person_and_exactly_what_was_asked_for(
    house: House, operator: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout, sandbox: Sandbox
) -> None:
    assert cashier.refund(operator, paid, amount="3000").status_code == 200
    answer = cashier.refund(operator, paid, amount="2001", reason="광고와 다름")
    assert_fragment(answer, "다른 관리자가 승인하면 환불됩니다", status=202)
    assert_row_redrawn(answer, paid.order_id, "승인 대기", status="completed", code=202)
    assert sandbox.ledger(paid.order_id)["refunded"] == 3_000, "small steps lead no further"
    approval = asked(house)
    assert (approval.amount, approval.remaining) == (2_001, 7_000)
    assert_fragment(admin.part("GET", "/admin/payments/counts"), "살펴볼 결제 기다리는 환불 1")
    assert_page(admin.get("/admin"), "기다리는 환불 1건")
    assert_page(admin.get("/admin/approvals"), "₩2,001 승인하고 돌려주기", "광고와 다름", "operator@example.com")
    assert "승인하고 돌려주기" not in operator.get(record(paid)).text
    assert waits(admin), "the list says so"
    assert_page(house.visitor(story.BUYER).get(paid.path), "환불을 처리하고 있습니다")

    assert decide(operator, approval) == 403, "one's own request"
    assert decide(admin, approval, amount=9_999) == 409
    assert cashier.refund(admin, paid, amount="6000").status_code == 409, "one request at a time"
    assert sandbox.ledger(paid.order_id)["refunded"] == 3_000
    for _ in range(2):
        assert decide(admin, approval) == 303
    assert not waits(admin)
    assert sandbox.ledger(paid.order_id)["refunded"] == 5_001
    assert decide(operator, approval, "refuse") == 409, "it was decided"
    told = words(one(admin.get(record(paid)).text, ".timeline"))
    assert "두 번째 사람의 승인을 요청했습니다 · ₩2,001 · 광고와 다름 관리자 operator@example.com" in told
    assert "환불을 승인했습니다 · ₩2,001 관리자 admin@example.com" in told


@one_database
def test_a_refund_that_nobody_can_be_asked_for_stays_to_be_decided(
    house: House, operator: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    cashier.refund(operator, paid)
    with monkeypatch.context() as lost:
        lost.delitem(house.till.gateways, "toss")
        assert decide(admin, asked(house)) == 502
    assert asked(house).decided_at is None
    assert house.payment(paid.order_id).refunded_amount == 0
    assert decide(admin, asked(house)) == 303
    assert house.payment(paid.order_id).status == "refunded"


@one_database
def test_an_approval_of_what_is_no_longer_so_gives_nothing_back(
    house: House, operator: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout, sandbox: Sandbox
) -> None:
    cashier.refund(operator, paid)
    cashier.refund(admin, paid, amount="1000")
    assert decide(admin, asked(house)) == 409
    assert sandbox.ledger(paid.order_id)["refunded"] == 1_000
    assert_page(admin.get(record(paid)), "남은 금액 ₩9,000")


@one_database
def test_a_request_can_be_refused_and_taken_back(
    house: House, operator: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout, sandbox: Sandbox
) -> None:
    cashier.refund(operator, paid)
    assert decide(operator, asked(house), "refuse") == 303, "their own"
    assert decide(admin, asked(house)) == 409
    form = {"amount": "", "reason": "오류", "key": "again"}
    assert operator.post(f"{record(paid)}/refunds", data=form).headers["location"] == record(paid)
    assert len(house.rows(select(Approval))) == 2
    assert sandbox.ledger(paid.order_id)["refunded"] == 0
    payment: Payment = house.payment(paid.order_id)
    assert payment.remaining == 10_000


@one_database
def test_a_deposit_s_account_waits_sealed_for_the_second_person(
    house: House, buyer: Visitor, operator: Visitor, admin: Visitor, cashier: Cashier
) -> None:
    account = {"bank": "신한은행", "number": "110-123-456789", "holder": "김찐"}
    checkout = cashier.press(cashier.open(buyer, cashier.order(buyer, payment_method="virtual_account")))
    buyer.get(checkout.back)
    cashier.sandbox.http.post(f"/toss/_deposit/{checkout.order_id}").raise_for_status()
    house.run(settle, house.till, checkout.order_id, "reconciler")
    assert cashier.refund(operator, checkout, **account).status_code == 202
    approval = asked(house)
    assert approval.account_sealed
    assert "110123456789" not in str(approval.model_dump())
    assert decide(admin, approval) == 303
    shown = cashier.sandbox.http.get(f"/toss/v1/payments/{checkout.payment_key}", auth=("test_sk_sandbox", "")).json()
    assert shown["virtualAccount"]["refundReceiveAccount"]["accountNumber"] == "110123456789"
    assert asked(house).account_sealed is None


@one_database
def test_a_program_cannot_get_around_the_second_person(admin: Visitor, paid: Checkout, sandbox: Sandbox) -> None:
    headers = {"Idempotency-Key": "large"}
    answer = admin.post(f"/api/payment/{paid.order_id}/refund", json={"reason": "오류"}, headers=headers)
    assert_problem(answer, 403, "APPROVAL_REQUIRED")
    assert sandbox.ledger(paid.order_id)["refunded"] == 0
    assert soup(admin.get("/admin/approvals").text).select(".empty-row"), "a program asks nobody"
