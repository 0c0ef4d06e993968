"""How Alembic reaches the database: the app's own engine set-up, so that SQLite's pragmas hold here too."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

import app.auth
import app.daily
import app.desk
import app.exchanges
import app.exports
import app.models  # noqa: F401  they fill SQLModel.metadata
from app.config import read_settings
from app.db import Database


def known(name: str | None, kind: str, _parents: Any) -> bool:
    """What the search keeps for itself (app/terms.py) is no model's: each database has its own."""
    own = ("payment_terms", "spelling", "ix_payment_buyer_")
    return not (kind in ("table", "index") and (name or "").startswith(own))


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        render_as_batch=True,
        compare_type=True,
        include_name=known,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    database = Database(context.config.attributes.get("url") or read_settings().database_url)
    async with database.write() as session:
        await (await session.connection()).run_sync(run)
    await database.close()


asyncio.run(main())
