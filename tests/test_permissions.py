"""Who may do what: one table over every route and method, and nobody reads a prompt who has not bought it."""

from dataclasses import dataclass
from typing import Any

import pytest
from sqlmodel import select
from starlette.routing import Mount, Route

from app import streams
from app.exports import Export
from app.routes import routes
from tests import story
from tests.conftest import ORDER, Cashier, Checkout, House, Visitor
from tests.fragments import PARTIAL, assert_fragment, assert_notice, assert_page, assert_problem
from tests.sandboxes import Sandbox

# Route, method (PART: GET as htmx asks for a part, PART-POST likewise), path, and the status that a stranger, the buyer
# of {paid} and {open}, another buyer, and admins get: a viewer, an operator, an owner.
TABLE = """
    shop                  GET        /                                   200  200  200  200  200  200
    shop                  PART       /                                   200  200  200  200  200  200
    prompt                GET        /prompts/1                          200  200  200  200  200  200
    prompt                PART       /prompts/1                          200  200  200  200  200  200
    register              GET        /register                           200  200  200  200  200  200
    register              POST       /register                           422  422  422  422  422  422
    login                 GET        /login                              200  200  200  200  200  200
    login                 POST       /login                              422  422  422  422  422  422
    new_payment           GET        /payments/new?prompt_id=2           303  200  200  200  200  200
    new_payment           PART       /payments/new?prompt_id=2           401  200  200  200  200  200
    payments              POST       /payments                           303  303  303  303  303  303
    payments              PART-POST  /payments                           401  204  204  204  204  204
    payment               GET        /payments/{paid}                    200  200  404  200  200  200
    payment               PART       /payments/{paid}                    200  200  404  200  200  200
    payment_window        GET        /payments/{open}/window             303  200  404  404  404  404
    payment_window        PART       /payments/{open}/window             401  200  404  404  404  404
    payment_return        GET        /payments/{paid}/return             303  303  303  303  303  303
    payment_cancel        POST       /payments/{open}/cancel             303  409  404  404  404  404
    payment_cancel        PART-POST  /payments/{open}/cancel             401  409  404  404  404  404
    pleas                 POST       /payments/{paid}/pleas              303  303  404  404  404  404
    pleas                 PART-POST  /payments/{paid}/pleas              401  409  404  404  404  404
    purchases             GET        /purchases                          303  200  200  200  200  200
    purchases             PART       /purchases                          401  200  200  200  200  200
    admin_overview        GET        /admin                              303  403  403  200  200  200
    admin_overview        PART       /admin                              401  403  403  200  200  200
    admin_counts          GET        /admin/payments/counts              303  403  403  200  200  200
    admin_counts          PART       /admin/payments/counts              401  403  403  200  200  200
    admin_payments        GET        /admin/payments                     303  403  403  200  200  200
    admin_payments        PART       /admin/payments                     401  403  403  200  200  200
    admin_live            GET        /admin/payments/live?after=0        303  403  403  200  200  200
    admin_live            PART       /admin/payments/live?after=0        401  403  403  200  200  200
    new_export            GET        /admin/payments/export              303  403  403  403  403  200
    admin_export          GET        /admin/payments.csv                 303  403  403  403  403  200
    admin_export_xlsx     GET        /admin/payments.xlsx                303  403  403  403  403  200
    admin_payment         GET        /admin/payments/{paid}              303  403  403  200  200  200
    admin_payment         PART       /admin/payments/{paid}              401  403  403  200  200  200
    admin_cancel          POST       /admin/payments/{open}/cancel       303  403  403  403  409  409
    admin_cancel          PART-POST  /admin/payments/{open}/cancel       401  403  403  403  409  409
    new_refund            GET        /admin/payments/{paid}/refunds/new  303  403  403  403  200  200
    new_refund            PART       /admin/payments/{paid}/refunds/new  401  403  403  403  200  200
    refunds               POST       /admin/payments/{paid}/refunds      303  403  403  403  303  303
    refunds               PART-POST  /admin/payments/{paid}/refunds      401  403  403  403  200  200
    notes                 POST       /admin/payments/{paid}/notes        303  403  403  403  303  303
    notes                 PART-POST  /admin/payments/{paid}/notes        401  403  403  403  200  200
    reveal                POST       /admin/payments/{paid}/reveal       303  403  403  403  200  200
    reveal                PART-POST  /admin/payments/{paid}/reveal       401  403  403  403  200  200
    plea                  POST       /admin/payments/{paid}/pleas/9      303  403  403  403  404  404
    views                 GET        /admin/views                        303  403  403  200  200  200
    views                 PART       /admin/views                        401  403  403  200  200  200
    save_view             POST       /admin/views/new                    303  403  403  422  422  422
    save_view             PART-POST  /admin/views/new                    401  403  403  422  422  422
    delete_view           POST       /admin/views/9/delete               303  403  403  404  404  404
    approvals             GET        /admin/approvals                    303  403  403  200  200  200
    approval              POST       /admin/approvals/9                  303  403  403  403  404  404
    bulk_jobs             GET        /admin/bulk-refunds                 303  403  403  200  200  200
    bulk_refunds          POST       /admin/bulk-refunds/new             303  403  403  403  303  303
    bulk_matching         GET        /admin/bulk-refunds/matching        303  403  403  403  200  200
    bulk_matching         PART       /admin/bulk-refunds/matching        401  403  403  403  200  200
    bulk_job              GET        /admin/bulk-refunds/9               303  403  403  404  404  404
    bulk_job              PART       /admin/bulk-refunds/9               401  403  403  404  404  404
    bulk_start            POST       /admin/bulk-refunds/9/start         303  403  403  403  404  404
    bulk_retry            POST       /admin/bulk-refunds/9/retry         303  403  403  403  404  404
    bulk_result           GET        /admin/bulk-refunds/9/result.csv    303  403  403  403  404  404
    admin_reconciliation  GET        /admin/reconciliation               303  403  403  200  200  200
    admin_repair          POST       /admin/reconciliation/{paid}        303  403  403  403  303  303
    admin_webhooks        GET        /admin/webhooks                     303  403  403  200  200  200
    openapi               GET        /api/openapi.json                   200  200  200  200  200  200
    api_prepare           POST       /api/payment/prepare                401  201  201  201  201  201
    api_complete          POST       /api/payment/complete               401  200  404  200  200  200
    api_payment           GET        /api/payment/{paid}                 401  200  404  200  200  200
    api_refund            POST       /api/payment/{paid}/refund          401  403  403  403  200  200
    api_payments          GET        /api/admin/payments                 401  403  403  200  200  200
    webhook               POST       /webhooks/toss                      200  200  200  200  200  200
    admin_replay          POST       /admin/webhooks/1                   303  403  403  403  303  303
    healthz               GET        /healthz                            200  200  200  200  200  200
    readyz                GET        /readyz                             200  200  200  200  200  200
    static                GET        /static/app.js                      200  200  200  200  200  200
    logout                POST       /logout                             303  303  303  303  303  303
"""
READERS = {  # who reads the bought text where; nobody else anywhere
    "prompt GET": {"buyer"},
    "prompt PART": {"buyer"},
    "payment GET": {"buyer"},
    "payment PART": {"buyer"},
    "purchases GET": {"buyer"},
    "purchases PART": {"buyer"},
    "api_complete POST": {"buyer", "viewer", "operator", "admin"},
}


