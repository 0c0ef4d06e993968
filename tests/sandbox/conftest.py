"""The sandbox in memory (shop), on a real socket (live), and its merchant's ear."""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from sandbox import create_app
from tests.sandbox.portone_shop import PortOneShop
from tests.sandbox.shop import Ear, Shop, until


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SANDBOX_"):
            monkeypatch.delenv(name)


@pytest.fixture
def shop() -> Iterator[Shop]:
    with TestClient(create_app(), follow_redirects=False) as client:
        yield Shop(client)


@pytest.fixture
def portone(shop: Shop) -> PortOneShop:
    return PortOneShop(shop.http)


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(create_app(), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def live(sandbox_url: str) -> Iterator[Shop]:
    """The shop over real sockets."""
    with httpx.Client(base_url=sandbox_url, trust_env=False, timeout=5) as client:
        client.delete("/_state")
        yield Shop(client)
        client.delete("/_state")


@pytest.fixture
def ear() -> Iterator[Ear]:
    ear = Ear()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            body = json.loads(raw)
            ear.raw.append(raw.decode())
            ear.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(ear.says.pop(0) if ear.says else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ear.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/toss"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield ear
    server.shutdown()
    server.server_close()
    thread.join()
