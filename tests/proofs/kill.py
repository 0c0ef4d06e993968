"""F9: `python -m app serve` under mixed traffic at every PG, killed by SIGKILL again and again.

Then the books are compared.
"""

import asyncio
import contextlib
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Barrier
from typing import Any

import time_machine
from sqlalchemy import update
from sqlmodel import col, func, select

from app import refunds
from app.clock import now
from app.config import ROOT
from app.db import Database
from app.gateways import RefundAccount
from app.main import open_till
from app.models import Event, Payment, Purchase
from app.reconciler import reconcile
from app.till import Till
from tests.proofs import books, gates
from tests.proofs.crash_ground import database, environment, free_port, sandbox, settings, stop, wait_until_up
from tests.proofs.kill_load import ACCOUNT, WAYS, Load, people
from tests.proofs.report import Report
from tests.sandboxes import Sandbox

NAME = "kill"
BUYERS, ADMINS = {False: 4, True: 10}, 2  # in the short run, and in the long one
KILLS = 1  # of the short run
SERVED = 20  # requests a server answers before it is killed, however slow the machine is
QUICK = {"PG_TIMEOUT": "2", "SETTLE_AFTER": "1", "RECONCILE_EVERY": "1"}  # so that it heals between two kills
PASSES = 8
LATER = timedelta(days=4)  # by then the PGs have forgotten what nobody paid for, and every account is closed
SECRET = "whsec_b2Ygc2VydmVycyB0aGF0IGFyZSBraWxsZWQgYWxvdA=="
Say = Callable[[str], None]


def run(
    *,
    seed: int,
    long: bool,
    engines: Sequence[str] = ("sqlite", "postgresql"),
    say: Say = print,
    seconds: float = 200,
) -> Report:
    """All engines at once: for `seconds` in the long run, and in the short one until the first is dead."""
    began = time.monotonic()
    with contextlib.ExitStack() as days, ThreadPoolExecutor(len(engines)) as together:

        def pass_days() -> None:
            """For all at once: nobody's clock may jump while somebody still kills."""
            days.enter_context(time_machine.travel(now() + LATER))

        ended = Barrier(len(engines), pass_days)
        trials = [Trial(engine, seed, BUYERS[long], seconds if long else 0, say, ended) for engine in engines]
        list(together.map(Trial.run, trials))
    report = Report(NAME, seed)
    for trial in trials:
        report.counts |= {f"{trial.engine} {name}": number for name, number in trial.counts().items()}
        report.wrong |= {f"{trial.engine}: {rule}": rows for rule, rows in trial.wrong.items()}
        report.notes += [f"{trial.engine}, in the log: {last}" for last in trial.tracebacks]
        ways = trial.load.ways if trial.load else {}
        report.notes.append(f"{trial.engine}, paid by: {', '.join(f'{at} {ways[at]}' for at in WAYS)}")
    report.notes.append(
        "restart to ready: from the start of the process until /readyz says 200; the first start is not counted"
    )
    report.seconds = time.monotonic() - began
    return report


