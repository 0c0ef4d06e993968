"""Bring a database to the newest migration."""

import functools

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.config import ROOT


def _config(url: str = "") -> Config:
    config = Config(ROOT / "alembic.ini")
    config.attributes["url"] = url
    return config


@functools.cache
def head() -> str | None:
    """The newest migration that this code knows."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def migrate(url: str) -> None:
    command.upgrade(_config(url), "head")
