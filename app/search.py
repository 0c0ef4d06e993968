"""How an admin's filter becomes one indexed query, and whether one payment fits it."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlencode

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.clock import KST
from app.forms import Form, Text, empty_as_none
from app.models import Payment, Refund, RefundStatus, Status

PAGE = 50
Sort = Literal["-created_at", "created_at", "-amount", "amount"]


class Filter(Form):
    """The query of the list, page and JSON alike. Dates are days in KST, both included."""

    status: Annotated[Status | None, BeforeValidator(empty_as_none)] = None
    payment_method: Annotated[Text, Field(max_length=30)] = ""
    q: Annotated[Text, Field(max_length=100)] = ""
    from_: Annotated[date | None, BeforeValidator(empty_as_none), Field(alias="from")] = None
    to: Annotated[date | None, BeforeValidator(empty_as_none)] = None
    sort: Annotated[Sort, BeforeValidator(lambda value: value or "-created_at")] = "-created_at"
    cursor: Annotated[str, Field(max_length=200)] = ""
    sentences: ClassVar = {
        "status": "상태를 목록에서 골라 주세요.",
        "payment_method": "결제수단을 목록에서 골라 주세요.",
        "q": "검색어를 100자 이하로 입력해 주세요.",
        "from": "시작일을 2026-01-31처럼 입력해 주세요.",
        "to": "종료일을 2026-01-31처럼 입력해 주세요.",
        "sort": "정렬 기준을 목록에서 골라 주세요.",
        "cursor": "이어 보기 주소가 올바르지 않습니다. 처음부터 다시 봐 주세요.",
    }

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if any(day and not 2000 <= day.year < 2200 for day in (self.from_, self.to)):
            raise PydanticCustomError("dates", "2000년부터 2199년 사이의 날짜를 골라 주세요.")
        if self.from_ and self.to and self.from_ > self.to:
            raise PydanticCustomError("dates", "시작일이 종료일보다 늦습니다.")
        return self

    def query_string(self, **changes: str) -> str:
        """The filter as a URL's query, without what is empty."""
        typed = self.model_dump(by_alias=True, exclude_defaults=True, mode="json") | changes
        return urlencode({name: value for name, value in typed.items() if value not in (None, "")})

    def fits(self, payment: Payment, status: Status) -> bool:
        """Would the list show this payment if it stood at `status`? The same rules as `_conditions`."""
        needle = self.q.lower()
        haystack = (payment.buyer_name, payment.buyer_email, payment.order_id)
        return (
            (self.status is None or status == self.status)
            and self.payment_method in ("", payment.payment_method)
            and (self.from_ is None or payment.created_at >= _midnight(self.from_))
            and (self.to is None or payment.created_at < _midnight(self.to + timedelta(days=1)))
            and (not needle or any(needle in text.lower() for text in haystack))
        )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), KST)


@dataclass(frozen=True)
class Page:
    payments: Sequence[Payment]
    next: str | None
    """The cursor of the page after this one."""


async def search(session: AsyncSession, wanted: Filter, limit: int = PAGE) -> Page:
    """One page. Raises ValueError for a cursor that no page of ours has given out."""
    column = col(Payment.amount if "amount" in wanted.sort else Payment.created_at)
    descending = wanted.sort.startswith("-")
    conditions = _conditions(wanted)
    if wanted.cursor:
        conditions.append(_after(column, descending, *_read_cursor(wanted)))
    order = (column.desc(), col(Payment.id).desc()) if descending else (column, col(Payment.id))
    query = select(Payment).where(and_(True, *conditions)).order_by(*order).limit(limit + 1)
    rows = (await session.exec(query)).all()
    more = len(rows) > limit
    return Page(rows[:limit], _write_cursor(wanted, rows[limit - 1]) if more else None)


async def latest_refunds(session: AsyncSession, payments: Sequence[Payment]) -> dict[int, RefundStatus]:
    """How the last refund of each payment stands, by payment id."""
    ids = [payment.id for payment in payments if payment.id is not None]
    if not ids:
        return {}
    query = select(Refund.payment_id, Refund.status).where(col(Refund.payment_id).in_(ids)).order_by(col(Refund.id))
    return {entry[0]: RefundStatus(entry[1]) for entry in (await session.exec(query)).all()}


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.status:
        conditions.append(col(Payment.status) == wanted.status)
    if wanted.payment_method:
        conditions.append(col(Payment.payment_method) == wanted.payment_method)
    if wanted.from_:
        conditions.append(col(Payment.created_at) >= _midnight(wanted.from_))
    if wanted.to:
        conditions.append(col(Payment.created_at) < _midnight(wanted.to + timedelta(days=1)))
    if wanted.q:
        columns = (col(Payment.buyer_name), col(Payment.buyer_email), col(Payment.order_id))
        conditions.append(or_(*(column.icontains(wanted.q, autoescape=True) for column in columns)))
    return conditions


def _after(column: Any, descending: bool, value: datetime | int, row_id: int) -> ColumnElement[bool]:
    """Rows behind the cursor; written out because SQLite and PostgreSQL plan it alike."""
    beyond, further = (
        (column < value, col(Payment.id) < row_id)
        if descending
        else (
            column > value,
            col(Payment.id) > row_id,
        )
    )
    return and_(column <= value if descending else column >= value, or_(beyond, further))


def _write_cursor(wanted: Filter, last: Payment) -> str:
    value = last.amount if "amount" in wanted.sort else last.created_at.isoformat()
    return base64.urlsafe_b64encode(f"{value}|{last.id}".encode()).decode().rstrip("=")


def _read_cursor(wanted: Filter) -> tuple[datetime | int, int]:
    try:
        text = base64.urlsafe_b64decode(wanted.cursor + "=" * (-len(wanted.cursor) % 4)).decode()
        value, _, row_id = text.partition("|")
        where = int(value) if "amount" in wanted.sort else datetime.fromisoformat(value)
        if isinstance(where, datetime) and (where.tzinfo is None or not 2000 <= where.year < 2200):
            raise ValueError("no moment of ours")
        if not 0 < int(row_id) < 2**31 or (isinstance(where, int) and abs(where) >= 2**31):
            raise ValueError("out of range")
    except (ValueError, binascii.Error, OverflowError) as error:
        raise ValueError("not a cursor of ours") from error
    return where, int(row_id)
