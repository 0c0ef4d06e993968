"""How a long history is written: in one transaction, by the driver's fastest way, on SQLite and on PostgreSQL."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from app.db import Database
from app.demo.history import COLUMNS, NUMBERED, Row


class Sqlite:
    indexes = """
        SELECT 'DROP INDEX "' || name || '"', sql FROM sqlite_master
        WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('user', 'payment', 'purchase', 'refund', 'event')
    """
    after: tuple[str, ...] = ()

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    async def run(self, statement: str) -> list[Row]:
        return list(self.driver.execute(statement))

    async def insert(self, table: str, rows: list[Row]) -> None:
        names, marks = ", ".join(f'"{name}"' for name in COLUMNS[table]), ", ".join("?" * len(COLUMNS[table]))
        self.driver.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)


class Postgres(Sqlite):
    indexes = """
        WITH ours AS (
            SELECT oid FROM pg_class WHERE relname IN ('user', 'payment', 'purchase', 'refund', 'event')
            AND relnamespace = current_schema()::regnamespace
        )
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
            format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE contype IN ('f', 'u') AND conrelid IN (SELECT oid FROM ours)
        UNION ALL
        SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
        FROM pg_index WHERE indrelid IN (SELECT oid FROM ours)
        AND pg_get_indexdef(indexrelid) NOT LIKE '%ANY (%' -- IN (…) would come back spelled otherwise
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
    """
    after = ('ANALYZE "user", payment, purchase, refund, event',)

    async def run(self, statement: str) -> list[Row]:
        return [tuple(row) for row in await self.driver.fetch(statement)]

    async def insert(self, table: str, rows: list[Row]) -> None:
        await self.driver.copy_records_to_table(table, records=rows, columns=COLUMNS[table])


@asynccontextmanager
async def open_sqlite(db: Database, *, alone: bool) -> AsyncIterator[Sqlite]:
    """One transaction on a connection of its own, whose settings end with it; it does not look up foreign keys.

    `alone` is faster where nobody else is connected.
    """
    if alone:
        await db.close()  # its idle connections: the journal can be changed only without them
    connection = sqlite3.connect(db.url.database or "", isolation_level=None)
    try:
        if alone:
            connection.execute("PRAGMA cache_size = -262144")
            with suppress(sqlite3.OperationalError):  # somebody is connected after all
                # New pages need no undoing: they go straight to the file, and not through the WAL first.
                connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN IMMEDIATE")
        yield Sqlite(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


@asynccontextmanager
async def open_postgres(db: Database) -> AsyncIterator[Postgres]:
    """One transaction of the driver's: COPY is not SQLAlchemy's."""
    async with db.write() as session:
        driver: Any = (await (await session.connection()).get_raw_connection()).driver_connection
        async with driver.transaction():
            store = Postgres(driver)
            await store.run("SET LOCAL maintenance_work_mem = '256MB'")
            yield store
            for table in NUMBERED:  # their ids did not come from the sequence
                reach = f"setval(pg_get_serial_sequence('\"{table}\"', 'id'), max(id))"
                await store.run(f'SELECT {reach} FROM "{table}"')


@asynccontextmanager
async def rebuilding_indexes(store: Sqlite, say: Callable[[str], None]) -> AsyncIterator[None]:
    """No secondary indexes (PostgreSQL: no foreign keys either) inside the block; all of them again after it."""
    indexes = await store.run(store.indexes)
    for drop, _ in indexes:
        await store.run(drop)
    yield
    say("색인을 만드는 중 …")
    for statement in (*(create for _, create in indexes), *store.after):
        await store.run(statement)
