"""The JSON API: the same verbs and rules for programs, by cookie or by token."""

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import time_machine
from sqlmodel import col, select

from app import __main__, auth
from app.models import ApiToken, Payment, User
from tests import story
from tests.conftest import Cashier, Checkout, House, Visitor
from tests.fragments import assert_form_again, assert_problem
from tests.sandboxes import Sandbox

TOKEN = "token-of-{}-0123456789"


@pytest.fixture(params=["cookie", "token"])
def caller(request: pytest.FixtureRequest, house: House) -> Callable[[str], Visitor]:
    """People come both ways."""
    return house.visitor if request.param == "cookie" else functools.partial(with_token, house)


def with_token(house: House, email: str) -> Visitor:
    token = TOKEN.format(email)
    user = house.rows(select(User).where(col(User.email) == email))[0]

    async def add(session: Any) -> None:
        session.add(ApiToken(user_id=user.id, digest=auth.digest(token)))

    house.change(add)
    visitor = house.visitor()
    visitor.headers["Authorization"] = f"Bearer {token}"
    return visitor


def told(visitor: Visitor, verb: str, body: dict[str, Any]) -> Any:
    """As json.dumps writes it, also what is no JSON: NaN."""
    return visitor.post(f"/api/payment/{verb}", content=json.dumps(body))


def prepare(visitor: Visitor, prompt_id: float = story.PROMPT, **more: Any) -> Any:
    return visitor.post("/api/payment/prepare", json={"prompt_id": prompt_id, "payment_method": "card", **more})


def complete(visitor: Visitor, checkout: Checkout, **changed: Any) -> Any:
    body = {"order_id": checkout.order_id, "pg_transaction_id": checkout.payment_key} | changed
    return visitor.post("/api/payment/complete", json=body)


def refund(visitor: Visitor, checkout: Checkout, key: str = "key-1", **body: Any) -> Any:
    url = f"/api/payment/{checkout.order_id}/refund"
    return visitor.post(url, json={"reason": "단순변심"} | body, headers={"Idempotency-Key": key})


def authenticated(sandbox: Sandbox, visitor: Visitor, prompt_id: int = story.PROMPT) -> Checkout:
    """Prepared by the API, approved in the PG's window."""
    answer = prepare(visitor, prompt_id)
    assert answer.status_code == 201, answer.text
    key = sandbox.open(answer.json()["next"]["steps"])
    sandbox.press(key)
    return Checkout(answer.json()["order_id"], key)


def reconcile_later(house: House) -> None:
    """A minute later somebody runs `python -m app reconcile`."""
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=1)):
        __main__.reconcile(house.settings, __main__.words_of(["reconcile"]))


def bought(sandbox: Sandbox, visitor: Visitor, prompt_id: int = story.PROMPT) -> Checkout:
    checkout = authenticated(sandbox, visitor, prompt_id)
    assert complete(visitor, checkout).status_code == 200
    return checkout


# ── prepare ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prepare_makes_an_order_at_our_price_and_says_what_the_browser_does_next(
    house: House, caller: Callable[[str], Visitor], sandbox: Sandbox
) -> None:
    buyer = caller(story.BUYER)
    answer = prepare(buyer, buyer_name="박구매", buyer_phone="010-9876-5432")
    assert answer.status_code == 201
    body = answer.json()
    assert (body["amount"], body["item_name"]) == (10_000, "블로그 초안 쓰기")
    assert body["next"]["script"] == f"{sandbox.url}/toss/v2/standard"
    assert body["next"]["steps"][2][1]["amount"] == {"currency": "KRW", "value": 10_000}
    assert body["payment"]["status"] == "pending"
    assert (body["payment"]["buyer_name"], body["payment"]["buyer_phone"]) == ("박구매", "01098765432")
    assert house.payment(body["order_id"]).status == "pending"
    assert buyer.get(f"/api/payment/{body['order_id']}").json()["payment"] == body["payment"]


