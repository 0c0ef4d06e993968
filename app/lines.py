"""The way to the PGs: warm connections, each for one call at a time.

httpx builds the requests and reads the answers; this is its transport. Its own knows every kind of HTTP, and costs a
quarter of all that is done to take a payment: a PG is asked in HTTP/1.1, and a few kilobytes come back.
"""

import asyncio
import socket
import ssl
import time
from collections import defaultdict, deque
from typing import cast
from urllib.request import getproxies, proxy_bypass

import httpx
from aiohappyeyeballs import start_connection
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

LINES = 100  # calls at one time, to all PGs together
WARM = 4.0  # seconds: a connection that is older its PG may be closing just now; servers keep one for 5 s and more
NEXT_ADDRESS = 0.25  # seconds without a connection until the host's next address is tried, too (RFC 8305)


class Line(asyncio.Protocol):
    """One connection: a request, and the whole answer to it, again and again."""

    def __init__(self) -> None:
        self.open, self.used_at = True, 0.0  # when it was put down, of the monotonic clock
        self._answer: asyncio.Future[httpx.Response] | None = None

    async def ask(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.TransportError when the connection breaks before the answer's end."""
        words = _head(request) + await request.aread()
        self._answer, self._parser = asyncio.get_running_loop().create_future(), HttpResponseParser(self)
        self._transport.write(words)
        return await self._answer

    def close(self) -> None:
        """At once: what still comes is nobody's answer."""
        self.open = False
        self._transport.abort()

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody has asked
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(httpx.RemoteProtocolError(f"not an answer: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._until_end:
            self._succeed()
        self._fail(httpx.ReadError(str(exc)) if exc else httpx.RemoteProtocolError("closed before the answer's end"))

    # What the parser tells

    def on_message_begin(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        said = {name.lower() for name, _ in self._headers}
        self._until_end = not said & {b"content-length", b"transfer-encoding"}

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._until_end = False
        if self._parser.get_status_code() >= 200:  # else the answer is still to come
            self.open = self.open and self._parser.should_keep_alive()
            self._succeed()

    _until_end = False
    """The answer does not say how long it is: it ends where the connection ends."""

    def _succeed(self) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # a second answer to one question
            return
        body = httpx.ByteStream(b"".join(self._body))
        self._answer.set_result(httpx.Response(self._parser.get_status_code(), headers=self._headers, stream=body))

    def _fail(self, error: httpx.TransportError) -> None:
        self.close()
        if self._answer and not self._answer.done():
            self._answer.set_exception(error)


def _head(request: httpx.Request) -> bytes:
    """Raises httpx.LocalProtocolError for a line break where none may be: it would begin another header."""
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\n") >= len(lines) or head.count(b"\r") >= len(lines):
        raise httpx.LocalProtocolError("a line break in a header")
    return head + b"\r\n\r\n"


class Lines(httpx.AsyncBaseTransport):
    """As many connections as there are calls under way; they stay for a while, for the next."""

    def __init__(self, trusted: ssl.SSLContext) -> None:
        self._trusted = trusted
        self._free: defaultdict[tuple[str, str, int | None], deque[Line]] = defaultdict(deque)
        self._places = asyncio.Semaphore(LINES)
        self._proxied: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.TransportError; a line that broke is not used again."""
        url = request.url
        free = self._free[url.scheme, url.host, url.port]
        async with self._places:
            line = _pick_up(free)
            if line is None:
                if proxy := _proxy(url):
                    return await self._through(proxy).handle_async_request(request)
                line = await self._open(url, request.extensions["timeout"]["connect"])
            try:
                response = await line.ask(request)
            except BaseException:
                line.close()
                raise
            if line.open:
                line.used_at = time.monotonic()
                free.append(line)
            else:
                line.close()  # also when the PG, who said that it was the last answer, does not
            return response

    async def _open(self, url: httpx.URL, seconds: float | None) -> Line:
        port, tls, name = (443, self._trusted, url.host) if url.scheme == "https" else (80, None, None)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                addresses = await loop.getaddrinfo(url.host, url.port or port, type=socket.SOCK_STREAM)
                sock = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS)
                return (await loop.create_connection(Line, sock=sock, ssl=tls, server_hostname=name))[1]
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {seconds} s") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error

    def _through(self, proxy: str) -> httpx.AsyncHTTPTransport:
        if proxy not in self._proxied:
            self._proxied[proxy] = httpx.AsyncHTTPTransport(verify=self._trusted, proxy=proxy)
        return self._proxied[proxy]

    async def aclose(self) -> None:
        for free in self._free.values():
            while free:
                free.pop().close()
        for transport in self._proxied.values():
            await transport.aclose()


def _pick_up(free: deque[Line]) -> Line | None:
    """The line that was used last. Those that nobody has used for a while are closed: a crowd has gone."""
    while free and free[0].used_at < time.monotonic() - WARM:
        free.popleft().close()
    while free:
        line = free.pop()
        if line.open:
            return line
    return None


def _proxy(url: httpx.URL) -> str | None:
    """Of the environment, where there is one: httpx leaves that to whoever makes the connections."""
    proxies = {} if proxy_bypass(url.host) else getproxies()
    return proxies.get(url.scheme) or proxies.get("all")
