"""What every proof compares in the end: the PG's ledger, which knows what really moved, and our rows."""

from dataclasses import asdict, dataclass, field
from typing import Any

from sqlmodel import col, select

from app import audit
from app.db import Database
from app.models import CLOSED, Payment, Purchase, Refund, RefundStatus


@dataclass
class Books:
    """Orders in which money or content went astray; every list must be empty."""

    lost: list[str] = field(default_factory=list)  # the PG holds money, and we do not say so
    double: list[str] = field(default_factory=list)  # more than one charge for one order, or for one buyer and prompt
    free: list[str] = field(default_factory=list)  # content without money
    overpaid: list[str] = field(default_factory=list)  # more given back than was taken
    differ: list[str] = field(default_factory=list)  # our sums are not the PG's
    broken: list[str] = field(default_factory=list)  # rules of the audit
    unsettled: int = 0  # not wrong, but not at rest either
    unseen: int = 0  # charged and canceled in the PG's console before we heard of either: over here, as there

    def wrong(self) -> dict[str, list[str]]:
        return {name: rows for name, rows in asdict(self).items() if isinstance(rows, list) and rows}


async def compare(db: Database, ledger: dict[str, Any]) -> Books:
    """`ledger` is the sandbox's `GET /_ledger`, whole."""
    books = Books()
    async with db.read() as session:
        payments = (await session.exec(select(Payment))).all()
        done = select(Refund).where(col(Refund.status) == RefundStatus.DONE)
        back: dict[int, int] = {}
        for refund in (await session.exec(done)).all():
            back[refund.payment_id] = back.get(refund.payment_id, 0) + refund.amount
        live = select(Purchase.payment_id).where(col(Purchase.revoked_at).is_(None))
        opened = set((await session.exec(live)).all())
        books.broken = [f"{found.rule}: {list(found.order_ids)}" for found in await audit.audit(session)]
    kept: dict[tuple[int, int], int] = {}
    for payment in payments:
        entry = ledger["orders"].get(payment.order_id, {"charged": 0, "refunded": 0, "confirms": 0})
        assert payment.id is not None
        _compare(books, payment, entry, back.get(payment.id, 0), payment.id in opened)
        if entry["charged"] > entry["refunded"]:
            owner = (payment.user_id, payment.prompt_id)
            kept[owner] = kept.get(owner, 0) + 1
            if kept[owner] > 1 and payment.next_check_at is None:
                books.double.append(payment.order_id)
    known = {payment.order_id for payment in payments}
    books.lost += [
        order_id for order_id, entry in ledger["orders"].items() if entry["charged"] and order_id not in known
    ]
    return books


def _compare(books: Books, payment: Payment, entry: dict[str, Any], back: int, opened: bool) -> None:
    order_id = payment.order_id
    if entry["confirms"] > 1:
        books.double.append(order_id)
    if entry["refunded"] > entry["charged"]:
        books.overpaid.append(order_id)
    if opened and not entry["charged"] > entry["refunded"]:
        books.free.append(order_id)
    if payment.next_check_at is not None:
        books.unsettled += 1
        return
    if entry["charged"] > entry["refunded"] and not opened:
        books.lost.append(order_id)
    if payment.status in CLOSED and not payment.paid_amount and 0 < entry["charged"] == entry["refunded"]:
        books.unseen += 1
    elif (payment.paid_amount, back) != (entry["charged"], entry["refunded"]):
        books.differ.append(order_id)
