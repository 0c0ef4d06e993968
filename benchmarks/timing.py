"""Asking and timing: one question after the other, or many at once."""

import asyncio
import http.client
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TypeVar

import uvloop

from benchmarks.servers import Server

Found = TypeVar("Found")

BURST = 1.0  # seconds in which many at once are asked anew: a slow program must not make the run long
PATIENCE = 1.0  # seconds for one question, however often it is repeated


@dataclass
class Timings:
    """Seconds, one entry an answer. `cpu` is the server's, of all of them together."""

    seconds: list[float] = field(default_factory=list)
    cpu: float = 0.0
    errors: int = 0
    took: float = 0.0
    asking: float = 0.0
    """CPU of the one who asked: it must not be what is measured."""

    def add(self, more: "Timings") -> None:
        self.seconds += more.seconds
        self.cpu += more.cpu
        self.errors += more.errors
        self.took += more.took
        self.asking += more.asking

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else float("nan")

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.seconds) / self.took if self.took else 0.0

    @property
    def cpu_each(self) -> float:
        return self.cpu / len(self.seconds) if self.seconds else float("nan")


class Visitor:
    """A browser that keeps its connection and its cookies."""

    def __init__(self, server: Server, headers: Mapping[str, str]) -> None:
        self.server, self.headers = server, {"Accept-Encoding": "gzip", **headers}
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)

    def ask(self, path: str, times: int, into: Timings) -> bytes:
        """The last answer. Its time is that of the whole answer. Whoever takes long is asked less often."""
        self.connection.close()  # while others were asked it may have grown too old; the next question opens it
        before, body, deadline = self.server.cpu(), b"", time.perf_counter() + PATIENCE
        for number in range(times):
            begun = time.perf_counter()
            if number and begun > deadline:
                break
            self.connection.request("GET", path, headers=self.headers)
            answer = self.connection.getresponse()
            body = answer.read()
            if answer.status == http.client.OK:
                into.seconds.append(time.perf_counter() - begun)
            else:
                into.errors += 1
        into.cpu += self.server.cpu() - before
        return body


@dataclass(frozen=True)
class Post:
    path: str
    body: bytes
    token: str
    key: str = ""
    """Makes a refund that is sent twice one refund."""

    @property
    def request(self) -> bytes:
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        head += f"Authorization: Bearer {self.token}\r\nContent-Length: {len(self.body)}\r\n"
        head += f"Idempotency-Key: {self.key}\r\n\r\n" if self.key else "\r\n"
        return head.encode() + self.body


def run(work: Coroutine[object, object, Found]) -> Found:
    """In the leanest loop there is: on two cores whoever asks takes from whoever answers."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def post_all(server: Server, posts: Sequence[Post], at_once: int) -> tuple[Timings, list[bytes]]:
    """Every post once, so many at a time, as far as a burst goes; the bodies of the good answers, in their order."""
    waiting, answers = deque(enumerate(posts)), [b""] * len(posts)
    timings, before, asking, begun = Timings(), server.cpu(), time.process_time(), time.perf_counter()

    async def work() -> None:
        reader = writer = None
        while waiting and time.perf_counter() < begun + BURST:
            number, post = waiting.popleft()
            started = time.perf_counter()
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                writer.write(post.request)
                status, body, stays = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                status, body, stays = 0, b"", False
            if status in (200, 201):
                timings.seconds.append(time.perf_counter() - started)
                answers[number] = body
            else:
                timings.errors += 1
            if not stays:
                writer.close()
                reader = writer = None
        if writer:
            writer.close()

    await asyncio.gather(*(work() for _ in range(at_once)))
    timings.took = time.perf_counter() - begun
    timings.cpu, timings.asking = server.cpu() - before, time.process_time() - asking
    return timings, answers


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(head[0].split()[1]), body, headers.get("connection", "").lower() != "close"
