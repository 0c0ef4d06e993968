"""Where a proof pays: every PG's keys, its window as a browser walks through it, and what it tells us afterwards.

The way there is an httpx client: over a socket, or into the house of `world_house.py`.
"""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from app import orders, payments
from app.gateways import Redirect, Window
from app.models import Payment, User
from app.orders import Order
from app.till import Till
from sandbox.ledger import ledger
from tests import story
from tests.conftest import CASHIERS
from tests.proofs.world_house import BACK, House

PGS = ("toss", "kakaopay", "portone", "portone_v1")
WAYS = tuple(CASHIERS)
"""The PGs, and PortOne once more with a channel that waits for our confirm."""
INSIDE = "http://pg"
CLOSED = {  # what the browser brings back from a window that was closed
    "toss": {"code": "USER_CANCEL"},
    "kakaopay": {"code": "QUIT_PAYMENT"},
    "portone": {"code": "FAILURE_TYPE_PG", "pgCode": "PAY_PROCESS_CANCELED"},
    "portone_v1": {"error_code": "F0000", "error_msg": "[PAY_PROCESS_CANCELED] 결제를 취소하였습니다"},
}


def keys(url: str) -> dict[str, str]:
    """All PGs behind one sandbox."""
    known = {
        "TOSS_CLIENT_KEY": "test_ck_sandbox",
        "TOSS_SECRET_KEY": "test_sk_sandbox",
        "TOSS_API_URL": f"{url}/toss",
        "TOSS_SDK_URL": f"{url}/toss/v2/standard",
        "KAKAOPAY_SECRET_KEY": "SANDBOX0" * 5,
        "KAKAOPAY_CID": "TC0ONETIME",
        "KAKAOPAY_API_URL": f"{url}/kakaopay",
    }
    return known | CASHIERS["portone"].keys(url) | CASHIERS["portone_v1"].keys(url)


def outside(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=10, verify=False)  # noqa: S501 (no TLS here)


def inside(its: House) -> httpx.AsyncClient:
    """Past the network, which is ours: a buyer's browser has another one."""
    return httpx.AsyncClient(base_url=INSIDE, transport=its.network.inner)


def pg_of(at: str) -> str:
    return CASHIERS[at].pg


def takes_by_itself(at: str) -> bool:
    """The window takes the money."""
    return CASHIERS[at].second_ends == "refunded"


async def authenticated(
    till: Till, pg: httpx.AsyncClient, at: str, user: User, prompt_id: int = story.PROMPT, button: str = "authenticate"
) -> tuple[str, dict[str, str]]:
    """The buyer has done their part; the order, and the query that the browser comes back with."""
    payment = await order(till, at, user, prompt_id)
    step = await payments.open_window(till, payment, BACK.format(payment.order_id))
    return payment.order_id, (await walk(pg, at, step, button))[1]


async def order(till: Till, at: str, user: User, prompt_id: int = story.PROMPT) -> Payment:
    return await orders.start(till, user, Order(prompt_id, CASHIERS[at].method, user.name, user.phone))


async def walk(
    pg: httpx.AsyncClient, at: str, step: Redirect | Window, button: str = "authenticate"
) -> tuple[str, dict[str, str]]:
    """Opens the window and presses: authenticate, over-limit or close. The PG's key, and what comes back."""
    name = pg_of(at)
    if isinstance(step, Redirect):
        key = step.transaction_id or (await pg.get(step.url)).text.partition("/_window/")[2].partition("/")[0]
    else:
        if name.startswith("portone"):
            manual = at == "portone_confirm"
            (await pg.put("/_switches", json={"portone_manual_confirm": manual})).raise_for_status()
        opened = await pg.post(f"/{name}/_open", json=_asked(name, step.steps))
        key = opened.raise_for_status().json()["paymentKey"]
    button = "quit" if (name, button) == ("kakaopay", "close") else button
    if name == "portone_v1":  # on a PC its callback is told
        pressed = await pg.post(f"/{name}/_window/{key}/{button}", json={})
        told: dict[str, str] = pressed.raise_for_status().json()["result"]
        return key, told
    pressed = await pg.post(f"/{name}/_window/{key}/{button}")
    return key, dict(parse_qsl(urlsplit(pressed.headers["location"]).query))


def _asked(name: str, steps: list[list[Any]]) -> dict[str, Any]:
    """What the PG's SDK makes of our steps."""
    if name == "toss":
        return {"clientKey": steps[0][1], **steps[1][1], **steps[2][1]}
    if name == "portone_v1":
        return {**steps[1][1], "impCode": steps[0][1], "windowTarget": "iframe"}
    request: dict[str, Any] = steps[0][1]
    return request


def handed(at: str, order_id: str, back: dict[str, str]) -> str | None:
    """What a program sends as the PG's transaction id; None where that is not enough to confirm by."""
    names = {"toss": "paymentKey", "kakaopay": "pg_token", "portone_v1": "imp_uid"}
    if at == "portone_confirm":
        return None
    return back[names[at]] if at in names else order_id


def told(at: str, order_id: str, back: dict[str, str], number: int) -> bytes | None:
    """A webhook in this PG's words, other bytes by every number; None where there are none."""
    words: dict[str, dict[str, Any]] = {
        "toss": {"eventType": "PAYMENT_STATUS_CHANGED", "data": {"orderId": order_id, "status": "DONE", "n": number}},
        "portone": {"type": "Transaction.Paid", "data": {"paymentId": order_id, "n": number}},
        "portone_v1": {"imp_uid": back.get("imp_uid"), "merchant_uid": order_id, "status": "paid", "n": number},
    }
    its = words.get(pg_of(at))
    return json.dumps(its).encode() if its else None


def whole_ledger(its: House) -> dict[str, Any]:
    """Of all PGs."""
    return dict(ledger(its.toss.world.entries()))


def pass_time(its: House, seconds: float) -> None:
    its.clock.shift(seconds)
    its.toss.world.sweep()
