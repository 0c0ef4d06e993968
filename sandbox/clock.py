"""The sandbox's own clock: real time plus what a test has skipped."""

import time
from datetime import datetime, timedelta, timezone

KST = timezone(timedelta(hours=9))


class Clock:
    def __init__(self) -> None:
        self.skipped = 0.0

    def now(self) -> float:
        return time.time() + self.skipped

    def advance(self, seconds: float) -> None:
        self.skipped += seconds


def kst(moment: float) -> str:
    """2026-11-22T19:00:00+09:00"""
    return datetime.fromtimestamp(moment, KST).isoformat(timespec="seconds")
