"""Many at once: confirms by every way at the same moment, refunds out of four processes, and every interleaving of two.

The interleavings need no luck: one verb is stopped at each of its commits and PG calls while a rival runs through.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from tests.proofs import concurrency_callers, concurrency_refunds, concurrency_steps
from tests.proofs.report import Report
from tests.proofs.world_house import databases

NAME = "concurrency"
SHORT, LONG = (32,), (2, 3, 5, 8, 16, 32, 64, 128, 256, 500)  # callers of one order
RACING = {False: 40, True: 100}  # partial refunds of one payment, of which 33 fit


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Callable[[str], None] = print
) -> Report:
    began, report = time.monotonic(), Report(NAME, seed)
    with concurrency_refunds.crew() as crew:
        for engine in engines:
            with databases(engine) as kept:
                for callers in LONG if long else SHORT:
                    with kept.fresh() as url:
                        asyncio.run(concurrency_callers.confirm(url, callers, f"{engine}, {callers} callers", report))
                for number in range(10 if long else int(engine == "sqlite")):
                    with kept.fresh() as url:
                        crew.race(url, RACING[long], f"{engine}, race {number}", report)
                with kept.fresh() as url:
                    concurrency_steps.interleave(url, seed, None if long else 8, engine, report)
            say(f"{NAME}: {engine} {report.counts}")
    report.seconds = time.monotonic() - began
    return report
