"""One API call from its arrival to its answer: accident, secret, idempotency, effect (pg/portone.md §2)."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from sandbox.faults import Fault, meet
from sandbox.idempotency import scope
from sandbox.portone.errors import Refused, refusal
from sandbox.portone.store import PortOne

QUOTED = re.compile(r'"([\x20-\x21\x23-\x7e]{16,256})"', re.ASCII)
PGS_OWN = re.compile(r"(test|live)_g?sk_")  # somebody put a PG's secret where PortOne's belongs

# What a call does: the request's JSON goes in, the answer's comes out.
Act = Callable[[dict[str, Any]], Any]


def portone_of(request: Request) -> PortOne:
    portone: PortOne = request.app.state.world.gateways[request.scope["root_path"].strip("/")]
    return portone


async def body_of(request: Request) -> dict[str, Any]:
    """Raises INVALID_REQUEST. Nothing at all is an empty object."""
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused("INVALID_REQUEST")
    return body


async def serve(request: Request, call: str, act: Act, open_to_all: bool = False) -> Response:
    portone, payment_id = portone_of(request), request.path_params.get("payment_id")
    portone.count(portone.current(payment_id) if payment_id else None, call)
    fault = portone.world.faults.take(portone.name, call, payment_id)
    current = Call(request, portone, act, open_to_all)
    return await meet(request, fault, current.answer, lambda code: current.refuse(ordered(code)))


def ordered(code: str) -> Refused:
    """A fault's code: an error type, or PG_PROVIDER:REJECT_CARD_PAYMENT."""
    kind, _, pg_code = code.partition(":")
    return Refused(kind, pg_code or None)


@dataclass
class Call:
    request: Request
    portone: PortOne
    act: Act
    open_to_all: bool

    def refuse(self, refused: Refused) -> Response:
        return refusal(refused, self.portone.switches.on("portone_error_messages"))

    async def answer(self, fault: Fault | None) -> Response:
        try:
            secret = "" if self.open_to_all else self.secret()
            key = self.request.headers.get("idempotency-key")
            if self.request.method == "GET" or key is None:
                return await self.carry_out(fault)
            return await self.once(secret, self.unquoted(key), fault)
        except Refused as refused:
            return self.refuse(refused)

    def secret(self) -> str:
        scheme, _, secret = self.request.headers.get("authorization", "").partition(" ")
        known = self.portone.world.settings.portone_api_secret
        if scheme == "Bearer" and self.portone.tokens.get(secret, 0) > self.portone.world.clock.now():
            return secret
        if scheme != "PortOne" or not secret.strip() or (known and secret != known) or PGS_OWN.match(secret):
            raise Refused("UNAUTHORIZED")
        return secret

    def unquoted(self, key: str) -> str:
        found = QUOTED.fullmatch(key)
        if found is None and self.portone.switches.text("portone_unquoted_key") == "refuse":
            raise Refused("INVALID_REQUEST", why="Idempotency-Key는 따옴표로 감싼 16~256자여야 합니다.")
        return found[1] if found else key

    async def once(self, secret: str, key: str, fault: Fault | None) -> Response:
        place = scope(key, secret, self.request.method, self.request.url.path)
        digest = hashlib.sha256(await self.request.body()).hexdigest()
        bound = self.portone.idempotency.get(place)
        if bound is None:
            return await self.bind(place, digest, fault)
        if bound.mark != digest and self.portone.switches.text("portone_key_reused") == "refuse":
            raise Refused("INVALID_REQUEST")
        if bound.status is None:
            raise Refused("IDEMPOTENCY_OUTSTANDING_REQUEST")
        return Response(bound.body, bound.status, media_type="application/json")

    async def bind(self, place: str, digest: str, fault: Fault | None) -> Response:
        bound = self.portone.idempotency.begin(place, digest)
        try:
            response = await self.carry_out(fault)
        except BaseException:
            self.portone.idempotency.forget(place)  # the sandbox itself failed: bind nothing
            raise
        bound.status, bound.body = response.status_code, bytes(response.body).decode()
        return response

    async def carry_out(self, fault: Fault | None) -> Response:
        try:
            body = await body_of(self.request)  # before the wait: who hangs up meanwhile has sent it
            if fault and fault.kind == "delay":
                await asyncio.sleep(fault.seconds)
            if fault and fault.kind == "code":
                raise ordered(fault.code or "")
            shown = self.act(body)
        except Refused as refused:
            return self.refuse(refused)
        return Response(json.dumps(shown, ensure_ascii=False), 200, media_type="application/json")
