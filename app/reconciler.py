"""Comes back to whatever is unsettled: it reads the table, never a queue, and never ends asking.

Several workers may run it at once, and `python -m app reconcile` beside them: a lease lets one ask at a time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import update
from sqlmodel import col, func, select

from app.clock import now
from app.deposits import close_owned
from app.gateways import InDoubt
from app.models import Payment
from app.settlement import lease, settle
from app.till import Refused, Till

log = logging.getLogger(__name__)

AT_ONCE = 8  # questions that are out to the PGs at one time
PROBE = timedelta(seconds=5)
"""While a PG is silent, one payment asks it this often, however long the others pause: its answer wakes them all."""


async def reconcile(till: Till, limit: int = 200) -> list[Payment]:
    """One pass over the payments whose time has come. Returns those that came to rest."""
    turn = asyncio.Semaphore(AT_ONCE)
    answered: set[str] = set()

    async def take_up(order_id: str, early: bool) -> Payment | None:
        async with turn:
            return await _take_up(till, order_id, early, answered)

    due, probe = await _due(till, limit)
    found = await asyncio.gather(
        *(take_up(order_id, False) for order_id in due), *(take_up(one, True) for one in probe)
    )
    return [payment for payment in found if payment and payment.next_check_at is None]


async def _due(till: Till, limit: int) -> tuple[Sequence[str], Sequence[str]]:
    """Whose time has come; and one that waits for a silent PG, to hear whether it speaks again."""
    due = select(Payment.order_id).where(col(Payment.next_check_at) <= now()).order_by(col(Payment.next_check_at))
    waiting = select(Payment.order_id).where(
        col(Payment.next_check_at) > now(),
        col(Payment.awaiting_answer),
        col(Payment.checked_at) < now() - PROBE,
    )
    async with till.db.read() as session:
        order_ids = (await session.exec(due.limit(limit))).all()
        probe = (await session.exec(waiting.order_by(col(Payment.checked_at)).limit(1))).all()
    return order_ids, probe


async def _take_up(till: Till, order_id: str, early: bool, answered: set[str]) -> Payment | None:
    try:
        if not await lease(till, order_id, early=early):
            return None
        payment = await close_owned(till, await settle(till, order_id, "reconciler"))
        if not payment.awaiting_answer and payment.gateway not in answered:
            answered.add(payment.gateway)
            await _wake(till, payment.gateway)
        return payment
    except (InDoubt, Refused) as silence:
        log.warning("%s: PG에 물었으나 답이 없습니다 (%s)", order_id, silence.code)
    except Exception:
        log.exception("%s: 대사하지 못했습니다", order_id)
    return None


async def _wake(till: Till, gateway: str) -> None:
    """A PG that speaks again is asked about everything it has left open."""
    waiting = (col(Payment.gateway) == gateway, col(Payment.awaiting_answer), col(Payment.next_check_at) > now())
    before = col(Payment.checked_at) < now() - PROBE  # asked while it was silent, not just now
    async with till.db.write() as session:
        await session.exec(update(Payment).where(*waiting, before).values(next_check_at=now()))


async def keep_reconciling(till: Till, every: float) -> None:
    """Runs beside the app for ever. At the latest every `every` seconds, sooner when something is due sooner."""
    passes: set[asyncio.Task[list[Payment]]] = set()
    while True:
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(till.stir.wait(), await _pause(till, every))
            till.stir.clear()
            if len(passes) < AT_ONCE:  # a PG that hangs must not hold up the next look
                passes.add(task := asyncio.create_task(reconcile(till)))
                task.add_done_callback(passes.discard)
                task.add_done_callback(_complain)
        except Exception:
            log.exception("대사를 한 차례 거릅니다")
            await asyncio.sleep(every)


async def _pause(till: Till, every: float) -> float:
    """Seconds until the next pass is worth it."""
    async with till.db.read() as session:
        first = (await session.exec(select(func.min(Payment.next_check_at)))).one()
        waiting = select(Payment.id).where(col(Payment.next_check_at).is_not(None), col(Payment.awaiting_answer))
        silent = (await session.exec(waiting.limit(1))).first()
    pauses = [every, PROBE.total_seconds() if silent else every]
    if isinstance(first, datetime):
        pauses.append((first - now()).total_seconds())
    return max(1.0, min(pauses))


def _complain(task: "asyncio.Task[list[Payment]]") -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("대사를 한 차례 거릅니다", exc_info=error)
