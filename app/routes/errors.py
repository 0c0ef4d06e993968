"""When an endpoint says no: a page for people, a notice for htmx, problem+json for programs."""

import logging
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app import auth
from app.db import AWAY, what_failed
from app.forms import WrongFields
from app.gateways import InDoubt
from app.problems import problem
from app.render import render, wants_fragment
from app.till import Refused

log = logging.getLogger(__name__)

SENTENCES = {
    400: "요청을 읽을 수 없습니다. 다시 시도해 주세요.",
    401: "로그인이 필요합니다.",
    403: "이 화면을 볼 권한이 없습니다.",
    404: "찾는 페이지가 없습니다. 주소를 확인해 주세요.",
    405: "이 주소에서는 할 수 없는 요청입니다.",
    413: "보낸 내용이 너무 큽니다.",
    502: "결제사(PG)가 응답하지 않습니다. 잠시 뒤 다시 시도해 주세요.",
    503: "지금은 저장할 수 없습니다. 잠시 뒤 다시 시도해 주세요.",
    500: "서비스에 문제가 생겼습니다. 결제 중이었다면 '내 프롬프트'에서 결과를 확인해 주세요.",
}

# Ours: the names in http.HTTPStatus change with Python's version.
CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "CONTENT_TOO_LARGE",
}


async def _tell(request: Request, status: int, code: str, sentence: str) -> Response:
    if request.url.path.startswith(("/api/", "/webhooks/")):
        return problem(status, code, sentence)
    await _recall_user(request)
    answer = render(request, "errors/error.html", "errors/_notice.html", status=status, message=sentence)
    if wants_fragment(request):
        answer.headers.update({"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"})
    return answer


async def _recall_user(request: Request) -> None:
    """An error page has the same head as every page; it must not fail over it."""
    if hasattr(request.state, "user"):
        return
    try:
        request.state.user = await auth.user_of(request)
    except Exception:
        request.state.user = None


async def http_error(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    own = None if error.detail.isascii() else error.detail  # Starlette's is English
    answer = await _tell(request, status, CODES.get(status, "REFUSED"), own or SENTENCES.get(status, SENTENCES[400]))
    answer.headers.update(error.headers or {})
    return answer


async def refused(request: Request, error: Refused) -> Response:
    return await _tell(request, error.status, error.code, str(error))


async def wrong_fields(_request: Request, error: WrongFields) -> Response:
    return problem(422, "INVALID", str(error), errors=dict(error.errors))


async def in_doubt(request: Request, error: InDoubt) -> Response:
    return await _tell(request, 502, error.code, SENTENCES[502])


async def database_away(request: Request, error: Exception) -> Response:
    log.error("데이터베이스: %s", what_failed(error))
    return await _tell(request, 503, "DATABASE_UNAVAILABLE", SENTENCES[503])


async def left(_request: Request, _error: ClientDisconnect) -> Response:
    """Whoever left while their words were still being read hears nothing of it, and no log either."""
    return Response(status_code=400)


async def broken(request: Request, _error: Exception) -> Response:
    answer = await _tell(request, 500, "INTERNAL", SENTENCES[500])
    for name, value in request.app.state.careful.items():
        answer.headers.setdefault(name, value)
    return answer


handlers: dict[Any, Callable[..., Any]] = {
    HTTPException: http_error,
    Refused: refused,
    WrongFields: wrong_fields,
    InDoubt: in_doubt,
    ClientDisconnect: left,
    **dict.fromkeys(AWAY, database_away),
    Exception: broken,
}
