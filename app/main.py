"""create_app(): routes, middleware, lifespan, error handlers, and nothing else."""

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware

from app import auth, bulk, exchanges, gateways, reconciler
from app.config import Misconfigured, Settings, read_settings
from app.db import Database
from app.guard import NO_QUERIES, BodyLimit, CarefulHeaders, SameOrigin, careful_headers
from app.lines import Lines
from app.live import Live
from app.routes import routes
from app.routes.errors import handlers
from app.streams import Streams
from app.till import Till

FORM_LIMIT = 256 * 1024  # bytes: no form or JSON body of ours is near it
WEBHOOK_LIMIT = 64 * 1024  # bytes: the PGs' are of a few thousand


@functools.cache
def authorities() -> ssl.SSLContext:
    """Whom TLS trusts. Reading the list takes 20 ms, and it is the same for every app of a process."""
    return httpx.create_ssl_context()


def http_client(settings: Settings) -> httpx.AsyncClient:
    """One for the life of the process: connections to the PGs stay warm."""
    timeout = httpx.Timeout(settings.pg_timeout, connect=min(5.0, settings.pg_timeout))
    return httpx.AsyncClient(timeout=timeout, transport=Lines(authorities()))


@contextlib.asynccontextmanager
async def open_till(settings: Settings) -> AsyncIterator[Till]:
    """The database and the configured gateways, for the app and for the command line."""
    db = Database(settings.database_url)
    try:
        async with http_client(settings) as client:
            known = gateways.load(settings, client)
            till = Till(
                db,
                known,
                settle_after=settings.settle_after,
                approval_above=settings.refund_approval_above,
                patience=settings.pg_timeout + 5,
            )
            yield till
            await exchanges.write(till)
    finally:
        await db.close()


def create_app(settings: Settings | None = None) -> Starlette:
    """Raises Misconfigured when these settings must not face the public."""
    settings = settings or read_settings()
    settings.check()
    logging.getLogger("uvicorn.access").addFilter(NO_QUERIES)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with open_till(settings) as till:
            await auth.refuse_demo_accounts(till.db, settings)
            live = Live(till.db)
            tasks = [asyncio.create_task(live.run()), asyncio.create_task(live.hear_others())]
            tasks.append(asyncio.create_task(bulk.keep_working(till)))
            tasks.append(asyncio.create_task(exchanges.keep_writing(till)))
            if settings.reconcile_every:
                tasks.append(asyncio.create_task(reconciler.keep_reconciling(till, settings.reconcile_every)))
            with _before_shutdown(live.close):
                yield {"settings": settings, "till": till, "live": live, "throttle": auth.Throttle()}
            live.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    origins = tuple(
        origin for kind in gateways.load(settings, http_client(settings)).values() for origin in kind.origins
    )
    careful = careful_headers(origins, https=settings.production)
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Streams),
            Middleware(CarefulHeaders, headers=careful),
            Middleware(GZipMiddleware, minimum_size=500, compresslevel=1),
            Middleware(SameOrigin),
            Middleware(
                SessionMiddleware,
                secret_key=str(settings.secret_key) or _no_key(),
                max_age=int(auth.IDLE.total_seconds()),
                same_site="lax",
                session_cookie="__Host-session" if settings.production else "session",
                https_only=settings.production,
            ),
            Middleware(BodyLimit, limit=FORM_LIMIT, pg_calls=WEBHOOK_LIMIT),
        ],
        exception_handlers=handlers,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # it would lead to whatever host the asker has named
    app.state.careful = careful  # a crash is answered outside the middleware
    return app


def worker() -> Starlette:
    """What a process of its own serves.

    What it has imported stays until it ends: the garbage collector need not look through all of it time and again,
    with everybody waiting for 50 ms. Nor need it look for young garbage within every request.
    """
    app = create_app()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    return app


def _no_key() -> str:
    raise Misconfigured("SECRET_KEY가 없습니다. `python3 run.py`는 하나를 만들어 씁니다.")


@contextlib.contextmanager
def _before_shutdown(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` when the server is told to stop, before it waits for open answers. uvicorn's own handler follows."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def handle(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(act)
        if callable(old := before[number]):
            old(number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for known, old in before.items():
            signal.signal(known, old)