@dataclass
class Trial:
    engine: str
    seed: int
    buyers: int
    seconds: float
    say: Say
    ended: Barrier
    ready: list[float] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    tracebacks: list[str] = field(default_factory=list)
    load: Load | None = None
    server: subprocess.Popen[bytes] | None = None

    def counts(self) -> dict[str, int]:
        load = self.load.counts if self.load else {}
        again = [round(1000 * seconds) for seconds in self.ready[1:]] or [0]
        times = {"restart to ready median ms": round(statistics.median(again)), "restart to ready max ms": max(again)}
        return {"kills": len(self.ready) - 1, **load, **self.kept, **times}

    def run(self) -> None:
        """What stops this one is said at once, and stops the others: they would wait for it at the barrier for ever."""
        try:
            self.play()
        except Exception as error:
            self.say(f"{self.engine}: {error!r}")
            self.ended.abort()
            raise
        finally:
            if self.server:
                stop(self.server)

    def play(self) -> None:
        with database(self.engine) as url, sandbox() as pg, tempfile.TemporaryFile() as self.log:
            port = free_port()
            self.shop = f"http://127.0.0.1:{port}"
            self.command = [sys.executable, "-m", "app", "serve", "--port", str(port)]
            self.known = gates.keys(pg.url) | QUICK | {"PORTONE_WEBHOOK_SECRET": SECRET, "BASE_URL": self.shop}
            self.env = os.environ | environment(url, pg, **self.known)
            told = {f"{at}_webhook_url": f"{self.shop}/webhooks/{at}" for at in gates.PGS if at != "kakaopay"}
            pg.http.put("/_settings", json=told | {"portone_webhook_secrets": SECRET}).raise_for_status()
            self.load = Load(self.shop, pg.url, random.Random(f"{self.seed} {self.engine}"))
            asyncio.run(people(url, self.buyers))
            server = asyncio.run(self.storm(self.load))
            server.terminate()
            server.wait(30)
            self.ended.wait()
            self.settle(url, pg, self.load)
            self.log.seek(0)
            found = re.findall(r"^Traceback.*?^(\S.*?)$", self.log.read().decode(), re.DOTALL | re.MULTILINE)
            self.kept["tracebacks"] = len(found)
            self.tracebacks = sorted(set(found))

    async def storm(self, load: Load) -> subprocess.Popen[bytes]:
        """Traffic without a pause, and a server that dies in it at random moments; answers the one that is left."""
        server = await asyncio.to_thread(self.start)
        crowd = asyncio.create_task(load.run(self.buyers, ADMINS))
        end = time.monotonic() + self.seconds
        kills = 0
        while time.monotonic() < end or kills < KILLS:
            await self.serve_for_a_while(load)
            if crowd.done() or self.ended.broken:
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
        self.server = subprocess.Popen(self.command, cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log)
        self.ready.append(wait_until_up(f"{self.shop}/readyz", self.server))
        return self.server

    def settle(self, url: str, pg: Sandbox, load: Load) -> None:
        """Days later: what nobody paid for is forgotten by the PGs, and everything must come to rest."""
        silent = {f"{at}_webhook_url": None for at in gates.PGS if at != "kakaopay"}
        pg.http.put("/_settings", json=silent).raise_for_status()
        pg.http.delete("/_faults").raise_for_status()
        pg.advance(LATER.total_seconds())
        asyncio.run(self.to_rest(url, pg))
        if code := self.app("audit"):
            self.wrong["audit"] = [f"exit code {code}"]
        asyncio.run(self.compare(url, pg, load))

    async def to_rest(self, url: str, pg: Sandbox) -> None:
        async with open_till(settings(url, pg, **self.known)) as till:
            for _ in range(PASSES):
                if not await self.later(till.db):
                    break
                await reconcile(till, limit=10_000)
            await self.give_back_deposits(till)

    async def give_back_deposits(self, till: Till) -> None:
        """The record says that they are owed; the operator has asked for an account."""
        owed = select(Payment.order_id).join(Event).where(col(Event.kind) == "refund_owed")
        async with till.db.read() as session:
            order_ids = (await session.exec(owed)).all()
        account = RefundAccount(**ACCOUNT)
        words: Any = {"amount": None, "reason": "보유한 상품", "key": "owed", "by": "boss", "account": account}
        for order_id in order_ids:
            await refunds.refund(till, order_id, **words)
        self.kept["deposits owed back"] = len(order_ids)

    def app(self, verb: str) -> int:
        command = [sys.executable, "-m", "app", verb]
        return subprocess.run(command, cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log, check=False).returncode

    @staticmethod
    async def later(db: Database) -> int:
        """How many payments are not at rest yet; their time has come now."""
        async with db.write() as session:
            due = col(Payment.next_check_at).is_not(None)
            waiting = (await session.exec(select(func.count()).select_from(Payment).where(due))).one()
            early = {"next_check_at": now() - timedelta(seconds=3), "checked_at": None}
            await session.exec(update(Payment).where(due).values(early))
        return waiting

    async def compare(self, url: str, pg: Sandbox, load: Load) -> None:
        db = Database(url)
        self.wrong |= (await books.compare(db, pg.total())).wrong()
        async with db.read() as session:
            unsettled = (await session.exec(select(Payment).where(col(Payment.next_check_at).is_not(None)))).all()
        if unsettled:
            rows = [f"{row.order_id} {row.payment_method} {row.status}" for row in unsettled]
            self.wrong["never at rest"] = rows
        if broken := await load.broken(db):
            self.wrong["said and not kept"] = broken
        async with db.read() as session:
            self.kept["rows of payment"] = (await session.exec(select(func.count()).select_from(Payment))).one()
            self.kept["purchases"] = (await session.exec(select(func.count()).select_from(Purchase))).one()
        await db.close()
