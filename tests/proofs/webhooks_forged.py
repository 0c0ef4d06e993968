"""Bodies that the PG never sent."""

import base64
import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from standardwebhooks import Webhook

from app.clock import now

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


Letter = tuple[bytes, dict[str, str]]  # and its headers


def forgeries(
    pg: str, known: Sequence[Letter], order_ids: Sequence[str], dice: random.Random, many: int
) -> Iterator[Letter]:
    """`known` are true ones to start from; `order_ids` are payments that nobody has paid."""
    kinds = {"toss": _at_toss, "portone": _at_portone, "portone_v1": _at_portone_v1}[pg](known, order_ids, dice)
    kinds += [lambda: (_torn(dice.choice(known)[0], dice), {}), lambda: (_garbage(dice), {})]
    for _ in range(many):
        yield dice.choice(kinds)()


Kinds = list[Callable[[], Letter]]


def _at_toss(known: Sequence[Letter], order_ids: Sequence[str], dice: random.Random) -> Kinds:
    def changed(**lies: Any) -> Letter:
        message = json.loads(dice.choice(known)[0])
        message["data"] |= lies
        if dice.random() < 0.1:
            message["eventType"] = dice.choice(ODD)
        return json.dumps(message).encode(), {}

    def flat() -> Letter:
        """DEPOSIT_CALLBACK looks like this."""
        told = {"createdAt": str(dice.random()), "secret": dice.choice(ODD), "status": "DONE"}
        return json.dumps(told | {"orderId": dice.choice(order_ids)}).encode(), {}

    return [
        lambda: changed(secret="ps_" + str(dice.random()), status=dice.choice(WORDS)),
        lambda: changed(secret=dice.choice(ODD), balanceAmount=dice.choice((0, -1, 10**30, "0"))),
        lambda: changed(orderId=dice.choice(ODD)),
        lambda: changed(orderId=dice.choice(order_ids), status="DONE"),
        lambda: changed(totalAmount=dice.choice(ODD), status="CANCELED", balanceAmount=0),
        flat,
    ]


def _at_portone(known: Sequence[Letter], order_ids: Sequence[str], dice: random.Random) -> Kinds:
    """A signature of something else, by somebody else, or of no use."""

    def changed(**lies: Any) -> Letter:
        body, headers = dice.choice(known)
        message = json.loads(body)
        return json.dumps(message | {"data": message["data"] | lies}).encode(), headers

    def other_headers() -> Letter:
        body, headers = dice.choice(known)
        name = dice.choice(sorted(headers))
        odd = dice.choice([str(word) for word in ODD if str(word).isascii() and "\x00" not in str(word)])
        return body, {key: odd if key == name else value for key, value in headers.items()}

    def signed_by_another() -> Letter:
        body = json.dumps({"type": "Transaction.Paid", "data": {"paymentId": dice.choice(order_ids)}})
        at, its = now(), f"msg_{dice.random()}"
        signature = Webhook("whsec_" + base64.b64encode(dice.randbytes(32)).decode()).sign(its, at, body)
        stamp = str(int(at.timestamp()))
        headers = {"webhook-id": its, "webhook-timestamp": stamp, "webhook-signature": signature}
        return body.encode(), headers

    return [
        lambda: changed(paymentId=dice.choice(order_ids)),
        lambda: changed(paymentId=dice.choice(ODD)),
        lambda: (dice.choice(known)[0], dice.choice(known)[1]),
        lambda: (dice.choice(known)[0], {}),
        other_headers,
        signed_by_another,
    ]


def _at_portone_v1(known: Sequence[Letter], order_ids: Sequence[str], dice: random.Random) -> Kinds:
    """Nothing is signed: anybody can say anything."""

    def changed(**lies: Any) -> Letter:
        return json.dumps(json.loads(dice.choice(known)[0]) | lies).encode(), {}

    def form() -> Letter:
        told = {"imp_uid": f"imp_{dice.randrange(10**12)}", "merchant_uid": dice.choice(order_ids), "status": "paid"}
        return urlencode(told).encode(), {"content-type": "application/x-www-form-urlencoded"}

    return [
        lambda: changed(status=dice.choice(("paid", "cancelled", "failed", "ready", *ODD))),
        lambda: changed(merchant_uid=dice.choice(order_ids), status="paid"),
        lambda: changed(merchant_uid=dice.choice(ODD)),
        lambda: changed(imp_uid=dice.choice(ODD)),
        form,
    ]


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
