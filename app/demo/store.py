"""How a long history is written: in one transaction, by the driver's fastest way, on SQLite and on PostgreSQL.

What the verbs keep in step with every payment (app/terms.py, app/daily.py) is kept here, too.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from operator import itemgetter
from typing import Any

from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from app.daily import recount
from app.db import Database
from app.demo.history import COLUMNS, NUMBERED, Row
from app.terms import pieces, spellings

FOUND_BY = ("id", "buyer_name", "buyer_email", "buyer_phone")
MANY = 500_000  # buyers whose pieces are remembered: those of more than a million payments


class Sqlite:
    indexes = """
        SELECT 'DROP INDEX "' || name || '"', sql FROM sqlite_master
        WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('user', 'payment', 'purchase', 'refund', 'event')
    """
    after: tuple[str, ...] = ()
    dialect: Any = SQLiteDialect()

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.known: dict[str, str] = {}
        self.found_by = itemgetter(*(COLUMNS["payment"].index(name) for name in FOUND_BY))

    async def run(self, statement: str) -> list[Row]:
        return list(self.driver.execute(statement))

    async def insert(self, table: str, rows: list[Row]) -> None:
        names, marks = ", ".join(f'"{name}"' for name in COLUMNS[table]), ", ".join("?" * len(COLUMNS[table]))
        self.driver.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)
        if table == "payment":
            await self.make_findable([self.found_by(row) for row in rows])

    async def make_findable(self, payments: list[Row]) -> None:
        rows = []
        for number, name, email, phone in payments:
            terms = self.known.get(email)
            if terms is None:
                terms = self.known[email] = pieces(name, email, phone)
            rows.append((number, terms))
        self.driver.executemany("INSERT INTO payment_terms (rowid, terms) VALUES (?, ?)", rows)
        if len(self.known) > MANY:
            self.known.clear()

    async def count(self) -> None:
        await self.run("DELETE FROM daily")
        await self.run(str(recount().compile(dialect=self.dialect, compile_kwargs={"literal_binds": True})))


class Postgres(Sqlite):
    indexes = """
        WITH ours AS (
            SELECT oid FROM pg_class WHERE relname IN ('user', 'payment', 'purchase', 'refund', 'event', 'spelling')
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
    after = ('ANALYZE "user", payment, purchase, refund, event, spelling',)
    dialect: Any = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's

    async def run(self, statement: str) -> list[Row]:
        return [tuple(row) for row in await self.driver.fetch(statement)]

    async def insert(self, table: str, rows: list[Row]) -> None:
        await self.driver.copy_records_to_table(table, records=rows, columns=COLUMNS[table])
        if table == "payment":
            await self.make_findable([self.found_by(row) for row in rows])

    async def make_findable(self, payments: list[Row]) -> None:
        """COPY knows no conflicts: what is spelled already is sorted out on the way."""
        told = {}
        for _, name, email, phone in payments:
            if email not in self.known:
                self.known[email] = ""
                told.update({(kind, value): terms for kind, value, terms in spellings(name, email, phone)})
        rows = [(*key, terms) for key, terms in told.items()]
        await self.run("CREATE TEMP TABLE IF NOT EXISTS told (LIKE spelling) ON COMMIT DROP")
        await self.driver.copy_records_to_table("told", records=rows)
        await self.run("INSERT INTO spelling SELECT * FROM told ON CONFLICT DO NOTHING")
        await self.run("TRUNCATE told")
        if len(self.known) > MANY:
            self.known.clear()


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
            await driver.set_type_codec(
                "tsvector", schema="pg_catalog", encoder=_vector, decoder=bytes.decode, format="binary"
            )
            yield store
            await driver.reset_type_codec("tsvector", schema="pg_catalog")
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


def _vector(terms: str) -> bytes:
    """Pieces as COPY wants them: how many, and each with its end and no positions."""
    ended = b"\0\0\0"
    if not terms:
        return bytes(4)
    return (terms.count(" ") + 1).to_bytes(4, "big") + terms.encode().replace(b" ", ended) + ended