@dataclass(frozen=True)
class Row:
    name: str
    method: str
    path: str
    expected: tuple[int, ...]

    @property
    def verb(self) -> str:
        return "POST" if self.method.endswith("POST") else "GET"

    @property
    def part(self) -> bool:
        return self.method.startswith("PART")


def rows() -> list[Row]:
    lines = [line.split() for line in TABLE.strip().splitlines()]
    return [Row(name, method, path, tuple(map(int, expected))) for name, method, path, *expected in lines]


@pytest.fixture(autouse=True)
def _streams_end_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LIFETIME", 0.01)


@pytest.fixture
def people(
    house: House, stranger: Visitor, buyer: Visitor, other: Visitor, viewer: Visitor, operator: Visitor, admin: Visitor
) -> dict[str, Visitor]:
    return {
        "stranger": stranger,
        "buyer": buyer,
        "other": other,
        "viewer": viewer,
        "operator": operator,
        "admin": admin,
    }


@pytest.fixture
def paid(buyer: Visitor, cashier: Cashier) -> Checkout:
    return cashier.buy(buyer)


@pytest.fixture
def pending(buyer: Visitor, cashier: Cashier) -> Checkout:
    return cashier.order(buyer, story.DISCOUNTED)


def ask(visitor: Visitor, row: Row, paid: Checkout, pending: Checkout) -> Any:
    bodies: dict[str, dict[str, Any]] = {
        "payments": {"data": ORDER | {"prompt_id": str(story.DISCOUNTED)}},
        "refunds": {"data": {"amount": "1", "reason": "단순변심", "key": row.method}},
        "pleas": {"data": {"reason": "작동하지 않음"}},
        "plea": {"data": {"answer": "광고한 그대로입니다."}},
        "notes": {"data": {"note": "전화로 확인했습니다"}},
        "reveal": {"data": {"purpose": "환불 문의"}},
        "bulk_refunds": {"data": {"order_id": paid.order_id}},
        "bulk_start": {"data": {"reason": "오류", "total": "1"}},
        "approval": {"data": {"decision": "grant", "amount": "1"}},
        "api_prepare": {"json": {"prompt_id": story.DISCOUNTED, "payment_method": "card"}},
        "api_complete": {"json": {"order_id": paid.order_id, "pg_transaction_id": paid.payment_key}},
        "api_refund": {"json": {"reason": "단순변심", "amount": 1}, "headers": {"Idempotency-Key": "api"}},
        "webhook": {"json": {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": paid.order_id}}},
    }
    url = row.path.format(paid=paid.order_id, open=pending.order_id)
    options = bodies.get(row.name, {}) if row.verb == "POST" else {}
    headers = options.pop("headers", {}) | (PARTIAL if row.part else {})
    return visitor.request(row.verb, url, headers=headers, **options)


def test_the_table_names_every_route_and_method() -> None:
    real = {
        (str(route.name), method)
        for route in routes
        if isinstance(route, Route | Mount)
        for method in ((route.methods or set()) - {"HEAD"} if isinstance(route, Route) else {"GET"})
    }
    assert {(row.name, row.verb) for row in rows()} == real


def test_everyone_gets_what_the_table_says_and_only_buyers_read(
    people: dict[str, Visitor], paid: Checkout, pending: Checkout
) -> None:
    for row in rows():
        answers = {who: ask(visitor, row, paid, pending) for who, visitor in people.items()}
        assert tuple(answer.status_code for answer in answers.values()) == row.expected, row
        readers = {who for who, answer in answers.items() if story.BODY in answer.text}
        assert readers == READERS.get(f"{row.name} {row.method}", set()), row


DEEDS = {"payment_window", "payment_return", "admin_live", "admin_export", "admin_export_xlsx"}


def test_head_is_get_without_a_body_and_refused_where_a_get_does_something(
    people: dict[str, Visitor], paid: Checkout, pending: Checkout
) -> None:
    for row in rows():
        if row.method != "GET":
            continue
        url = row.path.format(paid=paid.order_id, open=pending.order_id)
        heads = {who: visitor.head(url) for who, visitor in people.items()}
        expected = (405,) * len(heads) if row.name in DEEDS else row.expected
        assert tuple(head.status_code for head in heads.values()) == expected, row


def test_who_looks_ahead_takes_no_money_and_no_file(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, sandbox: Sandbox
) -> None:
    checkout = cashier.authenticate(buyer)
    assert buyer.head(checkout.back).status_code == 405
    assert sandbox.ledger(checkout.order_id)["confirm_calls"] == 0
    assert house.payment(checkout.order_id).status == "pending"
    for kind in ("csv", "xlsx"):
        assert admin.head(f"/admin/payments.{kind}").status_code == 405
    assert house.rows(select(Export)) == []
    assert buyer.get(checkout.back).status_code == 303, "the real return still pays"
    assert house.payment(checkout.order_id).status == "completed"


def test_other_methods_are_refused(people: dict[str, Visitor], paid: Checkout, pending: Checkout) -> None:
    known = {(row.name, row.verb) for row in rows()}
    for row in rows():
        url = row.path.format(paid=paid.order_id, open=pending.order_id)
        for method in ("GET", "POST", "PUT", "DELETE"):
            if (row.name, method) not in known:
                for who in ("stranger", "admin"):
                    assert people[who].request(method, url).status_code == 405, (row, method, who)


def test_a_stranger_is_shown_the_door_and_led_back(stranger: Visitor, paid: Checkout) -> None:
    page = stranger.get(f"/admin/payments?q={paid.order_id}&status=completed")
    assert page.headers["location"] == f"/login?next=/admin/payments%3Fq%3D{paid.order_id}%26status%3Dcompleted"
    part = stranger.part("GET", "/payments/new?prompt_id=2", headers={"HX-Current-URL": "http://testserver/prompts/2"})
    assert part.status_code == 401
    assert part.headers["hx-redirect"] == "/login?next=/prompts/2"
    posted = stranger.post("/payments", headers={"Referer": "http://testserver/payments/new?prompt_id=2"})
    assert posted.headers["location"] == "/login?next=/payments/new%3Fprompt_id%3D2"


def test_refusals_are_told_in_the_language_of_the_asker(buyer: Visitor, other: Visitor, paid: Checkout) -> None:
    sentence = "이 화면을 볼 권한이 없습니다."
    assert_page(buyer.get("/admin/payments"), sentence, status=403)
    assert_notice(buyer.part("GET", "/admin/payments"), sentence, status=403)
    assert_problem(buyer.get("/api/admin/payments"), 403, "FORBIDDEN")
    assert_page(other.get(paid.path), "찾는 페이지가 없습니다", status=404)
    assert_problem(other.get(f"/api/payment/{paid.order_id}"), 404, "NOT_FOUND")


def test_a_stranger_with_the_order_number_sees_how_it_stands_but_not_whose_it_is(
    stranger: Visitor, paid: Checkout
) -> None:
    """A phone may come back into a browser without the session."""
    for answer in (stranger.get(paid.path), stranger.part("GET", paid.path)):
        assert "결제가 끝났습니다" in answer.text
        for private in (story.BODY, "김찐", story.BUYER, "01012345678", "영수증 보기"):
            assert private not in answer.text
    assert_fragment(stranger.part("GET", paid.path), "로그인하고 프롬프트 읽기")


def test_what_is_given_back_is_closed_again(
    house: House, buyer: Visitor, admin: Visitor, cashier: Cashier, paid: Checkout
) -> None:
    assert cashier.refund(admin, paid).status_code == 200
    assert house.payment(paid.order_id).status == "refunded"
    for url in (paid.path, "/prompts/1", "/purchases", f"/api/payment/{paid.order_id}"):
        assert story.BODY not in buyer.get(url).text
    again = {"order_id": paid.order_id, "pg_transaction_id": paid.payment_key}
    answer = buyer.post("/api/payment/complete", json=again)
    assert answer.status_code == 200
    assert answer.json()["purchase"]["body"] is None
