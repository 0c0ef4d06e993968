"""How a database comes to have no room, or to be read-only, and how it gets over it."""

import contextlib
import os
import resource
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from tests.postgres import execute

SIZE = "16m"  # of the small disk: the database, and a write-ahead log that is never too long for a checkpoint


class Room(ABC):
    """`kinds`: the accidents that can be made here; `sudden`: those that can come in the middle of a request."""

    kinds: tuple[str, ...]
    sudden: tuple[str, ...]
    alone: Callable[[Callable[[], bool]], bool]
    """Closes the database's files, and does this before anybody opens them again."""

    def let_go(self) -> None:
        self.alone(lambda: True)

    @abstractmethod
    def take(self, kind: str) -> None: ...

    @abstractmethod
    def give_back(self) -> None: ...


class SmallDisk(Room):
    """A tmpfs of our own in a private mount namespace: it really fills up, and really is mounted read-only."""

    kinds = ("full", "read-only")
    sudden = ("full",)

    def __init__(self, directory: Path) -> None:
        self.directory, self.filler = directory, directory / "filler"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "proof", str(directory)], check=True)

    def take(self, kind: str) -> None:
        if kind == "read-only":
            end = time.monotonic() + 30
            while time.monotonic() < end:  # a disk with open files cannot be; somebody opens them all the time
                if self.alone(lambda: self.remount("ro")):
                    return
            raise TimeoutError("the disk cannot be made read-only")
        with contextlib.suppress(OSError), self.filler.open("ab", buffering=0) as filler:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)) == size:
                        pass

    def give_back(self) -> None:
        self.remount("rw")
        self.filler.unlink(missing_ok=True)

    def remount(self, how: str) -> bool:
        command = ["mount", "-o", f"remount,{how}", str(self.directory)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


class SmallFiles(Room):
    """Where nothing may be mounted: no file of this process grows beyond what its database's log has now."""

    kinds = sudden = ("full",)

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def take(self, kind: str) -> None:
        longest = max(path.stat().st_size for path in self.directory.glob("app.db-wal"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (longest, resource.RLIM_INFINITY))

    def give_back(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class ReadOnlyServer(Room):
    """A PostgreSQL database whose every transaction is read-only, as on a standby after a failover."""

    kinds = sudden = ("read-only",)

    def __init__(self, url: str) -> None:
        server, _, self.name = url.rpartition("/")
        self.server = f"{server}/postgres"

    def take(self, kind: str) -> None:
        self.alter("SET default_transaction_read_only = on")

    def give_back(self) -> None:
        self.alter("RESET default_transaction_read_only")

    def alter(self, how: str) -> None:
        execute(self.server, f'ALTER DATABASE "{self.name}" {how}')
        kick = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"
        execute(self.server, kick)
        time.sleep(0.2)  # until the signals have arrived: a request of this moment may break off


def namespace() -> list[str] | None:
    """The words before a command that may then mount something of its own; None where that is not allowed."""
    if not shutil.which("unshare"):
        return None
    for words in ([["unshare", "-m"]] if os.geteuid() == 0 else []) + [["unshare", "--user", "--map-root-user", "-m"]]:
        trial = [*words, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt && mount -o remount,ro /mnt"]
        if subprocess.run(trial, check=False, capture_output=True).returncode == 0:
            return words
    return None
