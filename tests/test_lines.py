"""The way to the PGs: connections stay warm, none is in two calls at once, and one that broke is not used again."""

import asyncio
import contextlib
import gzip
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app import lines
from app.clock import now
from app.config import read_settings
from app.lines import Lines
from app.main import http_client

Answer = Callable[[asyncio.StreamWriter, int], Awaitable[None]]
OPEN = set[int]()
"""The connections that the PG has now."""
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@asynccontextmanager
async def pg(answer: Answer, certificate: Path | None = None) -> AsyncIterator[tuple[str, list[int]]]:
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

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
    if tls and certificate:
        tls.load_cert_chain(certificate)
    OPEN.clear()
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}", came


@asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(read_settings({"SECRET_KEY": "only for tests", "PG_TIMEOUT": "5"})) as it:
        yield it


def says(*words: bytes) -> Answer:
    """To the first call these, to later ones yes."""

    async def answer(writer: asyncio.StreamWriter, number: int) -> None:
        for word in words if number == 1 else [OK]:
            writer.write(word)
            await asyncio.sleep(0.01)  # a packet of its own

    return answer


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


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
APACHE = OK.replace(b"\r\nc", b"\r\nupgrade: h2,h2c\r\nconnection: upgrade, keep-alive\r\nc", 1)


@pytest.mark.parametrize(
    "words",
    [
        [OK[:7], OK[7:30], OK[30:]],
        [CHUNKED, b"1\r\n{\r\n", b"1\r\n}\r\n0\r\n\r\n"],
        [b"HTTP/1.1 103 Soon\r\n\r\n", OK],
        [APACHE],
    ],
    ids=["in pieces", "in chunks", "after a word that it comes", "with an offer to speak otherwise"],
)
async def test_an_answer_may_come_in_many_ways(words: list[bytes]) -> None:
    async with pg(says(*words)) as (url, came), client() as ours:
        assert (await ours.get(url)).json() == {}
        await ours.get(url)
    assert came == [1, 1], "the line is as good as before"


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async def ends(writer: asyncio.StreamWriter, _number: int) -> None:
        writer.write(b"HTTP/1.1 402 No\r\n\r\n{}")
        writer.close()

    async with pg(ends) as (url, came), client() as ours:
        assert [((await ours.get(url)).status_code, (await ours.get(url)).json())] == [(402, {})]
    assert came == [1, 2]


@pytest.mark.parametrize(
    "words",
    [[OK.replace(b"\r\nc", b"\r\nconnection: close\r\nc", 1)], [OK + OK], [OK, b"HTTP/1.1 408 Too late\r\n\r\n"]],
    ids=["said to be the last", "two answers to one question", "words without a question"],
)
async def test_after_some_answers_a_line_is_not_used_again(words: list[bytes]) -> None:
    async with pg(says(*words)) as (url, came), client() as ours:
        assert (await ours.get(url)).json() == {}
        await asyncio.sleep(0.05)
        assert not OPEN
        assert (await ours.get(url)).json() == {}
    assert came == [1, 2]


@pytest.mark.parametrize(
    "words", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"]
)
async def test_what_is_no_answer_is_none(words: bytes) -> None:
    async with pg(says(words)) as (url, came), client() as ours:
        with pytest.raises(httpx.RemoteProtocolError):
            await ours.get(url)
        assert (await ours.get(url)).json() == {}
    assert came == [1, 2]


@pytest.mark.parametrize("value", ["key\r\nx-amount: 1", "key\nx", "key\rx"])
async def test_a_line_break_begins_no_other_header(value: str) -> None:
    async with pg(yes) as (url, came), client() as ours:
        with pytest.raises(httpx.LocalProtocolError):
            await ours.get(url, headers={"Idempotency-Key": value})
    assert came == []


async def test_nobody_waits_long_for_a_connection() -> None:
    async def hang(*_words: object, **_options: object) -> None:
        await asyncio.sleep(5)

    with patch.object(lines, "start_connection", hang):
        async with pg(yes) as (url, _), client() as ours:
            with pytest.raises(httpx.ConnectTimeout):
                await ours.get(url, timeout=0.05)


@pytest.mark.parametrize(("trusts", "name"), [(True, "localhost"), (True, "127.0.0.1"), (False, "localhost")])
async def test_only_who_can_prove_its_name_is_asked(tmp_path: Path, trusts: bool, name: str) -> None:
    """The certificate is good for "localhost" and signed by nobody."""
    certificate = self_signed(tmp_path)
    async with pg(yes, certificate) as (url, came):
        trusted = ssl.create_default_context(cafile=certificate if trusts else None)
        async with httpx.AsyncClient(transport=Lines(trusted)) as ours:
            proven = trusts and name == "localhost"
            with contextlib.nullcontext() if proven else pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
                assert (await ours.get(url.replace("127.0.0.1", name))).json() == {}
    assert bool(came) is proven


def self_signed(folder: Path) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "PG")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / "certificate.pem"
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path


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
