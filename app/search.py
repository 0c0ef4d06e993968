"""How a filter becomes one indexed query: keyset pages in both directions, as rows rather than entities."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Dialect,
    Row,
    String,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
    type_coerce,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import UserDefinedType
from sqlmodel.ext.asyncio.session import AsyncSession

from app.conditions import A, P, R, conditions, is_sqlite, steer, steered
from app.filters import Filter
from app.models import Payment, RefundStatus, Status
from app.terms import OWNERS, PIECES, holds, matches, spelled

PAGE = 50
LAST = "last"
"""The cursor of the last page."""
LONGEST = "z" * 32  # follows every order number that begins alike


class Listed(NamedTuple):
    """A row that reads like a payment, without being one; tuples compare faster than SQLAlchemy's rows."""

    id: int
    order_id: str
    gateway: str
    payment_method: str
    prompt_id: int
    amount: int
    paid_amount: int
    refunded_amount: int
    status: Status
    pg_transaction_id: str | None
    buyer_name: str
    buyer_email: str
    buyer_phone: str
    item_name: str
    failure_code: str | None
    failure_message: str | None
    checks: int
    next_check_at: datetime | None
    created_at: datetime
    completed_at: datetime | None
    refunded_at: datetime | None
    refundable: bool
    refund: RefundStatus | None
    """How the last one stands."""
    asked: str | None
    """Who asked for the refund that waits for a second person."""

    def __hash__(self) -> int:
        """Looked up in what is drawn already, where two states of one payment are rarely kept: the rest is compared."""
        return self.id


class _Moment(UserDefinedType[datetime]):
    """A moment as the database hands it out: through DateTime a page's go three times through Python."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, _coltype: object) -> Callable[[Any], Any] | None:
        return _from_utc if dialect.name == "sqlite" else None


def _from_utc(stored: str | None) -> datetime | None:
    return datetime.fromisoformat(f"{stored}+00:00") if stored else None


def _lean(column: Column[Any]) -> ColumnElement[Any]:
    return type_coerce(column, _Moment()).label(column.name) if column.name.endswith("_at") else column


_LATEST = select(R.c.status).where(R.c.payment_id == P.c.id).order_by(R.c.id.desc()).limit(1).scalar_subquery()
_UNDECIDED = A.c.decided_at.is_(None)
_ASKED_BY = select(A.c.asked_by).where(A.c.payment_id == P.c.id, _UNDECIDED).scalar_subquery()
LISTED = (
    *(_lean(P.c[name]) for name in Listed._fields if name in P.c),
    and_(P.c.status == Status.COMPLETED, P.c.paid_amount > P.c.refunded_amount).label("refundable"),
    case((P.c.paid_amount > 0, _LATEST)).label("refund"),  # nothing to look for where nothing was paid
    case((P.c.paid_amount > 0, _ASKED_BY)).label("asked"),
)
_TYPED = bindparam("typed", type_=String)
_BEGINS = and_(
    P.c.order_id.between(_TYPED, bindparam("longest")), func.substr(P.c.order_id, 1, func.length(_TYPED)) == _TYPED
)
WITH_ID = (
    select(*LISTED)
    .where(or_(_BEGINS, P.c.pg_transaction_id == _TYPED))
    .order_by(P.c.id.desc())
    .limit(bindparam("limit"))
)


@dataclass(frozen=True)
class Page:
    payments: Sequence[Listed]
    next: str | None = None
    """The cursor of the page after this one."""
    previous: str | None = None
    understood: str | None = None
    """What the search box took its text for."""


async def search(session: AsyncSession, wanted: Filter, limit: int) -> Page:
    """One page. Raises ValueError for a cursor that no page of ours has given out."""
    sought = wanted.sought
    if sought and sought.id and (found := await _by_id(session, wanted, sought.id, limit)):
        exact = next((row.order_id for row in found if sought.id in (row.order_id, row.pg_transaction_id)), None)
        number = exact is None or exact.startswith(sought.id)
        return Page([Listed._make(row) for row in found], understood="주문번호" if number else "결제사 거래번호")
    turn = _Turn.of(wanted)
    rows = await _fitting(session, wanted, limit + 1)
    page, more = [Listed._make(row) for row in rows[:limit]], len(rows) > limit
    page = page[::-1] if turn.backward else page
    understood = sought.label if sought else None
    if not page:
        return Page([], understood=understood)
    after = turn.write(page[-1]) if (wanted.cursor != LAST if turn.backward else more) else None
    before = turn.write(page[0], "<") if (more if turn.backward else wanted.cursor) else None
    return Page(page, after, before, understood)


async def count_found(session: AsyncSession, wanted: Filter, most: int) -> int:
    """How many payments a search finds, and no more than `most`."""
    sought = wanted.sought
    if sought and sought.id and (found := await _by_id(session, wanted, sought.id, most)):
        return len(found)
    return len(await _fitting(session, wanted, most))


@dataclass(frozen=True)
class Margin:
    """What the rows of payments say beside them, by payment id."""

    refunds: dict[int, RefundStatus]
    """How the last refund of each stands."""
    asked: dict[int, str]
    """Of which a refund waits for a second person, and who asked for it."""


async def margin_of(session: AsyncSession, payments: Sequence[Payment]) -> Margin:
    ids = [payment.id for payment in payments]
    if not ids:
        return Margin({}, {})
    latest = select(R.c.payment_id, R.c.status).where(R.c.payment_id.in_(ids)).order_by(R.c.id)
    asked = select(A.c.payment_id, A.c.asked_by).where(A.c.payment_id.in_(ids), _UNDECIDED)
    return Margin(
        {row.payment_id: row.status for row in await _rows(session, latest)},
        {row.payment_id: row.asked_by for row in await _rows(session, asked)},
    )


# ── what ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _by_id(session: AsyncSession, wanted: Filter, typed: str, limit: int) -> Sequence[Row[Any]]:
    """An order number or a PG's transaction id, or orders whose number begins so."""
    narrower = conditions(wanted)
    query = WITH_ID.where(*narrower) if narrower else WITH_ID
    return await _rows(session, query, typed=typed, longest=typed + LONGEST, limit=limit)


