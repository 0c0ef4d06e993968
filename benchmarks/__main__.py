"""python -m benchmarks [--rows N]: measures, and writes docs/benchmarks.md."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from app.db import Database
from benchmarks import fanout, files, lists, report, servers, takings
from benchmarks.ground import Ground, refuse_small_disk
from tests.postgres import postgres_server

GROWTH = (10_000, 100_000, 1_000_000)
KINDS = {"SQLite": ("csv", "xlsx"), "PostgreSQL": ("csv",)}  # what comes after the rows are read is the same for both
SHEET = 100_000  # payments, at most, for a spreadsheet: a million fills one, and takes as long for each of them


class Clock:
    """Says what is done, and keeps how long each part took."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str, words: str) -> Iterator[None]:
        print(f"{time.strftime('%H:%M:%S')}  {words}", flush=True)
        begun = time.perf_counter()
        yield
        self.parts[name] = self.parts.get(name, 0) + time.perf_counter() - begun

    @property
    def took(self) -> float:
        return time.perf_counter() - self.begun


def make(grounds: list[Ground], counts: list[int]) -> None:
    """Both at once: each keeps one core busy."""
    with ThreadPoolExecutor(len(grounds)) as pool:
        list(pool.map(lambda ground: ground.make(counts), grounds))


def kinds_at(count: int, rows: int, ground: Ground) -> list[str]:
    """As which files so many payments are taken out."""
    wanted = {"csv": (rows, SHEET), "xlsx": (min(rows, SHEET),)}
    return [kind for kind in KINDS[ground.kind] if count in wanted[kind]]


def measure(ground: Ground, rows: int, clock: Clock) -> report.Measured:
    growth: dict[int, lists.Few] = {}
    for few in [count for count in ground.made if 0 < count < rows]:
        with clock.part("lists", f"{ground.kind}: {few:,} payments"):
            growth[few] = lists.measure_few(ground, few, kinds_at(few, rows, ground))
            ground.forget(few)
    with clock.part("lists and files", f"{ground.kind}: {rows:,} payments, and Django's admin over them"):
        listed = lists.measure(ground, rows, growth, kinds_at(rows, rows, ground))
        if ground.is_sqlite:
            listed.files.append(files.everything_of_flask(ground, min(rows, SHEET)))
    with clock.part("live", f"{ground.kind}: viewers of the live list"):
        live = measure_live(ground, rows)
    with clock.part("takings", f"{ground.kind}: taking money and giving it back"):
        taken = takings.measure(ground)
    return report.Measured(listed, live, taken)


def measure_live(ground: Ground, rows: int) -> report.Live:
    """One worker and its many idle viewers are the same on both; what several workers share is PostgreSQL's."""
    url, workers = ground.made[rows].url, 1 if ground.is_sqlite else 2
    offers = asyncio.run(takings.open_shop(url))
    with servers.ours(url, workers=workers) as us:
        busy = fanout.busy(us, lists.operator_of_ours(us), offers, workers)
    if not ground.is_sqlite:
        return report.Live(None, busy)
    with servers.ours(url) as us:
        return report.Live(fanout.idle(us, lists.operator_of_ours(us), offers[fanout.CHANGES :]), busy)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 run.py bench")
    parser.add_argument("--rows", type=int, default=1_000_000, help="payments in the list")
    parser.add_argument("--to", type=Path, default=report.PAGE, help="the page that is written")
    words = parser.parse_args()
    fanout.let_many_in()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers must not outlive us
    clock, rows = Clock(), words.rows
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, postgres_server(durable=True) as server:
        refuse_small_disk(Path(directory), rows)
        grounds = [Ground(kind, Path(directory), server) for kind in KINDS]
        counts = [*(count for count in GROWTH if count < rows), rows]
        with clock.part("making the data", f"{' + '.join(f'{count:,}' for count in counts)} payments, twice"):
            make(grounds, counts)
        measured = {ground.kind: measure(ground, rows, clock) for ground in grounds}
        version = asyncio.run(_version(server))
    words.to.write_text(report.page(measured, rows, version, clock.took, clock.parts), encoding="utf-8")
    print(f"{words.to}, {clock.took:.0f} s")


async def _version(server: str) -> str:
    db = Database(server)
    async with db.read() as session:
        found = str(await (await session.connection()).scalar(text("SHOW server_version")))
    await db.close()
    return found


if __name__ == "__main__":
    main()
