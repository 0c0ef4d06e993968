"""The live list: what an idle viewer costs, how soon one event is with all of them, how soon a change with many."""

import asyncio
import json
import re
import resource
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import httpx

from benchmarks.browsing import browsing
from benchmarks.files import memory
from benchmarks.servers import Server
from benchmarks.timing import Timings, Visitor, run

IDLE = 2000  # viewers of one worker
EVENTS = 5  # one by one, to all of them
WATCHING, CHANGES, A_SECOND = 200, 100, 20
QUIET = 0.5  # seconds in which nothing arrives any more
PATIENCE = 1.0  # seconds in which one event must have arrived
COMING = 100  # viewers that connect at once
ROW = re.compile(rb'id="payment-([A-Za-z0-9]{24})"')
ENDED = b"0\r\n\r\n"
Offers = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Idle:
    viewers: int
    each: float
    """KiB of the server's memory."""
    joined: float
    reached: Timings
    """From the press of the button until the last viewer has it."""
    ended: float
    """Seconds from SIGTERM until the process is gone."""
    cleanly: int
    """Viewers whose stream was ended rather than broken off."""


@dataclass(frozen=True)
class Busy:
    viewers: int
    workers: int
    changes: int
    seen: Timings
    """From the press of the button, one entry a viewer and change; what never arrived is an error."""
    drawn: Timings
    """The same in a real browser, until the row is drawn."""
    kept: bool
    """Another browser's focus, caret, half-typed words, picks and place on the page were what they had been."""


@dataclass(eq=False)
class Viewer(asyncio.Protocol):
    """As little of a browser as can listen: many of them must not be what is measured."""

    request: bytes
    heard: list[tuple[float, bytes]] = field(default_factory=list)
    welcome: asyncio.Event = field(default_factory=asyncio.Event)
    transport: asyncio.Transport | None = None
    last: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's only behaves like one
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.heard.append((time.perf_counter(), data))
        self.last = data
        if b"retry:" in data:
            self.welcome.set()

    @property
    def rows(self) -> dict[str, float]:
        """When the row of each payment was there for the first time."""
        found: dict[str, float] = {}
        rest = b""
        for moment, data in self.heard:
            for name in ROW.findall(rest + data):
                found.setdefault(name.decode(), moment)
            rest = data[-40:]  # a row's id may come in two parts
        return found


def idle(server: Server, operator: Visitor, offers: Offers, viewers: int = IDLE) -> Idle:
    """Ends the server."""
    return run(_idle(server, operator, offers, viewers))


def busy(server: Server, operator: Visitor, offers: Offers, workers: int) -> Busy:
    with browsing(server, operator) as browsers:
        before = browsers.hands()
        busy, pressed = run(_busy(server, operator, offers, workers))
        drawn = browsers.drawn()
        busy.drawn.seconds += [drawn[name] - moment for name, moment in pressed.items() if name in drawn]
        busy.drawn.errors = len(pressed) - len(busy.drawn.seconds)
        return replace(busy, kept=browsers.hands() == before)


def let_many_in() -> None:
    """A viewer is a file here, and another one in the server, which inherits the limit."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 2 * IDLE + 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most < 0 else min(wanted, most), most))


async def _join(server: Server, operator: Visitor, count: int) -> list[Viewer]:
    async with httpx.AsyncClient(base_url=server.url, headers=operator.headers, timeout=30) as client:
        page = (await client.get("/admin/payments")).text
    after = re.findall(r"[?;]after=(\d+)", page)[0]
    head = f"GET /admin/payments/live?after={after} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
    request = f"{head}Cookie: {operator.headers['Cookie']}\r\n\r\n".encode()
    viewers = [Viewer(request) for _ in range(count)]
    loop = asyncio.get_running_loop()
    for start in range(0, count, COMING):
        several = viewers[start : start + COMING]
        waiting = iter(several)
        connecting = [loop.create_connection(waiting.__next__, "127.0.0.1", server.port) for _ in several]
        await asyncio.gather(*connecting)
        async with asyncio.timeout(30):
            await asyncio.gather(*(one.welcome.wait() for one in several))
    await asyncio.sleep(QUIET)
    return viewers


def _leave(viewers: Sequence[Viewer]) -> None:
    for viewer in viewers:
        if viewer.transport:
            viewer.transport.close()


async def _idle(server: Server, operator: Visitor, offers: Offers, count: int) -> Idle:
    _leave(await _join(server, operator, min(count, COMING)))  # what every kind of work needs once
    await asyncio.sleep(QUIET)
    before, begun = memory(server.process.pid, "VmRSS"), time.perf_counter()
    viewers = await _join(server, operator, count)
    joined, each = time.perf_counter() - begun - QUIET, (memory(server.process.pid, "VmRSS") - before) / count
    reached = Timings()
    async with httpx.AsyncClient(base_url=server.url) as client:
        for offer in offers[:EVENTS]:
            for viewer in viewers:
                viewer.heard.clear()
            begun = time.perf_counter()
            name = await _prepare(client, offer)
            await asyncio.sleep(PATIENCE)
            when = [viewer.rows.get(name) for viewer in viewers]
            arrived = [moment for moment in when if moment]
            reached.errors += len(when) - len(arrived)
            if arrived:
                reached.seconds.append(max(arrived) - begun)
    begun = time.perf_counter()
    server.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(server.process.wait, 60)
    ended = time.perf_counter() - begun
    await asyncio.sleep(0.1)
    cleanly = sum(viewer.last.endswith(ENDED) for viewer in viewers)
    return Idle(count, each, joined, reached, ended, cleanly)


async def _busy(server: Server, operator: Visitor, offers: Offers, workers: int) -> tuple[Busy, dict[str, float]]:
    """And when each button was pressed, on the wall's clock."""
    viewers, pressed = await _join(server, operator, WATCHING), dict[str, float]()

    async def change(client: httpx.AsyncClient, offer: tuple[str, int]) -> None:
        begun = time.perf_counter()
        pressed[await _prepare(client, offer)] = begun

    before, asking = server.cpu(), time.process_time()
    async with httpx.AsyncClient(base_url=server.url) as client, asyncio.TaskGroup() as group:
        begun = time.perf_counter()
        for number, offer in enumerate(offers[:CHANGES]):
            await asyncio.sleep(max(0, begun + number / A_SECOND - time.perf_counter()))
            group.create_task(change(client, offer))
    await asyncio.sleep(2 * QUIET)
    took, asking = time.perf_counter() - begun, time.process_time() - asking
    seen = Timings(cpu=server.cpu() - before, took=took, asking=asking)
    for viewer in viewers:
        rows = viewer.rows
        seen.seconds += [rows[name] - moment for name, moment in pressed.items() if name in rows]
    seen.errors = len(pressed) * len(viewers) - len(seen.seconds)
    _leave(viewers)
    wall = time.time() - time.perf_counter()
    pressed = {name: moment + wall for name, moment in pressed.items()}
    return Busy(len(viewers), workers, len(pressed), seen, drawn=Timings(), kept=False), pressed


async def _prepare(client: httpx.AsyncClient, offer: tuple[str, int]) -> str:
    token, prompt = offer
    body = {"prompt_id": prompt, "payment_method": "card"}
    answer = await client.post("/api/payment/prepare", json=body, headers={"Authorization": f"Bearer {token}"})
    answer.raise_for_status()
    return str(json.loads(answer.content)["order_id"])
