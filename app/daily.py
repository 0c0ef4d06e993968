"""What every day brought, counted in the transaction that changes it: exact, and read without looking at a payment.

The counts follow the events that every change writes anyway, so nobody who moves money has to think of them. They are
added just before the commit, in one statement, always in the same order. On PostgreSQL a day's row would be where all
payments of the moment wait for each other; so there are sixteen of it, and a connection adds to its own. The days
behind us are never touched again.
"""

from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Insert,
    String,
    Table,
    case,
    cast,
    event,
    func,
    literal_column,
    or_,
    union_all,
)
from sqlalchemy import select as rows_of
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction
from sqlmodel import Field, SQLModel, select
from sqlmodel.sql.expression import SelectOfScalar

from app.clock import KST
from app.models import Event, Payment

SHARDS = 16


class Daily(SQLModel, table=True):
    """What happened on this day (KST), whenever the payments began. A reader adds the shards up."""

    day: date = Field(primary_key=True)
    gateway: str = Field(primary_key=True)
    payment_method: str = Field(primary_key=True)
    shard: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    created: int = 0
    completed: int = 0
    failed: int = 0  # declined by the PG
    abandoned: int = 0  # canceled or expired: nobody was charged, and nobody refused
    gross: int = Field(default=0, sa_type=BigInteger)  # whole won taken
    refunds: int = 0
    refunded: int = Field(default=0, sa_type=BigInteger)  # whole won given back


COUNTS = ("created", "completed", "failed", "abandoned", "gross", "refunds", "refunded")
# What an event of this kind is counted as, how often, and as what its amount. A kind that is not here counts nothing.
COUNTED: dict[str, tuple[str, int, str | None]] = {
    "created": ("created", 1, None),
    "completed": ("completed", 1, "gross"),
    "returned": ("completed", -1, "gross"),  # the bank took a deposit back
    "declined": ("failed", 1, None),
    "canceled": ("abandoned", 1, None),
    "expired": ("abandoned", 1, None),
    "refund_done": ("refunds", 1, "refunded"),
}

P: Table = SQLModel.metadata.tables["payment"]
E: Table = SQLModel.metadata.tables["event"]
D: Table = SQLModel.metadata.tables["daily"]
Key = tuple[date, str, str]
KEYS = ("day", "gateway", "payment_method")


def kst_day(moment: datetime) -> date:
    return moment.astimezone(KST).date()


# ── as it happens ────────────────────────────────────────────────────────────────────────────────────────────────────


@event.listens_for(Session, "after_flush")
def _count(session: Session, _context: Any) -> None:
    for told in session.new:
        if isinstance(told, Event):
            count(session, told)


def count(session: Session, told: Event) -> None:
    """What is told in this transaction; an event that is flushed counts by itself."""
    if told.kind in COUNTED:
        payment = session.get_one(Payment, told.payment_id)  # whoever tells of it has it in hand
        key = (kst_day(told.at), payment.gateway, payment.payment_method)
        counts = session.info.setdefault("daily", {}).setdefault(key, dict.fromkeys(COUNTS, 0))
        what, times, money = COUNTED[told.kind]
        counts[what] += times
        if money:
            counts[money] += times * (told.amount or payment.paid_amount)


@event.listens_for(Session, "before_commit")
def add_up(session: Session) -> None:
    session.flush()
    counted: dict[Key, dict[str, int]] = session.info.pop("daily", {})
    if counted:
        rows = [dict(zip(KEYS, key, strict=True)) | counted[key] for key in sorted(counted)]
        connection = session.connection()
        connection.execute(_addition(connection.dialect.name), rows)


@cache
def _addition(dialect: str) -> Insert:
    build: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
    shard: Any = literal_column("0" if dialect == "sqlite" else f"pg_backend_pid() % {SHARDS}")
    insert = build(D).values({"shard": shard})
    sums = {name: D.c[name] + insert.excluded[name] for name in COUNTS}
    addition: Insert = insert.on_conflict_do_update(index_elements=[*KEYS, "shard"], set_=sums)
    return addition


@event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, _transaction: Any) -> None:
    session.info.pop("daily", None)


# ── from the beginning ───────────────────────────────────────────────────────────────────────────────────────────────


class kst_date(GenericFunction[date]):
    """The day of a stored moment in Korea."""

    type = Date()
    inherit_cache = True


@compiles(kst_date, "sqlite")
def _sqlite_date(element: Any, compiler: Any, **options: Any) -> str:
    return f"date({compiler.process(element.clauses, **options)}, '+9 hours')"


@compiles(kst_date, "postgresql")
def _postgresql_date(element: Any, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AT TIME ZONE 'Asia/Seoul' AS date)"


def recounted() -> Any:
    """What the table should say, from the events: the day, the gateway, the method, and every count."""
    amount = func.coalesce(E.c.amount, P.c.paid_amount)  # events of old say no amount of what was paid
    told: dict[str, list[Any]] = {name: [] for name in COUNTS}
    for kind, (what, times, money) in COUNTED.items():
        told[what].append((E.c.kind == kind, times))
        if money:
            told[money].append((E.c.kind == kind, times * amount))
    counts: dict[str, ColumnElement[Any]] = {name: func.sum(case(*told[name], else_=0)) for name in COUNTS}
    key = (kst_date(E.c.at).label("day"), P.c.gateway, P.c.payment_method)
    query = rows_of(*key, *(cast(counts[name], BigInteger).label(name) for name in COUNTS))
    return query.join_from(E, P, P.c.id == E.c.payment_id).where(E.c.kind.in_(COUNTED)).group_by(*key)


def miscounted() -> SelectOfScalar[str]:
    """The days of which the table says something else than the events, for the audit: what is left of them together."""
    said = rows_of(*(D.c[name] for name in KEYS), *((-D.c[name]).label(name) for name in COUNTS))
    both = union_all(recounted(), said).subquery()
    what: ColumnElement[str] = cast(both.c.day, String) + " " + both.c.gateway + " " + both.c.payment_method
    wrong = or_(*(func.sum(both.c[name]) != 0 for name in COUNTS))
    return select(what).group_by(*(both.c[name] for name in KEYS)).having(wrong)


def recount() -> Insert:
    """Fills the empty table from what has been."""
    told = recounted().subquery()
    keys, counts = [told.c[name] for name in KEYS], [told.c[name] for name in COUNTS]
    return D.insert().from_select([*KEYS, "shard", *COUNTS], rows_of(*keys, literal_column("0"), *counts))
