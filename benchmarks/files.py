"""Everything as a file: how soon its first byte comes, how fast the rest, and how much memory it takes."""

import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.servers import Server
from benchmarks.timing import Visitor


@dataclass(frozen=True)
class File:
    kind: str
    rows: int
    size: int
    """Bytes."""
    first: float
    took: float
    grown: int
    """KiB of memory at its peak more than before."""


def download(operator: Visitor, kind: str, rows: int) -> File:
    """All payments. The lines of a CSV are counted; who wants an XLSX says how many there are."""
    memory = Memory(operator.server)
    begun, first, size, lines = time.perf_counter(), 0.0, 0, 0
    address = f"{operator.server.url}/admin/payments.{kind}"
    with httpx.stream("GET", address, headers=operator.headers, timeout=300) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            first = first or time.perf_counter() - begun
            size += len(chunk)
            lines += chunk.count(b"\n")
    took, grown = time.perf_counter() - begun, memory.grown()
    if kind == "csv" and lines != rows + 1:
        raise RuntimeError(f"{lines - 1:,} of {rows:,} payments are in the file")
    return File(kind.upper(), rows, size, first, took, grown)


class Memory:
    """How much a server grows from here on, at its peak: the kernel forgets the peak that was."""

    def __init__(self, server: Server) -> None:
        self.process = Path(f"/proc/{server.process.pid}")
        (self.process / "clear_refs").write_text("5")
        self.before = self._kib("VmRSS")

    def grown(self) -> int:
        return max(0, self._kib("VmHWM") - self.before)

    def _kib(self, name: str) -> int:
        lines = (self.process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
