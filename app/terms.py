"""What the search box finds a payment by: pieces of its buyer's name, e-mail address and phone number.

Neither engine's own index finds two syllables inside a name: SQLite's trigrams find nothing below three letters, and
PostgreSQL's fall back to reading everything. So the pieces are ours, written in the transaction that makes the payment
and never again, for what they are made of does not change. Each is spelled in hex after a letter that says what it is
of, so that no tokenizer takes it for a word of a language.

SQLite keeps the pieces of every payment in an FTS5 table, which hands out matches from the newest on. PostgreSQL's GIN
cannot: it would collect all matches of a common name before it sorted them. There the pieces are those of every
*different* name, address and number (`spelling`), and an index per column leads from each of the few that match to its
payments, the newest first. Both take as long as a page takes, however many payments there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    MetaData,
    String,
    Table,
    cast,
    column,
    event,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.orm import Session
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Payment

# Not among the models: each stands in one kind of database only.
PIECES = Table("payment_terms", MetaData(), Column("rowid", Integer), Column("terms", String))
SPELLING = Table(
    "spelling",
    MetaData(),
    Column("kind", String, primary_key=True),
    Column("value", String, primary_key=True),
    Column("terms", TSVECTOR),
)
OWNERS = {"n": col(Payment.buyer_name), "m": col(Payment.buyer_email), "p": col(Payment.buyer_phone)}

TAIL = 4  # digits by which a buyer on the phone is found
FEW = 1000  # spellings; a part that more of them share is so common that the newest payments are full of it


@dataclass(frozen=True)
class Part:
    """A part of a name (kind "n"), of an address ("m"), or the end of a phone number ("p")."""

    kind: str
    text: str

    @property
    def pieces(self) -> list[str]:
        """What everything has that this is a part of."""
        match self.kind:
            case "n":
                return _spelled("n", _cut(self.text, min(2, len(self.text))))
            case "p":
                return [f"p{self.text[-TAIL:]}"]
            case _ if len(self.text) > 2:
                return _telling(_spelled("m", _cut(self.text, 3)), self.text.find("@"))
            case _:
                return [f"{piece}*" for piece in _spelled("m", [self.text])]  # they begin a piece

    def within(self, owner: Any) -> ColumnElement[bool]:
        """Does this text hold the part? The pieces only say that it may."""
        text: ColumnElement[bool] = (
            owner.endswith(self.text, autoescape=True)
            if self.kind == "p"
            else owner.icontains(self.text, autoescape=True)
        )
        return text


def _telling(found: list[str], at: int) -> list[str]:
    """Four of them, evenly, and of what stands before an @: everybody has the pieces of a mail host."""
    before = found[: at - 2] if at > 2 else found
    return before[:: -(-len(before) // 4)]


def name_pieces(name: str) -> list[str]:
    """By one letter and by two: two syllables are how people here are searched."""
    return [*_spelled("n", _cut(name.lower(), 1)), *_spelled("n", _cut(name.lower(), 2))]


def email_pieces(email: str) -> list[str]:
    """By three letters, and the last two, so that any two of its letters begin a piece."""
    email = email.lower()
    if not email.isascii():
        return _spelled("m", [*_cut(email, 3), email[-2:]])
    spelled = email.encode().hex()  # once: two digits a letter
    return [*(f"m{spelled[at : at + 6]}" for at in range(0, len(spelled) - 5, 2)), f"m{spelled[-4:]}"]


def phone_pieces(phone: str) -> list[str]:
    return [f"p{phone[-TAIL:]}"] if len(phone) >= TAIL else []


def pieces(name: str, email: str, phone: str) -> str:
    """Every piece once, with blanks between them."""
    return " ".join({*name_pieces(name), *email_pieces(email), *phone_pieces(phone)})


def spellings(name: str, email: str, phone: str) -> Iterator[tuple[str, str, str]]:
    """Kind, text and pieces. Written in their order, so that no two transactions wait for each other."""
    yield "m", email, " ".join(set(email_pieces(email)))
    yield "n", name, " ".join(set(name_pieces(name)))
    yield "p", phone, " ".join(phone_pieces(phone))


def _cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(len(text) - size + 1)]


def _spelled(kind: str, parts: Iterable[str]) -> list[str]:
    return [kind + part.encode().hex() for part in parts]


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


_KEEP_PIECES = text("INSERT INTO payment_terms (rowid, terms) VALUES (:id, :terms)")
_KEEP_SPELLING = text(
    "INSERT INTO spelling (kind, value, terms) VALUES (:kind, :value, CAST(:terms AS tsvector)) ON CONFLICT DO NOTHING"
)


@event.listens_for(Session, "after_flush")
def _flushed(session: Session, _context: Any) -> None:
    keep(session, [payment for payment in session.new if isinstance(payment, Payment)])


def keep(session: Session, payments: Sequence[Payment]) -> None:
    """What new payments are found by; for those that are flushed it happens by itself."""
    if not payments:
        return
    found_by = [(it.id, (it.buyer_name, it.buyer_email, it.buyer_phone)) for it in payments]
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        connection.execute(_KEEP_PIECES, [{"id": row_id, "terms": pieces(*owner)} for row_id, owner in found_by])
    else:
        told = sorted({spelling for _, owner in found_by for spelling in spellings(*owner)})
        names = ("kind", "value", "terms")
        connection.execute(_KEEP_SPELLING, [dict(zip(names, spelling, strict=True)) for spelling in told])


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def matches(parts: Sequence[Part]) -> ColumnElement[bool]:
    """SQLite: the rows of `PIECES` whose payment may hold any of the parts."""
    words = " OR ".join(f"({' AND '.join(part.pieces)})" for part in parts)
    return column("payment_terms", String).op("MATCH", is_comparison=True)(words)


def holds(parts: Sequence[Part]) -> ColumnElement[bool]:
    """The payments that do."""
    return or_(*(part.within(OWNERS[part.kind]) for part in parts))


async def spelled(session: AsyncSession, parts: Sequence[Part]) -> dict[str, list[str]] | None:
    """PostgreSQL: every text that holds a part, by its kind. None when there are more than a few."""
    queries = [
        select(SPELLING.c.kind, SPELLING.c.value)
        .where(
            SPELLING.c.kind == part.kind,
            SPELLING.c.terms.bool_op("@@")(cast(" & ".join(part.pieces).replace("*", ":*"), TSQUERY)),
            part.within(SPELLING.c.value),
        )
        .limit(FEW + 1)
        for part in parts
    ]
    found = (await (await session.connection()).execute(union_all(*queries))).all()
    if len(found) > FEW:
        return None
    return {part.kind: [value for kind, value in found if kind == part.kind] for part in parts}
