"""What must hold after every step of the simulated world: one order against its PG's book, in a few hundred µs."""

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import asyncpg

from app.models import MOVES, Status

ROW = """
SELECT p.id, p.status, p.amount, p.paid_amount, p.refunded_amount, p.next_check_at, p.payment_method,
  (SELECT coalesce(sum(amount), 0) FROM refund WHERE payment_id = p.id AND status != 'failed') AS held,
  (SELECT coalesce(sum(amount), 0) FROM refund WHERE payment_id = p.id AND status = 'done') AS done,
  (SELECT count(*) FROM refund WHERE payment_id = p.id AND status IN ('requested', 'in_doubt')) AS open,
  (SELECT count(*) FROM purchase WHERE payment_id = p.id AND revoked_at IS NULL) AS live
FROM payment p WHERE p.order_id = $1
"""
EVENTS = "SELECT kind, before, after FROM event WHERE payment_id = $1 ORDER BY id"
NEXT = "SELECT min(next_check_at) AS first FROM payment"
UNSETTLED = "SELECT order_id, status FROM payment WHERE next_check_at IS NOT NULL"
UNREAD = "SELECT count(*) AS unread FROM webhook WHERE handled_at IS NULL"

OWED = """
SELECT p.order_id FROM payment p
WHERE p.payment_method LIKE '%virtual_account' AND p.status = 'completed' AND p.next_check_at IS NULL
  AND p.refunded_amount < p.paid_amount
  AND NOT EXISTS (SELECT 1 FROM purchase WHERE payment_id = p.id AND revoked_at IS NULL) ORDER BY p.id
"""

Row = Mapping[str, Any]


class Eye(Protocol):
    """Reads the database beside the app."""

    async def read(self, query: str, *words: Any) -> Iterable[Any]: ...
    async def close(self) -> None: ...


class SqliteEye:
    """Without the event loop."""

    def __init__(self, url: str) -> None:
        self.file = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        self.file.row_factory = sqlite3.Row

    async def read(self, query: str, *words: Any) -> Iterable[Any]:
        return self.file.execute(query.replace("$1", "?"), words)

    async def close(self) -> None:
        self.file.close()


class PostgresEye:
    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def read(self, query: str, *words: Any) -> Iterable[Any]:
        found: Iterable[Any] = await self.connection.fetch(query, *words)
        return found

    async def close(self) -> None:
        await self.connection.close()


async def watch(url: str) -> "Watch":
    if url.startswith("sqlite"):
        return Watch(SqliteEye(url))
    return Watch(PostgresEye(await asyncpg.connect(url)))


class Watch:
    def __init__(self, eye: Eye) -> None:
        self.eye = eye

    async def close(self) -> None:
        await self.eye.close()

    async def next_check(self) -> datetime | None:
        """When the reconciler has something to do; None when all is settled."""
        [row] = await self.eye.read(NEXT)
        first: str | datetime | None = row["first"]
        at = datetime.fromisoformat(first) if isinstance(first, str) else first  # SQLite keeps words
        return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at

    async def unread(self) -> int:
        [row] = await self.eye.read(UNREAD)
        return int(row["unread"])

    async def unsettled(self) -> list[str]:
        return [f"{row['order_id']} {row['status']}" for row in await self.eye.read(UNSETTLED)]

    async def owed(self) -> list[str]:
        """Paid, at rest, and nothing to show for it."""
        return [row["order_id"] for row in await self.eye.read(OWED)]

    async def order(self, order_id: str, at_the_pg: list[tuple[int, int, int]]) -> list[str]:
        """The rules that this order breaks. `at_the_pg`: won charged, given back, and how often, of each attempt."""
        [row] = await self.eye.read(ROW, order_id)
        charged, refunded, taken = (sum(its) for its in zip(*at_the_pg, strict=True)) if at_the_pg else (0, 0, 0)
        broken = [rule for rule, kept in self.rules(row, charged, refunded).items() if not kept]
        if taken > 1:
            broken.append("taken twice")
        return broken + self.illegal(row, await self.eye.read(EVENTS, row["id"]))

    @staticmethod
    def rules(row: Row, charged: int, refunded: int) -> dict[str, bool]:
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
                row["status"] != Status.COMPLETED
                or row["live"]
                or row["held"] == row["paid_amount"]
                or row["payment_method"].endswith("virtual_account")  # it waits for an account to go back to
            ),
        }

    @staticmethod
    def illegal(row: Row, events: Iterable[Row]) -> list[str]:
        wrong, at = [], Status.PENDING.value
        for event in events:
            kind, before, after = event["kind"], event["before"], event["after"]
            legal = before == after or MOVES.get(kind, {}).get(Status(before)) == after
            if before != at or not legal:
                wrong.append(f"illegal: {kind} {before} -> {after} at {at}")
            at = after
        return wrong if at == row["status"] else [*wrong, f"the last event says {at}, the row {row['status']}"]
