"""How many payments stand where: exact while they are few, "1,000+" where counting on would take longer than a page."""

from functools import cache

from sqlalchemy import TextClause, bindparam, func, select, text
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.conditions import P, attention, conditions
from app.deposits import EVER_OWED, owed
from app.desk import Approval
from app.filters import Filter
from app.models import Status
from app.search import count_found

MANY = 1000
FOUND = 10_000
ASKED = select(func.count()).select_from(Approval).where(col(Approval.decided_at).is_(None)).scalar_subquery()
OWED = select(func.count()).select_from(EVER_OWED.subquery()).scalar_subquery()
NARROWER = {
    "method": "payment_method = :method",
    "since": "created_at >= :since",
    "until": "created_at < :until",
}


async def by_status(session: AsyncSession, wanted: Filter) -> dict[Status, str]:
    """For the tabs, in words. None where no index leads to the rows: inside a search, a price range, a gateway."""
    if wanted.q or wanted.amount_from or wanted.amount_to or wanted.gateway or wanted.attention:
        return {}
    given = {"method": wanted.payment_method, "since": wanted.since, "until": wanted.until}
    given = {name: value for name, value in given.items() if value}
    rows = (await (await session.connection()).execute(_counting(tuple(given)), given)).all()
    return {Status(status): f"{MANY:,}+" if count > MANY else f"{count:,}" for status, count in rows}


@cache
def _counting(given: tuple[str, ...]) -> TextClause:
    """Written out: to build nine selects takes longer than to run them."""
    conditions = "".join(f" AND {NARROWER[name]}" for name in given)
    each = "SELECT '{0}', count(*) FROM (SELECT 1 FROM payment WHERE status = '{0}'{1} LIMIT {2}) AS {0}"
    counting = text(" UNION ALL ".join(each.format(status.value, conditions, MANY + 1) for status in Status))
    moments = [bindparam(name, type_=P.c.created_at.type) for name in given if name != "method"]
    return counting.bindparams(*moments)


async def all_of(session: AsyncSession, wanted: Filter) -> str:
    """For a file: exact, however long it takes; inside a search up to a bound."""
    if wanted.q:
        found = await count_found(session, wanted, FOUND + 1)
        return f"{FOUND:,}+" if found > FOUND else f"{found:,}"
    query = select(func.count()).select_from(P).where(*conditions(wanted))
    total: int | None = await (await session.connection()).scalar(query)
    return f"{total or 0:,}"


async def needing_attention(session: AsyncSession) -> dict[str, int]:
    """How many open payments a person should look at, by why. The index of open payments holds nothing else.

    And how many refunds wait: for a second person, or for the account that a deposit goes back to.
    """
    kinds = attention()
    counted = (func.count().filter(needs).label(name) for name, needs in kinds.items())
    query = select(*counted, ASKED.label("asked"), OWED.label("owed"))
    query = query.where(P.c.next_check_at.is_not(None)).with_hint(P, "INDEXED BY ix_payment_next_check_at", "sqlite")
    row = (await (await session.connection()).execute(query)).one()
    waiting = row.asked + (len(await owed(session)) if row.owed else 0)
    return {name: getattr(row, name) for name in kinds} | {"waiting": waiting}
