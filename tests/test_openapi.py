"""`/api/openapi.json` is a sound description, and every answer of the API obeys it."""

import re
from datetime import datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from app.main import FORM_LIMIT
from tests import story
from tests.conftest import Cashier, House, Visitor
from tests.sandboxes import Sandbox

JSON, PROBLEM = "application/json", "application/problem+json"


def is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).utcoffset() is not None


formats = FormatChecker(formats=())
formats.checks("date-time", raises=ValueError)(is_moment)


class Description:
    """The document, and what a session of calls has shown of it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.told = set[tuple[str, str, int]]()

    @property
    def documented(self) -> set[tuple[str, str, int]]:
        return {
            (path, method, int(status))
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
            for status in operation["responses"]
        }

    def path_of(self, url: str) -> str:
        """The template that fits; a literal path goes before one with parameters."""
        paths: list[str] = sorted(self.document["paths"], key=lambda path: str(path).count("{"))
        return next(path for path in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), url))

    def assert_obeyed(self, method: str, url: str, answer: Any) -> None:
        path = self.path_of(url)
        shape = self.document["paths"][path][method]["responses"].get(str(answer.status_code))
        assert shape, f"{method} {path} does not tell of {answer.status_code}: {answer.text}"
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in shape["content"], f"{method} {path} {answer.status_code}: {media_type}"
        schema = shape["content"][media_type]["schema"] | {"components": self.document["components"]}
        Draft202012Validator(schema, format_checker=formats).validate(answer.json())
        self.told.add((path, method, answer.status_code))


@pytest.fixture
def description(stranger: Visitor) -> Description:
    answer = stranger.get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == JSON
    return Description(answer.json())


def refs(node: Any) -> list[str]:
    if not isinstance(node, dict | list):
        return []
    children = node.values() if isinstance(node, dict) else node
    own = [node["$ref"]] if isinstance(node, dict) and "$ref" in node else []
    return own + [ref for child in children for ref in refs(child)]


def test_the_document_is_sound(description: Description) -> None:
    document = description.document
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for ref in refs(document):
        node: Any = document
        for step in ref.removeprefix("#/").split("/"):
            node = node[step]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert method in ("get", "post")
            assert operation["summary"]
            placed = {it["name"] for it in operation["parameters"] if it["in"] == "path" and it["required"]}
            assert placed == set(re.findall(r"\{(\w+)\}", path))
            assert ("requestBody" in operation) == (method == "post")
            for status, response in operation["responses"].items():
                assert 200 <= int(status) < 600
                assert response["description"]
                assert set(response["content"]) == {JSON if int(status) < 400 else PROBLEM}
    assert "__Host-session" in document["components"]["securitySchemes"]["session"]["description"]
    schemes = {name for choice in document["security"] for name in choice}
    assert schemes == set(document["components"]["securitySchemes"])


def test_it_names_every_call_of_the_contract_and_the_fields_of_a_payment(description: Description) -> None:
    assert {(path, method) for path, method, _ in description.documented} == {
        ("/api/payment/prepare", "post"),
        ("/api/payment/complete", "post"),
        ("/api/payment/{order_id}/refund", "post"),
        ("/api/payment/{order_id}", "get"),
        ("/api/admin/payments", "get"),
    }
    payment = description.document["components"]["schemas"]["PaymentOut"]
    fields = """
        order_id gateway payment_method amount refunded_amount status pg_transaction_id buyer_name buyer_email
        buyer_phone item_name prompt_id failure_code failure_message created_at completed_at refunded_at
    """
    assert set(payment["properties"]) == set(payment["required"]) == set(fields.split())
    statuses = "pending confirming waiting in_doubt completed failed canceled expired refunded"
    assert set(description.document["components"]["schemas"]["Status"]["enum"]) == set(statuses.split())
    listing = description.document["paths"]["/api/admin/payments"]["get"]["parameters"]
    filters = "status payment_method gateway q period from to amount_from amount_to attention sort limit cursor"
    assert {it["name"] for it in listing} == set(filters.split())


def test_the_schemas_can_say_no(description: Description, buyer: Visitor) -> None:
    """Otherwise the next test proves nothing."""
    answer = buyer.post("/api/payment/prepare", json={"prompt_id": 1, "payment_method": "card"}).json()
    schema = {"$ref": "#/components/schemas/PreparedOut", "components": description.document["components"]}
    validator = Draft202012Validator(schema, format_checker=formats)
    assert validator.is_valid(answer)
    for wrong in (
        answer | {"amount": "10000"},
        answer | {"surprise": 1},
        answer | {"next": {}},
        {key: value for key, value in answer.items() if key != "order_id"},
        answer | {"payment": answer["payment"] | {"status": "lost"}},
        answer | {"payment": answer["payment"] | {"created_at": "2026-01-01T00:00:00"}},
    ):
        assert not validator.is_valid(wrong), wrong


def test_every_answer_obeys_and_every_documented_status_is_given(  # noqa: PLR0915
    house: House,
    description: Description,
    stranger: Visitor,
    buyer: Visitor,
    other: Visitor,
    admin: Visitor,
    cashier: Cashier,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def call(visitor: Visitor, method: str, url: str, expected: int, **options: Any) -> Any:
        answer = visitor.request(method, url, **options)
        assert answer.status_code == expected, f"{method} {url} {options}: {answer.text}"
        description.assert_obeyed(method, url, answer)
        return answer.json()

    cross = {"Sec-Fetch-Site": "cross-site"}

    url = "/api/payment/prepare"
    order: dict[str, Any] = {"prompt_id": story.PROMPT, "payment_method": "card"}
    call(stranger, "post", url, 401, json=order)
    call(buyer, "post", url, 403, json=order, headers=cross)
    call(buyer, "post", url, 400, json=order | {"amount": 1})
    call(buyer, "post", url, 400, content=b"{")
    call(buyer, "post", url, 404, json=order | {"prompt_id": 99})
    call(buyer, "post", url, 422, json=order | {"prompt_id": 0, "buyer_phone": "1"})
    call(buyer, "post", url, 422, json=order | {"payment_method": "bitcoin"})
    call(buyer, "post", url, 413, content=b" " * (FORM_LIMIT + 1))
    for kind, status in (({"kind": "code", "code": "-702"}, 402), ({"kind": "reset"}, 502)):
        sandbox.fault("ready", pg="kakaopay", **kind)
        call(buyer, "post", url, status, json=order | {"payment_method": "kakao"})
    prepared = call(buyer, "post", url, 201, json=order | {"buyer_name": "박구매", "amount": 10_000})

    url = "/api/payment/complete"
    key = sandbox.open(prepared["next"]["steps"])
    sandbox.press(key)
    handed = {"order_id": prepared["order_id"], "pg_transaction_id": key}
    call(stranger, "post", url, 401, json=handed)
    call(buyer, "post", url, 403, json=handed, headers=cross)
    call(other, "post", url, 404, json=handed)
    call(buyer, "post", url, 400, json=handed | {"amount": 1})
    call(buyer, "post", url, 422, json=handed | {"order_id": ""})
    call(buyer, "post", url, 413, content=b" " * (FORM_LIMIT + 1))
    with monkeypatch.context() as lost:
        lost.delitem(house.till.gateways, "toss")
        call(buyer, "post", url, 502, json=handed)
    call(buyer, "post", url, 200, json=handed)
    call(buyer, "post", url, 409, json=handed | {"pg_transaction_id": "another"})
    call(buyer, "post", "/api/payment/prepare", 409, json=order)
    faults: tuple[tuple[dict[str, str], int], ...] = (
        ({"kind": "code", "code": "REJECT_CARD_COMPANY"}, 402),
        ({"kind": "reset"}, 202),
    )
    for kind, status in faults:
        checkout = cashier.authenticate(buyer, story.DISCOUNTED)
        sandbox.fault("confirm", **kind)
        returned = {"order_id": checkout.order_id, "pg_transaction_id": checkout.payment_key}
        call(buyer, "post", url, status, json=returned)
        call(buyer, "get", f"/api/payment/{checkout.order_id}", 200)

    url = f"/api/payment/{prepared['order_id']}"
    call(stranger, "get", url, 401)
    call(other, "get", url, 404)
    call(buyer, "get", url, 200)

    url += "/refund"
    body: dict[str, Any] = {"reason": "단순변심", "amount": 1_000}
    call(stranger, "post", url, 401, json=body)
    call(buyer, "post", url, 403, json=body)
    call(admin, "post", url, 400, json=body)
    call(admin, "post", url, 422, json={"reason": ""}, headers={"Idempotency-Key": "a"})
    call(admin, "post", url, 409, json=body | {"amount": 10_001}, headers={"Idempotency-Key": "a"})
    call(admin, "post", f"/api/payment/{'N' * 24}/refund", 404, json=body, headers={"Idempotency-Key": "a"})
    call(admin, "post", url, 413, content=b" " * (FORM_LIMIT + 1), headers={"Idempotency-Key": "a"})
    with monkeypatch.context() as lost:
        lost.delitem(house.till.gateways, "toss")
        call(admin, "post", url, 502, json=body, headers={"Idempotency-Key": "a"})
    sandbox.fault("cancel", "code", code="NOT_CANCELABLE_PAYMENT")
    call(admin, "post", url, 402, json=body, headers={"Idempotency-Key": "b"})
    call(admin, "post", url, 200, json=body, headers={"Idempotency-Key": "d"})
    sandbox.fault("cancel", "reset")
    call(admin, "post", url, 202, json=body, headers={"Idempotency-Key": "c"})
    call(buyer, "post", "/api/payment/complete", 200, json=handed)

    url = "/api/admin/payments"
    call(stranger, "get", url, 401)
    call(buyer, "get", url, 403)
    call(admin, "get", url, 422, params={"limit": "0", "cursor": "x"})
    page = call(admin, "get", url, 200, params={"limit": "2"})
    assert page["next"], "a page with a cursor obeys too"
    call(admin, "get", url, 200, params={"limit": "2", "cursor": page["next"]})

    monkeypatch.setattr(house.till.db, "_read", away)
    for path, method in {(path, method) for path, method, _ in description.documented}:
        call(admin, method, path.format(order_id=prepared["order_id"]), 503)

    assert description.told == description.documented


def away() -> Any:
    """A database that nobody can connect to."""
    raise ConnectionRefusedError
