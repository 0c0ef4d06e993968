"""One API call from its arrival to its answer: accident, key, effect (pg/kakaopay.md §2, §10)."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.faults import Fault, meet
from sandbox.kakaopay.asked import Asked
from sandbox.kakaopay.errors import Refused, answer, refusal
from sandbox.kakaopay.payment import Payment
from sandbox.kakaopay.store import KakaoPay

SECRET = re.compile(r"[A-Z0-9]{40}", re.ASCII)

# What a call does: its body and a refusal on order come in, the answer's JSON goes out.
Act = Callable[[Asked, Refused | None], dict[str, Any]]


def kakaopay_of(request: Request) -> KakaoPay:
    kakaopay: KakaoPay = request.app.state.world.gateways["kakaopay"]
    return kakaopay


def merchant(request: Request) -> str:
    """The caller's secret key, from `SECRET_KEY …` or, a dev key's, `DEV_SECRET_KEY …`."""
    header = request.headers.get("authorization")
    if not header:
        raise Refused(-400)
    scheme, _, key = header.partition(" ")
    allowed = ("SECRET_KEY", "DEV_SECRET_KEY") if key.startswith("DEV") else ("SECRET_KEY",)
    if scheme not in allowed or not SECRET.fullmatch(key):
        raise Refused(-401)
    return key


async def serve(request: Request, call: str, act: Act) -> Response:
    kakaopay = kakaopay_of(request)
    switches = kakaopay.world.switches
    asked = await Asked.read(request, switches)
    payment = kakaopay.find(asked.body.get("tid"))
    kakaopay.count(payment, call)
    order_id = payment.partner_order_id if payment else asked.body.get("partner_order_id")
    fault = kakaopay.world.faults.take(kakaopay.name, call, order_id)

    async def carry_out(fault: Fault | None) -> Response:
        try:
            key = merchant(request)
            if call == "approve" and key.startswith("DEV") and not switches.on("dev_key_may_approve"):
                raise Refused(-401)
            if fault and fault.kind == "delay":
                await at_work(payment if call in ("approve", "cancel") else None, fault.seconds)
            forced = Refused.read(fault.code) if fault and fault.code else None
            return answer(kakaopay.shown(act(asked, forced)))
        except Refused as refused:
            return refusal(refused, switches)

    return await meet(request, fault, carry_out, lambda code: refusal(Refused.read(code), switches))


async def at_work(payment: Payment | None, seconds: float) -> None:
    """A second request about the same money is refused meanwhile."""
    if payment is None:
        await asyncio.sleep(seconds)
        return
    if payment.busy:
        return
    payment.busy = True
    try:
        await asyncio.sleep(seconds)
    finally:
        payment.busy = False


async def nothing(request: Request) -> Response:
    try:
        merchant(request)
    except Refused as refused:
        return refusal(refused, kakaopay_of(request).world.switches)
    return refusal(Refused(-404), kakaopay_of(request).world.switches)
