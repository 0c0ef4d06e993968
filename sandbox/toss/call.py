"""One API call from its arrival to its answer: accident, key, idempotency, effect."""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.faults import Fault, meet
from sandbox.idempotency import scope
from sandbox.toss.errors import ERRORS, Refused
from sandbox.toss.merchants import merchant, refuse
from sandbox.toss.payment import Payment
from sandbox.toss.store import Toss

LONGEST_KEY = 300

# What a call does: the merchant's secret and a refusal on order come in, the answer's JSON goes out.
Act = Callable[[str, str | None], Any]


def toss_of(request: Request) -> Toss:
    toss: Toss = request.app.state.world.gateways["toss"]
    return toss


async def serve(request: Request, call: str, payment: Payment | None, act: Act) -> Response:
    toss = toss_of(request)
    toss.count(payment, call)
    fault = toss.world.faults.take(toss.name, call, payment.order_id if payment else None)
    current = Call(request, toss, act, secrets.token_hex(16))
    response = await meet(request, fault, current.answer, lambda code: refuse(toss, code))
    response.headers.setdefault("x-tosspayments-trace-id", current.trace)
    return response


@dataclass
class Call:
    request: Request
    toss: Toss
    act: Act
    trace: str

    async def answer(self, fault: Fault | None) -> Response:
        try:
            secret = merchant(self.request, self.toss)
            key = self.request.headers.get("idempotency-key")
            if self.request.method != "POST" or not key:
                return await self.carry_out(secret, fault)
            return await self.once(secret, key, fault)
        except Refused as refused:
            return refuse(self.toss, refused.code)

    async def once(self, secret: str, key: str, fault: Fault | None) -> Response:
        if len(key) > LONGEST_KEY:
            raise Refused("INVALID_IDEMPOTENCY_KEY")
        place = scope(key, secret, self.request.method, str(self.request.url))
        response = self.replay(place) or await self.bind(place, secret, fault)
        response.headers["idempotency-key"] = key
        return response

    def replay(self, place: str) -> Response | None:
        bound = self.toss.idempotency.get(place)
        if bound is None:
            return None
        if bound.status is None:
            raise Refused("IDEMPOTENT_REQUEST_PROCESSING")
        return self.write(bound.body, bound.status, {"x-tosspayments-trace-id": f"{self.trace}, {bound.mark}"})

    async def bind(self, place: str, secret: str, fault: Fault | None) -> Response:
        bound = self.toss.idempotency.begin(place, self.trace)
        try:
            response = await self.carry_out(secret, fault)
        except BaseException:
            self.toss.idempotency.forget(place)  # the sandbox itself failed: bind nothing
            raise
        bound.status, bound.body = response.status_code, bytes(response.body).decode()
        return response

    async def carry_out(self, secret: str, fault: Fault | None) -> Response:
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        try:
            self.check_test_code(secret)
            shown = self.act(secret, fault.code if fault and fault.kind == "code" else None)
        except Refused as refused:
            return refuse(self.toss, refused.code)
        return self.write(json.dumps(shown, ensure_ascii=False, separators=(",", ":")), 200, {})

    def check_test_code(self, secret: str) -> None:
        code = self.request.headers.get("tosspayments-test-code")
        if code and secret.startswith("test_"):
            raise Refused(code if code in ERRORS else self.toss.world.switches.text("unknown_test_code"))

    def write(self, body: str, status: int, headers: dict[str, str]) -> Response:
        content_type = self.toss.world.switches.text("content_type")
        return Response(body, status, headers | {"content-type": content_type})
