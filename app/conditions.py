"""A filter's conditions, and by which index SQLite should go about them.

PostgreSQL knows how often each value occurs, and plans a page for the values at hand. SQLite does not: where a filter
and the order want different indexes it has to be told. So it counts how many rows the filter leaves, no further than
it would like to sort.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, func, literal_column, or_, select
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

import app.desk  # noqa: F401  its tables
from app.clock import now
from app.filters import STUCK_AFTER, Filter, Sought
from app.models import UNSETTLED, RefundStatus, Status
from app.terms import PIECES, matches

P: Table = SQLModel.metadata.tables["payment"]
R: Table = SQLModel.metadata.tables["refund"]
A: Table = SQLModel.metadata.tables["approval"]
# Written out: a list of values is put into the statement anew each time it is asked.
_ASKING: list[ColumnElement[str]] = [literal_column(f"'{status}'") for status in UNSETTLED if status != Status.WAITING]
_LONG_AGO: ColumnElement[datetime] = bindparam(None, type_=P.c.created_at.type, callable_=lambda: now() - STUCK_AFTER)
_DOUBTED = select(R.c.id).where(R.c.payment_id == P.c.id, R.c.status == RefundStatus.IN_DOUBT).exists()
ATTENTION: dict[str, ColumnElement[bool]] = {
    "in_doubt": P.c.status == Status.IN_DOUBT,
    "mismatch": P.c.failure_code.endswith("MISMATCH"),
    "stuck": and_(P.c.status.in_(_ASKING), P.c.created_at < _LONG_AGO),
    "refund": and_(P.c.refunded_amount > 0, _DOUBTED),
}
"""Which of the open payments (those we will ask the PG about) a person should look at."""
SORTED = 5000  # rows, so many at most, for one page; an index that more of them fit is walked in its order instead


def is_sqlite(session: AsyncSession) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    """Everything but what is searched for and where the page begins."""
    given: tuple[tuple[Any, Callable[[Any], ColumnElement[bool]]], ...] = (
        (wanted.status, P.c.status.__eq__),
        (wanted.payment_method, P.c.payment_method.__eq__),
        (wanted.gateway, P.c.gateway.__eq__),
        (wanted.since, P.c.created_at.__ge__),
        (wanted.until, P.c.created_at.__lt__),
        (wanted.amount_from, P.c.amount.__ge__),
        (wanted.amount_to, P.c.amount.__le__),
    )
    chosen = [condition(value) for value, condition in given if value]
    if wanted.attention:
        needs = or_(*ATTENTION.values()) if wanted.attention == "any" else ATTENTION[wanted.attention]
        chosen += [P.c.next_check_at.is_not(None), needs]
    return chosen


# ── SQLite's way ─────────────────────────────────────────────────────────────────────────────────────────────────────


def steered(wanted: Filter) -> bool:
    """Do the filter and the order want different indexes, or two filters?"""
    ranges = wanted.amount_from or wanted.amount_to
    others = wanted.status or wanted.payment_method or wanted.gateway or wanted.since or wanted.until
    two = wanted.gateway and (wanted.status or wanted.payment_method)
    return bool(wanted.attention or two or (others if wanted.by_amount else ranges))


async def steer(session: AsyncSession, wanted: Filter, sought: Sought | None) -> str | None:
    """The index by which SQLite should read the page; None where it finds the way itself."""
    if wanted.attention:
        return "ix_payment_next_check_at"
    if sought:
        common = wanted.by_amount and await _many(session, select(PIECES.c.rowid).where(matches(sought.parts)))
        return "ix_payment_amount_id" if common else None
    if not steered(wanted):
        return None
    in_time = "ix_payment_created_at_id"
    for name in ("status", "payment_method", "gateway"):
        if getattr(wanted, name):
            in_time = f"ix_payment_{name}_created_at_id"
            break
    if wanted.status and wanted.payment_method:
        in_time = "ix_payment_status_payment_method_created_at_id"
    if wanted.gateway and not await _many(session, select(P.c.id).where(P.c.gateway == wanted.gateway)):
        in_time = "ix_payment_gateway_created_at_id"
    if wanted.by_amount:
        fitting = select(P.c.id).where(*conditions(wanted)).with_hint(P, f"INDEXED BY {in_time}", "sqlite")
        return "ix_payment_amount_id" if await _many(session, fitting) else in_time
    if wanted.amount_from or wanted.amount_to:
        priced = Filter(amount_from=wanted.amount_from, amount_to=wanted.amount_to)
        return in_time if await _many(session, select(P.c.id).where(*conditions(priced))) else "ix_payment_amount_id"
    return in_time


async def _many(session: AsyncSession, query: Any) -> bool:
    counted = select(func.count()).select_from(query.limit(SORTED + 1).subquery())
    found: int | None = await (await session.connection()).scalar(counted)
    return (found or 0) > SORTED
