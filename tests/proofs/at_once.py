"""SQLite without threads, greenlets and a disk: a statement is done when it is asked for.

One seed then decides every order of things, and a simulated payment costs half as much: what is proved is what our
statements do, not how they get there.
"""

import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any
from unittest.mock import patch

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool

from app.db import PRAGMAS

UNSAFE = (*(pragma for pragma in PRAGMAS if not pragma.startswith("synchronous")), "synchronous=OFF")
SPAWNING = ("sqlalchemy.ext.asyncio.engine", "sqlalchemy.ext.asyncio.result", "sqlalchemy.ext.asyncio.session")
CLOSING = ("sqlalchemy.ext.asyncio.engine", "sqlalchemy.ext.asyncio.session")


class AtOnce(SQLiteDialect_pysqlite):
    """The plain driver, taken for an asynchronous one."""

    driver = "atonce"
    supports_statement_cache = True
    is_async = True

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        return AsyncAdaptedQueuePool


registry.register("sqlite.atonce", __name__, "AtOnce")


def engine(url: URL, **how: Any) -> AsyncEngine:
    """In the place of app.db's."""
    how.pop("async_creator", None)  # of the driver that is not used here
    return create_async_engine(url.set(drivername="sqlite+atonce"), **how)


async def run(act: Callable[..., Any], *words: Any, _require_await: bool = False, **more: Any) -> Any:
    return act(*words, **more)


def wait(lock: Coroutine[Any, Any, Any]) -> Any:
    """A lock that is always free."""
    try:
        lock.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("somebody waits in a place where everybody is alone")


async def go_on(cleaning: Awaitable[Any]) -> Any:
    """Nobody is canceled in the middle of a statement here."""
    return await cleaning


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """For everything that is opened and asked inside."""
    with contextlib.ExitStack() as patches:
        for module in (*SPAWNING, "sqlmodel.ext.asyncio.session"):
            patches.enter_context(patch(f"{module}.greenlet_spawn", run))
        for module in CLOSING:
            patches.enter_context(patch(f"{module}._run_to_completion", go_on))
        patches.enter_context(patch("sqlalchemy.util.concurrency.await_", wait))
        patches.enter_context(patch("app.db.PRAGMAS", UNSAFE))
        patches.enter_context(patch("app.db.create_async_engine", engine))
        yield
