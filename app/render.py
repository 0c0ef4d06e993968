"""From rows to HTML: the Jinja environment, its filters, and the choice between a page and a fragment."""

import functools
import hashlib
from collections.abc import Iterable, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from app.clock import KST, now

HERE = Path(__file__).parent
STATIC = HERE / "static"


def won(amount: int) -> str:
    return f"₩{amount:,}"


def percent(share: float | None) -> str:
    return "—" if share is None else f"{share:.1%}"


def kst(moment: datetime) -> str:
    return f"{moment.astimezone(KST):%Y-%m-%d %H:%M:%S}"


def kst_short(moment: datetime) -> str:
    """Without the year while it is this one."""
    there = moment.astimezone(KST)
    return f"{there:%m-%d %H:%M}" if there.year == now().astimezone(KST).year else f"{there:%y-%m-%d %H:%M}"


def seconds_until(moment: datetime) -> int:
    return max(0, round((moment - now()).total_seconds()))


SOURCES = {"buyer": "구매자", "webhook": "웹훅", "reconciler": "조회", "system": "시스템"}
"""Whose doing an event is; everyone else is an operator, named by e-mail address."""

SILENCES = {
    "TIMEOUT": "제한 시간 안에 답이 없었습니다",
    "NO_ANSWER": "연결이 끊겨 답을 받지 못했습니다",
    "UNREADABLE": "답을 읽을 수 없었습니다",
    "GATEWAY_NOT_CONFIGURED": "결제사의 키가 설정되어 있지 않습니다",
}
"""Our own codes of a call without a usable answer, in words."""


STATUS_WORDS = {
    "pending": "결제 대기",
    "confirming": "승인 중",
    "waiting": "입금 대기",
    "in_doubt": "확인 중",
    "completed": "결제 완료",
    "failed": "결제 실패",
    "canceled": "취소됨",
    "expired": "기한 만료",
    "refunded": "환불 완료",
}
REFUND_WORDS = {
    "requested": "환불 요청됨",
    "in_doubt": "환불 확인 중",
    "done": "환불 완료",
    "failed": "환불 실패",
}

REFUND_REASONS = ("단순변심", "광고와 다름", "중복결제", "오류")
"""What operators choose from, beside what they type."""


def subject(who: str) -> str:
    """Whoever does something, with the particle that fits the last sound."""
    syllable = ord(who[-1]) - 0xAC00
    return f"{who}{'이' if 0 <= syllable < 11172 and syllable % 28 else '가'}"


def masked_name(name: str) -> str:
    """김*수: enough to tell two people apart, too little to know them."""
    return name[:1] + "*" * max(1, len(name) - 2) + (name[-1] if len(name) > 2 else "")


def masked_phone(phone: str) -> str:
    """010-****-1234."""
    return f"{phone[:3]}-****-{phone[-4:]}" if len(phone) > 7 else "****"


def masked_email(email: str) -> str:
    """k***@example.com."""
    return f"{email[:1]}***@{email.rpartition('@')[2]}"


@functools.cache
def static(path: str) -> str:
    """The address of a static file with a digest of its content: it may be cached for ever."""
    content = hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]
    return f"/static/{path}?v={content}"


class _Flat(Environment):
    """Globals in one dictionary: in Jinja's chain of two they are walked in Python for each page, part and import."""

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        return {**self.globals, **(d or {})}


environment = _Flat(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,  # a list of fifty rows would ask the disk a hundred times whether its templates have changed
)
environment.filters.update(
    won=won, percent=percent, kst=kst, kst_short=kst_short, seconds_until=seconds_until, iso=datetime.isoformat
)
environment.filters.update(masked_name=masked_name, masked_phone=masked_phone, masked_email=masked_email)
environment.globals.update(static=static, SOURCES=SOURCES, SILENCES=SILENCES, STATUS_WORDS=STATUS_WORDS)
environment.globals.update(REFUND_WORDS=REFUND_WORDS, REFUND_REASONS=REFUND_REASONS)
templates = Jinja2Templates(env=environment)

VARY = {"Vary": "HX-Request, HX-Request-Type"}


def wants_fragment(request: Request) -> bool:
    """htmx 4 asks `partial` for a part of a page, and `full` on Back and for whole pages."""
    return request.headers.get("hx-request-type") == "partial"


def render(
    request: Request, page: str, fragment: str | None = None, /, *, status: int = 200, **context: Any
) -> Response:
    """The page, or only its fragment when htmx asks for a part."""
    name = fragment if fragment and wants_fragment(request) else page
    context.setdefault("user", getattr(request.state, "user", None))
    return templates.TemplateResponse(request, name, context, status_code=status, headers=VARY)


def draw(name: str, **context: Any) -> str:
    """A fragment as text, for the live stream."""
    return environment.get_template(name).render(context)


@functools.lru_cache(maxsize=5000)
def _drawn_row(payment: Any) -> str:
    refunds = {payment.id: payment.refund} if payment.refund else {}
    asked = {payment.id: payment.asked} if payment.asked else {}
    return draw("admin/payments/_row.html", payment=payment, refunds=refunds, asked=asked)


def drawn_rows(payments: Iterable[Any]) -> Markup:
    """Rows of the list, each drawn once as long as nothing in it changes; one that counts seconds always anew."""
    rows = (_drawn_row(row) if row.next_check_at is None else _drawn_row.__wrapped__(row) for row in payments)
    return Markup("".join(rows))  # noqa: S704  they have escaped all


def drawn(name: str, /, **given: Any) -> Markup:
    """A fragment, drawn once for everyone to whom it says the same: it sees nothing but what it is given."""
    return _drawn(name, tuple((key, _frozen(value)) for key, value in given.items()))


def _frozen(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


@functools.lru_cache(maxsize=500)
def _drawn(name: str, given: tuple[tuple[str, Any], ...]) -> Markup:
    context = {key: dict(value) if isinstance(value, tuple) else value for key, value in given}
    return Markup(draw(name, **context))  # noqa: S704  it has escaped all


environment.globals.update(drawn=drawn, drawn_rows=drawn_rows)


def redirect(request: Request, url: str) -> Response:
    """See other; htmx would swap in the page behind a 303, so it is told to go there instead."""
    if wants_fragment(request):
        return Response(status_code=204, headers={"HX-Redirect": url})
    return RedirectResponse(url, 303)
