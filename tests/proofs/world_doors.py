"""The doors of the PGs in one process: how a browser stands at each window, what its bank and its console do.

A door is behind the network: what happens at a window reaches its PG.
"""

import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast
from urllib.parse import parse_qsl, urlsplit

from app import payments
from app.gateways import Redirect, Window
from app.models import Payment
from app.till import Refused, Till
from sandbox import kakaopay, portone, portone_v1, toss
from sandbox.kakaopay import moves as kakaopay_moves
from sandbox.kakaopay import window as kakaopay_window
from sandbox.kakaopay.asked import Asked
from sandbox.kakaopay.errors import Refused as KakaoPayRefused
from sandbox.portone import moves as portone_moves
from sandbox.portone import refunds as portone_refunds
from sandbox.portone import window as portone_window
from sandbox.portone.errors import Refused as PortOneRefused
from sandbox.toss import moves as toss_moves
from sandbox.toss import refunds as toss_refunds
from sandbox.toss import window as toss_window
from sandbox.toss.errors import Refused as TossRefused
from sandbox.webhooks import Delivery
from sandbox.world import World

SITE = "http://pg"
BROWSER = 300.0  # seconds that one waits for a page
REFUSED = (TossRefused, KakaoPayRefused, PortOneRefused)
Query = dict[str, str]


class Door:
    """One PG. Everything raises REFUSED when the PG says no."""

    pg: ClassVar[str]
    ways: ClassVar[Mapping[str, int]]
    """Our methods of payment there, and how often they are chosen."""
    buttons: ClassVar[Sequence[str]]
    lie: ClassVar[Mapping[str, Any]] = {}
    """What a dishonest browser asks the window for: another amount."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def open_ways(self) -> Mapping[str, int]:
        return self.ways

    async def open(self, till: Till, payment: Payment, **lie: Any) -> str:
        """The way to the window, and its key. Raises Refused of ours too: the PG does not let us open one."""
        asked = time.time()
        step = await payments.open_window(till, payment, back_of(payment.order_id))
        if time.time() > asked + BROWSER:
            raise Refused("GONE", "The page has failed to load.")
        return self.enter(step, lie)

    def enter(self, step: Redirect | Window, lie: Mapping[str, Any]) -> str:
        raise NotImplementedError

    def press(self, key: str, button: str) -> Query:
        """What the browser comes back with; nothing when it stays there."""
        raise NotImplementedError

    def console(self, order_id: str, amount: int | None) -> None:
        """Somebody cancels in the PG's own console."""
        raise NotImplementedError

    def entries(self, order_id: str, keys: Sequence[str]) -> list[tuple[int, int, int]]:
        """The PG's truth of one order: won charged, won given back, how often taken; of each attempt."""
        raise NotImplementedError

    def bank(self, order_id: str, dice: random.Random, deposit: bool = True) -> bool:
        """What waits for a bank is decided; with `deposit` an account is paid into. False: nothing waits."""
        return False

    def headers(self, told: Delivery) -> dict[str, str]:
        return {"content-type": "application/json"} | self.world.sender(self.pg).webhook_headers(told)

    def forged(self, body: str, dice: random.Random) -> str:
        return body


def back_of(order_id: str) -> str:
    return f"http://testserver/payments/{order_id}/return"


def query_of(url: str | None) -> Query:
    return dict(parse_qsl(urlsplit(url or "").query))


class TossDoor(Door):
    pg = "toss"
    ways: ClassVar = {"card": 8, "virtual_account": 2}
    buttons = ("authenticate",) * 12 + ("over-limit", "stopped-card", "system-error", "reject", "abort", "close")
    lie: ClassVar = {"amount": {"currency": "KRW", "value": 100}}

    @property
    def its(self) -> toss.Toss:
        return cast(toss.Toss, self.world.gateways["toss"])

    def enter(self, step: Redirect | Window, lie: Mapping[str, Any]) -> str:
        steps = cast(Window, step).steps
        asked = {"clientKey": steps[0][1], **steps[1][1], **steps[2][1], **lie}
        return toss_moves.open_window(self.its, asked, f"{SITE}/toss", "*").payment_key

    def press(self, key: str, button: str) -> Query:
        return query_of(toss_window.play(self.its, self.its.payments[key], button, {}).redirect)

    def console(self, order_id: str, amount: int | None) -> None:
        found = self.its.find_order(order_id)
        if found is None:
            raise TossRefused("NOT_FOUND_PAYMENT")
        account = {"bank": "06", "accountNumber": "12345678", "holderName": "콘솔"}
        words = {"cancelReason": "콘솔에서 취소", "refundReceiveAccount": account}
        toss_refunds.cancel(self.its, found, words, amount)

    def entries(self, order_id: str, keys: Sequence[str]) -> list[tuple[int, int, int]]:
        return [(it.charged, it.refunded, it.confirms) for it in self.its.orders.get(order_id, [])]

    def bank(self, order_id: str, dice: random.Random, deposit: bool = True) -> bool:
        its = self.its.orders.get(order_id, []) if deposit else []
        waiting = [it for it in its if it.status == "WAITING_FOR_DEPOSIT"]
        for payment in waiting:
            toss_moves.deposit(self.its, payment, undo=False)
        return bool(waiting)

    def forged(self, body: str, dice: random.Random) -> str:
        message = json.loads(body)
        lies = {"secret": "ps_forged", "status": dice.choice(("DONE", "CANCELED", "ABORTED"))}
        message.get("data", message).update(lies)
        return json.dumps(message)