def test_prepare_tells_what_the_pg_calls_the_payment_where_it_has_said_so(house: House, buyer: Visitor) -> None:
    body = prepare(buyer, payment_method="kakao").json()
    assert body["payment"]["pg_transaction_id"] == house.payment(body["order_id"]).pg_transaction_id
    assert body["payment"]["pg_transaction_id"]
    assert buyer.get(f"/api/payment/{body['order_id']}").json()["payment"] == body["payment"]


def test_prepare_asks_members_for_the_member_price(house: House, buyer: Visitor) -> None:
    assert prepare(buyer, story.DISCOUNTED).json()["amount"] == 9_900
    assert prepare(house.visitor(story.MEMBER), story.DISCOUNTED).json()["amount"] == 7_900


def test_prepare_refuses(house: House, stranger: Visitor, buyer: Visitor, sandbox: Sandbox) -> None:
    order = {"prompt_id": story.PROMPT, "payment_method": "card"}
    assert_problem(prepare(stranger), 401, "UNAUTHORIZED")
    for amount in (9_999, 9_999.5, 10_000.5, 1e30, float("nan")):
        assert_problem(told(buyer, "prepare", order | {"amount": amount}), 400, "AMOUNT_MISMATCH")
    for no_amount in (True, "ten", "10000.0", [10_000]):
        assert_problem(prepare(buyer, amount=no_amount), 422, "INVALID")
    assert_problem(prepare(buyer, 77), 404, "NOT_FOUND")
    assert_problem(prepare(buyer, payment_method="bitcoin"), 422, "METHOD_UNAVAILABLE")
    for prompt_id in (0, True, 1.5):
        assert_problem(prepare(buyer, prompt_id), 422, "INVALID")
    wrong = assert_problem(prepare(buyer, buyer_phone="112", buyer_name=""), 422, "INVALID")
    assert set(wrong["errors"]) == {"buyer_phone", "buyer_name"}
    for body in (b"", b"{", b"[]", b'"x"', b"\xff"):
        assert_problem(buyer.post("/api/payment/prepare", content=body), 400, "BAD_JSON")
    assert house.rows(select(Payment)) == []
    bought(sandbox, buyer)
    assert_problem(prepare(buyer), 409, "ALREADY_OWNED")


def test_prepare_with_the_price_that_was_shown_is_taken(buyer: Visitor) -> None:
    for amount in (10_000, 10_000.0, "10000"):
        assert prepare(buyer, amount=amount).status_code == 201


def test_someone_without_a_phone_number_can_prepare_and_open_the_window(house: House, sandbox: Sandbox) -> None:
    visitor = house.visitor()
    form = {"email": "nophone@example.com", "password": "quite a long one", "name": "무폰"}
    assert visitor.post("/register", data=form).status_code == 303
    assert authenticated(sandbox, visitor).payment_key


# ── complete ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_complete_takes_the_money_and_hands_over_the_prompt(
    house: House, caller: Callable[[str], Visitor], sandbox: Sandbox
) -> None:
    buyer = caller(story.BUYER)
    checkout = authenticated(sandbox, buyer)
    answer = complete(buyer, checkout, amount=10_000)
    assert answer.status_code == 200, answer.text
    payment, purchase = answer.json()["payment"], answer.json()["purchase"]
    assert (payment["status"], payment["pg_transaction_id"]) == ("completed", checkout.payment_key)
    assert (purchase["title"], purchase["body"]) == ("블로그 초안 쓰기", story.BODY)
    assert sandbox.ledger(checkout.order_id)["charged"] == 10_000
    assert len(house.purchases(checkout.order_id)) == 1


def test_the_same_complete_again_is_the_same_answer_and_no_second_charge(buyer: Visitor, sandbox: Sandbox) -> None:
    checkout = authenticated(sandbox, buyer)
    first, again = complete(buyer, checkout), complete(buyer, checkout)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    line = sandbox.ledger(checkout.order_id)
    assert (line["charged"], line["confirm_calls"]) == (10_000, 1)


