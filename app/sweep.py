"""The sweep from the PG's side: every movement in the PG's book against our rows.

What differs only because a payment lies on the edge of the time asked for is looked up and left out. A PG that keeps
no book is asked about each of our rows instead; what it did for an order that we do not know stays unseen.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.gateways import Gateway, Receipt
from app.models import Payment, Refund, RefundStatus, Status
from app.till import Till

CHUNK = 500  # order ids a query
AT_ONCE = 8  # questions to a PG without a book
LONGEST = timedelta(hours=1)  # from an order to the end of its window at a PG without a book


class Bucket(StrEnum):
    ONLY_PG = "only_pg"  # the PG moved money for an order we do not know
    ONLY_HERE = "only_here"  # we say paid, the PG has never heard of it
    AMOUNTS = "amounts"  # both moved money, not the same
    STATES = "states"  # money moved there, and our row does not say so


@dataclass(frozen=True)
class Sums:
    """Whole won in, and given back."""

    paid: int = 0
    back: int = 0


@dataclass(frozen=True)
class Difference:
    bucket: Bucket
    gateway: str
    order_id: str
    ours: Sums
    theirs: Sums
    status: Status | None
    """Ours; None when the order is not."""


@dataclass(frozen=True)
class Sweep:
    differences: Sequence[Difference]
    orders: int
    """How many were compared."""

    def of(self, bucket: Bucket) -> list[Difference]:
        return [difference for difference in self.differences if difference.bucket == bucket]


async def sweep(till: Till, since: datetime, until: datetime) -> Sweep:
    """Compare every gateway's book with our rows. Raises InDoubt or Declined when a PG does not open its book."""
    differences: list[Difference] = []
    orders = 0
    for gateway in till.gateways.values():
        compare = _book_by_book if gateway.keeps_book else _one_by_one
        found = await compare(till, gateway, since, until)
        differences += found.differences
        orders += found.orders
    return Sweep(differences, orders)


async def _book_by_book(till: Till, gateway: Gateway, since: datetime, until: datetime) -> Sweep:
    theirs = await _their_book(gateway, since, until)
    async with till.db.read() as session:
        ours = await _our_book(session, gateway, since, until)
        payments = await _payments(session, theirs.keys() | ours.keys())
        books = await _whole_books(session, payments.values())
    differences: list[Difference] = []
    for order_id in sorted(theirs.keys() | ours.keys()):
        payment = payments.get(order_id)
        if payment is None:
            differences.append(Difference(Bucket.ONLY_PG, gateway.name, order_id, Sums(), theirs[order_id], None))
        elif theirs.get(order_id) != ours.get(order_id) or not _says_so(payment, books[order_id]):
            differences += _difference(payment, books[order_id], await gateway.find(payment))
    return Sweep(differences, len(theirs.keys() | ours.keys()))


async def _one_by_one(till: Till, gateway: Gateway, since: datetime, until: datetime) -> Sweep:
    async with till.db.read() as session:
        payments = await _touched(session, gateway, since, until)
        books = await _whole_books(session, payments)
    differences: list[Difference] = []
    for start in range(0, len(payments), AT_ONCE):
        asked = payments[start : start + AT_ONCE]
        receipts = await asyncio.gather(*map(gateway.find, asked))
        for payment, receipt in zip(asked, receipts, strict=True):
            differences += _difference(payment, books[payment.order_id], receipt)
    return Sweep(differences, len(payments))


async def _touched(session: AsyncSession, gateway: Gateway, since: datetime, until: datetime) -> Sequence[Payment]:
    """Ours of this time: begun, paid or given back in it; or begun so shortly before that it was paid in it unheard."""
    back = select(Refund.payment_id).where(col(Refund.done_at).between(since, until))
    begun, paid = (
        col(Payment.created_at).between(since - LONGEST, until),
        col(Payment.completed_at).between(since, until),
    )
    mine = (col(Payment.gateway) == gateway.name, or_(begun, paid, col(Payment.id).in_(back)))
    return (await session.exec(select(Payment).where(*mine).order_by(col(Payment.id)))).all()


async def _their_book(gateway: Gateway, since: datetime, until: datetime) -> dict[str, Sums]:
    book: defaultdict[str, Sums] = defaultdict(Sums)
    async for movement in gateway.movements(since, until):
        if movement.amount:
            book[movement.order_id] = _add(book[movement.order_id], movement.amount)
    return book


async def _our_book(session: AsyncSession, gateway: Gateway, since: datetime, until: datetime) -> dict[str, Sums]:
    book: defaultdict[str, Sums] = defaultdict(Sums)
    mine = col(Payment.gateway) == gateway.name
    paid = select(Payment.order_id, Payment.paid_amount).where(mine, col(Payment.completed_at).between(since, until))
    for order_id, amount in (await session.exec(paid)).all():
        book[order_id] = _add(book[order_id], amount)
    back = select(Payment.order_id, Refund.amount).join(Refund).where(mine, col(Refund.done_at).between(since, until))
    for order_id, amount in (await session.exec(back)).all():
        book[order_id] = _add(book[order_id], -amount)
    return book


def _add(sums: Sums, amount: int) -> Sums:
    return Sums(sums.paid + amount, sums.back) if amount > 0 else Sums(sums.paid, sums.back - amount)


async def _payments(session: AsyncSession, order_ids: Iterable[str]) -> dict[str, Payment]:
    wanted = list(order_ids)
    found: dict[str, Payment] = {}
    for start in range(0, len(wanted), CHUNK):
        query = select(Payment).where(col(Payment.order_id).in_(wanted[start : start + CHUNK]))
        found |= {payment.order_id: payment for payment in (await session.exec(query)).all()}
    return found


async def _whole_books(session: AsyncSession, payments: Iterable[Payment]) -> dict[str, Sums]:
    """What we say of each payment at any time."""
    known = {payment.id: payment for payment in payments}
    books = {payment.order_id: Sums(payment.paid_amount) for payment in known.values()}
    ids = list(known)
    for start in range(0, len(ids), CHUNK):
        query = select(Refund.payment_id, Refund.amount).where(
            col(Refund.payment_id).in_(ids[start : start + CHUNK]), col(Refund.status) == RefundStatus.DONE
        )
        for payment_id, amount in (await session.exec(query)).all():
            order_id = known[payment_id].order_id
            books[order_id] = _add(books[order_id], -amount)
    return books


def _says_so(payment: Payment, book: Sums) -> bool:
    """Does the state of our row fit its own sums?"""
    expected = Status.REFUNDED if book.paid and book.paid == book.back else Status.COMPLETED
    return payment.status == expected


def _difference(payment: Payment, ours: Sums, receipt: Receipt) -> list[Difference]:
    """The PG's whole truth about one order against ours; none when they agree after all."""
    took = receipt.status in ("paid", "canceled")
    theirs = Sums(receipt.paid if took else 0, sum(given.amount for given in receipt.canceled))
    came_and_went = theirs.paid == theirs.back and payment.status == Status.CANCELED
    if came_and_went or (theirs == ours and (not theirs.paid or _says_so(payment, ours))):
        return []
    if not theirs.paid:
        bucket = Bucket.ONLY_HERE
    elif not ours.paid or not _says_so(payment, ours):
        bucket = Bucket.STATES
    else:
        bucket = Bucket.AMOUNTS
    return [Difference(bucket, payment.gateway, payment.order_id, ours, theirs, payment.status)]
