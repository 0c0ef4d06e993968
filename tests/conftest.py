"""The fixtures: a database of either kind, the pretend PG on a socket, and the people in front of the app.

`database_url` runs a test twice, on SQLite and on a real PostgreSQL; everything that touches the database uses it.
"""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.applications import Starlette
from starlette.testclient import TestClient
from xdist.scheduler import LoadScopeScheduling

from app import auth
from app.config import Settings, read_settings
from app.db import Database
from app.main import create_app
from app.migrate import migrate
from app.models import Event, Payment, Purchase, Refund, User
from app.roles import Role
from app.till import Till
from tests import story
from tests.fragments import PARTIAL
from tests.postgres import create_database, drop_database, postgres_server
from tests.sandboxes import Sandbox, serve_sandbox, steps_of

auth.hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # tests log in hundreds of times


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# ── who runs what ────────────────────────────────────────────────────────────────────────────────────────────────────


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """What shares something dear stays with one worker: a browser, a shop of thousands. Those begin.

    (`xdist_group` does nothing under pytest 9.2: pytest-dev/pytest-xdist#1386.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder == "tests/browser" else file if file == "tests/test_search.py" else nodeid


@pytest.hookimpl(optionalhook=True)  # without xdist nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    return Together(config, log)


# ── databases ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tell_story(url: str) -> None:
    """Migrations build the database; the story's people and prompts move in."""

    async def run() -> None:
        db = Database(url)
        async with db.write() as session:
            await session.run_sync(story.tell)
        await db.close()

    migrate(url)
    asyncio.run(run())


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "app.db"
    _tell_story(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real server out of a wheel, or TEST_DATABASE_URL."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> Iterator[str]:
    name = f"template_{uuid4().hex}"
    _tell_story(create_database(postgres, name))
    yield name
    drop_database(postgres, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of its own for this test, of both kinds in turn, with the story in it."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "app.db")
        yield f"sqlite:///{tmp_path / 'app.db'}"
        return
    server, name = request.getfixturevalue("postgres"), f"test_{uuid4().hex}"
    yield create_database(server, name, request.getfixturevalue("postgres_template"))
    drop_database(server, name)


# ── the pretend PG ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    with serve_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_sandbox: Sandbox) -> Sandbox:
    """The pretend PG on a real socket, as if just started."""
    _sandbox.reset()
    return _sandbox


# ── the app and its visitors ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def at(request: pytest.FixtureRequest) -> str:
    """At whom this test buys: Toss, unless it says EVERY_PG."""
    return str(getattr(request, "param", "toss"))


@pytest.fixture
def settings(database_url: str, sandbox: Sandbox, at: str) -> Settings:
    return read_settings(
        CASHIERS[at].keys(sandbox.url)
        | {
            "DATABASE_URL": database_url,
            "SECRET_KEY": "not a secret, only for tests 0123456789",
            "BASE_URL": "http://testserver",
            "TOSS_CLIENT_KEY": "test_ck_sandbox",
            "TOSS_SECRET_KEY": "test_sk_sandbox",
            "TOSS_API_URL": f"{sandbox.url}/toss",
            "TOSS_SDK_URL": f"{sandbox.url}/toss/v2/standard",
            "KAKAOPAY_SECRET_KEY": "DEV" + "HOUSE00000" * 3 + "HOUSE00",
            "KAKAOPAY_CID": "TC0ONETIME",
            "KAKAOPAY_API_URL": f"{sandbox.url}/kakaopay",
            "PG_TIMEOUT": "2",
            "RECONCILE_EVERY": "0",
        }
    )


class Visitor(TestClient):
    """Somebody's browser. `part` asks the way htmx does; redirects are not followed, so that tests see them."""

    def part(self, method: str, url: str, **options: Any) -> Any:
        return self.request(method, url, headers=PARTIAL | options.pop("headers", {}), **options)

    def log_in(self, email: str, password: str = story.PASSWORD) -> "Visitor":
        """Through the real form."""
        answer = self.post("/login", data={"email": email, "password": password})
        assert answer.status_code == 303, answer.text
        return self


@dataclass
class House:
    """The running app. Visitors share it; `rows` looks into the database behind its back."""

    app: Starlette
    settings: Settings
    door: TestClient

    def visitor(self, email: str | None = None, address: str = "testclient") -> Visitor:
        visitor = Visitor(self.app, follow_redirects=False, client=(address, 50000))
        visitor.portal = self.door.portal
        visitor.app_state.update(self.door.app_state)
        return visitor.log_in(email) if email else visitor

    def hired(self, role: Role) -> Visitor:
        """Another admin, `{role}@example.com`, 하나 by name."""
        email, password_hash = f"{role}@example.com", auth.hash_password(story.PASSWORD)
        person = User(email=email, name="정하나", phone="", password_hash=password_hash, is_admin=True, role=role)

        async def hire(session: AsyncSession) -> None:
            session.add(person)

        self.change(hire)
        return self.visitor(email)

    @property
    def till(self) -> Till:
        till: Till = self.door.app_state["till"]
        return till

    def run(self, verb: Any, *words: Any, **more: Any) -> Any:
        """Call one of the app's own verbs in its event loop."""
        assert self.door.portal, "the house is closed"

        async def call() -> Any:
            return await verb(*words, **more)

        return self.door.portal.call(call)

    def payment(self, order_id: str) -> Payment:
        rows: list[Payment] = self.rows(select(Payment).where(col(Payment.order_id) == order_id))
        return rows[0]

    def refunds(self, order_id: str) -> list[Refund]:
        rows: list[Refund] = self.rows(
            select(Refund).join(Payment).where(col(Payment.order_id) == order_id).order_by(col(Refund.id))
        )
        return rows

    def purchases(self, order_id: str) -> list[Purchase]:
        rows: list[Purchase] = self.rows(select(Purchase).join(Payment).where(col(Payment.order_id) == order_id))
        return rows

    def kinds(self, order_id: str) -> list[str]:
        """The timeline of a payment, in one word each."""
        query = select(Event).join(Payment).where(col(Payment.order_id) == order_id).order_by(col(Event.id))
        return [event.kind for event in self.rows(query)]

    def rows(self, query: Any) -> list[Any]:
        async def read() -> list[Any]:
            async with self.till.db.read() as session:
                return list((await session.exec(query)).all())

        found: list[Any] = self.run(read)
        return found

    def change(self, act: Any) -> None:
        """Run `await act(session)` in one write transaction: what a test needs that no page can do."""

        async def write() -> None:
            async with self.till.db.write() as session:
                await act(session)

        self.run(write)


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    """The app as it runs in production, on this test's database, talking to the sandbox."""
    app = create_app(settings)
    with TestClient(app) as door:
        yield House(app, settings, door)


@pytest.fixture
def stranger(house: House) -> Visitor:
    """Nobody is logged in."""
    return house.visitor()


@pytest.fixture
def buyer(house: House) -> Visitor:
    return house.visitor(story.BUYER)


@pytest.fixture
def member(house: House) -> Visitor:
    return house.visitor(story.MEMBER)


@pytest.fixture
def other(house: House) -> Visitor:
    """Another buyer: a stranger to the buyer's things."""
    return house.visitor(story.OTHER)


@pytest.fixture
def admin(house: House) -> Visitor:
    """An owner: may do everything."""
    return house.visitor(story.ADMIN)


@pytest.fixture
def operator(house: House) -> Visitor:
    """An admin who may give money back, and not take the list away."""
    return house.hired(Role.OPERATOR)


@pytest.fixture
def viewer(house: House) -> Visitor:
    """An admin who may only look."""
    return house.hired(Role.VIEWER)


# ── a purchase, step by step ─────────────────────────────────────────────────────────────────────────────────────────

ORDER = {"payment_method": "card", "buyer_name": "김찐", "buyer_phone": "010-1234-5678", "agree": "on"}


@dataclass(frozen=True)
class Checkout:
    """How far a purchase has come: ordered, window opened, and where the PG sends the browser."""

    order_id: str
    payment_key: str = ""
    back: str = ""

    @property
    def path(self) -> str:
        return f"/payments/{self.order_id}"


class Cashier:
    """Plays a buyer through the real forms and the real PG window."""

    pg, method = "toss", "card"
    second_ends = "canceled"
    """How a second payment for the same prompt ends: never taken, or, where the window itself takes it, given back."""
    confirm = "confirm"
    """The call by which we learn that it moved, in the words of the sandbox's faults and ledger."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @classmethod
    def keys(cls, url: str) -> dict[str, str]:
        """Settings that this PG needs, when not every house has them."""
        return {}

    def order(self, visitor: Visitor, prompt_id: int = story.PROMPT, **changed: str) -> Checkout:
        return Checkout(self.post(visitor, prompt_id, **changed).split("/")[2])

    def post(self, visitor: Visitor, prompt_id: int, **changed: str) -> str:
        """The order form; answers where it leads."""
        order = ORDER | {"payment_method": self.method, "prompt_id": str(prompt_id)} | changed
        answer = visitor.post("/payments", data=order)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def open(self, visitor: Visitor, checkout: Checkout, **changed: Any) -> Checkout:
        """The window page, and the PG's window. `changed` is what a dishonest browser alters."""
        page = visitor.get(f"{checkout.path}/window")
        assert page.status_code == 200, page.text
        return replace(checkout, payment_key=self.sandbox.open(steps_of(page.text), **changed))

    def fault(self, call: str, kind: str, **more: Any) -> None:
        """As sandbox.fault, at the PG of this cashier."""
        self.sandbox.fault(self.confirm if call == "confirm" else call, kind, self.pg, **more)

    def confirm_calls(self, checkout: Checkout) -> int:
        """How often the PG was asked to confirm."""
        return int(self.sandbox.ledger(checkout.order_id)[f"{self.confirm}_calls"])

    def handed(self, checkout: Checkout) -> str:
        """What the PG handed the browser."""
        return checkout.payment_key

    def press(self, checkout: Checkout, button: str = "authenticate") -> Checkout:
        back = self.sandbox.press(checkout.payment_key, button, self.pg)
        return replace(checkout, back=back.removeprefix("http://testserver"))

    def authenticate(self, visitor: Visitor, prompt_id: int = story.PROMPT, button: str = "authenticate") -> Checkout:
        """Everything up to the moment the PG sends the browser back."""
        return self.press(self.open(visitor, self.order(visitor, prompt_id)), button)

    def buy(self, visitor: Visitor, prompt_id: int = story.PROMPT) -> Checkout:
        """A whole purchase."""
        checkout = self.authenticate(visitor, prompt_id)
        answer = visitor.get(checkout.back)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"] == checkout.path
        return checkout

    def refund(self, admin: Visitor, checkout: Checkout, **fields: str) -> Any:
        """Through the refund form, the way htmx posts it."""
        from tests.fragments import one

        form = admin.part("GET", f"/admin/payments/{checkout.order_id}/refunds/new")
        key = str(one(form.text, "input[name=key]")["value"])
        data = {"amount": "", "reason": "단순변심", "key": key} | fields
        return admin.part("POST", f"/admin/payments/{checkout.order_id}/refunds", data=data)


class KakaoCashier(Cashier):
    """The same purchase through KakaoPay: the browser goes straight to its waiting page."""

    pg, method = "kakaopay", "kakao"

    def order(self, visitor: Visitor, prompt_id: int = story.PROMPT, **changed: str) -> Checkout:
        tid = self.look(self.post(visitor, prompt_id, **changed))
        lines = self.sandbox.total()["orders"].items()
        return Checkout(next(order_id for order_id, line in lines if tid in line["payments"]), tid)

    def open(self, visitor: Visitor, checkout: Checkout, **changed: Any) -> Checkout:
        """Once more: as long as it lives the same page opens."""
        answer = visitor.get(f"{checkout.path}/window")
        assert answer.status_code == 303, answer.text
        return replace(checkout, payment_key=self.look(answer.headers["location"]))

    def handed(self, checkout: Checkout) -> str:
        return checkout.back.partition("pg_token=")[2]

    def look(self, url: str) -> str:
        """The waiting page; answers its tid."""
        page = self.sandbox.http.get(url).raise_for_status()
        return page.text.partition("/kakaopay/_window/")[2].partition("/")[0]


class PortOneCashier(Cashier):
    """The same purchase at PortOne's window, which takes the money by itself; so to confirm is to look."""

    pg, method = "portone", "portone"
    second_ends, confirm = "refunded", "find"

    @classmethod
    def keys(cls, url: str) -> dict[str, str]:
        return {
            "PORTONE_STORE_ID": "store-of-the-house",
            "PORTONE_CHANNEL_KEY": "channel-key-of-the-house",
            "PORTONE_API_SECRET": "secret-of-the-house",
            "PORTONE_API_URL": f"{url}/portone",
            "PORTONE_SDK_URL": f"{url}/portone/v2/browser-sdk.js",
        }

    def open(self, visitor: Visitor, checkout: Checkout, **changed: Any) -> Checkout:
        page = visitor.get(f"{checkout.path}/window")
        assert page.status_code == 200, page.text
        asked = self.asked(steps_of(page.text)) | changed
        answer = self.sandbox.http.post(f"/{self.pg}/_open", json=asked).raise_for_status()
        return replace(checkout, payment_key=str(answer.json()["paymentKey"]))

    def asked(self, steps: list[list[Any]]) -> dict[str, Any]:
        """What the SDK makes of our steps."""
        request: dict[str, Any] = steps[0][1]
        return request

    def handed(self, checkout: Checkout) -> str:
        return checkout.order_id


class PortOneConfirmCashier(PortOneCashier):
    """PortOne with a channel that waits for our confirm."""

    second_ends, confirm = "canceled", "confirm"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        sandbox.switch(portone_manual_confirm=True)


class PortOneV1Cashier(PortOneCashier):
    """On a PC: a callback is told how it went, and takes it to the return URL as it is."""

    pg, method = "portone_v1", "portone_v1"
    confirm = "confirm"

    @classmethod
    def keys(cls, url: str) -> dict[str, str]:
        return {
            "PORTONE_V1_IMP_KEY": "key-of-the-house",
            "PORTONE_V1_IMP_SECRET": "secret-of-the-house",
            "PORTONE_V1_IMP_CODE": "imp00000000",
            "PORTONE_V1_CHANNEL_KEY": "channel-key-of-the-house",
            "PORTONE_V1_API_URL": f"{url}/portone_v1",
            "PORTONE_V1_SDK_URL": f"{url}/portone_v1/v1/iamport.js",
        }

    def asked(self, steps: list[list[Any]]) -> dict[str, Any]:
        (_, code), (_, request, _) = steps
        return {**request, "impCode": code, "windowTarget": "iframe"}

    def press(self, checkout: Checkout, button: str = "authenticate") -> Checkout:
        answer = self.sandbox.http.post(f"/{self.pg}/_window/{checkout.payment_key}/{button}", json={})
        told: dict[str, str] = answer.raise_for_status().json()["result"]
        return replace(checkout, back=f"{checkout.path}/return?{urlencode(told)}")

    def handed(self, checkout: Checkout) -> str:
        return checkout.payment_key


CASHIERS: dict[str, type[Cashier]] = {
    "toss": Cashier,
    "kakaopay": KakaoCashier,
    "portone": PortOneCashier,
    "portone_v1": PortOneV1Cashier,
    "portone_confirm": PortOneConfirmCashier,
}


def _at(names: list[str]) -> pytest.MarkDecorator:
    """On both databases at Toss, on SQLite alone at the others: what they do differently is not in the database."""
    where = [("sqlite", name) for name in names]
    where += [("postgresql", "toss")] if "toss" in names else []
    return pytest.mark.parametrize(("database_url", "at"), where, indirect=True)


EVERY_PG = _at([name for name in CASHIERS if name != "portone_confirm"])
"""Plays a test at every PG."""
EVERY_CONFIRM = _at([name for name, kind in CASHIERS.items() if kind.second_ends == "canceled"])
"""Plays a test wherever nothing is taken before we confirm."""
EVERY_WINDOW = _at([name for name, kind in CASHIERS.items() if kind.second_ends == "refunded"])
"""Plays a test wherever the window itself takes the money."""


@pytest.fixture
def cashier(sandbox: Sandbox, at: str) -> Cashier:
    return CASHIERS[at](sandbox)
