"""When a PG does not answer several times in a row, buyers are shown another one until it has had time to recover."""

import time
from dataclasses import dataclass

SILENCES = 3  # in a row
PAUSE = 30.0  # seconds before the next buyer may try


@dataclass
class Circuit:
    """One PG as this process knows it: every worker finds out by itself, which costs it three buyers' patience."""

    silences: int = 0
    closes_at: float = 0.0  # seconds of the monotonic clock

    @property
    def open(self) -> bool:
        return self.silences >= SILENCES and time.monotonic() < self.closes_at

    def silent(self) -> None:
        self.silences += 1
        self.closes_at = time.monotonic() + PAUSE

    def answered(self) -> None:
        self.silences = 0
