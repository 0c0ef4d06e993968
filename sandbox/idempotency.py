"""Idempotency-Key: the first answer, errors too, is bound to the key for as long as the PG says."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.clock import Clock


@dataclass
class Bound:
    at: float
    mark: str  # what the PG remembers with it: a trace id, the digest of the body
    status: int | None = None  # None while the first request runs
    body: str = ""


def scope(key: str, secret: str, method: str, url: str) -> str:
    """Hashed, so that a state file holds no keys. The body is not part of it."""
    return hashlib.sha256("\n".join((key, secret, method, url)).encode()).hexdigest()


class Idempotency:
    def __init__(self, clock: Clock, life: float) -> None:
        self.clock, self.life = clock, life
        self.bound: dict[str, Bound] = {}

    def get(self, scope: str) -> Bound | None:
        bound = self.bound.get(scope)
        if bound and self.clock.now() - bound.at > self.life:
            del self.bound[scope]
            return None
        return bound

    def begin(self, scope: str, mark: str) -> Bound:
        self.bound[scope] = Bound(self.clock.now(), mark)
        return self.bound[scope]

    def forget(self, scope: str) -> None:
        self.bound.pop(scope, None)

    def dump(self) -> dict[str, Any]:
        return {scope: asdict(bound) for scope, bound in self.bound.items() if bound.status is not None}

    def load(self, kept: dict[str, Any]) -> None:
        self.bound = {scope: Bound(**it) for scope, it in kept.items()}