async def _rows(session: AsyncSession, query: Any, **given: Any) -> Sequence[Row[Any]]:
    """Past the session's own machinery: rows need no identity."""
    return (await (await session.connection()).execute(query, given)).all()


async def _planned_anew(session: AsyncSession, query: Any, **given: Any) -> Sequence[Row[Any]]:
    """PostgreSQL: what it planned for other words and ranges may be the wrong way for these."""
    connection = await session.connection()
    await connection.execute(text("SET plan_cache_mode = force_custom_plan"))
    try:
        return await _rows(session, query, **given)
    finally:
        await connection.execute(text("RESET plan_cache_mode"))


async def _fitting(session: AsyncSession, wanted: Filter, limit: int) -> Sequence[Row[Any]]:
    if is_sqlite(session):
        return await _rows(session, _on_sqlite(wanted, wanted.days, await steer(session, wanted, wanted.sought), limit))
    page = _page(wanted, wanted.days, limit)
    if wanted.sought is None:
        return await (_planned_anew if steered(wanted) else _rows)(session, page)
    spellings = await spelled(session, wanted.sought.parts)
    if spellings is None:  # so common that the newest payments are full of it: walk, and look
        # PostgreSQL would expect far too few of them, and collect them all.
        return await _planned_anew(session, page.where(case((holds(wanted.sought.parts), true()))))
    owners = {kind: values for kind, values in spellings.items() if values}
    if not owners:
        return []
    if wanted.by_amount or conditions(wanted):
        owned = or_(*(OWNERS[kind].in_(values) for kind, values in owners.items()))
        return await _planned_anew(session, page.where(owned))
    # From owners to their payments there is one way, whoever they are: this plan may be kept.
    return await _rows(session, _of_owners(tuple(owners), _Turn.of(wanted), limit), **owners)


# To build a statement costs more than to ask it, and most people look at the same few lists. A period is not the same
# days tomorrow.
_Days = tuple[date | None, date | None]


@lru_cache(maxsize=100)
def _page(wanted: Filter, _days: _Days, limit: int) -> Any:
    turn = _Turn.of(wanted)
    return select(*LISTED).where(*conditions(wanted), *turn.beyond()).order_by(*turn.order()).limit(limit)


