import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.postgres import create_database, drop_database, execute, postgres_server

ROOT = Path(__file__).parents[2]
HOLD = """
import time
from tests.postgres import postgres_server
with postgres_server() as url:
    print(url, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as url:
        yield url


def ask(url: str, question: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_a_real_postgresql_starts_and_answers(server: str) -> None:
    assert str(ask(server, "SELECT version()")).startswith("PostgreSQL ")


def test_a_database_cloned_from_a_template_holds_what_the_template_held(server: str) -> None:
    template = create_database(server, "template_of_clones")
    execute(template, "CREATE TABLE word AS SELECT '찐부부' AS said")
    clone = create_database(server, "a clone", template="template_of_clones")
    execute(clone, "UPDATE word SET said = 'changed'")
    assert ask(template, "SELECT said FROM word") == "찐부부"
    assert ask(clone, "SELECT said FROM word") == "changed"
    drop_database(server, "a clone")
    drop_database(server, "template_of_clones")
    assert ask(server, "SELECT count(*) FROM pg_database WHERE datname IN ('a clone', 'template_of_clones')") == 0


def test_a_database_is_dropped_under_the_feet_of_who_is_connected(server: str) -> None:
    url = create_database(server, "in_use")

    async def run() -> None:
        connection = await asyncpg.connect(url)
        drop_database(server, "in_use")  # also shows that it works inside a running loop
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await connection.fetchval("SELECT 1")
        connection.terminate()

    asyncio.run(run())


def test_the_server_that_is_given_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql+asyncpg://me@elsewhere/postgres")
    with postgres_server() as url:
        assert url == "postgresql://me@elsewhere/postgres"


@pytest.mark.parametrize("death", [signal.SIGTERM, signal.SIGKILL])
def test_no_server_survives_its_parent(death: signal.Signals) -> None:
    own = {name: value for name, value in os.environ.items() if name != "TEST_DATABASE_URL"}
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=own) as parent:
        assert parent.stdout
        port = urlsplit(parent.stdout.readline().strip()).port
        assert port
        parent.send_signal(death)
    deadline = time.monotonic() + 10
    while listens(port):
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
