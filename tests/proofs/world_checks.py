"""What must hold after every step of the simulated world: one order against the PG's book, in a few hundred µs."""

import sqlite3
from collections.abc import Iterable
from typing import Any

from app.models import MOVES, Status
from sandbox.toss.payment import Payment as AtThePg

ROW = """
SELECT p.id, p.status, p.amount, p.paid_amount, p.refunded_amount, p.next_check_at,
  (SELECT coalesce(sum(amount), 0) FROM refund WHERE payment_id = p.id AND status != 'failed') AS held,
  (SELECT coalesce(sum(amount), 0) FROM refund WHERE payment_id = p.id AND status = 'done') AS done,
  (SELECT count(*) FROM refund WHERE payment_id = p.id AND status IN ('requested', 'in_doubt')) AS open,
  (SELECT count(*) FROM purchase WHERE payment_id = p.id AND revoked_at IS NULL) AS live
FROM payment p WHERE p.order_id = ?
"""
EVENTS = "SELECT kind, before, after FROM event WHERE payment_id = ? ORDER BY id"
NEXT = "SELECT min(next_check_at) FROM payment"
UNSETTLED = "SELECT order_id, status, next_check_at FROM payment WHERE next_check_at IS NOT NULL"
UNREAD = "SELECT count(*) FROM webhook WHERE handled_at IS NULL"


class Watch:
    """Reads the SQLite file beside the app, without the event loop."""

    def __init__(self, url: str) -> None:
        self.file = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        self.file.row_factory = sqlite3.Row

    def close(self) -> None:
        self.file.close()

    def next_check(self) -> str | None:
        """When the reconciler has something to do, as it is written; None when all is settled."""
        found: str | None = self.file.execute(NEXT).fetchone()[0]
        return found

    def unread(self) -> int:
        count: int = self.file.execute(UNREAD).fetchone()[0]
        return count

    def unsettled(self) -> list[str]:
        return [" ".join(row) for row in self.file.execute(UNSETTLED)]

    def order(self, order_id: str, at_the_pg: Iterable[AtThePg]) -> list[str]:
        """The rules that this order breaks."""
        row = self.file.execute(ROW, (order_id,)).fetchone()
        its = list(at_the_pg)
        charged, refunded = sum(it.charged for it in its), sum(it.refunded for it in its)
        broken = [rule for rule, kept in self.rules(row, charged, refunded).items() if not kept]
        if sum(it.confirms for it in its) > 1:
            broken.append("taken twice")
        return broken + self.illegal(row)

    @staticmethod
    def rules(row: Any, charged: int, refunded: int) -> dict[str, bool]:
        settled_well = row["status"] in (Status.COMPLETED, Status.REFUNDED)
        return {
            "more given back than taken": refunded <= charged,
            "more held for refunds than paid": row["held"] == row["refunded_amount"] <= row["paid_amount"],
            "we say given back, the PG does not": row["done"] <= refunded,
            "paid here is not charged there": row["paid_amount"] in (0, charged),
            "completed without money": settled_well == (row["paid_amount"] > 0),
            "open without a completed payment": not row["live"] or row["status"] == Status.COMPLETED,
            "unsettled and forgotten": bool(row["next_check_at"] or row["open"] == 0),
            "a state at rest that is none": bool(
                row["next_check_at"]
                or row["status"] not in (Status.PENDING, Status.CONFIRMING, Status.WAITING, Status.IN_DOUBT)
            ),
            "completed, nothing opened, nothing going back": bool(
                row["status"] != Status.COMPLETED or row["live"] or row["held"] == row["paid_amount"]
            ),
        }

    def illegal(self, row: Any) -> list[str]:
        wrong, at = [], Status.PENDING.value
        for kind, before, after in self.file.execute(EVENTS, (row["id"],)):
            legal = before == after or MOVES.get(kind, {}).get(Status(before)) == after
            if before != at or not legal:
                wrong.append(f"illegal: {kind} {before} -> {after} at {at}")
            at = after
        return wrong if at == row["status"] else [*wrong, f"the last event says {at}, the row {row['status']}"]
