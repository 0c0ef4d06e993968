"""The app on a real socket, and people who act on it without a browser."""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import uvicorn

from app.config import Settings
from app.main import create_app
from app.order_id import new_order_id
from tests import story
from tests.conftest import Cashier, Checkout, Visitor
from tests.fragments import PARTIAL
from tests.sandboxes import Sandbox


def listen() -> socket.socket:
    """A free port, held: the app must know its own address before it starts."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


@contextmanager
def serve(settings: Settings, listener: socket.socket) -> Iterator[None]:
    config = uvicorn.Config(create_app(settings), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the app does not start"
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)


class Caller(httpx.Client):
    """Asks as a Visitor does, only over the socket."""

    def part(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self.request(method, url, headers=PARTIAL, **options)


@dataclass
class Shop:
    """The running app with its pretend PG. What is done here by HTTP, somebody does elsewhere meanwhile."""

    url: str
    sandbox: Sandbox
    database_url: str
    inside: dict[str, Caller] = field(default_factory=dict)

    @property
    def cashier(self) -> Cashier:
        return Cashier(self.sandbox)

    def person(self, email: str) -> Visitor:
        """Logged in without a browser."""
        if email not in self.inside:
            caller = self.inside[email] = Caller(base_url=self.url, timeout=10)
            answer = caller.post("/login", data={"email": email, "password": story.PASSWORD})
            assert answer.status_code == 303, answer.text
        return cast(Visitor, self.inside[email])

    def bought(self, email: str, prompt_id: int = story.PROMPT) -> Checkout:
        """Somebody has bought a prompt."""
        return self.cashier.buy(self.person(email), prompt_id)

    def refunded(self, checkout: Checkout, **fields: str) -> None:
        """An operator elsewhere has given money back."""
        answer = self.cashier.refund(self.person(story.ADMIN), checkout, **fields)
        assert answer.status_code == 200, answer.text

    def speak_again(self) -> None:
        """The PG answers as it should."""
        self.sandbox.http.delete("/_faults").raise_for_status()

    def hang_up(self) -> None:
        """From now on the PG sends no webhooks."""
        self.sandbox.http.put("/_settings", json={"toss_webhook_url": None}).raise_for_status()

    def rewrite(self, order_id: str, **columns: Any) -> None:
        """A state that would take an hour to reach. Only on SQLite."""
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        with self.database() as db:
            db.execute(f"UPDATE payment SET {changes} WHERE order_id = :it", columns | {"it": order_id})

    def repeat(self, order_id: str, times: int) -> None:
        """As many more payments like this one. Only on SQLite."""
        with self.database() as db:
            db.row_factory = sqlite3.Row
            payment = dict(db.execute("SELECT * FROM payment WHERE order_id = ?", (order_id,)).fetchone())
            del payment["id"]
            names, marks = ", ".join(payment), ", ".join(f":{name}" for name in payment)
            copies = [payment | {"order_id": new_order_id()} for _ in range(times)]
            db.executemany(f"INSERT INTO payment ({names}) VALUES ({marks})", copies)

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.database_url.removeprefix("sqlite:///"))) as db, db:
            yield db

    def close(self) -> None:
        for caller in self.inside.values():
            caller.close()
