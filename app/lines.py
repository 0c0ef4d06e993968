"""The way to the PGs: warm connections, each for one call at a time."""

import asyncio
import contextlib
import ssl
import time
from collections import defaultdict, deque
from typing import cast
from urllib.request import getproxies, proxy_bypass

import httpx

LINES = 100  # calls at one time, to all PGs together
WARM = 4.0  # seconds: a connection that is older its PG may be closing just now; servers keep one for 5 s and more


Rested = deque[tuple[float, httpx.AsyncHTTPTransport]]
"""Lines that nobody speaks over, and since when (of the monotonic clock); the last one used is the next one used."""


class Lines(httpx.AsyncBaseTransport):
    """A pool of one connection for every call that is under way.

    httpcore's own looks at all of its connections whenever a call begins or ends: with 64 at once that costs ten times
    as much as the call.
    """

    def __init__(self, trusted: ssl.SSLContext) -> None:
        self._trusted = trusted
        self._free: defaultdict[tuple[str, str, int | None], Rested] = defaultdict(deque)
        self._places = asyncio.Semaphore(LINES)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """With the whole answer. Raises httpx.TransportError; a line that broke is not used again."""
        free = self._free[request.url.scheme, request.url.host, request.url.port]
        while free and free[0][0] < time.monotonic() - WARM:  # a crowd has gone, and left more than are needed
            with contextlib.suppress(Exception):
                await free.popleft()[1].aclose()
        async with self._places:
            line = free.pop()[1] if free else self._line(request.url)
            try:
                response = await line.handle_async_request(request)
                stream = cast(httpx.AsyncByteStream, response.stream)
                body = b"".join([chunk async for chunk in stream])
                await stream.aclose()
            except BaseException:
                await line.aclose()
                raise
            free.append((time.monotonic(), line))
        response.stream = httpx.ByteStream(body)
        return response

    def _line(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        """Through the proxy of the environment where there is one: httpx leaves that to whoever makes connections."""
        proxies = {} if proxy_bypass(url.host) else getproxies()
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=WARM)
        proxy = proxies.get(url.scheme) or proxies.get("all")
        return httpx.AsyncHTTPTransport(verify=self._trusted, limits=limits, proxy=proxy)

    async def aclose(self) -> None:
        for free in self._free.values():
            while free:
                await free.pop()[1].aclose()