class KakaoPayDoor(Door):
    pg = "kakaopay"
    ways: ClassVar = {"kakao": 4}
    buttons = ("authenticate",) * 12 + ("over-limit", "user-locked", "bank-unknown", "wrong-pin", "quit", "expire")

    @property
    def its(self) -> kakaopay.KakaoPay:
        return cast(kakaopay.KakaoPay, self.world.gateways["kakaopay"])

    def enter(self, step: Redirect | Window, lie: Mapping[str, Any]) -> str:
        return str(step.transaction_id)

    def press(self, key: str, button: str) -> Query:
        return query_of(kakaopay_window.play(self.its, self.its.find(key), button, {}))

    def console(self, order_id: str, amount: int | None) -> None:
        mine = [it for it in self.its.payments.values() if it.partner_order_id == order_id and it.approved_at]
        if not mine:
            raise KakaoPayRefused(-784)
        [payment] = mine
        wanted = {"cid": payment.cid, "tid": payment.tid, "cancel_tax_free_amount": 0}
        wanted["cancel_amount"] = payment.available.total if amount is None else amount
        kakaopay_moves.cancel(self.its, Asked(wanted, self.world.switches), None)

    def entries(self, order_id: str, keys: Sequence[str]) -> list[tuple[int, int, int]]:
        found = [self.its.entry(self.its.payments[key]) for key in dict.fromkeys(keys)]
        return [(it.charged, it.refunded, it.confirms) for it in found]


class PortOneDoor(Door):
    pg = "portone"
    ways: ClassVar = {"portone": 3, "portone_virtual_account": 2}
    buttons = ("authenticate",) * 12 + ("stay", "pend", "over-limit", "stopped-card", "abort", "close")
    lie: ClassVar = {"totalAmount": 100}
    life = 30 * 60.0  # seconds that the PG behind PortOne keeps its window open
    longest = 30 * 86400.0  # seconds that it may think about a payment

    @property
    def its(self) -> portone.PortOne:
        return cast(portone.PortOne, self.world.gateways[self.pg])

    def asked(self, steps: list[list[Any]]) -> dict[str, Any]:
        return dict(steps[0][1])

    def enter(self, step: Redirect | Window, lie: Mapping[str, Any]) -> str:
        wanted = self.its.wanted(self.asked(cast(Window, step).steps) | dict(lie))
        return portone_moves.request(self.its, wanted, SITE, "*").id

    def press(self, key: str, button: str) -> Query:
        tx = self.its.attempts[key]
        if time.time() > tx.requested_at + self.life:
            raise PortOneRefused("InvalidEntityState")
        ending = portone_window.play(self.its, tx, button, {})
        return ending.result or query_of(ending.redirect)

    def console(self, order_id: str, amount: int | None) -> None:
        tx = self.its.theirs(order_id, None)
        account = {"bank": "KOOKMIN", "number": "12345678", "holderName": "콘솔"} if tx.account else None
        body = {"reason": "콘솔 취소", "amount": amount, "refundAccount": account}
        portone_refunds.cancel(self.its, tx, body, trigger="CONSOLE")

    def entries(self, order_id: str, keys: Sequence[str]) -> list[tuple[int, int, int]]:
        return [(it.charged, it.cancelled + it.outside, it.confirms) for it in self.its.payments.get(order_id, [])]

    def bank(self, order_id: str, dice: random.Random, deposit: bool = True) -> bool:
        for tx in self.its.payments.get(order_id, []):
            if tx.status == "PAY_PENDING":
                if dice.random() < 0.6 and time.time() < tx.requested_at + self.longest:
                    portone_moves.charge(self.its, tx)
                else:
                    portone_moves.fail(self.its, tx, "PAY_PROCESS_ABORTED")
                return True
            if deposit and tx.due is not None:
                portone_moves.deposit(self.its, tx)
                return True
        return False

    def forged(self, body: str, dice: random.Random) -> str:
        return body.replace("Transaction.", dice.choice(("Transaction.X", "Tomorrow."))) + " "


class PortOneV1Door(PortOneDoor):
    pg = "portone_v1"
    ways: ClassVar = {"portone_v1": 4}
    longest = 30 * 60.0  # V1 has no word for a payment that is being thought about: to us it is one that was left
    lie: ClassVar = {"amount": 100}

    @property
    def its(self) -> portone_v1.PortOneV1:
        return cast(portone_v1.PortOneV1, self.world.gateways[self.pg])

    @property
    def open_ways(self) -> Mapping[str, int]:
        """V1 knows no channel that waits for our confirm."""
        return {} if self.world.switches.on("portone_manual_confirm") else self.ways

    def asked(self, steps: list[list[Any]]) -> dict[str, Any]:
        return {**steps[1][1], "impCode": steps[0][1], "windowTarget": "iframe"}

    def forged(self, body: str, dice: random.Random) -> str:
        return json.dumps(json.loads(body) | {"status": dice.choice(("paid", "cancelled", "ready", "x"))})


DOORS: tuple[type[Door], ...] = (TossDoor, KakaoPayDoor, PortOneDoor, PortOneV1Door)


def doors(world: World) -> dict[str, Door]:
    """By the name of the gateway."""
    return {kind.pg: kind(world) for kind in DOORS}
