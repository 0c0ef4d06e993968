"""How many payments stand where: exact while they are few, "1,000+" where counting on would take longer than a page."""

from typing import Any

from sqlalchemy import func, literal, select, union_all
from sqlmodel.ext.asyncio.session import AsyncSession

from app.conditions import P, attention, conditions
from app.filters import Filter
from app.models import Status

MANY = 1000


async def by_status(session: AsyncSession, wanted: Filter) -> dict[Status, str]:
    """For the tabs, in words. None where no index leads to the rows: inside a search, a price range, a gateway."""
    if wanted.q or wanted.amount_from or wanted.amount_to or wanted.gateway or wanted.attention:
        return {}
    each = wanted.model_copy(update={"status": None, "cursor": ""})
    found = union_all(*(_count(status, each.model_copy(update={"status": status})) for status in Status))
    rows = (await (await session.connection()).execute(found)).all()
    return {Status(status): f"{MANY:,}+" if count > MANY else f"{count:,}" for status, count in rows}


def _count(status: Status, wanted: Filter) -> Any:
    rows = select(literal(1)).select_from(P).where(*conditions(wanted)).limit(MANY + 1).subquery()
    return select(literal(status.value), func.count()).select_from(rows)


async def needing_attention(session: AsyncSession) -> dict[str, int]:
    """How many open payments a person should look at, by why. The index of open payments holds nothing else."""
    kinds = attention()
    query = select(*(func.count().filter(needs).label(name) for name, needs in kinds.items()))
    query = query.where(P.c.next_check_at.is_not(None)).with_hint(P, "INDEXED BY ix_payment_next_check_at", "sqlite")
    row = (await (await session.connection()).execute(query)).one()
    return {name: getattr(row, name) for name in kinds}
