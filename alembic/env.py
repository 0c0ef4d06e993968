"""How Alembic reaches the database: the app's own engine set-up, so that SQLite's pragmas hold here too."""

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import app.desk  # noqa: F401  fills SQLModel.metadata, with app.models
from app.config import read_settings
from app.db import Database


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    database = Database(context.config.attributes.get("url") or read_settings().database_url)
    async with database.write() as session:
        await (await session.connection()).run_sync(run)
    await database.close()


asyncio.run(main())
