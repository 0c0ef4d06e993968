"""The app on a database that has no room: in a process (and, for SQLite, a mount namespace) of its own.

`python -m tests.proofs.disk_child ENGINE PLACE PG_URL LONG`; the last line of its output is what it found, as JSON.
"""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle, product
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import col, select
from starlette.applications import Starlette
from starlette.testclient import TestClient

from app import auth, main, reconciler
from app.db import Database
from app.models import ApiToken, Payment, User
from app.routes.errors import SENTENCES
from app.till import Till
from tests import story
from tests.conftest import CASHIERS, _tell_story
from tests.proofs import books, gates
from tests.proofs.crash_ground import settings
from tests.proofs.crash_points import OURS, Points, Wire
from tests.proofs.crash_scenes import Facts, Stage
from tests.proofs.disk_room import ReadOnlyServer, Room, SmallDisk, SmallFiles
from tests.sandboxes import Sandbox

ALONE = 40.0  # seconds in which the app must have healed by itself
HALF = 5  # the point where the PG has done it, and half of its answer is read
QUICK = {"PG_TIMEOUT": "5", "SETTLE_AFTER": "4", "RECONCILE_EVERY": "1"}


@dataclass
class Shop:
    """The running app; its wire and its commits have points."""

    door: TestClient
    stage: Stage
    points: Points
    room: Room
    counts: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def run(self, verb: Any, *words: Any) -> Any:
        assert self.door.portal
        return self.door.portal.call(verb, *words)

    async def authenticated(self, at: str, email: str = story.BUYER) -> Facts:
        payment = await self.stage.order(email, at)
        return await self.stage.authenticated(payment=payment, at=at) | {"at": at}

    async def bought(self, at: str) -> Facts:
        return await self.stage.bought(at) | {"at": at}

    def complete(self, facts: Facts) -> httpx.Response:
        handed = gates.handed(facts["at"], facts["order_id"], facts["back"])
        body = {"order_id": facts["order_id"], "pg_transaction_id": handed}
        return self.ask("POST", "/api/payment/complete", story.ADMIN, json=body)

    def back(self, facts: Facts) -> httpx.Response:
        return self.ask("GET", f"/payments/{facts['order_id']}/return", params=facts["back"])

    def refund(self, facts: Facts) -> httpx.Response:
        said: dict[str, Any] = {"json": {"amount": 3000, "reason": "단순변심"}, "headers": {"Idempotency-Key": "one"}}
        return self.ask("POST", f"/api/payment/{facts['order_id']}/refund", story.ADMIN, **said)

    def ask(self, method: str, path: str, who: str = "", headers: Any = None, **options: Any) -> httpx.Response:
        headers = (headers or {}) | ({"Authorization": f"Bearer {who}"} if who else {})
        answer: Any = self.door.request(method, path, headers=headers, follow_redirects=False, **options)
        found: httpx.Response = answer
        return found

    def must(self, what: str, answer: httpx.Response, status: int = 503) -> None:
        """Be this status; a 503 says it in Korean, to people and to programs."""
        self.counts[f"{status} as it should be"] += 1
        program = not answer.headers.get("content-type", "").startswith("text/html")
        if answer.status_code != status:
            self.wrong[f"{what}: {answer.status_code}, not {status}"] = [answer.text[:200]]
        elif status == 503 and SENTENCES[503] not in (answer.json()["detail"] if program else answer.text):
            self.wrong[f"{what}: says something else"] = [answer.text[:200]]
        elif status == 503 and program and answer.headers["content-type"] != "application/problem+json":
            self.wrong[f"{what}: is no problem+json"] = [answer.headers["content-type"]]

    def calls(self, facts: Facts, call: str, number: int, what: str) -> None:
        """Where to confirm is to look, the reconciler looks too."""
        call = CASHIERS[facts["at"]].confirm if call == "confirm" else call
        if call == "find":
            return
        made = self.stage.pg.ledger(facts["order_id"])[f"{call}_calls"]
        if made != number:
            self.wrong[f"{what}: {made} {call} calls, not {number}"] = [facts["order_id"]]

    def rested(self) -> bool:
        return bool(self.run(self._rested))

    async def _rested(self) -> bool:
        async with self.stage.till.db.read() as session:
            return (await session.exec(select(Payment).where(col(Payment.next_check_at).is_not(None)))).first() is None

    def heals(self, what: str) -> None:
        """By itself: nobody asks, the reconciler that runs beside the app does."""
        self.room.give_back()
        began = time.monotonic()
        while not self.rested():
            if time.monotonic() - began > ALONE:
                self.wrong[f"{what}: not healed"] = [f"after {ALONE} s"]
                return
            time.sleep(0.1)
        self.counts["healed alone"] += 1
        self.counts["longest until healed ms"] = max(
            self.counts["longest until healed ms"], round(1000 * (time.monotonic() - began))
        )

    def hurry(self) -> None:
        """The reconciler's next question is due now."""
        self.run(self.stage.time_passes)
        self.run(reconciler.reconcile, self.stage.till)

    def compare(self, what: str, facts: Facts, charged: int, refunded: int) -> None:
        found = self.run(books.compare, self.stage.till.db, self.stage.pg.total()).wrong()
        self.wrong |= {f"{what}: {rule}": rows for rule, rows in found.items()}
        order = self.stage.pg.ledger(facts["order_id"])
        if (order["charged"], order["refunded"]) != (charged, refunded):
            self.wrong[f"{what}: another end"] = [f"{order['charged']} - {order['refunded']}"]


