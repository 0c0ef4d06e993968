"""The pretend PGs on a real socket, and a buyer in front of their payment window."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from sandbox import create_app


class Sandbox:
    """What a test may do to the PG, and ask of it. The ledger is the truth that tests compare with."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=10)

    def reset(self) -> None:
        self.http.delete("/_state").raise_for_status()

    def fault(self, call: str, kind: str, pg: str = "toss", **more: Any) -> None:
        """The next `call` (confirm, find, cancel) goes wrong. `more`: when="before"|"after", times, status, code …"""
        self.http.put(f"/_faults/{pg}/{call}", json={"kind": kind, **more}).raise_for_status()

    def switch(self, **switches: Any) -> None:
        self.http.put("/_switches", json=switches).raise_for_status()

    def advance(self, seconds: float) -> None:
        self.http.put("/_clock", json={"advance_seconds": seconds}).raise_for_status()

    def ledger(self, order_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(f"/_ledger/{order_id}").raise_for_status().json()
        return answer

    def total(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get("/_ledger").raise_for_status().json()
        return answer

    def open(self, steps: list[list[Any]], **changed: Any) -> str:
        """What the SDK does with our steps; answers the payment key. `changed` is what a dishonest browser alters."""
        request: Mapping[str, Any] = {"clientKey": steps[0][1], **steps[1][1], **steps[2][1], **changed}
        answer = self.http.post("/toss/_open", json=request).raise_for_status()
        return str(answer.json()["paymentKey"])

    def press(self, payment_key: str, button: str = "authenticate", pg: str = "toss") -> str:
        """Press a button in the window; answers where the browser is sent."""
        answer = self.http.post(f"/{pg}/_window/{payment_key}/{button}")
        return str(answer.headers["location"])


@contextmanager
def serve_sandbox() -> Iterator[Sandbox]:
    config = uvicorn.Config(create_app(), host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    sandbox = Sandbox(f"http://127.0.0.1:{port}")
    try:
        yield sandbox
    finally:
        sandbox.http.close()
        server.should_exit = True
        thread.join(timeout=10)


def steps_of(window_page: str) -> list[list[Any]]:
    """The SDK steps written in a window page."""
    from tests.fragments import soup

    steps: list[list[Any]] = json.loads(str(soup(window_page).select_one("#window")["data-steps"]))  # type: ignore[index]
    return steps
