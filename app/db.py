"""The engine, and the places where SQLite and PostgreSQL differ."""

import asyncio
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

import aiosqlite
from sqlalchemy import ARRAY, JSON, ColumnElement, Connection, bindparam, event, make_url, text
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import NULLTYPE, TypeDecorator, TypeEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.together import Serve, Together, Wish

PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # money: a commit survives a power cut
    "busy_timeout=5000",
    "foreign_keys=ON",
    "temp_store=MEMORY",
)

AWAY = (DBAPIError, PoolTimeout, OSError)
"""How a database shows that it cannot be reached, is full, or was never migrated."""


def what_failed(error: BaseException) -> str:
    """The driver's word for it, without the statement and its values."""
    return type(getattr(error, "orig", None) or error).__name__


def async_url(url: str) -> URL:
    """The asynchronous driver for a plain `sqlite:` or `postgresql:` address; libpq's `sslmode` is asyncpg's `ssl`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    query = {("ssl" if key == "sslmode" else key): value for key, value in parsed.query.items()}
    return parsed.set(drivername="postgresql+asyncpg", query=query)


BELL = "jjinbubu_written"  # PostgreSQL's channel between the workers


class Hinting(SQLiteCompiler):
    """SQLAlchemy's leaves out `INDEXED BY`, which is how SQLite is told what its planner cannot know."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


class Many(TypeDecorator[list[Any]]):
    """Any number of values as one: an array on PostgreSQL, JSON on SQLite."""

    impl, cache_ok = JSON, True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(JSON() if dialect.name == "sqlite" else ARRAY(self.item))


class _among(GenericFunction[Any]):
    type, inherit_cache = NULLTYPE, True  # of what is called boolean SQLAlchemy asks SQLite whether it is 1


def among(column: Any, name: str) -> ColumnElement[bool]:
    """`column IN` the list that is bound to this name; in the same words for however many, so that they are prepared
    and planned once. SQLAlchemy writes another statement for each number, at each call."""
    found: ColumnElement[Any] = _among(column, bindparam(name, type_=Many(column.type)))
    return found


