"""The truth that tests compare with: what was really charged and given back, order by order."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass
class Entry:
    """One payment at one PG. An order can have several: the buyer tried again."""

    order_id: str
    gateway: str
    payment_key: str
    status: str
    charged: int
    refunded: int
    confirms: int
    cancels: list[dict[str, Any]]
    calls: dict[str, int]
    deposited: bool = False  # by hand, so that the bank may take it back


def order(entries: list[Entry]) -> dict[str, Any]:
    """The order's line: its charged payment if there is one, else the newest, with the sums of all."""
    chosen = next((entry for entry in reversed(entries) if entry.confirms), entries[-1])
    calls = {call: sum(entry.calls.get(call, 0) for entry in entries) for call in ("confirm", "cancel", "find")}
    return {
        "gateway": chosen.gateway,
        "payment_key": chosen.payment_key,
        "status": chosen.status,
        "charged": sum(entry.charged for entry in entries),
        "refunded": sum(entry.refunded for entry in entries),
        "confirms": sum(entry.confirms for entry in entries),
        "cancels": [cancel for entry in entries for cancel in entry.cancels],
        "confirm_calls": calls["confirm"],
        "cancel_calls": calls["cancel"],
        "find_calls": calls["find"],
        "payments": [entry.payment_key for entry in entries],
    }


def ledger(entries: Iterable[Entry]) -> dict[str, Any]:
    orders: dict[str, list[Entry]] = {}
    for entry in entries:
        orders.setdefault(entry.order_id, []).append(entry)
    lines = {order_id: order(its) for order_id, its in orders.items()}
    return {
        "orders": lines,
        "charged": sum(line["charged"] for line in lines.values()),
        "refunded": sum(line["refunded"] for line in lines.values()),
    }