@lru_cache(maxsize=100)
def _on_sqlite(wanted: Filter, days: _Days, index: str | None, limit: int) -> Any:
    turn, sought = _Turn.of(wanted), wanted.sought
    where, page = [*conditions(wanted), *turn.beyond()], _page(wanted, days, limit)
    looked = [holds(sought.parts)] if sought else []
    if index:
        hint = (P, f"INDEXED BY {index}", "sqlite")
        if index.endswith("_amount_id" if wanted.by_amount else "_created_at_id"):  # walked in the order of the list
            return page.where(*looked).with_hint(*hint)
        return _then_drawn(select(P.c.id).where(*where, *looked).with_hint(*hint), turn, limit)
    if sought is None:
        return page
    pieces, found = PIECES.join(P, P.c.id == PIECES.c.rowid), [matches(sought.parts), *looked, *where]
    if wanted.by_amount:
        return _then_drawn(select(P.c.id).select_from(pieces).where(*found), turn, limit)
    return select(*LISTED).select_from(pieces).where(*found).order_by(turn.direct(PIECES.c.rowid)).limit(limit)


def _then_drawn(ids: Any, turn: "_Turn", limit: int) -> Any:
    """SQLite would read every column of every row that it sorts: so it sorts numbers, and reads the page by them."""
    page = ids.order_by(*turn.order()).limit(limit).correlate(None)
    return select(*LISTED).where(P.c.id.in_(page)).order_by(*turn.order())


@lru_cache(maxsize=100)
def _of_owners(kinds: tuple[str, ...], turn: "_Turn", limit: int) -> Any:
    """PostgreSQL: from each of these names, addresses and numbers to its own first payments; of those, the page."""
    firsts = []
    most: ColumnElement[int] = literal_column(str(limit))  # written out: for any limit it would be another plan
    for kind in kinds:
        each = func.unnest(bindparam(kind, type_=ARRAY(String))).table_valued("value").render_derived()
        own = select(*turn.keys).where(OWNERS[kind] == each.c.value, *turn.beyond())
        first = own.order_by(*turn.order()).limit(most).lateral()
        firsts.append(select(*first.c).select_from(each.join(first, true())))
    together = union(*firsts).subquery()
    order = [turn.direct(together.c[key.name]) for key in turn.keys]
    top = select(together.c.id).order_by(*order).limit(most).subquery()
    return select(*LISTED).join_from(P, top, P.c.id == top.c.id).order_by(*turn.order())


# ── in which order, and from where on ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Turn:
    """The order of a list, and the direction and place that its cursor says."""

    keys: tuple[ColumnElement[Any], ...]
    descending: bool
    backward: bool
    place: tuple[Any, ...]

    @classmethod
    def of(cls, wanted: Filter) -> "_Turn":
        if wanted.by_amount:
            keys: tuple[ColumnElement[Any], ...] = (P.c.amount, P.c.id)
        else:  # ids follow time; what is found by its pieces comes in their order
            keys = (P.c.id,) if wanted.q else (P.c.created_at, P.c.id)
        backward, place = _read_cursor(wanted.cursor, [key.name for key in keys])
        return cls(keys, wanted.sort.startswith("-") != backward, backward, place)

    def direct(self, key: ColumnElement[Any]) -> ColumnElement[Any]:
        return key.desc() if self.descending else key.asc()

    def order(self) -> list[ColumnElement[Any]]:
        return [self.direct(key) for key in self.keys]

    def beyond(self) -> list[ColumnElement[bool]]:
        """Rows behind the cursor; written out because SQLite and PostgreSQL plan it alike."""
        if not self.place:
            return []
        key, value, row_id = self.keys[0], self.place[0], self.place[-1]
        further = P.c.id < row_id if self.descending else P.c.id > row_id
        if len(self.keys) == 1:
            return [further]
        within, behind = (key <= value, key < value) if self.descending else (key >= value, key > value)
        return [within, or_(behind, further)]

    def write(self, row: Listed, sign: str = "") -> str:
        values = [getattr(row, key.name) for key in self.keys]
        text = sign + "|".join(value.isoformat() if isinstance(value, datetime) else str(value) for value in values)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str, keys: list[str]) -> tuple[bool, tuple[Any, ...]]:
    """Backward or not, and the place; no place is the beginning, or the end."""
    if cursor in ("", LAST):
        return cursor == LAST, ()
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        values = text.removeprefix("<").split("|")
        place = tuple(_read_key(key, value) for key, value in zip(keys, values, strict=True))
    except (ValueError, binascii.Error, OverflowError) as error:
        raise ValueError("not a cursor of ours") from error
    return text.startswith("<"), place


def _read_key(key: str, value: str) -> datetime | int:
    if key == "created_at":
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None or not 2000 <= moment.year < 2200:
            raise ValueError("no moment of ours")
        return moment
    if not 0 < int(value) < 2**31:
        raise ValueError("out of range")
    return int(value)
