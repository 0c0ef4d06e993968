"""Webhooks leave in the background and are sent again as each PG does it. `GET /_webhooks` tells how they fared."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import httpx

from sandbox.clock import Clock, kst


@runtime_checkable
class Sender(Protocol):
    """A PG's manners: its headers, what it takes for success, after how many seconds it tries again."""

    def webhook_headers(self, delivery: "Delivery") -> dict[str, str]: ...
    def webhook_heard(self, status: int) -> bool: ...
    def webhook_waits(self) -> list[float]: ...
    def webhook_timeout(self) -> float: ...


@dataclass
class Delivery:
    gateway: str
    url: str
    event: str
    order_id: str
    body: str
    created_at: str
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = "sending"  # sending -> success | failed
    attempts: list[dict[str, Any]] = field(default_factory=list)
    next_at: float | None = None
    last: bool = False  # asked for by hand: the schedule is void

    def shown(self) -> dict[str, Any]:
        return asdict(self) | {"next_at": None if self.next_at is None else kst(self.next_at)}


class Outbox:
    def __init__(self, clock: Clock, sender: Callable[[str], Sender]) -> None:
        self.clock, self.sender = clock, sender
        self.deliveries: dict[str, Delivery] = {}
        self.waiting: dict[str, Delivery] = {}
        self.wake = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    def put(self, delivery: Delivery) -> None:
        self.deliveries[delivery.id] = delivery
        self._schedule(delivery, 0)

    def resend(self, delivery: Delivery) -> None:
        delivery.state, delivery.last = "sending", True
        self._schedule(delivery, 0)

    def _schedule(self, delivery: Delivery, wait: float) -> None:
        delivery.next_at = self.clock.now() + wait
        self.waiting[delivery.id] = delivery
        self.wake.set()

    def send_due(self, client: httpx.AsyncClient) -> float:
        """Start what is due; answer how many seconds until the next one is."""
        now, wait = self.clock.now(), 1.0
        for delivery in list(self.waiting.values()):
            if (due := delivery.next_at or 0) > now:
                wait = min(wait, due - now)
                continue
            delivery.next_at = None
            del self.waiting[delivery.id]
            task = asyncio.create_task(self._attempt(client, delivery))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return wait

    async def _attempt(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        sender = self.sender(delivery.gateway)
        headers = {"content-type": "application/json"} | sender.webhook_headers(delivery)
        attempt: dict[str, Any] = {"at": kst(self.clock.now()), "headers": headers, "status": None, "error": None}
        delivery.attempts.append(attempt)
        try:
            async with asyncio.timeout(sender.webhook_timeout()):
                answer = await client.post(delivery.url, content=delivery.body.encode(), headers=headers)
            attempt["status"] = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            attempt["error"] = type(error).__name__
        self._settle(delivery, sender, attempt["status"])

    def _settle(self, delivery: Delivery, sender: Sender, status: int | None) -> None:
        waits = [] if delivery.last else sender.webhook_waits()
        tried = len(delivery.attempts)
        if status is not None and sender.webhook_heard(status):
            delivery.state = "success"
        elif tried <= len(waits):
            self._schedule(delivery, waits[tried - 1])
        else:
            delivery.state = "failed"

    def clear(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.deliveries.clear()
        self.waiting.clear()

    def dump(self) -> list[dict[str, Any]]:
        return [asdict(delivery) for delivery in self.deliveries.values()]

    def load(self, kept: list[dict[str, Any]]) -> None:
        deliveries = [Delivery(**it) for it in kept]
        for delivery in deliveries:
            if delivery.state == "sending" and delivery.next_at is None:
                delivery.next_at = self.clock.now()  # was under way when the program ended
        self.deliveries = {delivery.id: delivery for delivery in deliveries}
        self.waiting = {delivery.id: delivery for delivery in deliveries if delivery.next_at is not None}
