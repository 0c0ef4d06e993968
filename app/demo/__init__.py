"""What a fresh shop is tried out with: 24 prompts, two accounts, and as much made-up history as one asks for.

A million payments with everything that belongs to them take one transaction and less than a minute.
"""

import gc
import tomllib
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from time import monotonic

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.auth import DEMO_EMAILS, hash_password
from app.clock import KST, now
from app.db import Database
from app.demo.calendar import DAYS, datetimes, slots, texts
from app.demo.history import History
from app.demo.people import People
from app.demo.store import open_postgres, open_sqlite, rebuilding_indexes
from app.gateways.toss import SENTENCES
from app.models import Payment, Prompt, User
from app.roles import Role

PROMPTS = Path(__file__).with_name("prompts.toml")
BUYER_EMAIL, ADMIN_EMAIL = DEMO_EMAILS
BUYER_PASSWORD, ADMIN_PASSWORD = "buyer-demo-pass", "admin-demo-pass"

CHUNK = 20_000  # payments between two writes
LARGE = 20_000  # payments from which on it is faster to write without indexes and to build them afterwards

Say = Callable[[str], None]


async def fill(db: Database, payments: int = 0, seed: int = 1, say: Say = print) -> None:
    """Fill an empty shop, and add so many payments of the past two years: the same for the same seed and day."""
    async with db.write() as session:
        await _open_shop(session, say)
    if payments > 0:
        gc.disable()  # millions of tuples, and not one cycle among them
        try:
            await _add_payments(db, payments, seed, say)
        finally:
            gc.enable()


async def _open_shop(session: AsyncSession, say: Say) -> None:
    if (await session.exec(select(Prompt.id).limit(1))).first() is not None:
        return
    session.add_all(prompts())
    known = (await session.exec(select(User.email).where(col(User.email).in_(DEMO_EMAILS)))).all()
    session.add_all(user for user in accounts() if user.email not in known)
    say("프롬프트 24개와 데모 계정 2개를 넣었습니다.")


def prompts() -> list[Prompt]:
    with PROMPTS.open("rb") as file:
        return [Prompt(**entry) for entry in tomllib.load(file)["prompt"]]


def accounts() -> list[User]:
    buyer = User(email=BUYER_EMAIL, password_hash=hash_password(BUYER_PASSWORD), name="김찐", phone="01012345678")
    admin = User(email=ADMIN_EMAIL, password_hash=hash_password(ADMIN_PASSWORD), name="박부부", phone="01012340000")
    buyer.is_member = admin.is_admin = True
    admin.role = Role.OWNER
    return [buyer, admin]


async def _add_payments(db: Database, count: int, seed: int, say: Say) -> None:
    """One transaction: whoever stops it halfway has changed nothing."""
    begun = told = monotonic()
    today = (now() - timedelta(hours=1)).astimezone(KST).date()  # an hour: the last payments must have ended, too
    origin = datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=DAYS + 1)
    history = await _begin(db, seed, origin)
    times = slots(Random(f"{seed} when"), origin, count)
    large, done = count >= LARGE, 0
    opened = open_sqlite(db, alone=large) if db.is_sqlite else open_postgres(db)
    async with opened as store, rebuilding_indexes(store, say) if large else nullcontext():
        while chunk := list(islice(times, CHUNK)):
            for at in chunk:
                history.pay(at)
            done += len(chunk)
            for table, rows in history.take(all_of_it=done == count):
                await store.insert(table, rows)
            if monotonic() - told >= 2:
                told = monotonic()
                say(f"결제 {done:>9,} / {count:,}건  {done / count:4.0%}  {told - begun:4.1f}초")
        await store.count()
    say(f"결제 {count:,}건을 넣었습니다. {monotonic() - begun:.1f}초")


async def _begin(db: Database, seed: int, origin: datetime) -> History:
    """A history that goes on from what is stored already: its ids, and e-mail addresses that are taken."""
    async with db.read() as session:
        catalogue = (await session.exec(select(Prompt).order_by(col(Prompt.id)))).all()
        users = (await session.exec(select(func.max(User.id)))).one() or 0
        payments = (await session.exec(select(func.max(Payment.id)))).one() or 0
        emails = set((await session.exec(select(User.email))).all())
    chance = Random(f"{seed} after {payments}")
    return History(
        chance,
        origin,
        texts(origin) if db.is_sqlite else datetimes(origin),
        people=People(chance, emails),
        catalogue=catalogue,
        sentences=SENTENCES,
        users=users,
        payments=payments,
    )
