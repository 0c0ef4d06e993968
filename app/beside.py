"""What runs beside the app for ever: a setback is told in the log, and it goes on after a pause."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from app.db import AWAY, what_failed

log = logging.getLogger(__name__)

LONGEST = 30.0  # seconds of a pause


async def keep_on(do: Callable[[], Awaitable[None]], setback: str, pause: float = 0.0) -> None:
    """`do` time and again, `pause` seconds between; after a setback a second, and twice as long after each further."""
    setbacks = 0
    while True:
        try:
            await do()
            setbacks = 0
        except Exception as error:
            tell(setback, error)
            setbacks += 1
        await asyncio.sleep(min(LONGEST, 2.0 ** (setbacks - 1)) if setbacks else pause)


def tell(setback: str, error: BaseException) -> None:
    """In one line when the database is away; whatever else went wrong is ours, and the traceback says where."""
    if isinstance(error, AWAY):
        log.error("%s (데이터베이스: %s)", setback, what_failed(error))
    else:
        log.error(setback, exc_info=error)
