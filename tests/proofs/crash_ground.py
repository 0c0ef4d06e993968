"""What a proof stands on: a database of either kind with the story in it, and the pretend PG as another process."""

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from app.config import ROOT, Settings, read_settings
from tests.conftest import _tell_story
from tests.postgres import create_database, drop_database, memory, postgres_server
from tests.sandboxes import Sandbox

KEYS = {
    "TOSS_CLIENT_KEY": "test_ck_sandbox",
    "TOSS_SECRET_KEY": "test_sk_sandbox",
    "KAKAOPAY_SECRET_KEY": "SANDBOX0" * 5,
    "KAKAOPAY_CID": "TC0ONETIME",
}
CARD = ("test_sk_sandbox", "")  # how the PG knows us


MIGRATING = threading.Lock()


def tell_story(url: str) -> None:
    """One database at a time: Alembic keeps what it is doing in the module, and two threads would wait for ever."""
    with MIGRATING:
        _tell_story(url)


@contextlib.contextmanager
def database(engine: str) -> Iterator[str]:
    """A SQLite file in memory, or a database of its own on a real PostgreSQL; gone afterwards."""
    name = f"proof_{uuid4().hex}"
    if engine == "postgresql":
        with postgres_server() as server:
            url = create_database(server, name)
            try:
                tell_story(url)
                yield url
            finally:
                drop_database(server, name)
        return
    directory = Path(tempfile.mkdtemp(prefix="jjinbubu-proof-", dir=memory()))
    try:
        url = f"sqlite:///{directory / 'app.db'}"
        tell_story(url)
        yield url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def environment(url: str, pg: Sandbox, **more: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "SECRET_KEY": "not a secret, only for proofs 0123456789",
        "BASE_URL": "http://testserver",
        "TOSS_API_URL": f"{pg.url}/toss",
        "TOSS_SDK_URL": f"{pg.url}/toss/v2/standard",
        "KAKAOPAY_API_URL": f"{pg.url}/kakaopay",
        "PG_TIMEOUT": "5",
        "RECONCILE_EVERY": "0",
        **KEYS,
        **more,
    }


def settings(url: str, pg: Sandbox, **more: str) -> Settings:
    return read_settings(environment(url, pg, **more))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextlib.contextmanager
def sandbox() -> Iterator[Sandbox]:
    """A process of its own: it keeps its own clock, and lives on when we die."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "sandbox:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until_up(f"http://127.0.0.1:{port}/healthz", process)
        pg = Sandbox(f"http://127.0.0.1:{port}")
        yield pg
        pg.http.close()
    finally:
        stop(process)


def stop(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_up(url: str, process: subprocess.Popen[Any], patience: float = 30) -> float:
    """How many seconds it took to answer 200."""
    began = time.monotonic()
    with httpx.Client(timeout=2) as client:
        while time.monotonic() - began < patience:
            assert process.poll() is None, f"{url}: the process has ended"
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).status_code == 200:
                    return time.monotonic() - began
            time.sleep(0.02)
    raise TimeoutError(url)