@compiles(_among, "sqlite")
def _in_json(element: _among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 (both are bound or ours)


@compiles(_among, "postgresql")
def _in_array(element: _among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({values})"


class OneTrip(aiosqlite.Connection):
    """A question and all its rows in one trip to the connection's thread.

    aiosqlite's own makes four, to open, ask, fetch and close: most of what a question costs. Nothing is left to close
    here: a question that was read to its end, or has failed, holds nothing of the database.
    """

    def cursor(self) -> Any:
        return Answered(self, self._conn.cursor())

    def stop(self) -> "asyncio.Future[Any] | None":
        """Once: its thread is gone then, and whoever asked it again would wait for ever."""
        return super().stop() if self._running else None


class Answered(aiosqlite.Cursor):
    """All rows are here at once, and SQLAlchemy asks for all of them; nothing streams."""

    _rows: Sequence[Any] = ()

    async def execute(self, sql: str, parameters: Iterable[Any] | None = None) -> Self:
        ask: Any = self._conn
        self._rows = await ask._execute(_ask, self._cursor, sql, parameters or ())
        return self

    async def fetchall(self) -> Sequence[Any]:
        return self._rows

    async def fetchmany(self, size: int | None = None) -> Sequence[Any]:
        raise NotImplementedError("nothing streams out of SQLite")

    async def close(self) -> None:
        pass


def _ask(cursor: sqlite3.Cursor, operation: str, parameters: Any) -> list[Any]:
    return cursor.execute(operation, parameters).fetchall()


class Database:
    """Reads and writes go through two engines on SQLite: all its writers queue, fairly, for one connection."""

    def __init__(self, url: str) -> None:
        self.url = async_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            # It never begins, so it has nothing to roll back.
            alone = {"pool_reset_on_return": None, "isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
            self._reader = self._sqlite(pool_size=4, **alone)
            self._writer = self._sqlite(pool_size=1).execution_options(sqlite_write=True)
        else:
            self._writer = create_async_engine(self.url, pool_size=10, max_overflow=10)
            event.listen(self._writer.sync_engine, "connect", _give_up_a_dead_line)
            event.listen(self._writer.sync_engine, "checkin", _rests)
            event.listen(self._writer.sync_engine, "checkout", _ask_whether_it_lives)
            # The same pool; a question on its own needs no BEGIN before and no ROLLBACK after it.
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")
        self._connections: WeakSet[OneTrip] = WeakSet()
        self._queues: dict[Serve[Any], Together[Any]] = {}
        self.after_write: Callable[[], None] = lambda: None
        self._read = async_sessionmaker(self._reader, class_=AsyncSession, expire_on_commit=False)
        self._write = async_sessionmaker(self._writer, class_=AsyncSession, expire_on_commit=False)

    def _sqlite(self, pool_size: int, **options: Any) -> AsyncEngine:
        options |= {"pool_size": pool_size, "max_overflow": 0, "async_creator": self._connect}
        engine = create_async_engine(self.url, **options)
        engine.sync_engine.dialect.statement_compiler = Hinting
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine

    async def _connect(self) -> aiosqlite.Connection:
        words, options = self.url.get_dialect()().create_connect_args(self.url)
        connection = OneTrip(partial(sqlite3.connect, *words, **options), iter_chunk_size=64)
        connection._thread.daemon = True  # as SQLAlchemy does: a process may end with a connection open
        self._connections.add(connection)
        return await connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Every question by itself: two of them may see what was committed between them."""
        async with self._read() as session:
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises. Never held across a PG call."""
        async with self._write.begin() as session:
            yield session
        self.after_write()

    async def read_together(self, serve: Serve[Wish], wish: Wish) -> Any:
        """The answer of `serve` with whoever else waits for it; see app.together."""
        if serve not in self._queues:
            self._queues[serve] = Together(self.read, serve)
        return await self._queues[serve].answer(wish)

    async def write_together(self, serve: Serve[Wish], wish: Wish, key: Hashable) -> Any:
        """The same, in one transaction; but those with the same `key` one after the other."""
        if serve not in self._queues:
            self._queues[serve] = Together(self.write, serve)
        return await self._queues[serve].answer(wish, key)

    async def ring(self) -> None:
        """Tell the other workers that something was written. In a transaction of its own: a NOTIFY queues commits."""
        async with self._writer.begin() as connection:
            await connection.execute(text(f"NOTIFY {BELL}"))

    async def listen(self, heard: Callable[[], None]) -> None:
        """Only on PostgreSQL: call `heard` when any worker rings. Returns when the connection is lost."""
        async with self._reader.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            lost = asyncio.Event()
            driver.add_termination_listener(lambda _: lost.set())
            await driver.add_listener(BELL, lambda *_: heard())
            try:
                await lost.wait()
            finally:
                await connection.invalidate()  # nobody else gets it with our ear on it

    async def version(self) -> str | None:
        """The migration the database stands at; None when it cannot be reached or was never migrated."""
        try:
            async with self.read() as session:
                version = text("SELECT version_num FROM alembic_version")
                return str(await (await session.connection()).scalar(version))
        except (SQLAlchemyError, OSError):
            return None

    async def close(self) -> None:
        """Nothing of ours speaks to this event loop afterwards, so that it may be closed, too."""
        for queue in self._queues.values():
            await queue.end()
        await self._reader.dispose()
        await self._writer.dispose()
        # What was given up in the middle of a question is dropped by SQLAlchemy, and nobody waits for its thread.
        ending = [connection._thread for connection in self._connections if not connection._running]
        await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in ending))


DEAD = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_USER_TIMEOUT": 20_000}  # s, s, ms; where the system has them


def _give_up_a_dead_line(connection: Any, _record: object) -> None:
    """After 20 s in which nothing of ours arrives at the server, not after the system's quarter of an hour: a worker's
    people wait for one transaction."""
    line = connection.driver_connection._transport.get_extra_info("socket")
    if line.family not in (socket.AF_INET, socket.AF_INET6):
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in DEAD.items():
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


RESTED = 1.0  # seconds without use after which a connection is asked whether it lives: the server may have restarted


def _rests(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["since"] = time.monotonic()


def _ask_whether_it_lives(connection: Any, record: ConnectionPoolEntry, _fairy: object) -> None:
    """`pool_pre_ping` asks at every use: a third of what taking a payment costs. Raises InvalidatePoolError."""
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError
    if time.monotonic() - record.info.get("since", time.monotonic()) > RESTED:
        try:
            connection.ping()
        except Exception as error:
            raise InvalidatePoolError from error


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 must not begin by itself: _begin_sqlite does
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads, then writes, fails at once when another writer came between; IMMEDIATE waits.
    # Who only reads needs none: as on PostgreSQL, each question sees what is committed when it is asked.
    if connection.get_execution_options().get("sqlite_write"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
