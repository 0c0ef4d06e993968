"""Bodies that the PG never sent."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

WORDS = (
    "DONE",
    "CANCELED",
    "PARTIAL_CANCELED",
    "ABORTED",
    "EXPIRED",
    "WAITING_FOR_DEPOSIT",
    "IN_PROGRESS",
    "",
    7,
    None,
)
ODD: tuple[Any, ...] = ("", "x" * 24, "x" * 5000, "\x00", "\ud800", "'; --", 7, None, [], {}, True, "찐부부", 1e308)


def forgeries(known: Sequence[bytes], order_ids: Sequence[str], dice: random.Random, many: int) -> Iterator[bytes]:
    """`known` are true bodies to start from; `order_ids` are payments that nobody has paid."""
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: _changed(known, dice, secret="ps_" + str(dice.random()), status=dice.choice(WORDS)),
        lambda: _changed(known, dice, secret=dice.choice(ODD), balanceAmount=dice.choice((0, -1, 10**30, "0"))),
        lambda: _changed(known, dice, orderId=dice.choice(ODD)),
        lambda: _changed(known, dice, orderId=dice.choice(order_ids), status="DONE"),
        lambda: _changed(known, dice, totalAmount=dice.choice(ODD), status="CANCELED", balanceAmount=0),
        lambda: _flat(dice.choice(order_ids), dice),
        lambda: _torn(dice.choice(known), dice),
        lambda: _garbage(dice),
    )
    for _ in range(many):
        yield dice.choice(kinds)()


def _changed(known: Sequence[bytes], dice: random.Random, **lies: Any) -> bytes:
    message = json.loads(dice.choice(known))
    message["data"] |= lies
    if dice.random() < 0.1:
        message["eventType"] = dice.choice(ODD)
    return json.dumps(message).encode()


def _flat(order_id: str, dice: random.Random) -> bytes:
    """DEPOSIT_CALLBACK looks like this."""
    told = {"createdAt": str(dice.random()), "secret": dice.choice(ODD), "status": "DONE", "orderId": order_id}
    return json.dumps(told).encode()


def _torn(body: bytes, dice: random.Random) -> bytes:
    place = dice.randrange(len(body))
    return dice.choice((body[:place], body[place:], body[:place] + dice.randbytes(3) + body[place + 3 :]))


def _garbage(dice: random.Random) -> bytes:
    bodies = (
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"data": []}',
        b"[" * 3000,
        b"\x00",
        dice.randbytes(60),
        b"9" * 5000,
    )
    return dice.choice(bodies)
