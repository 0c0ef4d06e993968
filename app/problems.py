"""problem+json: how an error is told to a program."""

from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response


def problem(status: int, code: str, detail: str, **more: Any) -> Response:
    """RFC 9457, with our `code`."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(body | more, status, headers, media_type="application/problem+json")
