"""One clock: stored in UTC, shown in KST (Korea has no daylight saving time)."""

from datetime import UTC, datetime, timedelta, timezone

KST = timezone(timedelta(hours=9), "KST")


def now() -> datetime:
    return datetime.now(UTC)