@pytest.mark.parametrize(("database_url", "at"), [("sqlite", "portone_confirm")], indirect=True)
def test_a_program_hands_over_the_token_of_a_channel_that_waits_for_our_confirm(
    buyer: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    token = dict(parse_qsl(checkout.back.partition("?")[2]))["paymentToken"]
    words = {"pg_transaction_id": checkout.order_id}
    assert complete(buyer, checkout, **words, payment_token="x" * 201).status_code == 422
    assert complete(buyer, checkout, **words).status_code == 202, "without it nothing can be taken"
    assert sandbox.ledger(checkout.order_id)["charged"] == 0
    assert complete(buyer, checkout, **words, payment_token=token).status_code == 200
    assert sandbox.ledger(checkout.order_id)["charged"] == 10_000


def test_another_transaction_for_a_settled_order_is_refused(buyer: Visitor, sandbox: Sandbox) -> None:
    checkout = bought(sandbox, buyer)
    assert_problem(complete(buyer, checkout, pg_transaction_id="another"), 409, "TRANSACTION_MISMATCH")
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 1


@pytest.mark.parametrize(("database_url", "at"), [("sqlite", "portone"), ("sqlite", "portone_v1")], indirect=True)
def test_another_transaction_for_a_settled_order_is_refused_where_it_is_named_as_ours_is(
    buyer: Visitor, cashier: Cashier
) -> None:
    bought = cashier.buy(buyer)
    assert_problem(complete(buyer, bought, pg_transaction_id="another"), 409, "TRANSACTION_MISMATCH")


@pytest.mark.parametrize(("database_url", "at"), [("sqlite", "portone")], indirect=True)
def test_another_order_s_payment_pays_nothing_whether_ours_is_open_or_over(
    house: House, buyer: Visitor, cashier: Cashier
) -> None:
    """PortOne knows a payment by our order id."""
    checkout, another = cashier.authenticate(buyer, button="no-balance"), cashier.authenticate(buyer)
    theirs = {"pg_transaction_id": another.order_id}
    assert_problem(complete(buyer, checkout, **theirs), 400, "ORDER_MISMATCH")
    assert house.payment(checkout.order_id).status == "pending"
    buyer.get(checkout.back)
    assert house.payment(checkout.order_id).status == "failed"
    assert_problem(complete(buyer, checkout, **theirs), 409, "TRANSACTION_MISMATCH")
    assert house.payment(checkout.order_id).status == "failed"


def test_a_wrong_amount_is_refused_before_the_pg_is_asked(house: House, buyer: Visitor, sandbox: Sandbox) -> None:
    checkout = authenticated(sandbox, buyer)
    for amount in (9_999, 0, -1, 10**30, 10_000.5, 0.5):
        assert_problem(complete(buyer, checkout, amount=amount), 400, "AMOUNT_MISMATCH")
    line = sandbox.ledger(checkout.order_id)
    assert (line["confirm_calls"], line["charged"]) == (0, 0)
    assert house.payment(checkout.order_id).status == "pending"
    assert complete(buyer, checkout).status_code == 200, "the order is still good"


def test_a_declined_payment_tells_the_pgs_code_in_our_words(house: House, buyer: Visitor, sandbox: Sandbox) -> None:
    checkout = authenticated(sandbox, buyer)
    sandbox.fault("confirm", "code", code="REJECT_CARD_PAYMENT")
    first = assert_problem(complete(buyer, checkout), 402, "REJECT_CARD_PAYMENT")
    assert "다른 카드" in first["detail"]
    assert first["payment"]["status"] == "failed"
    assert assert_problem(complete(buyer, checkout), 402, "REJECT_CARD_PAYMENT") == first
    assert sandbox.ledger(checkout.order_id)["charged"] == 0
    assert house.purchases(checkout.order_id) == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"kind": "reset"}, "NO_ANSWER"),
        ({"kind": "delay", "seconds": 3}, "TIMEOUT"),
        ({"kind": "status", "status": 500}, "UNREADABLE"),
    ],
)
def test_an_answer_that_got_lost_is_in_doubt_until_the_pg_is_asked(
    house: House, buyer: Visitor, sandbox: Sandbox, fault: dict[str, Any], code: str
) -> None:
    checkout = authenticated(sandbox, buyer)
    sandbox.fault("confirm", when="after", **fault)
    answer = complete(buyer, checkout)
    assert answer.status_code == 202, answer.text
    payment = answer.json()["payment"]
    assert (payment["status"], payment["failure_code"]) == ("in_doubt", code), "no name out of Python"
    assert answer.json()["purchase"] is None
    assert house.purchases(checkout.order_id) == []
    reconcile_later(house)
    answer = complete(buyer, checkout)
    assert (answer.status_code, answer.json()["purchase"]["body"]) == (200, story.BODY)
    assert sandbox.ledger(checkout.order_id)["charged"] == 10_000


