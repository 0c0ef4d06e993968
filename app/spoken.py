"""What is said between us and the PGs: every call with its answer, raw and in memory only.

app.exchanges writes it down afterwards, without what nobody should read. Nothing here can make a call fail.
"""

import functools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.clock import now

VERBS = ("start", "confirm", "cancel", "withdraw", "find")
"""In which a gateway speaks to its PG about one payment."""


@dataclass
class Said:
    payment_id: int
    verb: str
    method: str
    url: str
    at: datetime
    milliseconds: int = 0
    status: int | None = None
    silence: str | None = None
    """Why there was no usable answer."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    answer: Any = field(default=None, repr=False)


class Ear(deque[Said]):
    """What was said lately and is not written down yet. What it cannot hold is forgotten, the oldest first."""

    def __init__(self) -> None:
        super().__init__(maxlen=1000)


SPEAKING: ContextVar[tuple[Ear, str, int] | None] = ContextVar("SPEAKING", default=None)


def heard(verb: str, speak: Callable[..., Any]) -> Callable[..., Any]:
    """The same verb of a gateway, by whose ear it is heard."""

    @functools.wraps(speak)
    async def spoken(self: Any, payment: Any, *words: Any, **more: Any) -> Any:
        before = SPEAKING.set((self.ear, verb, payment.id) if payment.id else None)
        try:
            return await speak(self, payment, *words, **more)
        finally:
            SPEAKING.reset(before)

    return spoken


@contextmanager
def listening(method: str, url: str) -> Iterator[Said]:
    """To one call; whoever makes it fills in what came back."""
    ear, verb, payment_id = SPEAKING.get() or (None, "", 0)
    said = Said(payment_id, verb, method, url, now())
    began = time.monotonic()
    try:
        yield said
    except Exception as error:
        said.silence = str(getattr(error, "code", type(error).__name__))
        raise
    finally:
        said.milliseconds = round(1000 * (time.monotonic() - began))
        if ear is not None:
            ear.append(said)
