"""`python -m tests.bulk_deaths 7 12w …`: workers on a bulk refund, each dead at that point of its way; with `w` at the
next one on the way to the PG, or from there.

One warm process forks them one after the other; each ends by `os._exit`, so that nothing is closed or rolled back.
A line goes out for each: the name of the point where it died, or "done" of the last one, which is left alive.
"""

import asyncio
import os
import sys
from datetime import timedelta

import httpx

from app import bulk, gateways
from app.config import Settings, read_settings
from app.db import Database
from app.till import Till
from tests.proofs.crash_points import Points, Wire

DEAD = 137
ALIVE = "0"


async def work(known: Settings, crash: str) -> None:
    least, of = int(crash.rstrip("w")), "cancel" if crash.endswith("w") else ""

    def meet(number: int, name: str) -> None:
        if least and number >= least and name.startswith(of):
            os.write(1, f"{name}\n".encode())
            os._exit(DEAD)

    db, points = Database(known.database_url), Points(meet)
    points.watch(db)
    async with httpx.AsyncClient(transport=Wire(points), timeout=known.pg_timeout) as client:
        till = Till(db, gateways.load(known, client), settle_after=known.settle_after)
        points.arm()
        await bulk.work(till)
    await db.close()
    os.write(1, b"done\n")


def main(*crashes: str) -> None:
    bulk.LEASE = timedelta(0)  # the next worker need not wait for the dead one's
    known = read_settings()
    gateways.load(known, httpx.AsyncClient())  # their modules are imported once
    for crash in (*crashes, ALIVE):
        if (pid := os.fork()) == 0:
            asyncio.run(work(known, crash))
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != (0 if crash == ALIVE else DEAD):
            raise RuntimeError(f"a worker ended by {code}, not at point {crash}")


if __name__ == "__main__":
    main(*sys.argv[1:])