def test_complete_refuses(stranger: Visitor, buyer: Visitor, other: Visitor, sandbox: Sandbox) -> None:
    checkout = authenticated(sandbox, buyer)
    assert_problem(complete(stranger, checkout), 401, "UNAUTHORIZED")
    assert_problem(complete(other, checkout), 404, "NOT_FOUND")
    for order_id in ("N" * 24, "nope", "주문-1", "x" * 100):
        assert_problem(complete(buyer, Checkout(order_id, "x")), 404, "NOT_FOUND")
    for order_id in ("", " ", "x" * 101, "a\x00b"):
        assert_problem(complete(buyer, checkout, order_id=order_id), 422, "INVALID")
    assert_problem(complete(buyer, checkout, pg_transaction_id=""), 422, "INVALID")
    for amount in ("ten", True):
        assert_problem(complete(buyer, checkout, amount=amount), 422, "INVALID")
    assert_problem(buyer.post("/api/payment/complete", content=b"{"), 400, "BAD_JSON")
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 0


def test_a_second_order_of_what_is_owned_meanwhile_is_refused_without_a_charge(
    buyer: Visitor, sandbox: Sandbox
) -> None:
    second = authenticated(sandbox, buyer)
    bought(sandbox, buyer)
    assert_problem(complete(buyer, second), 409, "ALREADY_OWNED")
    assert sandbox.ledger(second.order_id)["charged"] == 0


# ── refund ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_refund_in_parts_and_then_the_rest(caller: Callable[[str], Visitor], sandbox: Sandbox) -> None:
    buyer, admin = caller(story.BUYER), caller(story.ADMIN)
    checkout = bought(sandbox, buyer)
    part = refund(admin, checkout, "part", amount=3_000, reason="일부 환불")
    assert part.status_code == 200, part.text
    assert part.json()["refund"]["amount"] == 3_000
    assert part.json()["refund"]["reason"] == "일부 환불"
    assert part.json()["refund"]["requested_by"] == story.ADMIN
    assert (part.json()["payment"]["status"], part.json()["payment"]["refunded_amount"]) == ("completed", 3_000)
    assert complete(buyer, checkout).json()["purchase"]["body"] == story.BODY
    rest = refund(admin, checkout, "rest")
    assert (rest.json()["refund"]["amount"], rest.json()["payment"]["status"]) == (7_000, "refunded")
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000
    assert complete(buyer, checkout).json()["purchase"]["body"] is None


