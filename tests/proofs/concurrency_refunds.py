"""Partial refunds racing for one balance, out of four processes. Run as a module it is one of them."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app import payments, refunds
from app.config import ROOT
from app.db import Database
from app.main import open_till
from app.till import Refused, find
from tests.proofs import gates
from tests.proofs.books import compare
from tests.proofs.report import Report
from tests.proofs.world_house import people, settings
from tests.sandboxes import Sandbox, serve_sandbox

PROCESSES = 4
PART = 300  # won: 33 of them fit into 10,000


@dataclass
class Crew:
    pg: Sandbox
    hands: list[subprocess.Popen[str]]

    def race(self, url: str, at: str, refunds: int, name: str, report: Report) -> None:
        self.pg.reset()
        order_id = asyncio.run(_buy(url, self.pg, at))
        each = refunds // len(self.hands)
        for number, hand in enumerate(self.hands):
            assert hand.stdin
            job = {
                "url": url,
                "pg": self.pg.url,
                "order_id": order_id,
                "keys": [f"{number}-{it}" for it in range(each)],
            }
            hand.stdin.write(json.dumps(job) + "\n")
            hand.stdin.flush()
        answers = Counter[str]()
        for hand in self.hands:
            assert hand.stdout
            answers.update(json.loads(hand.stdout.readline()))
        asyncio.run(_judge(url, self.pg, order_id, answers, name, report))


@contextlib.contextmanager
def crew() -> Iterator[Crew]:
    """They start while we do other things, and wait for work."""
    command = [sys.executable, "-m", "tests.proofs.concurrency_refunds"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with serve_sandbox() as pg:
        hands: list[subprocess.Popen[str]] = [subprocess.Popen(command, **pipes) for _ in range(PROCESSES)]  # type: ignore[call-overload]
        try:
            yield Crew(pg, hands)
        finally:
            for hand in hands:
                hand.communicate()


async def _buy(url: str, pg: Sandbox, at: str) -> str:
    async with (
        open_till(settings(url, PG_TIMEOUT="20", **gates.keys(pg.url))) as till,
        gates.outside(pg.url) as browser,
    ):
        [user] = await people(till.db, 1)
        order_id, back = await gates.authenticated(till, browser, at, user)
        payment = await payments.come_back(till, order_id, back)
        assert payment.status == "completed"
        return order_id


async def _judge(url: str, pg: Sandbox, order_id: str, answers: Counter[str], name: str, report: Report) -> None:
    db = Database(url)
    try:
        async with db.read() as session:
            payment = await find(session, order_id)
        books = await compare(db, pg.total())
    finally:
        await db.close()
    entry, accepted = pg.ledger(order_id), answers["done"]
    whole = accepted == payment.paid_amount // PART and accepted * PART == entry["refunded"] == payment.refunded_amount
    if not whole or entry["cancel_calls"] != accepted or set(answers) - {"done", "TOO_MUCH"} or books.wrong():
        said = f"{entry['cancel_calls']} calls, {entry['refunded']} back, {payment.refunded_amount} here"
        report.wrong[name] = [f"{dict(answers)}, {said}, {books.wrong()}"]
    report.counts["racing refunds"] = report.counts.get("racing refunds", 0) + answers.total()
    report.counts["accepted refunds"] = report.counts.get("accepted refunds", 0) + accepted
    report.counts["cancels at the PGs"] = report.counts.get("cancels at the PGs", 0) + len(entry["cancels"])


async def _hand(job: dict[str, Any]) -> Counter[str]:
    async with open_till(settings(job["url"], PG_TIMEOUT="60", **gates.keys(job["pg"]))) as till:

        async def one(key: str) -> str:
            try:
                verb = refunds.refund(till, job["order_id"], amount=PART, reason="경주", key=key, by="admin")
                _, entry = await verb
            except Refused as refused:
                return refused.code
            except Exception as error:  # the parent wants to know
                return repr(error)
            return str(entry.status)

        return Counter(await asyncio.gather(*map(one, job["keys"])))


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(asyncio.run(_hand(json.loads(line)))), flush=True)
