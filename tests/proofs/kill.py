"""F9: `python -m app serve` under mixed traffic, killed by SIGKILL again and again; then the books are compared."""

import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import update
from sqlmodel import col, func, select

from app.clock import now
from app.config import ROOT
from app.db import Database
from app.models import Payment, Purchase
from tests.proofs import books
from tests.proofs.crash_ground import database, environment, free_port, sandbox, wait_until_up
from tests.proofs.kill_load import Load, people
from tests.proofs.report import Report
from tests.sandboxes import Sandbox

NAME = "kill"
BUYERS, ADMINS = 10, 2
KILLS = 1  # of the short run
SERVED = 20  # requests a server answers before it is killed, however slow the machine is
QUICK = {"PG_TIMEOUT": "2", "SETTLE_AFTER": "1", "RECONCILE_EVERY": "1"}  # so that it heals between two kills
PASSES = 8
LATER = timedelta(hours=2)  # by then the PG has forgotten what nobody paid for
Say = Callable[[str], None]


def run(
    *,
    seed: int,
    long: bool,
    engines: Sequence[str] = ("sqlite", "postgresql"),
    say: Say = print,
    seconds: float = 300,
) -> Report:
    """`seconds` of the long run, for each engine, one after the other; the short run kills once, on all at once."""
    began = time.monotonic()
    trials = [Trial(engine, seed, seconds if long else 0, say) for engine in engines]
    with ThreadPoolExecutor(1 if long else len(trials)) as together:
        list(together.map(Trial.run, trials))
    report = Report(NAME, seed)
    for trial in trials:
        report.counts |= {f"{trial.engine} {name}": number for name, number in trial.counts().items()}
        report.wrong |= {f"{trial.engine}: {rule}": rows for rule, rows in trial.wrong.items()}
    report.notes.append(
        "restart to ready: from the start of the process until /readyz says 200; the first start is not counted"
    )
    report.seconds = time.monotonic() - began
    return report


@dataclass
class Trial:
    engine: str
    seed: int
    seconds: float
    say: Say
    ready: list[float] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    load: Load | None = None

    def counts(self) -> dict[str, int]:
        load = self.load.counts if self.load else {}
        again = [round(1000 * seconds) for seconds in self.ready[1:]] or [0]
        times = {"restart to ready median ms": round(statistics.median(again)), "restart to ready max ms": max(again)}
        return {"kills": len(self.ready) - 1, **load, **self.kept, **times}

    def run(self) -> None:
        with database(self.engine) as url, sandbox() as pg, tempfile.TemporaryFile() as self.log:
            port = free_port()
            self.shop = f"http://127.0.0.1:{port}"
            self.command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
            self.env = os.environ | environment(url, pg, BASE_URL=self.shop, **QUICK)
            pg.http.put("/_settings", json={"toss_webhook_url": f"{self.shop}/webhooks/toss"}).raise_for_status()
            self.load = Load(self.shop, pg.url, random.Random(f"{self.seed} {self.engine}"))
            asyncio.run(people(url, BUYERS))
            server = asyncio.run(self.storm(self.load))
            server.terminate()
            server.wait(30)
            self.settle(url, pg, self.load)
            self.log.seek(0)
            self.kept["tracebacks"] = self.log.read().count(b"Traceback")

    async def storm(self, load: Load) -> subprocess.Popen[bytes]:
        """Traffic without a pause, and a server that dies in it at random moments; answers the one that is left."""
        server = await asyncio.to_thread(self.start)
        crowd = asyncio.create_task(load.run(BUYERS, ADMINS))
        end = time.monotonic() + self.seconds
        kills = 0
        while time.monotonic() < end or kills < KILLS:
            await self.serve_for_a_while(load)
            if crowd.done():
                break  # and raises below
            server.kill()
            await asyncio.to_thread(server.wait)
            kills += 1
            server = await asyncio.to_thread(self.start)
            if kills % 20 == 0:
                self.say(f"{self.engine}: {kills} kills, {load.counts['requests']} requests")
        await asyncio.sleep(1)
        load.over = True
        await crowd
        return server

    @staticmethod
    async def serve_for_a_while(load: Load) -> None:
        enough = load.counts["answered"] + SERVED
        for _ in range(20):
            await asyncio.sleep(load.dice.uniform(0.5, 3))
            if load.counts["answered"] >= enough:
                break

    def start(self) -> subprocess.Popen[bytes]:
        server = subprocess.Popen(self.command, cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log)
        self.ready.append(wait_until_up(f"{self.shop}/readyz", server))
        return server

    def settle(self, url: str, pg: Sandbox, load: Load) -> None:
        """Two hours later: what nobody paid for is forgotten by the PG, and everything must come to rest."""
        pg.http.put("/_settings", json={"toss_webhook_url": None}).raise_for_status()
        pg.http.delete("/_faults").raise_for_status()
        pg.advance(LATER.total_seconds())
        for _ in range(PASSES):
            waiting = asyncio.run(self.later(url))
            if not waiting:
                break
            self.app("reconcile")
        if code := self.app("audit"):
            self.wrong["audit"] = [f"exit code {code}"]
        asyncio.run(self.compare(url, pg, load))

    def app(self, verb: str) -> int:
        command = [sys.executable, "-m", "app", verb]
        return subprocess.run(command, cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log, check=False).returncode

    @staticmethod
    async def later(url: str) -> int:
        """How many payments are not at rest yet; their time has come now, and everything is two hours old."""
        db = Database(url)
        async with db.write() as session:
            due = col(Payment.next_check_at).is_not(None)
            waiting = (await session.exec(select(func.count()).select_from(Payment).where(due))).one()
            early = {"next_check_at": now() - timedelta(seconds=3), "created_at": now() - LATER, "checked_at": None}
            await session.exec(update(Payment).where(due).values(early))
        await db.close()
        return waiting

    async def compare(self, url: str, pg: Sandbox, load: Load) -> None:
        db = Database(url)
        found = await books.compare(db, pg.total())
        self.wrong |= found.wrong()
        if found.unsettled:
            self.wrong["never at rest"] = [f"{found.unsettled} payments"]
        if broken := await load.broken(db):
            self.wrong["said and not kept"] = broken
        async with db.read() as session:
            self.kept["rows of payment"] = (await session.exec(select(func.count()).select_from(Payment))).one()
            self.kept["purchases"] = (await session.exec(select(func.count()).select_from(Purchase))).one()
        await db.close()