def test_the_same_refund_key_is_one_refund(house: House, buyer: Visitor, admin: Visitor, sandbox: Sandbox) -> None:
    checkout = bought(sandbox, buyer)
    first, again = (refund(admin, checkout, amount=3_000) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    line = sandbox.ledger(checkout.order_id)
    assert (line["refunded"], line["cancel_calls"]) == (3_000, 1)
    assert refund(admin, checkout).json() == first.json(), "what is left out is not another refund"
    assert_problem(refund(admin, checkout, amount=4_000), 409, "KEY_REUSED")
    for amount in (None, 3_000):
        assert_problem(refund(admin, checkout, reason="이중 결제", amount=amount), 409, "KEY_REUSED")
    assert len(house.refunds(checkout.order_id)) == 1


def test_more_than_is_left_is_not_given_back(buyer: Visitor, admin: Visitor, sandbox: Sandbox) -> None:
    checkout = bought(sandbox, buyer)
    told = assert_problem(refund(admin, checkout, amount=10_001), 409, "TOO_MUCH")
    assert "₩10,000" in told["detail"]
    assert refund(admin, checkout, "all").status_code == 200
    assert_problem(refund(admin, checkout, "more", amount=1), 409, "NOT_REFUNDABLE")
    line = sandbox.ledger(checkout.order_id)
    assert (line["refunded"], line["cancel_calls"]) == (10_000, 1)


def test_a_refund_without_an_answer_is_in_doubt_and_asked_for_again_by_the_same_key(
    house: House, buyer: Visitor, admin: Visitor, sandbox: Sandbox
) -> None:
    checkout = bought(sandbox, buyer)
    sandbox.fault("cancel", "reset", when="after")
    answer = refund(admin, checkout)
    assert answer.status_code == 202, answer.text
    assert answer.json()["refund"]["status"] == "in_doubt"
    assert answer.json()["payment"]["refunded_amount"] == 10_000, "reserved: nobody can give it back twice"
    assert refund(admin, checkout).status_code == 202
    reconcile_later(house)
    assert refund(admin, checkout).json()["refund"]["status"] == "done"
    assert sandbox.ledger(checkout.order_id)["refunded"] == 10_000


def test_a_refund_that_the_pg_declines_can_be_tried_again(buyer: Visitor, admin: Visitor, sandbox: Sandbox) -> None:
    checkout = bought(sandbox, buyer)
    sandbox.fault("cancel", "code", code="EXCEED_MAX_REFUND_DUE")
    told = assert_problem(refund(admin, checkout), 402, "EXCEED_MAX_REFUND_DUE")
    assert told["refund"]["status"] == "failed"
    assert told["payment"]["refunded_amount"] == 0
    assert refund(admin, checkout, "key-2").status_code == 200


def test_refund_refuses(stranger: Visitor, buyer: Visitor, other: Visitor, admin: Visitor, sandbox: Sandbox) -> None:
    checkout = bought(sandbox, buyer)
    assert_problem(refund(stranger, checkout), 401, "UNAUTHORIZED")
    for visitor in (buyer, other):
        assert_problem(refund(visitor, checkout), 403, "FORBIDDEN")
    for key in ("", " ", "x" * 101):
        assert_problem(refund(admin, checkout, key), 400, "IDEMPOTENCY_KEY_REQUIRED")
    for body in (
        {"reason": ""},
        {"reason": "x" * 201},
        {"amount": 0},
        {"amount": -1},
        {"amount": "많이"},
        {"amount": True},
    ):
        assert_problem(refund(admin, checkout, **body), 422, "INVALID")
    assert_problem(refund(admin, Checkout("N" * 24)), 404, "NOT_FOUND")
    assert sandbox.ledger(checkout.order_id)["refunded"] == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_refund_that_nobody_can_be_asked_for_reserves_nothing(
    house: House, buyer: Visitor, admin: Visitor, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = bought(sandbox, buyer)
    form = {"amount": "", "reason": "단순변심", "key": "form"}
    with monkeypatch.context() as lost:
        lost.delitem(house.till.gateways, "toss")
        told = assert_problem(refund(admin, checkout), 502, "GATEWAY_NOT_CONFIGURED")
        assert "토스페이먼츠의 키가" in told["detail"]
        answer = admin.part("POST", f"/admin/payments/{checkout.order_id}/refunds", data=form)
        assert_form_again(answer, "amount", "토스페이먼츠의 키가", status=502, reason="단순변심")
    assert house.refunds(checkout.order_id) == []
    assert house.payment(checkout.order_id).refunded_amount == 0
    assert refund(admin, checkout).status_code == 200, "with the keys back, by the same key"


# ── get and list ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_payment_is_shown_to_its_buyer_and_to_admins(
    stranger: Visitor, buyer: Visitor, other: Visitor, admin: Visitor, sandbox: Sandbox
) -> None:
    url = f"/api/payment/{bought(sandbox, buyer).order_id}"
    assert buyer.get(url).json() == admin.get(url).json()
    assert_problem(other.get(url), 404, "NOT_FOUND")
    assert_problem(stranger.get(url), 401, "UNAUTHORIZED")
    assert stranger.get(url).headers["www-authenticate"] == "Bearer"
    payment = buyer.get(url).json()["payment"]
    assert payment["buyer_email"] == story.BUYER
    assert set(payment) == set(
        """
        order_id gateway payment_method amount refunded_amount status pg_transaction_id buyer_name buyer_email
        buyer_phone item_name prompt_id failure_code failure_message created_at completed_at refunded_at
        """.split()
    )
    for moment in (payment["created_at"], payment["completed_at"]):
        assert datetime.fromisoformat(moment).utcoffset() is not None, "a time without its offset"


def test_who_bought_is_masked_for_admins_as_on_the_pages(
    buyer: Visitor, viewer: Visitor, operator: Visitor, admin: Visitor, sandbox: Sandbox
) -> None:
    """An operator may see one buyer unmasked, and not take the list away."""
    checkout = bought(sandbox, buyer)
    masked = ("김*", "b***@example.com", "010-****-5678")

    def who(payment: dict[str, Any]) -> tuple[str, str, str]:
        return payment["buyer_name"], payment["buyer_email"], payment["buyer_phone"]

    def one(visitor: Visitor) -> tuple[str, str, str]:
        (shown,) = {who(visitor.get(url).json()["payment"]), who(complete(visitor, checkout).json()["payment"])}
        return shown

    url = f"/api/payment/{checkout.order_id}"
    plain = one(buyer)
    assert story.BUYER in plain
    assert (one(viewer), one(operator), one(admin)) == (masked, plain, plain)
    listed = [who(visitor.get("/api/admin/payments").json()["payments"][0]) for visitor in (viewer, operator, admin)]
    assert listed == [masked, masked, plain]
    own = prepare(viewer).json()["order_id"]
    assert who(viewer.get(f"/api/payment/{own}").json()["payment"])[1] == "viewer@example.com"


def test_a_cookie_does_not_make_up_for_a_wrong_token(buyer: Visitor) -> None:
    """Who revokes a program's token must not find it at work under whatever cookie it has kept."""
    assert buyer.get("/api/admin/payments").status_code == 403
    assert_problem(buyer.get("/api/admin/payments", headers={"Authorization": "Bearer wrong"}), 401, "UNAUTHORIZED")
    assert buyer.get("/api/admin/payments", headers={"Authorization": "Basic d2U6dXM="}).status_code == 403


def test_a_wrong_token_opens_nothing(house: House, stranger: Visitor) -> None:
    with_token(house, story.ADMIN)
    good = TOKEN.format(story.ADMIN)
    for value in (
        f"Bearer {good}x",
        f"Bearer {good[:-1]}",
        f"Basic {good}",
        good,
        "Bearer ",
        f"Bearer {auth.digest(good)}",
    ):
        assert_problem(stranger.get("/api/admin/payments", headers={"Authorization": value}), 401, "UNAUTHORIZED")
    assert stranger.get("/api/admin/payments", headers={"Authorization": f"bearer {good}"}).status_code == 200


def history(house: House, moments: list[tuple[datetime, int]]) -> list[str]:
    """Payments of these times and amounts, straight into the database; their order ids."""

    def payment(moment: datetime, amount: int) -> Payment:
        return Payment(
            user_id=1,
            prompt_id=1,
            gateway="toss",
            payment_method="card",
            amount=amount,
            list_price=amount,
            buyer_name="김찐",
            buyer_email=story.BUYER,
            buyer_phone="01012345678",
            item_name="블로그 초안 쓰기",
            consent_digest="",
            consented_at=moment,
            created_at=moment,
        )

    payments = [payment(moment, amount) for moment, amount in moments]

    async def add(session: Any) -> None:
        session.add_all(payments)

    house.change(add)
    return [payment.order_id for payment in payments]


def listed(admin: Visitor, **query: Any) -> list[str]:
    answer = admin.get("/api/admin/payments", params=query)
    assert answer.status_code == 200, answer.text
    return [payment["order_id"] for payment in answer.json()["payments"]]


def test_the_cursor_walks_every_row_once_in_every_order(house: House, admin: Visitor) -> None:
    """With many equal times and amounts, where a careless cursor skips or repeats."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ids = history(house, [(start + timedelta(microseconds=n // 4), 1_000 + n % 3) for n in range(23)])
    facts = {p.order_id: (p.created_at, p.amount, p.id) for p in house.rows(select(Payment))}
    for sort, place in (("created_at", 0), ("amount", 1)):
        for sign in ("", "-"):
            walked, cursor = list[str](), ""
            while cursor is not None:
                answer = admin.get(
                    "/api/admin/payments", params={"sort": sign + sort, "limit": "4", "cursor": cursor}
                ).json()
                walked += [payment["order_id"] for payment in answer["payments"]]
                cursor = answer["next"]
            expected = sorted(ids, key=lambda it: (facts[it][place], facts[it][2]), reverse=sign == "-")
            assert walked == expected, sign + sort


def test_days_are_korean_days(house: House, admin: Visitor) -> None:
    midnight = datetime(2026, 1, 31, 15, tzinfo=UTC)  # the 1st of February begins in Seoul
    early, first, last, late = history(
        house,
        [
            (midnight - timedelta(microseconds=1), 1_000),
            (midnight, 1_000),
            (midnight + timedelta(days=1, microseconds=-1), 1_000),
            (midnight + timedelta(days=1), 1_000),
        ],
    )
    day = {"sort": "created_at"}
    assert listed(admin, **day, **{"from": "2026-02-01", "to": "2026-02-01"}) == [first, last]
    assert listed(admin, **day, to="2026-01-31") == [early]
    assert listed(admin, **day, **{"from": "2026-02-02"}) == [late]


def test_the_list_is_filtered_like_the_page(house: House, buyer: Visitor, admin: Visitor, sandbox: Sandbox) -> None:
    paid = bought(sandbox, buyer)
    pending = prepare(buyer, story.DISCOUNTED, buyer_name="이름다른").json()["order_id"]
    assert listed(admin) == [pending, paid.order_id]
    assert listed(admin, status="completed") == [paid.order_id]
    assert listed(admin, payment_method="card", sort="amount") == [pending, paid.order_id]
    assert listed(admin, payment_method="kakao") == []
    assert listed(admin, q="름다") == [pending]
    assert listed(admin, q="BUYER@EXAMPLE") == [pending, paid.order_id]
    assert listed(admin, q=paid.order_id[:9]) == [paid.order_id]
    assert listed(admin, limit="1") == [pending]
    assert listed(admin, sort="created_at", limit="200") == [paid.order_id, pending]
    assert listed(admin, status="", payment_method="", q="", sort="", cursor="", limit="", **{"from": "", "to": ""})


def test_the_list_refuses(stranger: Visitor, buyer: Visitor, other: Visitor, admin: Visitor) -> None:
    assert_problem(stranger.get("/api/admin/payments"), 401, "UNAUTHORIZED")
    for visitor in (buyer, other):
        assert_problem(visitor.get("/api/admin/payments"), 403, "FORBIDDEN")
    wrong = (
        *({"limit": it} for it in ("0", "201", "-1", "x", "1.5")),
        *({"from": it} for it in ("2026-02-30", "yesterday", "2026-01-02&")),
        *({"status": "lost"}, {"sort": "buyer_name"}, {"q": "x" * 101}, {"cursor": "bm9uc2Vuc2U"}),
        {"from": "2026-02-02", "to": "2026-02-01"},
    )
    for query in wrong:
        told = assert_problem(admin.get("/api/admin/payments", params=query), 422, "INVALID")
        assert next(iter(query)) in told["errors"], query


def test_errors_of_the_api_are_problems_whatever_goes_wrong(admin: Visitor) -> None:
    assert_problem(admin.get("/api/nothing"), 404, "NOT_FOUND")
    assert_problem(admin.get("/api/payment/prepare"), 405, "METHOD_NOT_ALLOWED")
    cross = admin.post("/api/payment/prepare", json={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert_problem(cross, 403, "FORBIDDEN")
    large = admin.post("/api/payment/prepare", content=b" " * 300_000)
    assert_problem(large, 413, large.json()["code"])
