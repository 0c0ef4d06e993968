"""Many at once: confirms by every way at the same moment, refunds out of four processes, and every interleaving of two.

The interleavings need no luck: one verb is stopped at each of its commits and PG calls while a rival runs through.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from tests.proofs import concurrency_callers, concurrency_refunds, concurrency_steps
from tests.proofs.gates import WAYS
from tests.proofs.report import Report
from tests.proofs.world_house import databases

NAME = "concurrency"
CALLERS: dict[bool, list[tuple[Sequence[str], int]]] = {
    False: [(WAYS, 5)],
    True: [((at,), callers) for at in WAYS for callers in (2, 3, 8, 50, 500)],
}
RACING = {False: 36, True: 100}  # partial refunds of one payment, of which 33 fit


def run(
    *, seed: int, long: bool, engines: Sequence[str] = ("sqlite", "postgresql"), say: Callable[[str], None] = print
) -> Report:
    """The interleavings are dealt to the engines by turns: each has every PG and every pair of verbs, by halves."""
    began, report = time.monotonic(), Report(NAME, seed)
    with concurrency_refunds.crew() as crew:
        for turn, engine in enumerate(engines):
            with databases(engine) as kept:
                with kept.fresh() as url:
                    asyncio.run(concurrency_callers.confirm(url, CALLERS[long], engine, report))
                say(f"{NAME}: {engine} {report.counts}")
                for at in WAYS if long else WAYS[(seed + turn) % len(WAYS) :][: engine == "sqlite"]:
                    with kept.fresh() as url:
                        crew.race(url, at, RACING[long], f"{engine}, race at {at}", report)
                meetings = concurrency_steps.meetings(seed, WAYS)[turn :: len(engines)]
                with kept.fresh() as url:
                    if long:
                        concurrency_steps.interleave(url, seed, meetings, engine, report)
                    else:
                        concurrency_steps.interleave(url, seed, meetings[: 2 * len(WAYS)], engine, report, among=4)
            say(f"{NAME}: {engine} {report.counts}")
    report.seconds = time.monotonic() - began
    return report
