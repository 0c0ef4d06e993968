"""What was measured, as docs/benchmarks.md."""

import os
import platform
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.timing import Timings

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
MORE = {
    "e-mail part `minsu`": "/admin/payments?q=minsu",
    "phone tail": "/admin/payments?q=-5678",
    "name and status": "/admin/payments?q=%EB%AF%BC%EC%88%98&status=refunded",
    "status, method, 30 days": "/admin/payments?status=failed&payment_method=card&period=30d",
    "amount range": "/admin/payments?amount_from=20000&amount_to=25000",
    "largest first, 7 days": "/admin/payments?sort=-amount&period=7d",
    "counts of the tabs": "/admin/payments/counts",
    "overview": "/admin",
    "JSON, 50 payments": "/api/admin/payments",
}
PACKAGES = ("starlette", "uvicorn", "sqlalchemy", "jinja2", "django", "flask", "flask-sqlalchemy", "gunicorn")
FAIR = """\
Everyone on the same machine, the same rows, asked in turn; 127.0.0.1; what warms up is not counted. Each program runs
one process with its production settings. Only ratios inside one run mean anything. CPU is the server's own per answer
(PostgreSQL's is not in it): it says more than the clock where others use the machine, too. The list keeps rows that it
has drawn, as it does in a shop where several people look at the same newest payments.
"""
PEERS = """\
The peers (`benchmarks/peers/`) are small and honest: Django's admin over the very same table, as shipped, and without
counts and with our index; and the JSON design this product replaces, without the care that payments need (no locks, no
intent written before the PG is asked, no events, no audit). Commits are durable everywhere: `synchronous=FULL`,
`fsync=on`."""
Takings = dict[tuple[str, float, str], Timings]


@dataclass(frozen=True)
class File:
    rows: int
    first: float
    took: float
    grown: int
    """KiB of peak memory more than before."""


@dataclass(frozen=True)
class Lists:
    rows: int
    made_in: float
    found: Mapping[str, Mapping[str, Timings]]
    growth: Mapping[int, Mapping[str, Timings]]
    more: Mapping[str, Timings]
    file: File


Measured = tuple[Takings, Lists]


def add(found: Takings, key: tuple[str, float, str], more: Timings) -> None:
    kept = found.setdefault(key, Timings())
    kept.seconds += more.seconds
    kept.took += more.took
    kept.cpu += more.cpu
    kept.errors += more.errors


def written(measured: Mapping[str, Measured], rows: int, postgres: str, took: float) -> Path:
    PAGE.write_text("\n".join(_lines(measured, rows, postgres, took)) + "\n", encoding="utf-8")
    return PAGE


def _lines(measured: Mapping[str, Measured], rows: int, postgres: str, took: float) -> Iterator[str]:
    yield "# Benchmarks\n"
    yield f"Written by `python3 run.py bench{'' if rows == 1_000_000 else f' --rows {rows}'}` in {took:.0f} s, " + (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Do not edit; run it again.\n"
    )
    load = os.getloadavg()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    yield f"{os.cpu_count()} cores ({platform.machine()}), load {load[0]:.1f} / {load[1]:.1f} / {load[2]:.1f}, "
    yield f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, PostgreSQL {postgres}; {packages}.\n"
    yield FAIR
    for kind, (takings, lists) in measured.items():
        yield f"## {kind}\n"
        yield from _list(lists)
        yield from _growth(lists)
        yield from _more(lists)
        yield from _takings(takings)
    yield "## What this does not say\n"
    yield PEERS


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f}" if seconds < 0.1 else f"{seconds * 1000:,.0f}"


def _list(lists: Lists) -> Iterator[str]:
    ours = lists.found["ours"]
    yield f"### The operator's list, {lists.rows:,} payments (made in {lists.made_in:.0f} s)\n"
    yield "Milliseconds over HTTP: median, p95, p99, the server's CPU; then how many times as long the others take.\n"
    yield "| | p50 | p95 | p99 | CPU | Django, tuned | ratio | Django, as shipped | ratio | goal p50 ≤ 10, p95 ≤ 30 |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for scene, timings in ours.items():
        middle, p95 = timings.percentile(0.5), timings.percentile(0.95)
        others = []
        for name in ("Django, tuned", "Django, as shipped"):
            theirs = lists.found[name][scene].percentile(0.5)
            others += [_ms(theirs), f"{theirs / middle:,.0f}×"]
        met = "met" if middle <= 0.010 and p95 <= 0.030 else "**missed**"
        cells = [_ms(middle), _ms(p95), _ms(timings.percentile(0.99)), _ms(timings.cpu_each), *others, met]
        yield f"| {scene} | {' | '.join(cells)} |"
    yield ""


def _growth(lists: Lists) -> Iterator[str]:
    sizes = sorted(lists.growth)
    yield "How the median grows with the number of payments (CPU in brackets):\n"
    yield f"| | {' | '.join(f'{size:,}' for size in sizes)} | growth |"
    yield f"|---|{'---|' * (len(sizes) + 1)}"
    for scene in lists.growth[sizes[0]]:
        timings = [lists.growth[size][scene] for size in sizes]
        cells = [f"{_ms(one.percentile(0.5))} ({_ms(one.cpu_each)})" for one in timings]
        yield f"| {scene} | {' | '.join(cells)} | {timings[-1].percentile(0.5) / timings[0].percentile(0.5):.1f}× |"
    yield ""


def _more(lists: Lists) -> Iterator[str]:
    yield "| more of ours | p50 | p95 | CPU |"
    yield "|---|---|---|---|"
    for name, timings in lists.more.items():
        cells = (timings.percentile(0.5), timings.percentile(0.95), timings.cpu_each)
        yield f"| {name} | {' | '.join(map(_ms, cells))} |"
    file = lists.file
    yield f"\nCSV of the last 30 days: {file.rows:,} rows in {file.took:.1f} s, first byte after {_ms(file.first)} ms,"
    yield f"{file.grown / 1024:.0f} MiB more memory.\n"


def _takings(takings: Takings) -> Iterator[str]:
    yield "### Taking money, 64 at once, a second\n"
    yield "| | PG answers after | program | a second | p50 ms | p99 ms | CPU ms | errors | ratio |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for (what, delay, name), timings in takings.items():
        ratio = "" if name == "ours" else f"ours {takings[what, delay, 'ours'].rate / timings.rate:.1f}×"
        figures = f"{timings.rate:,.0f} | {_ms(timings.percentile(0.5))} | {_ms(timings.percentile(0.99))}"
        cells = f"{figures} | {_ms(timings.cpu_each)} | {timings.errors} | {ratio}"
        yield f"| {what} | {delay * 1000:.0f} ms | {name} | {cells} |"
    yield ""
