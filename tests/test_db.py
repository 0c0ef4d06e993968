"""How a database is asked: SQLite in one trip a question, and PostgreSQL over connections that live."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiosqlite
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from app.db import RESTED, Database

Story = Callable[[Database], Coroutine[Any, Any, None]]


@contextmanager
def trips() -> Iterator[list[str]]:
    """What is sent to a connection's thread while this is open."""
    sent: list[str] = []
    send: Any = aiosqlite.Connection._execute

    async def counted(self: Any, act: Any, *words: Any, **more: Any) -> Any:
        sent.append(act.__name__)
        return await send(self, act, *words, **more)

    with patch.object(aiosqlite.Connection, "_execute", counted):
        yield sent


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], None]:
    """On a table of its own."""

    async def tell(story: Story) -> None:
        db = Database(f"sqlite:///{tmp_path / 'it.db'}")
        async with db.write() as session:
            await ask(session, "CREATE TABLE thing (id INTEGER PRIMARY KEY)")
        await story(db)
        await db.close()

    return lambda story: asyncio.run(tell(story))


async def ask(session: AsyncSession, question: str) -> Any:
    return await (await session.connection()).execute(text(question))


async def add(db: Database, number: int) -> None:
    async with db.write() as session:
        await ask(session, f"INSERT INTO thing VALUES ({number:d})")


async def numbers(db: Database) -> list[int]:
    async with db.read() as session:
        return list((await ask(session, "SELECT id FROM thing ORDER BY id")).scalars())


def test_a_question_is_one_trip_to_sqlite(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        await add(db, 1)
        assert await numbers(db) == [1]
        with trips() as sent:
            assert await numbers(db) == [1]
        assert sent == ["_ask"]

    play(story)


def test_rows_that_are_streamed_are_refused_rather_than_lost(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        await add(db, 1)
        async with db.read() as session:
            with pytest.raises(NotImplementedError):
                await (await session.stream(text("SELECT id FROM thing"))).first()

    play(story)


def test_a_statement_that_fails_leaves_nothing_behind(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        await add(db, 1)
        with pytest.raises(IntegrityError):
            await add(db, 1)
        await add(db, 2)
        assert await numbers(db) == [1, 2]

    play(story)


def test_a_write_that_is_given_up_while_it_waits_leaves_no_transaction_open(play: Callable[[Story], None]) -> None:
    async def story(db: Database) -> None:
        other = Database(str(db.url).replace("+aiosqlite", ""))
        async with other.write() as session:
            await ask(session, "INSERT INTO thing VALUES (1)")
            waiting = asyncio.create_task(add(db, 2))
            await asyncio.sleep(0.05)  # it stands at BEGIN IMMEDIATE
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await add(db, 3)
        assert await numbers(db) == [1, 3]
        await other.close()

    play(story)


def test_a_closed_database_has_ended_what_was_given_up_in_the_middle(play: Callable[[Story], None]) -> None:
    """Its thread would answer into an event loop that is closed by then."""
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n"

    async def story(db: Database) -> None:
        other = Database(str(db.url).replace("+aiosqlite", ""))
        await numbers(other)
        before = set(threading.enumerate())
        async with other.read() as session:
            asking = asyncio.create_task(ask(session, slow))
            await asyncio.sleep(0.05)  # it is being answered
            for _ in range(2):  # a stream that is closed from outside is cancelled until it has gone
                asking.cancel()
                await asyncio.sleep(0.01)
            with pytest.raises(asyncio.CancelledError):
                await asking
        await other.close()
        left = [thread for thread in set(threading.enumerate()) - before if "_connection_worker" in thread.name]
        assert left == []

    play(story)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_connections_that_died_while_nobody_used_them_are_replaced(database_url: str) -> None:
    """The server was restarted overnight: the first buyer of the morning does not notice."""
    others = "datname = current_database() AND pid <> pg_backend_pid()"

    async def tell() -> set[int]:
        db, killer = Database(database_url), Database(database_url)
        async with db.read() as one, db.read() as other:
            before = {(await ask(session, "SELECT pg_backend_pid()")).scalar_one() for session in (one, other)}
        async with killer.read() as session:
            await ask(session, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        await asyncio.sleep(RESTED + 0.1)
        async with db.read() as one, db.write() as other:
            after = {(await ask(session, "SELECT pg_backend_pid()")).scalar_one() for session in (one, other)}
        await killer.close()
        await db.close()
        return before & after

    assert asyncio.run(tell()) == set()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_line_to_postgresql_that_is_dead_is_given_up_soon(database_url: str) -> None:
    db = Database(database_url)
    async with db.read() as session:
        raw: Any = await (await session.connection()).get_raw_connection()
        line = raw.driver_connection._transport.get_extra_info("socket")
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000  # milliseconds
    await db.close()
