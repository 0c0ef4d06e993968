"""python -m benchmarks [--rows N]: measures, and writes docs/benchmarks.md."""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import text
from sqlmodel import select

from app.db import Database
from app.models import Payment
from benchmarks import lists, report, servers, takings
from benchmarks.timing import Timings, Visitor
from tests.postgres import create_database, drop_database, execute, postgres_server

GROWTH = (10_000, 100_000)
ROUNDS = 3
BURST = 300  # payments
SLOW_BURST = 60  # for whoever serves one request at a time


def say(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {words}", flush=True)


class Ground:
    """Databases to be measured: each made when it is needed, and gone afterwards."""

    def __init__(self, kind: str, directory: Path, server: str) -> None:
        self.kind, self.directory, self.server = kind, directory, server

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        if self.kind == "SQLite":
            yield f"sqlite:///{self.directory / name}.db"
            (self.directory / f"{name}.db").unlink(missing_ok=True)
        else:
            yield create_database(self.server, name)
            drop_database(self.server, name)

    @contextmanager
    def shop(self, name: str, payments: int) -> Iterator[tuple[str, float]]:
        """Our own, with so many payments; and the seconds it took to make them."""
        with self.database(name) as url:
            run("app", "migrate", DATABASE_URL=url)
            begun = time.perf_counter()
            run("app", "demo", "--payments", str(payments), DATABASE_URL=url)
            took = time.perf_counter() - begun
            if self.kind != "SQLite":
                execute(url, "VACUUM ANALYZE")  # what autovacuum would have done by the time somebody looks
            yield url, took


def run(*words: str, **env: str) -> None:
    subprocess.run([sys.executable, "-m", *words], env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL)


def an_order(url: str) -> str:
    async def read() -> str:
        db = Database(url)
        async with db.read() as session:
            middle = (await session.exec(select(Payment.order_id).offset(4_000).limit(1))).one()
        await db.close()
        return middle

    return asyncio.run(read())


def measure_lists(ground: Ground, rows: int) -> report.Lists:
    growth: dict[int, dict[str, Timings]] = {}
    for few in (count for count in GROWTH if count < rows):
        say(f"{ground.kind}: {few:,} payments")
        with ground.shop(f"rows{few}", few) as (url, _), servers.ours(url) as us:
            ask = lists.asking_us(lists.operator_of_ours(us))
            growth[few] = lists.interleaved({"ours": (ask, 20)}, lists.scenes(an_order(url), few), ROUNDS)["ours"]
    say(f"{ground.kind}: {rows:,} payments, and Django's admin over them")
    with ground.shop("rows", rows) as (url, took):
        run("benchmarks.peers.django_admin", BENCH_DATABASE=url)
        wanted = lists.scenes(an_order(url), rows)
        with servers.ours(url) as us, servers.django(url) as django:
            operator = lists.operator_of_ours(us)
            askers = {
                "ours": (lists.asking_us(operator), 30),
                "Django, tuned": (lists.asking_django(lists.operator_of_django(django, "tuned"), "tuned"), 3),
                "Django, as shipped": (lists.asking_django(lists.operator_of_django(django, "shipped"), "shipped"), 1),
            }
            found = lists.interleaved(askers, wanted, ROUNDS)
            more = {name: Timings() for name in report.MORE}
            for name, path in report.MORE.items():
                operator.ask(path, 40, more[name])
            growth[rows] = found["ours"]
            file = measure_file(operator)
    return report.Lists(rows, took, found, growth, more, file)


def measure_file(operator: Visitor) -> report.File:
    """The CSV of the last 30 days: rows, seconds to the first byte and to the last, and how much more memory."""
    resident = Path(f"/proc/{operator.server.process.pid}/status")
    before, begun, first, size = _peak(resident), time.perf_counter(), 0.0, 0
    with httpx.stream(
        "GET", f"{operator.server.url}/admin/payments.csv?period=30d", headers=operator.headers, timeout=300
    ) as answer:
        for chunk in answer.iter_bytes():
            first = first or time.perf_counter() - begun
            size += chunk.count(b"\n")
    return report.File(size - 1, first, time.perf_counter() - begun, max(0, _peak(resident) - before))


def _peak(status: Path) -> int:
    """KiB."""
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def measure_takings(ground: Ground) -> report.Takings:
    """Two bursts of everyone in turn; Flask's own default serves one request at a time and gets a shorter one."""
    found: report.Takings = {}
    threads = ("--worker-class", "gthread", "--threads", str(takings.AT_ONCE))
    for delay in (0.0, 0.05):
        say(f"{ground.kind}: taking money, the PG answers after {delay * 1000:.0f} ms")
        with ground.shop("ours", 0) as (url, _), ground.database("flask") as theirs, servers.stub(delay) as pg:
            run("benchmarks.peers.flask_json", BENCH_DATABASE=theirs, BENCH_PG=pg.url)
            offers = asyncio.run(takings.open_shop(url))
            tokens = [(f"token-{number % 400}", 1) for number in range(BURST)]
            with (
                servers.ours(url, pg.url) as us,
                servers.flask(theirs, pg.url) as plain,
                servers.flask(theirs, pg.url, *threads) as threaded,
            ):
                takings.take(us, offers[:20])
                for turn in range(2):
                    mine = offers[20 + turn * BURST :][:BURST]
                    for name, server, burst in (
                        ("ours", us, mine),
                        ("Flask, threads", threaded, tokens),
                        ("Flask, gunicorn's defaults", plain, tokens[:SLOW_BURST]),
                    ):
                        prepared, completed = takings.take(server, burst)
                        report.add(found, ("prepare", delay, name), prepared)
                        report.add(found, ("complete", delay, name), completed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 run.py bench")
    parser.add_argument("--rows", type=int, default=1_000_000, help="payments in the list")
    rows = parser.parse_args().rows
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, postgres_server(durable=True) as server:
        grounds = [Ground(kind, Path(directory), server) for kind in ("SQLite", "PostgreSQL")]
        found = [measure_lists(ground, rows) for ground in grounds]
        taken = [measure_takings(ground) for ground in grounds]
        measured = {ground.kind: both for ground, both in zip(grounds, zip(taken, found, strict=True), strict=True)}
        version = asyncio.run(_version(server))
    page = report.written(measured, rows, version, time.perf_counter() - begun)
    say(f"{page}, {time.perf_counter() - begun:.0f} s")


async def _version(server: str) -> str:
    db = Database(server)
    async with db.read() as session:
        found = str(await (await session.connection()).scalar(text("SHOW server_version")))
    await db.close()
    return found


if __name__ == "__main__":
    main()
