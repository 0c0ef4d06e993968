"""Today, the last 7 and the last 30 days, from the daily totals: no payment is read."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date, timedelta

from sqlalchemy import bindparam, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.clock import now
from app.daily import COUNTS, D, kst_day

DAYS = 30
_KEY = (D.c.day, D.c.gateway, D.c.payment_method)
_SUMS = (
    select(*_KEY, *(func.sum(D.c[name]) for name in COUNTS))
    .where(D.c.day >= bindparam("first"), D.c.day <= bindparam("today"))
    .group_by(*_KEY)
)


@dataclass(frozen=True)
class Totals:
    """Amounts are whole won."""

    created: int = 0
    completed: int = 0
    failed: int = 0
    abandoned: int = 0
    gross: int = 0
    refunds: int = 0
    refunded: int = 0

    @property
    def net(self) -> int:
        return self.gross - self.refunded

    @property
    def success(self) -> float | None:
        """The share of the payments that the PG took, of those it was asked for; None when there were none."""
        asked = self.completed + self.failed
        return self.completed / asked if asked else None


@dataclass(frozen=True)
class Overview:
    days: dict[date, Totals]
    """Each of the last 30, the oldest first."""
    spans: dict[int, Totals]
    """Today, and the last 7 and 30 days, by their number."""
    ways: dict[tuple[str, str], Totals]
    """The last 30 days by gateway and method, what brought most first."""


async def overview(session: AsyncSession) -> Overview:
    today = kst_day(now())
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    rows = (await (await session.connection()).execute(_SUMS, {"first": days[0], "today": today})).all()
    told = [(day, (gateway, method), Totals(*map(int, counts))) for day, gateway, method, *counts in rows]
    each = {day: _sum(totals for at, _, totals in told if at == day) for day in days}
    ways = {way: _sum(totals for _, of, totals in told if of == way) for way in {way for _, way, _ in told}}
    return Overview(
        days=each,
        spans={span: _sum(list(each.values())[-span:]) for span in (1, 7, DAYS)},
        ways=dict(sorted(ways.items(), key=lambda entry: -entry[1].gross)),
    )


def _sum(totals: Iterable[Totals]) -> Totals:
    listed = list(totals)
    return Totals(*(sum(getattr(one, field.name) for one in listed) for field in fields(Totals)))
