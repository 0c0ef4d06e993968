"""What a PG was asked about a payment and what it answered, for whoever must explain it later.

Written down a moment after the money was, in a transaction of its own: at worst a crash loses the last second of it.
What is not known to be harmless is left out, so that a PG's new field, a key or a buyer's number cannot get in.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import String, insert
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

import app.models  # noqa: F401  how constraints are named, and the table that this points to
from app.gateways import Gateway
from app.spoken import Said
from app.till import Till

log = logging.getLogger(__name__)

PAUSE = 1.0  # seconds between two looks for something to write down
SHOWN = 50  # of one payment, the newest
LONGEST = 8000  # letters of one answer
DEEPEST, WIDEST = 6, 50  # levels, and entries of one list
HIDDEN = "…"


class Exchange(SQLModel, table=True):
    """Append-only."""

    id: int | None = Field(default=None, primary_key=True)
    payment_id: int = Field(foreign_key="payment.id", ondelete="CASCADE", index=True)  # a remark beside it, no fact
    verb: str = Field(sa_type=String(12))  # app.spoken.VERBS
    asked: str  # the call as HTTP names it, without its query
    at: datetime
    milliseconds: int
    status: int | None = None  # HTTP; None when nothing came back
    silence: str | None = None  # why there was no usable answer
    request_id: str | None = None  # the PG's
    answer: str | None = None  # JSON, scrubbed


# ── what may be read ─────────────────────────────────────────────────────────────────────────────────────────────────

# Numbers and words of the trade, as the sheets name them, without their underscores. Anything else is left out: names,
# addresses, accounts, cards, keys, tokens, links, and whatever is added tomorrow.
WORDS = set(
    """
    status code type method message version currency country reason errorcode errormessage pgcode pgmessage pgprovider
    failreason cancelreason methodresultcode methodresultmessage cancelstatus trigger provider sandbox channel
    orderid paymentkey lasttransactionkey transactionkey transactionid pgtxid pgcancellationid cancellationid id
    aid tid cid partnerorderid impuid merchantuid pgtid ordername itemname quantity escrow culturalexpense
    paymentmethodtype paymentactiontype paymethod cardtype ownertype issuercode acquirercode acquirestatus installmonth
    installmentplanmonths isinterestfree interestpayer usecardpoint bankcode settlementstatus refundstatus expired
    accounttype ispartialcancelable usecashreceipt
    requestedat approvedat canceledat cancelledat createdat startedat paidat failedat updatedat statuschangedat duedate
    expiredat now
    amount totalamount balanceamount suppliedamount vat taxfreeamount taxexemptionamount cancelamount cardquota
    refundableamount carddiscountamount transferdiscountamount easypaydiscountamount discountamount total taxfree point
    discount greendeposit supply paid cancelled cancelledtaxfree cancelavailableamount approvedcancelamount
    canceledamount canceltaxfreeamount
    """.split()
)
# What may hold such words: the parts of an answer that are worth opening.
PARTS = set(
    """
    response card easypay virtualaccount transfer mobilephone cancels cancellations cancellation failure error amount
    extras paymentactiondetails approvedcancelamount canceledamount cancelavailableamount cancelhistory method items
    """.split()
)
# Text that people write for people may repeat a number or a key all the same.
NUMBER = re.compile(r"\d[\d\s()-]{4,}\d")
ADDRESS = re.compile(r"\S+@\S+")
KEY = re.compile(r"(?![A-Z_]+\b)[\w+/=.-]{20,}", re.ASCII)
PROSE = {"message", "reason", "errormessage", "pgmessage", "failreason", "cancelreason", "methodresultmessage"}


def scrubbed(answer: Any) -> str:
    """As JSON, and short."""
    text = json.dumps(_harmless(answer, DEEPEST), ensure_ascii=False, separators=(",\n", ": "))
    text = text.encode(errors="replace").decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}{HIDDEN}"


def _harmless(it: Any, depth: int) -> Any:
    if isinstance(it, dict):
        return {_name(name): _value(_plain(name), value, depth - 1) for name, value in list(it.items())[:WIDEST]}
    if isinstance(it, list):
        return [_harmless(one, depth - 1) if depth else HIDDEN for one in it[:WIDEST]]
    return HIDDEN


def _value(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict | list):
        return _harmless(value, depth) if depth and name in PARTS else HIDDEN
    if name not in WORDS:
        return HIDDEN
    if not isinstance(value, str):
        return value
    for pattern in (NUMBER, ADDRESS, KEY) if name in PROSE else ():
        value = pattern.sub(HIDDEN, value)
    return value[:200]


@lru_cache(1000)
def _name(name: str) -> str:
    return name if re.fullmatch(r"\w{1,40}", name, re.ASCII) else HIDDEN


@lru_cache(1000)
def _plain(name: str) -> str:
    return name.replace("_", "").lower()


# ── writing and reading ──────────────────────────────────────────────────────────────────────────────────────────────


async def keep_writing(till: Till) -> None:
    """Runs beside the app for ever."""
    while True:
        await asyncio.sleep(PAUSE)
        await write(till)


async def write(till: Till) -> None:
    """Everything that was said since the last time, in one transaction. What cannot be written is let go."""
    async with till.pen:  # what another is writing is written when we come back
        try:
            rows = [row async for row in _taken(till)]
            if rows:
                async with till.db.write() as session:
                    await session.exec(insert(Exchange), params=rows)
        except Exception as error:
            log.warning("PG와 주고받은 것을 적지 못했습니다 (%s)", type(error).__name__)


async def _taken(till: Till) -> AsyncIterator[dict[str, Any]]:
    for gateway in till.gateways.values():
        while gateway.ear:
            yield _row(gateway, gateway.ear.popleft())
            await asyncio.sleep(0)  # others have their turn in between


def _row(gateway: Gateway, said: Said) -> dict[str, Any]:
    request_id = said.headers.get(gateway.request_id_in, "") if gateway.request_id_in else ""
    return {
        "payment_id": said.payment_id,
        "verb": said.verb,
        "asked": f"{said.method} {urlsplit(said.url).path}"[:200],
        "at": said.at,
        "milliseconds": said.milliseconds,
        "status": said.status,
        "silence": said.silence,
        "request_id": re.sub(r"[^\w,. :-]", "", request_id, flags=re.ASCII)[:100] or None,
        "answer": None if said.answer is None else scrubbed(said.answer),
    }


async def of(session: AsyncSession, payment_id: int) -> Sequence[Exchange]:
    """The newest ones, the oldest of them first."""
    query = select(Exchange).where(col(Exchange.payment_id) == payment_id).order_by(col(Exchange.id).desc())
    return (await session.exec(query.limit(SHOWN))).all()[::-1]
