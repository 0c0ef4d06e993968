"""Everything the sandbox knows: in memory, or kept in a JSON file when SANDBOX_STATE names one."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import httpx

from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.ledger import Entry
from sandbox.settings import Settings
from sandbox.switches import Switches
from sandbox.webhooks import Outbox, Sender

SWEEP_EVERY = 1.0  # seconds; a webhook to send wakes the background much more often


class Gateway(Protocol):
    """A pretend PG. One that sends webhooks is a Sender too."""

    name: str
    calls: tuple[str, ...]
    aliases: ClassVar[Mapping[str, str]]
    """A word that works at every PG -> what this one calls it: confirm, find, cancel, start."""

    def entries(self) -> Iterable[Entry]: ...
    def sweep(self) -> None: ...
    def dump(self) -> dict[str, Any]: ...
    def load(self, kept: dict[str, Any]) -> None: ...
    def reset(self) -> None: ...


class World:
    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.clock, self.settings, self.switches, self.faults = Clock(), Settings(), Switches(), Faults()
        self.gateways: dict[str, Gateway] = {}
        self.outbox = Outbox(self.clock, self.sender)

    def sender(self, name: str) -> Sender:
        gateway = self.gateways[name]
        assert isinstance(gateway, Sender), f"{name} sends no webhooks"
        return gateway

    def entries(self) -> Iterable[Entry]:
        return (entry for gateway in self.gateways.values() for entry in gateway.entries())

    def sweep(self) -> None:
        for gateway in self.gateways.values():
            gateway.sweep()

    def reset(self) -> None:
        self.clock.skipped = 0
        self.settings.reset()
        self.switches.reset()
        self.faults.clear()
        self.outbox.clear()
        for gateway in self.gateways.values():
            gateway.reset()

    async def run(self) -> None:
        """The background: payments expire and webhooks leave."""
        async with httpx.AsyncClient(trust_env=False, timeout=None) as client:  # noqa: S113 (the outbox keeps the time)
            swept = -SWEEP_EVERY
            while True:
                self.outbox.wake.clear()
                if time.monotonic() - swept >= SWEEP_EVERY:
                    self.sweep()
                    swept = time.monotonic()
                wait = self.outbox.send_due(client)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.outbox.wake.wait(), wait)

    def save(self) -> None:
        if not self.path:
            return
        kept = {
            "skipped": self.clock.skipped,
            "switches": self.switches.turned,
            "deliveries": self.outbox.dump(),
            "gateways": {name: gateway.dump() for name, gateway in self.gateways.items()},
        }
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(kept, ensure_ascii=False))
        draft.replace(self.path)

    def load(self) -> None:
        if not self.path or not self.path.exists():
            return
        kept = json.loads(self.path.read_text())
        self.clock.skipped = kept["skipped"]
        self.switches.turn(kept["switches"])
        self.outbox.load(kept["deliveries"])
        for name, its in kept["gateways"].items():
            if name in self.gateways:
                self.gateways[name].load(its)
