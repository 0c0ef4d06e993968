"""The whole house in one process: our verbs, the pretend PG, the network between them, and one clock for both."""

import asyncio
import base64
import contextlib
import random
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import time_machine
from sqlmodel import col, select

import sandbox
from app import gateways, orders, payments
from app.config import Settings, read_settings
from app.db import Database
from app.models import Payment, Prompt, User
from app.orders import Order
from app.till import Till, find
from sandbox.ledger import ledger
from sandbox.toss import Toss, moves, refunds, window
from sandbox.webhooks import Delivery
from tests import story
from tests.conftest import CASHIERS, _tell_story
from tests.postgres import create_database, drop_database, memory, postgres_server
from tests.proofs.at_once import UNSAFE, at_once
from tests.proofs.world_doors import SITE, Door, back_of, doors
from tests.proofs.world_stage import Network, StagedDatabase

BEGIN = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)  # a Monday, 10:00 in Korea
PG = f"{SITE}/toss"
HOOKS = [f"http://us/webhooks/{name}" for name in ("toss", "portone", "portone_v1")]
BACK = back_of("{}")
WHSEC = "whsec_" + base64.b64encode(b"a secret between us and PortOne.").decode()


@contextlib.contextmanager
def databases(engine: str) -> Iterator["Databases"]:
    """Fresh databases with the story in them, as many as wanted; all are gone afterwards."""
    if engine == "sqlite":
        directory = Path(tempfile.mkdtemp(prefix="jjinbubu-world-", dir=memory()))
        try:
            _tell_story(f"sqlite:///{directory / 'template.db'}")
            yield Databases(directory=directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return
    with postgres_server() as server:
        its = Databases(server=server, template=f"story_{uuid4().hex}")
        _tell_story(create_database(server, its.template))
        try:
            yield its
        finally:
            drop_database(server, its.template)


@dataclass
class Databases:
    directory: Path | None = None
    server: str = ""
    template: str = ""

    @contextlib.contextmanager
    def fresh(self) -> Iterator[str]:
        name = f"proof_{uuid4().hex}"
        if self.directory:
            path = self.directory / f"{name}.db"
            shutil.copy(self.directory / "template.db", path)
            yield f"sqlite:///{path}"
            for left in self.directory.glob(f"{name}.db*"):
                left.unlink()
            return
        yield create_database(self.server, name, self.template)
        drop_database(self.server, name)


def settings(url: str, pg: str = PG, **more: str) -> Settings:
    """The PG's time-out is the network's business here: no real second shall decide anything."""
    known = {
        "DATABASE_URL": url,
        "SECRET_KEY": "not a secret, only for proofs 0123456789",
        "BASE_URL": "http://testserver",
        "TOSS_CLIENT_KEY": "test_ck_sandbox",
        "TOSS_SECRET_KEY": "test_sk_sandbox",
        "TOSS_API_URL": pg,
        "TOSS_SDK_URL": f"{pg}/v2/standard",
        "PG_TIMEOUT": "100000",
        "RECONCILE_EVERY": "0",
    }
    return read_settings(known | more)


def every_pg(secret: str = WHSEC) -> dict[str, str]:
    """The keys of the PGs beside Toss. PortOne signs its webhooks with `secret`."""
    keys = {
        "KAKAOPAY_SECRET_KEY": "SANDBOX0" * 5,
        "KAKAOPAY_CID": "TC0ONETIME",
        "KAKAOPAY_API_URL": f"{SITE}/kakaopay",
        "PORTONE_WEBHOOK_SECRET": secret,
    }
    return keys | CASHIERS["portone"].keys(SITE) | CASHIERS["portone_v1"].keys(SITE)


@dataclass
class House:
    """What actors need. `patience` is below zero: whoever must wait for another's answer is told how it stands now."""

    db: StagedDatabase
    till: Till
    toss: Toss
    network: Network
    clock: time_machine.Traveller
    settings: Settings
    doors: Mapping[str, Door]

    async def people(self, buyers: int, prompts: int) -> None:
        await people(self.db, buyers)
        async with self.db.write() as session:
            for number in range(prompts):
                title, price = f"프롬프트 {number}", 1000 * (number % 9 + 2)
                session.add(Prompt(category="글쓰기", title=title, summary="s", preview="p", body="b", price=price))

    async def buyers(self) -> list[User]:
        return await people(self.db, 0)

    async def order(self, user: User, prompt_id: int = story.PROMPT, method: str = "card") -> Payment:
        return await orders.start(self.till, user, Order(prompt_id, method, user.name, user.phone))

    async def payment(self, order_id: str) -> Payment:
        async with self.db.read() as session:
            return await find(session, order_id)

    def open(self, payment: Payment, **changed: Any) -> str:
        """The buyer's browser opens the PG's window; answers the payment key."""
        back = back_of(payment.order_id)
        request = {
            "clientKey": "test_ck_sandbox",
            "method": "CARD",
            "amount": {"currency": "KRW", "value": payment.amount},
            "orderId": payment.order_id,
            "orderName": payment.item_name,
            "successUrl": back,
            "failUrl": back,
        }
        return moves.open_window(self.toss, request | changed, PG, "*").payment_key

    def press(self, payment_key: str, button: str = "authenticate") -> dict[str, str]:
        """A button in the window; answers the query that the browser comes back with."""
        ending = window.play(self.toss, self.toss.payments[payment_key], button, {})
        return dict(parse_qsl(urlsplit(ending.redirect or "").query))

    async def authenticated(self, user: User, prompt_id: int = story.PROMPT) -> tuple[str, dict[str, str]]:
        payment = await self.order(user, prompt_id)
        return payment.order_id, self.press(self.open(payment))

    async def bought(self, user: User, prompt_id: int = story.PROMPT) -> str:
        order_id, query = await self.authenticated(user, prompt_id)
        payment = await payments.come_back(self.till, order_id, query)
        assert payment.status == "completed", payment
        return order_id

    def console(self, order_id: str, amount: int | None, reason: str = "콘솔에서 취소") -> None:
        """Somebody cancels in the PG's own console. Raises sandbox.toss.errors.Refused."""
        found = self.toss.find_order(order_id)
        assert found
        refunds.cancel(self.toss, found, {"cancelReason": reason}, amount)

    def ledger(self) -> Mapping[str, Any]:
        return ledger(self.toss.world.entries())

    def letters(self) -> list[Delivery]:
        """The webhooks that the PGs have to send since the last time, in their order."""
        outbox = self.toss.world.outbox
        told = list(outbox.waiting.values())
        outbox.clear()
        return told

    def calls(self, kind: str) -> int:
        return sum(entry.calls.get(kind, 0) for entry in self.toss.world.entries())

    def pass_time(self, seconds: float) -> None:
        self.clock.shift(seconds)
        self.toss.world.sweep()


async def people(db: Database, more: int) -> list[User]:
    """More buyers than the story knows, so that many can buy at once; answers all of these."""
    async with db.write() as session:
        for number in range(more):
            mail = f"buyer{number}@example.com"
            session.add(User(email=mail, password_hash="x", name="김찐", phone="01012345678"))
    async with db.read() as session:
        query = select(User).where(col(User.email).like("buyer_%@%")).order_by(col(User.id))
        return list((await session.exec(query)).all())


@contextlib.asynccontextmanager
async def house(url: str, *, clock: time_machine.Traveller, patience: float = -1, **more: str) -> AsyncIterator[House]:
    """On this database, with a PG that has just been born."""
    db = StagedDatabase(url)
    pg = sandbox.create_app()
    toss: Toss = pg.state.world.gateways["toss"]
    its = toss.world.settings
    its.toss_webhook_url, its.portone_webhook_url, its.portone_v1_webhook_url = HOOKS
    its.portone_webhook_secrets = [more.get("PORTONE_WEBHOOK_SECRET", WHSEC)]
    network = Network(pg)
    how = settings(url, **more)
    try:
        async with httpx.AsyncClient(transport=network, timeout=how.pg_timeout, trust_env=False) as client:
            till = Till(db, gateways.load(how, client), settle_after=how.settle_after, patience=patience)
            yield House(db, till, toss, network, clock, how, doors(toss.world))
    finally:
        await db.close()


@contextlib.contextmanager
def frozen(seed: int = 0, *, tick: bool = False) -> Iterator[time_machine.Traveller]:
    """One clock for everybody, which stands still until told; and secrets that a seed repeats."""
    dice = random.Random(seed)
    with (
        time_machine.travel(BEGIN, tick=tick) as clock,
        patch.object(secrets, "choice", dice.choice),
        patch.object(secrets, "token_bytes", dice.randbytes),
        patch.object(secrets, "token_hex", lambda size=16: dice.randbytes(size).hex()),
        patch.object(secrets, "randbelow", dice.randrange),
    ):
        yield clock


class _AtOnce:
    """In the place of aiosqlite's queue: what is put in is done. No threads: one seed decides every order of things."""

    def put_nowait(self, job: tuple["asyncio.Future[Any] | None", Callable[[], Any]]) -> None:
        future, function = job
        try:
            result = function()
        except Exception as error:
            if future:
                future.set_exception(error)
        else:
            if future:
                future.set_result(result)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """A SQLite that is quick and dies with the power, which no proof that uses it cuts; a PostgreSQL as it is."""
    with (
        patch("app.db.PRAGMAS", UNSAFE),
        patch("aiosqlite.core.SimpleQueue", _AtOnce),
        patch("aiosqlite.core.Thread", lambda **_: SimpleNamespace(start=lambda: None)),
        patch("app.reconciler.AT_ONCE", 1),
    ):
        yield


async def in_turn(*verbs: Coroutine[Any, Any, Any]) -> list[Any]:
    """A pass of the reconciler asks one PG after the other: an act stands in one place."""
    try:
        return [await verb for verb in verbs]
    finally:
        for verb in verbs:  # those that it died before
            verb.close()


@contextlib.contextmanager
def one_at_a_time(engine: str) -> Iterator[None]:
    """One seed decides every order of things, and no real second does: who gives up waiting is told to."""
    timeless = SimpleNamespace(timeout=lambda _: contextlib.nullcontext())
    with (
        at_once() if engine == "sqlite" else contextlib.nullcontext(),
        patch("app.reconciler.AT_ONCE", 1),
        patch("app.gateways.asyncio", timeless),
        patch("app.reconciler.asyncio", SimpleNamespace(gather=in_turn)),
    ):
        yield
