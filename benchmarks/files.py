"""Everything as a file: how soon its first byte comes, how fast the rest, and how much memory it takes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks import servers
from benchmarks.ground import Ground, run
from benchmarks.servers import Server
from benchmarks.timing import Visitor


@dataclass(frozen=True)
class File:
    kind: str
    rows: int
    size: int
    """Bytes."""
    lines: int
    first: float
    took: float
    grown: int
    """KiB of memory at its peak more than before."""


def download(operator: Visitor, kind: str, rows: int) -> File:
    """All payments. The lines of a CSV are counted; who wants an XLSX says how many there are."""
    file = _fetch(operator.server, f"/admin/payments.{kind}", operator.headers, kind.upper(), rows)
    if kind == "csv" and file.lines != rows + 1:
        raise RuntimeError(f"{file.lines - 1:,} of {rows:,} payments are in the file")
    return file


def everything_of_flask(ground: Ground, rows: int) -> File:
    """The only way out of the design that this product replaces: a list of everything."""
    with ground.database("flask") as url:
        run("benchmarks.peers.flask_json", BENCH_DATABASE=url, BENCH_PG="", BENCH_PAYMENTS=str(rows))
        with servers.flask(url, "") as flask:
            headers = {"Authorization": "Bearer token-0", "Accept-Encoding": "gzip"}
            return _fetch(flask, "/api/payments", headers, "Flask's JSON", rows)


def _fetch(server: Server, path: str, headers: Mapping[str, str], kind: str, rows: int) -> File:
    memory = Memory(server)
    begun, first, size, lines = time.perf_counter(), 0.0, 0, 0
    with httpx.stream("GET", server.url + path, headers=headers, timeout=300) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            first = first or time.perf_counter() - begun
            size += len(chunk)
            lines += chunk.count(b"\n")
    return File(kind, rows, size, lines, first, time.perf_counter() - begun, memory.grown())


class Memory:
    """How much a server grows from here on, at its peak: the kernel forgets the peak that was."""

    def __init__(self, server: Server) -> None:
        self.pids = server.pids
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.before = self._kib("VmRSS")

    def grown(self) -> int:
        return max(0, self._kib("VmHWM") - self.before)

    def _kib(self, name: str) -> int:
        return sum(memory(pid, name) for pid in self.pids)


def memory(pid: int, name: str) -> int:
    """KiB; a name of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
