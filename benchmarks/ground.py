"""Databases to be measured: the shop is made once for each number of payments, and everything else is a copy."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.postgres import create_database, drop_database, execute

EACH = 3_000  # bytes of disk that a payment takes with all that belongs to it, its indexes and what sorts them


@dataclass(frozen=True)
class Made:
    url: str
    took: float
    cpu: float
    """Seconds; of CPU only the program's own, not PostgreSQL's."""


class Ground:
    """One kind of database. `empty` is the shop without payments, `made` has so many."""

    def __init__(self, kind: str, directory: Path, server: str) -> None:
        self.kind, self.directory, self.server = kind, directory, server
        self.made: dict[int, Made] = {}

    @property
    def is_sqlite(self) -> bool:
        return self.kind == "SQLite"

    def make(self, counts: list[int]) -> None:
        empty = self._create("shop0")
        run("app", "migrate", DATABASE_URL=empty)
        run("app", "demo", DATABASE_URL=empty)
        # Its own tables while there is nothing yet: its migrations check every row of SQLite's again and again.
        run("benchmarks.peers.django_admin", BENCH_DATABASE=empty)
        self.made[0] = Made(empty, 0, 0)
        for count in counts:
            url, begun = self._create(f"shop{count}", "shop0"), time.perf_counter()
            cpu = run("app", "demo", "--payments", str(count), DATABASE_URL=url)
            self.made[count] = Made(url, time.perf_counter() - begun, cpu)
            if not self.is_sqlite:
                execute(url, "VACUUM ANALYZE")  # what autovacuum would have done by the time somebody looks

    @contextmanager
    def copy(self, name: str) -> Iterator[str]:
        """Of the empty shop."""
        yield self._create(name, "shop0")
        self._drop(name)

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """With nothing in it, for a peer."""
        yield self._create(name)
        self._drop(name)

    def forget(self, count: int) -> None:
        self.made.pop(count)
        self._drop(f"shop{count}")

    def _create(self, name: str, template: str | None = None) -> str:
        if not self.is_sqlite:
            return create_database(self.server, name, template)
        if template:
            shutil.copy(self._file(template), self._file(name))
        return f"sqlite:///{self._file(name)}"

    def _drop(self, name: str) -> None:
        if not self.is_sqlite:
            return drop_database(self.server, name)
        for suffix in ("", "-wal", "-shm", "-journal"):
            self._file(name).with_name(f"{name}.db{suffix}").unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.directory / f"{name}.db"


def refuse_small_disk(directory: Path, rows: int) -> None:
    """Both databases are there at once."""
    needed, free = 2 * rows * EACH, shutil.disk_usage(directory).free
    if free < needed:
        sys.exit(f"{directory}: {needed / 1e9:.0f} GB are needed and {free / 1e9:.0f} GB are free (TMPDIR=… elsewhere)")


def run(*words: str, **env: str) -> float:
    """Seconds of CPU it took."""
    command = [sys.executable, "-m", *words]
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return used.ru_utime + used.ru_stime
