"""The two years of a made-up history: when payments begin, and how a moment is written for either database.

Moments are whole microseconds since `origin`, the UTC midnight before the first day in KST.
"""

import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import accumulate, pairwise
from random import Random

DAYS = 730
SECOND = 1_000_000
DAY = 86_400 * SECOND
UNTIL = DAYS * DAY + 15 * 3600 * SECOND  # KST midnight after the last day

HOURS = (3, 2, 1, 1, 1, 1, 1, 2, 4, 6, 8, 8, 7, 7, 8, 8, 7, 6, 6, 7, 9, 10, 9, 6)  # payments by the hour in KST
WEEKDAYS = (1.1, 1.1, 1.05, 1.05, 0.95, 0.75, 0.9)

Moment = str | datetime
Stamp = Callable[[int], Moment]


def texts(origin: datetime) -> Stamp:
    """Moments as SQLAlchemy stores them on SQLite: UTC, without an offset, always with microseconds."""
    days, seconds = words(origin, "%Y-%m-%d ", "{:02}:{:02}:{:02}.")

    def stamp(moment: int) -> str:
        second, micro = divmod(moment, SECOND)
        return f"{days[second // 86_400]}{seconds[second % 86_400]}{micro:06}"

    return stamp


def datetimes(origin: datetime) -> Stamp:
    def stamp(moment: int) -> datetime:
        return origin + timedelta(0, 0, moment)

    return stamp


def words(origin: datetime, day: str, time: str) -> tuple[list[str], list[str]]:
    """Every day of the history and every second of a day as text: strftime is slow."""
    return [f"{origin + timedelta(number):{day}}" for number in range(DAYS + 3)], _seconds(time)


@cache
def _seconds(time: str) -> list[str]:
    return [time.format(second // 3600, second // 60 % 60, second % 60) for second in range(86_400)]


def slots(chance: Random, origin: datetime, count: int) -> Iterator[int]:
    """When the payments begin, in order: growing over two years, by weekday and hour, no two days alike."""
    weights = [
        math.exp(1.8 * day / DAYS) * WEEKDAYS[(origin + timedelta(day + 1)).weekday()] * chance.lognormvariate(0, 0.15)
        for day in range(DAYS)
    ]
    share = count / sum(weights)
    ends = [round(weight * share) for weight in accumulate(weights, initial=0)]
    hours = [hour for hour, weight in enumerate(HOURS) for _ in range(weight)]
    for day, (start, end) in enumerate(pairwise(ends)):
        midnight = day * DAY + 15 * 3600 * SECOND  # KST midnight of day 0 is 15:00 UTC of the day that `origin` begins
        yield from sorted(
            midnight + int((chance.choice(hours) + chance.random()) * 3600 * SECOND) for _ in range(end - start)
        )
