"""Accidents on order: PUT /_faults/{pg}/{call} spoils the next calls, before their effect or after it."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

KINDS = ("timeout", "reset", "status", "html", "half_body", "delay", "code")
HTML = "<!doctype html><title>502 Bad Gateway</title><h1>Bad Gateway</h1><p>pretend proxy</p>"


@dataclass
class Fault:
    kind: str
    when: str = "before"
    times: int | None = 1
    status: int | None = None
    code: str | None = None
    seconds: float = 60
    order_id: str | None = None

    @classmethod
    def read(cls, wanted: object) -> "Fault":
        if not isinstance(wanted, dict) or not wanted.keys() <= cls.__dataclass_fields__.keys():
            raise ValueError(f"a fault has {', '.join(cls.__dataclass_fields__)}")
        facts: dict[str, Any] = {"kind": ""} | wanted
        fault = cls(**facts)
        fault.check()
        return fault

    def check(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}")
        if self.when not in ("before", "after"):
            raise ValueError("when is before or after")
        if self.kind == "code" and not self.code:
            raise ValueError("kind code needs a code")
        if self.times is not None and (not isinstance(self.times, int) or self.times < 1):
            raise ValueError("times is a positive number, or null until removed")
        if self.status is not None and not 200 <= self.status <= 599:
            raise ValueError("status is an HTTP status")

    @property
    def within(self) -> bool:
        """Delays and refusals before the effect happen inside the PG: they run under its idempotency."""
        return self.when == "before" and self.kind in ("delay", "code")


class Faults:
    def __init__(self) -> None:
        self.queues: dict[str, list[Fault]] = {}

    def put(self, pg: str, call: str, faults: list[Fault]) -> None:
        self.queues[f"{pg}/{call}"] = faults

    def take(self, pg: str, call: str, order_id: str | None) -> Fault | None:
        queue = self.queues.get(f"{pg}/{call}", [])
        fault = next((fault for fault in queue if fault.order_id in (None, order_id)), None)
        if fault and fault.times is not None:
            fault.times -= 1
            if not fault.times:
                queue.remove(fault)
        return fault

    def clear(self, place: str | None = None) -> None:
        if place is None:
            self.queues.clear()
        self.queues.pop(place or "", None)

    def shown(self) -> dict[str, Any]:
        return {place: [asdict(fault) for fault in queue] for place, queue in self.queues.items() if queue}


async def meet(
    request: Request,
    fault: Fault | None,
    act: Callable[[Fault | None], Awaitable[Response]],
    refuse: Callable[[str], Response],
) -> Response:
    """Carry out one call with the accident that awaits it."""
    if fault is None or fault.within:
        return await act(fault)
    answer = await act(None) if fault.when == "after" else None
    return await spoil(request, fault, answer, refuse)


async def spoil(request: Request, fault: Fault, answer: Response | None, refuse: Callable[[str], Response]) -> Response:
    match fault.kind:
        case "timeout":
            await hold(request, fault.seconds)
            return Broken(request, reset=False)
        case "reset":
            return Broken(request, reset=True)
        case "half_body":
            return Broken(request, reset=False, half=answer or HTMLResponse(HTML, 502))
        case "html":
            return HTMLResponse(HTML, fault.status or 502)
        case "status":
            return Response(status_code=fault.status or 500)
        case "delay" if answer is not None:
            await asyncio.sleep(fault.seconds)
            return answer
    return refuse(fault.code or "")


async def hold(request: Request, seconds: float) -> None:
    """Say nothing until the time is up or the caller gives up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass


class Broken(Response):
    """No answer, or half of one, and the socket is gone."""

    def __init__(self, request: Request, reset: bool, half: Response | None = None) -> None:
        super().__init__()
        self.request, self.reset, self.half = request, reset, half

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = getattr(getattr(self.request.receive, "__self__", None), "transport", None)
        if transport is None:
            raise ConnectionResetError("the sandbox dropped this connection on order")
        if self.half:
            body = bytes(self.half.body)
            start = {"type": "http.response.start", "status": self.half.status_code, "headers": self.half.raw_headers}
            await send(start)
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        drop(transport, self.reset)
        await hold(self.request, 10)


def drop(transport: asyncio.Transport, reset: bool) -> None:
    if not reset:
        transport.close()
        return
    # SO_LINGER 0 turns the close into a TCP RST; uvloop's socket cannot set options, its duplicate can.
    copy = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    copy.close()
    transport.abort()
