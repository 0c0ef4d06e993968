"""What an operator asks for: the query of the list, and whether one payment fits it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, urlencode

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app.clock import KST, now
from app.forms import Form, Text, Won, empty_as_none
from app.models import UNSETTLED, Payment, RefundStatus, Status
from app.terms import TAIL, Part

Sort = Literal["-created_at", "created_at", "-amount", "amount"]
Period = Literal["", "today", "yesterday", "7d", "30d", "month"]
Attention = Literal["", "any", "in_doubt", "mismatch", "stuck", "refund"]
Day = Annotated[date | None, BeforeValidator(empty_as_none)]

LATEST_FIRST: Sort = "-created_at"
STUCK_AFTER = timedelta(hours=1)  # every window has closed by then, and the PG was asked nine times


@dataclass(frozen=True)
class Sought:
    """How the search box understood what was typed: a word for people, and what to look for."""

    label: str
    parts: tuple[Part, ...]
    id: str | None = None
    """It may be an order number, the beginning of one, or a PG's transaction id: that is tried first."""


class Filter(Form):
    """Dates are days in KST, both included; amounts whole won, both included. A period counts back from today."""

    status: Annotated[Status | None, BeforeValidator(empty_as_none)] = None
    payment_method: Annotated[Text, Field(max_length=30)] = ""
    gateway: Annotated[Text, Field(max_length=30)] = ""
    q: Annotated[Text, Field(max_length=100)] = ""
    period: Period = ""
    from_: Annotated[Day, Field(alias="from")] = None
    to: Day = None
    amount_from: Annotated[Won | None, BeforeValidator(empty_as_none)] = None
    amount_to: Annotated[Won | None, BeforeValidator(empty_as_none)] = None
    attention: Attention = ""
    sort: Annotated[Sort, BeforeValidator(lambda value: value or LATEST_FIRST)] = LATEST_FIRST
    cursor: Annotated[str, Field(max_length=200)] = ""
    sentences: ClassVar = {
        "status": "상태를 목록에서 골라 주세요.",
        "payment_method": "결제수단을 목록에서 골라 주세요.",
        "gateway": "결제사를 목록에서 골라 주세요.",
        "q": "검색어를 100자 이하로 입력해 주세요.",
        "period": "기간을 목록에서 골라 주세요.",
        "from": "시작일을 2026-01-31처럼 입력해 주세요.",
        "to": "종료일을 2026-01-31처럼 입력해 주세요.",
        "amount_from": "최소 금액을 1원 이상의 숫자로 입력해 주세요.",
        "amount_to": "최대 금액을 1원 이상의 숫자로 입력해 주세요.",
        "attention": "확인할 것을 목록에서 골라 주세요.",
        "sort": "정렬 기준을 목록에서 골라 주세요.",
        "cursor": "이어 보기 주소가 올바르지 않습니다. 처음부터 다시 봐 주세요.",
    }

    @classmethod
    def read_query(cls, query: str) -> tuple[Self | None, dict[str, str]]:
        """As it reads in the list's address, from the first page on."""
        return cls.read(dict(parse_qsl(query)) | {"cursor": ""})

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(day and not 2000 <= day.year < 2200 for day in (self.from_, self.to)):
            raise PydanticCustomError("dates", "2000년부터 2199년 사이의 날짜를 골라 주세요.")
        if self.from_ and self.to and self.from_ > self.to:
            raise PydanticCustomError("dates", "시작일이 종료일보다 늦습니다.")
        return self

    def query_string(self, **changes: str) -> str:
        """The filter as a URL's query, without what is empty."""
        typed = self._typed | changes
        return urlencode({name: value for name, value in typed.items() if value not in (None, "")})

    @cached_property  # a page of links asks a dozen times
    def _typed(self) -> dict[str, Any]:
        return self.model_dump(by_alias=True, exclude_defaults=True, mode="json")

    @property
    def by_amount(self) -> bool:
        return "amount" in self.sort

    @property
    def days(self) -> tuple[date | None, date | None]:
        """The first and the last day; what was typed outranks the period."""
        if self.from_ or self.to or not self.period:
            return self.from_, self.to
        today = now().astimezone(KST).date()
        yesterday = today - timedelta(days=1)
        match self.period:
            case "today":
                return today, today
            case "yesterday":
                return yesterday, yesterday
            case "month":
                return today.replace(day=1), today
            case days:
                return today - timedelta(days=int(days[:-1]) - 1), today

    @property
    def since(self) -> datetime | None:
        first, _ = self.days
        return _midnight(first) if first else None

    @property
    def until(self) -> datetime | None:
        """The first moment after the last day."""
        _, last = self.days
        return _midnight(last + timedelta(days=1)) if last else None

    @cached_property  # the live list asks for every viewer and event
    def sought(self) -> Sought | None:
        return read_search(self.q) if self.q else None

    def fits(self, payment: Payment, status: Status, why: Collection[str]) -> bool:
        """Would the list show this payment if it stood at `status`, and needed a person because of `why`?

        The same rules as the query's.
        """
        first, last = self.days
        day = payment.created_at.astimezone(KST).date() if first or last else None
        return (
            (self.status is None or status == self.status)
            and self.payment_method in ("", payment.payment_method)
            and self.gateway in ("", payment.gateway)
            and (day is None or (first or day) <= day <= (last or day))
            and (self.amount_from or 0) <= payment.amount <= (self.amount_to or payment.amount)
            and (not self.attention or bool(why if self.attention == "any" else self.attention in why))
            and (self.sought is None or _is_sought(payment, self.sought))
        )


def why_attention(payment: Payment, refund: RefundStatus | None) -> set[str]:
    """Why a person should look at it, in the words of `Attention`."""
    mismatch = payment.next_check_at is not None and (payment.failure_code or "").endswith("MISMATCH")
    why = {
        "in_doubt": payment.status == Status.IN_DOUBT,
        "mismatch": mismatch,
        "stuck": is_stuck(payment, payment.status),
        "refund": refund == RefundStatus.IN_DOUBT,
    }
    return {name for name, so in why.items() if so}


def is_stuck(payment: Payment, status: Status) -> bool:
    return status in UNSETTLED and status != Status.WAITING and payment.created_at < now() - STUCK_AFTER


def read_search(typed: str) -> Sought:
    """Digits are the end of a phone number, an @ is an address, other letters than Latin a name."""
    text = typed.lower()
    maybe_id = typed if re.fullmatch(r"[A-Za-z0-9_-]{6,200}", typed) else None
    digits = re.sub(r"^820?", "0", re.sub(r"\D", "", text)) if text.startswith("+82") else re.sub(r"\D", "", text)
    if re.fullmatch(r"[\d\s().+-]+", text) and len(digits) >= TAIL:
        address = (Part("m", text),) if text.isdigit() else ()
        return Sought("전화번호·이메일" if address else "전화번호", (Part("p", digits), *address), maybe_id)
    if "@" in text:
        return Sought("이메일", (Part("m", text),))
    if len(text) == 1 or not text.isascii():
        return Sought("이름", (Part("n", text),))
    return Sought("이름·이메일", (Part("n", text), Part("m", text)), maybe_id)


def _is_sought(payment: Payment, sought: Sought) -> bool:
    if sought.id and (payment.order_id.startswith(sought.id) or payment.pg_transaction_id == sought.id):
        return True
    return any(
        payment.buyer_phone.endswith(part.text)
        if part.kind == "p"
        else part.text in (payment.buyer_name if part.kind == "n" else payment.buyer_email).lower()
        for part in sought.parts
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), KST)