def no_room(shop: Shop, at: str, kind: str) -> None:
    """Nothing is asked of the PG while the intent cannot be written; the same words work once there is room."""
    shop.room.let_go()
    bought, coming = shop.run(shop.bought, at), shop.run(shop.authenticated, at, story.OTHER)
    order, kind_at = {"prompt_id": 2, "payment_method": CASHIERS[at].method}, f"{at}, {kind}"
    shop.room.take(kind)
    shop.must(f"{kind_at}: return", shop.back(coming))
    if gates.handed(at, coming["order_id"], coming["back"]):
        shop.must(f"{kind_at}: complete", shop.complete(coming))
    shop.must(f"{kind_at}: refund", shop.refund(bought))
    shop.must(f"{kind_at}: order", shop.ask("POST", "/api/payment/prepare", story.BUYER, json=order))
    if told := gates.told(at, coming["order_id"], coming["back"], 1):
        shop.must(f"{kind_at}: webhook", shop.ask("POST", f"/webhooks/{gates.pg_of(at)}", content=told))
    shop.counts["pages read meanwhile"] += shop.ask("GET", "/").status_code == 200
    shop.calls(coming, "confirm", 0, f"{kind_at}: without an intent")
    shop.calls(bought, "cancel", 0, f"{kind_at}: without an intent")
    shop.room.give_back()
    shop.must(f"{kind_at}: return, again", shop.back(coming), 303)
    shop.must(f"{kind_at}: refund, again", shop.refund(bought), 200)
    shop.calls(coming, "confirm", 1, f"{kind_at}: with room")
    shop.calls(bought, "cancel", 1, f"{kind_at}: with room")
    shop.compare(f"{kind_at}: return", coming, 10_000, 0)
    shop.compare(f"{kind_at}: refund", bought, 10_000, 3000)


def at_a_point(shop: Shop, way: str, kind: str, verb: str, at: int, last: int) -> int:
    """The room ends at this point of a request. Whatever was answered, everything heals. Answers how many there are."""
    facts = shop.run(shop.authenticated if verb == "confirm" else shop.bought, way)
    shop.room.let_go()  # a log that has been emptied is written over: only a new one needs room
    act, good = (shop.back, 303) if verb == "confirm" else (shop.refund, 200)
    shop.points.arm(lambda number, _name: shop.room.take(kind) if number == at else None)
    answer = act(facts)
    shop.points.disarm()
    what, passed = f"{way}: {verb}, {kind} at point {at}", len(shop.points.passed)
    shop.counts["points"] += at > 0
    if at == 1:
        shop.calls(facts, "confirm" if verb == "confirm" else "cancel", 0, what)
    if at == HALF:
        shop.heals(what)
    else:
        shop.room.give_back()
        shop.hurry()
    shop.must(what, answer, good if at in (0, last) else 503)
    shop.must(f"{what}, again", act(facts), good)
    shop.compare(what, facts, 10_000, 0 if verb == "confirm" else 3000)
    return passed


def play(shop: Shop, long: bool) -> None:
    # A disk can be mounted read-only only while nobody has a file open: on a busy machine that is luck.
    turns = cycle(gates.WAYS if "full" in shop.room.sudden else reversed(gates.WAYS))  # of the short run
    for kind, way in product(shop.room.kinds, gates.WAYS) if long else [(shop.room.kinds[0], next(turns))]:
        shop.run(shop.stage.clear)
        no_room(shop, way, kind)
    every = list(product(shop.room.sudden, ("confirm", "refund")))
    for (kind, verb), way in product(every, gates.WAYS) if long else [(it, next(turns)) for it in every]:
        shop.run(shop.stage.clear)
        last = at_a_point(shop, way, kind, verb, 0, 0)
        for at in range(1, last + 1) if long else (1, HALF):
            shop.run(shop.stage.clear)
            at_a_point(shop, way, kind, verb, at, last)


async def tokens(url: str) -> None:
    db = Database(url)
    async with db.write() as session:
        for user in (await session.exec(select(User))).all():
            assert user.id
            session.add(ApiToken(user_id=user.id, digest=auth.digest(user.email)))
    await db.close()


def run(engine: str, place: str, pg_url: str, long: bool) -> dict[str, Any]:
    room = room_for(engine, place)
    url = place if engine == "postgresql" else f"sqlite:///{place}/app.db"
    if engine == "sqlite":
        _tell_story(url)
    asyncio.run(tokens(url))
    points = Points(lambda _number, _name: None)
    main.http_client = lambda settings: httpx.AsyncClient(transport=Wire(points), timeout=settings.pg_timeout)
    app: Starlette = main.create_app(settings(url, Sandbox(pg_url), **gates.keys(pg_url), **QUICK))
    OURS.set(False)  # of the app's own tasks
    with TestClient(app, raise_server_exceptions=False) as door:
        OURS.set(True)
        till: Till = door.app_state["till"]
        points.watch(till.db)
        shop = Shop(door, Stage(till, Sandbox(pg_url), gates.outside(pg_url)), points, room)

        async def alone(act: Callable[[], bool]) -> bool:
            await till.db.close()
            return act()

        room.alone = lambda act: bool(shop.run(alone, act))
        play(shop, long)
    return {"counts": shop.counts, "wrong": shop.wrong, "room": type(room).__name__}


def room_for(engine: str, place: str) -> Room:
    if engine == "postgresql":
        return ReadOnlyServer(place)
    try:
        return SmallDisk(Path(place))
    except (OSError, subprocess.CalledProcessError):
        return SmallFiles(Path(place))


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(run(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4] == "long")))
