"""What the benchmarks measure with: it must not flatter anybody."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable

import pytest

from benchmarks import timing
from benchmarks.fanout import Viewer
from benchmarks.servers import Server
from benchmarks.timing import Post, Timings, post_all


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 2.0), (0.95, 4.0), (0.99, 4.0), (0.25, 1.0)])
def test_a_percentile_is_a_time_that_was_measured(share: float, wanted: float) -> None:
    assert Timings([4.0, 1.0, 3.0, 2.0]).percentile(share) == wanted


def test_a_row_that_comes_in_two_parts_is_seen_when_its_second_part_is_there() -> None:
    viewer, order = Viewer(b""), "A" * 24
    viewer.heard = [(1.0, b'<tr id="payment-AAAA'), (2.0, b"A" * 20 + b'">'), (3.0, f'id="payment-{order}"'.encode())]
    assert viewer.rows == {order: 2.0}


def test_what_is_refused_is_an_error_and_no_answer() -> None:
    async def refuse(number: int) -> bytes:
        return b"503 No" if number == 2 else b"200 OK"

    timings, answers = _asked(4, refuse)
    assert (len(timings.seconds), timings.errors) == (3, 1)
    assert answers == [b"ok", b"ok", b"", b"ok"]
    assert timings.rate == pytest.approx(3 / timings.took), "only good answers count"


def test_a_slow_program_is_not_asked_for_longer_than_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    async def linger(_number: int) -> bytes:
        await asyncio.sleep(0.02)
        return b"200 OK"

    monkeypatch.setattr(timing, "BURST", 0.05)
    begun = time.perf_counter()
    timings, answers = _asked(1000, linger)
    assert time.perf_counter() - begun < 5
    assert 0 < len(timings.seconds) < 1000
    assert not timings.errors, "what nobody asked is no error"
    assert answers[-1] == b""


def _asked(count: int, answer: Callable[[int], Awaitable[bytes]]) -> tuple[Timings, list[bytes]]:
    """One after the other, so that the program knows which is which."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(b"HTTP/1.1 " + await answer(number) + b"\r\ncontent-length: 2\r\n\r\nok")
            number += 1
        writer.close()
        gone.set()

    async def ask() -> tuple[Timings, list[bytes]]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as program:
            server = Server("small", program.sockets[0].getsockname()[1], process)
            found = await post_all(server, [Post("/", b"", "token")] * count, 1)
            await gone.wait()
        await asyncio.sleep(0)
        return found

    gone = asyncio.Event()
    with subprocess.Popen(["true"]) as process:
        return timing.run(ask())
