"""The way to the PGs: connections stay warm, none is in two calls at once, and one that broke is not used again."""

import asyncio
import contextlib
import gzip
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from unittest.mock import patch

import httpx
import pytest

from app import lines
from app.config import read_settings
from app.main import http_client

Answer = Callable[[asyncio.StreamWriter, int], Awaitable[None]]
OPEN = set[int]()
"""The connections that the PG has now."""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def pg(answer: Answer) -> AsyncIterator[tuple[str, list[int]]]:
    """Answers each call in this manner, told its number; which connection each call came over, in their order."""
    connections, calls, came = itertools.count(1), itertools.count(1), list[int]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = next(connections)
        OPEN.add(mine)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                came.append(mine)
                await answer(writer, next(calls))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            OPEN.discard(mine)
            writer.close()

    OPEN.clear()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", came


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(read_settings({"SECRET_KEY": "only for tests", "PG_TIMEOUT": "5"})) as it:
        yield it


async def yes(writer: asyncio.StreamWriter, _number: int) -> None:
    writer.write(OK)


async def test_calls_one_after_the_other_go_over_one_connection() -> None:
    async with pg(yes) as (url, came), client() as ours:
        for _ in range(3):
            assert (await ours.get(url)).json() == {}
    assert came == [1, 1, 1]


async def test_calls_at_one_moment_have_a_connection_each_and_leave_them_warm() -> None:
    everybody = asyncio.Barrier(5)

    async def together(writer: asyncio.StreamWriter, _number: int) -> None:
        await everybody.wait()
        writer.write(OK)

    async with pg(together) as (url, came), client() as ours:
        for _ in range(2):
            await asyncio.gather(*(ours.get(url) for _ in range(5)))
    assert sorted(came[:5]) == sorted(came[5:]) == [1, 2, 3, 4, 5]


async def test_what_a_crowd_has_opened_is_closed_when_it_has_gone() -> None:
    everybody = asyncio.Barrier(5)

    async def together(writer: asyncio.StreamWriter, number: int) -> None:
        if number <= 5:
            await everybody.wait()
        writer.write(OK)

    with patch.object(lines, "WARM", 0.1):
        async with pg(together) as (url, _), client() as ours:
            await asyncio.gather(*(ours.get(url) for _ in range(5)))
            assert len(OPEN) == 5
            await asyncio.sleep(0.2)
            await ours.get(url)
            await asyncio.sleep(0.05)
            assert len(OPEN) == 1


async def test_there_are_never_more_calls_than_lines() -> None:
    async with pg(yes) as (url, came):
        with patch.object(lines, "LINES", 2):
            async with client() as ours:
                await asyncio.gather(*(ours.get(url) for _ in range(9)))
    assert (len(came), max(came)) == (9, 2)


@pytest.mark.parametrize("accident", ["closed", "torn", "given up"])
async def test_a_line_that_broke_is_not_used_again(accident: str) -> None:
    async def once(writer: asyncio.StreamWriter, number: int) -> None:
        if number > 1:
            writer.write(OK)
        elif accident == "given up":
            await asyncio.sleep(0.2)
            writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n"stale!"')
        else:
            writer.write(OK[:-1] if accident == "torn" else b"")
            writer.close()

    async with pg(once) as (url, came), client() as ours:
        with pytest.raises((httpx.TransportError, TimeoutError)):
            async with asyncio.timeout(0.1):
                await ours.get(url)
        await asyncio.sleep(0.3)
        assert (await ours.get(url)).json() == {}, "no other call's answer"
    assert came == [1, 2]


async def test_an_answer_is_handed_on_as_it_was_sent() -> None:
    async def packed(writer: asyncio.StreamWriter, _number: int) -> None:
        body = gzip.compress('{"orderName": "블로그"}'.encode())
        head = f"HTTP/1.1 402 No\r\ncontent-encoding: gzip\r\nx-trace: 7\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    async with pg(packed) as (url, _), client() as ours:
        answer = await ours.get(url)
    assert (answer.status_code, answer.headers["x-trace"], answer.json()) == (402, "7", {"orderName": "블로그"})


@pytest.mark.parametrize(("allowed", "through"), [("", True), ("127.0.0.1", False)])
async def test_the_way_out_is_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, allowed: str, through: bool
) -> None:
    async with pg(yes) as (url, came), client() as ours:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("no_proxy", allowed)
        with contextlib.nullcontext() if through else pytest.raises(httpx.ConnectError):
            await ours.get("http://127.0.0.1:1/v1/payments")
    assert bool(came) is through


async def test_a_connection_that_has_grown_old_is_not_used_again() -> None:
    with patch.object(lines, "WARM", 0.05):
        async with pg(yes) as (url, came), client() as ours:
            await ours.get(url)
            await asyncio.sleep(0.1)
            await ours.get(url)
    assert came == [1, 2]
