"""How many payments stand where: exact while they are few, "1,000+" where counting on would take longer than a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Label, Row, Select, Table, bindparam, func, literal_column, select, true
from sqlmodel import SQLModel, col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.conditions import ATTENTION, P, conditions
from app.deposits import EVER_OWED, owed
from app.desk import Approval, Plea
from app.filters import Filter
from app.live import NEWEST
from app.models import Status
from app.pleas import OPEN
from app.search import count_found

MANY = 1000
FOUND = 10_000
V: Table = SQLModel.metadata.tables["savedview"]
NARROWER: dict[str, ColumnElement[bool]] = {
    "method": P.c.payment_method == bindparam("method"),
    "since": P.c.created_at >= bindparam("since"),
    "until": P.c.created_at < bindparam("until"),
}
ASKED = select(func.count()).select_from(Approval).where(col(Approval.decided_at).is_(None)).scalar_subquery()
PLEAS = select(func.count()).select_from(Plea).where(OPEN).scalar_subquery()
OWED = select(func.count()).select_from(EVER_OWED.subquery()).scalar_subquery()
# The index of open payments holds nothing else.
ATTENDED = (
    select(*(func.count().filter(needs).label(name) for name, needs in ATTENTION.items()))
    .add_columns(ASKED.label("asked"), PLEAS.label("pleas"), OWED.label("owed"))
    .add_columns(NEWEST.scalar_subquery().label("newest"))
    .where(P.c.next_check_at.is_not(None))
    .with_hint(P, "INDEXED BY ix_payment_next_check_at", "sqlite")
)


@dataclass(frozen=True)
class Glance:
    """What an operator sees before the payments, in one question."""

    newest: int
    """The last event of all: where a page that is drawn now starts to listen."""
    tabs: dict[Status, str]
    """How many stand where, in words. None where no index leads to them: inside a search, a price range, a gateway."""
    attention: dict[str, int]
    """How many open payments a person should look at, by why.

    And how many refunds wait: asked for by a buyer, for a second person, or for the account a deposit goes back to.
    """
    views: Sequence[Row[Any]]
    """The filters with a name, with all their columns."""


async def glance(session: AsyncSession, wanted: Filter | None = None) -> Glance:
    """Without a filter what stands beside the list is left out: the tabs, and the filters with a name."""
    given, tabs = {}, list[Status]()
    if wanted and not (wanted.q or wanted.amount_from or wanted.amount_to or wanted.gateway or wanted.attention):
        given = {"method": wanted.payment_method, "since": wanted.since, "until": wanted.until}
        given = {name: value for name, value in given.items() if value}
        tabs = list(Status)
    rows = (await (await session.connection()).execute(_glanced(tuple(tabs), tuple(given), bool(wanted)), given)).all()
    row = rows[0]._mapping
    waiting = row["asked"] + row["pleas"] + (len(await owed(session)) if row["owed"] else 0)
    return Glance(
        newest=row["newest"] or 0,
        tabs={status: _in_words(row[f"is_{status}"]) for status in tabs},
        attention={name: row[name] for name in ATTENTION} | {"waiting": waiting},
        views=[view for view in rows if wanted and view.id],
    )


@cache
def _glanced(tabs: tuple[Status, ...], narrowed: tuple[str, ...], views: bool) -> Select[Any]:
    """Kept: to build it takes longer than to ask it."""
    counts = ATTENDED.add_columns(*(_standing(status, narrowed) for status in tabs))
    if not views:
        return counts
    counted = counts.subquery()
    return select(counted, V).select_from(counted.outerjoin(V, true())).order_by(V.c.name)


def _standing(status: Status, narrowed: tuple[str, ...]) -> Label[int]:
    """Written out, for PostgreSQL plans for the status and the limit at hand."""
    there = P.c.status == literal_column(f"'{status}'")
    some: Select[Any] = select(literal_column("1")).select_from(P).where(there, *(NARROWER[name] for name in narrowed))
    # In an index's order: where little is known to be visible to all, PostgreSQL would rather read half the table.
    first = some.order_by(P.c.created_at).limit(literal_column(str(MANY + 1)))
    counted = select(func.count()).select_from(first.subquery())
    return counted.scalar_subquery().label(f"is_{status}")


def _in_words(count: int) -> str:
    return f"{MANY:,}+" if count > MANY else f"{count:,}"


async def all_of(session: AsyncSession, wanted: Filter) -> str:
    """For a file: exact, however long it takes; inside a search up to a bound."""
    if wanted.q:
        found = await count_found(session, wanted, FOUND + 1)
        return f"{FOUND:,}+" if found > FOUND else f"{found:,}"
    query = select(func.count()).select_from(P).where(*conditions(wanted))
    total: int | None = await (await session.connection()).scalar(query)
    return f"{total or 0:,}"
