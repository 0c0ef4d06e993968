"""The description of the JSON API, made from the very models that its answers are made of."""

import functools
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import schemas
from app.filters import Filter

PROBLEMS = {
    400: "The body cannot be read, or an amount differs from ours (`AMOUNT_MISMATCH`).",
    401: "No session and no token.",
    402: "The PG said no: its code and a sentence.",
    403: "Not an admin, or a page of another site.",
    404: "No such order, or somebody else's.",
    409: "Owned already, an earlier payment still in flight, settled by another transaction, or more than is left.",
    413: "The body is too large.",
    422: "A field is wrong: `errors` has a sentence for each.",
    502: "The PG is silent (`PG_SILENT`), or its keys are not configured any more (`GATEWAY_NOT_CONFIGURED`).",
    503: "The database is away; the same request again is harmless.",
}

COOKIE = "Of the login form. In production it is named `__Host-session`."

# A path, its method, what it does, its body, its answers by status, and the problems of its own: every call may tell of
# 503, and every body may be too large.
Operation = tuple[str, str, str, type[BaseModel] | None, dict[int, type[BaseModel]], tuple[int, ...]]
OPERATIONS: tuple[Operation, ...] = (
    (
        "/api/payment/prepare",
        "post",
        "Make a payment and say what the browser does next.",
        schemas.PrepareBody,
        {201: schemas.PreparedOut},
        (400, 401, 402, 403, 404, 409, 422, 502),
    ),
    (
        "/api/payment/complete",
        "post",
        "Take the money, once. 202: the PG has not told us yet; ask again.",
        schemas.CompleteBody,
        {200: schemas.CompletedOut, 202: schemas.CompletedOut},
        (400, 401, 402, 403, 404, 409, 422, 502),
    ),
    (
        "/api/payment/{order_id}/refund",
        "post",
        "Give money back; admins. Needs an Idempotency-Key header. 202: the PG has not told us yet.",
        schemas.RefundBody,
        {200: schemas.RefundedOut, 202: schemas.RefundedOut},
        (400, 401, 402, 403, 404, 409, 422, 502),
    ),
    (
        "/api/payment/{order_id}",
        "get",
        "One payment; its buyer's, or any for admins.",
        None,
        {200: schemas.OnePaymentOut},
        (401, 404),
    ),
    (
        "/api/admin/payments",
        "get",
        "The list with the filters of the admin page; admins.",
        None,
        {200: schemas.PaymentsOut},
        (401, 403, 422),
    ),
)


@functools.cache
def description() -> dict[str, Any]:
    models = {model for *_, body, answers, _ in OPERATIONS for model in (body, *answers.values()) if model}
    models.add(schemas.Problem)
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation[0], {})[operation[1]] = _operation(*operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "찐부부 결제 API", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "session", "description": COOKIE},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def _operation(
    path: str,
    _method: str,
    summary: str,
    body: type[BaseModel] | None,
    answers: dict[int, type[BaseModel]],
    problems: tuple[int, ...],
) -> dict[str, Any]:
    responses = {str(status): _response("ok", answer, "application/json") for status, answer in answers.items()}
    for status in sorted((*problems, 503, *((413,) if body else ()))):
        responses[str(status)] = _response(PROBLEMS[status], schemas.Problem, "application/problem+json")
    operation: dict[str, Any] = {"summary": summary, "parameters": _parameters(path), "responses": responses}
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return operation


def _response(text: str, model: type[BaseModel], media_type: str) -> dict[str, Any]:
    return {"description": text, "content": {media_type: {"schema": _ref(model)}}}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _parameters(path: str) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{order_id}" in path:
        parameters.append({"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}})
    if path.endswith("/refund"):
        key = {"name": "Idempotency-Key", "in": "header", "required": True}
        parameters.append(key | {"schema": {"type": "string", "maxLength": 100}})
    if path == "/api/admin/payments":
        limit = {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
        parameters.append({"name": "limit", "in": "query", "schema": limit})
        parameters += [
            {"name": field.alias or name, "in": "query", "schema": {"type": "string"}}
            for name, field in Filter.model_fields.items()
        ]
    return parameters
