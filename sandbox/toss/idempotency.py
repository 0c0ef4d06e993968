"""Idempotency-Key (pg/toss.md §2.2): the first answer, errors too, is bound to the key for 15 days."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.clock import Clock

LIFE = 15 * 24 * 3600


@dataclass
class Bound:
    at: float
    trace: str
    status: int | None = None  # None while the first request runs
    body: str = ""


def scope(key: str, secret: str, method: str, url: str) -> str:
    """Hashed, so that a state file holds no keys. The body is not part of it."""
    return hashlib.sha256("\n".join((key, secret, method, url)).encode()).hexdigest()


class Idempotency:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.bound: dict[str, Bound] = {}

    def get(self, scope: str) -> Bound | None:
        bound = self.bound.get(scope)
        if bound and self.clock.now() - bound.at > LIFE:
            del self.bound[scope]
            return None
        return bound

    def begin(self, scope: str, trace: str) -> Bound:
        self.bound[scope] = Bound(self.clock.now(), trace)
        return self.bound[scope]

    def forget(self, scope: str) -> None:
        self.bound.pop(scope, None)

    def dump(self) -> dict[str, Any]:
        return {scope: asdict(bound) for scope, bound in self.bound.items() if bound.status is not None}

    def load(self, kept: dict[str, Any]) -> None:
        self.bound = {scope: Bound(**it) for scope, it in kept.items()}
