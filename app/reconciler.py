"""Comes back to whatever is unsettled: it reads the table, never a queue, and never ends asking.

Several workers may run it at once, and `python -m app reconcile` beside them: a lease lets one ask at a time.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import or_, update
from sqlmodel import col, func, select

from app.beside import keep_on, tell
from app.clock import now
from app.deposits import close_owned
from app.gateways import InDoubt
from app.models import Payment
from app.settlement import lease, settle
from app.till import BREATH, Refused, Till

log = logging.getLogger(__name__)

AT_ONCE = 8  # questions of one pass that are out to one PG at one time
PASSES = 8  # that wait for an answer: a PG that hangs must not hold up the next look
SCOUTS = 3  # questions of a pass before the others: a PG that leaves them all unanswered is silent
SKIPPED = "대사를 한 차례 거릅니다"
PROBE = timedelta(seconds=5)
"""A silent PG is asked only by scouts this often, whatever waits for it: one answer brings all the others."""


async def reconcile(till: Till, limit: int = 200) -> list[Payment]:
    """One pass over the payments whose time has come, at most `limit` of each PG. Returns those that came to rest."""
    rounds = await _rounds(till, limit)
    await asyncio.gather(*(round_.go() for round_ in rounds))
    return [payment for round_ in rounds for payment in round_.found if payment.next_check_at is None]


async def _rounds(till: Till, limit: int) -> list["Round"]:
    """Whose time has come; where nobody's has, one that waits for a silent PG, to hear whether it speaks again."""
    overdue = col(Payment.next_check_at) <= now()
    silent = col(Payment.next_check_at) > now(), col(Payment.awaiting_answer), col(Payment.checked_at) < now() - PROBE
    rounds = []
    async with till.db.read() as session:
        open_at = select(Payment.gateway).where(col(Payment.next_check_at).is_not(None)).distinct()
        for gateway in (await session.exec(open_at)).all():
            here = select(Payment.order_id).where(col(Payment.gateway) == gateway)
            due = here.where(overdue).order_by(col(Payment.next_check_at)).limit(limit)
            if order_ids := (await session.exec(due)).all():
                rounds.append(Round(till, gateway, list(order_ids)))
                continue
            probe = here.where(*silent).order_by(col(Payment.checked_at)).limit(1)
            rounds.append(Round(till, gateway, list((await session.exec(probe)).all()), early=True))
    return rounds


@dataclass
class Round:
    """The questions of one pass to one PG: the scouts first, and the others only when one of them was answered."""

    till: Till
    gateway: str
    order_ids: list[str]
    early: bool = False
    found: list[Payment] = field(default_factory=list)
    silences: int = 0  # in a row

    async def go(self) -> None:
        await asyncio.gather(*(self._scout() for _ in range(min(SCOUTS, AT_ONCE))))
        if any(not payment.awaiting_answer for payment in self.found):
            await _wake(self.till, self.gateway)
            await asyncio.gather(*(self._go_on() for _ in range(AT_ONCE)))

    async def _scout(self) -> None:
        while self.order_ids and not await self._take_up(self.order_ids.pop(0)):
            pass

    async def _go_on(self) -> None:
        while self.order_ids and self.silences < SCOUTS:
            await self._take_up(self.order_ids.pop(0))

    async def _take_up(self, order_id: str) -> bool:
        """False: somebody else is asking, or it has come to rest."""
        try:
            if not await lease(self.till, order_id, "reconciler", early=self.early):
                return False
            payment = await close_owned(self.till, await settle(self.till, order_id, "reconciler"))
            self.found.append(payment)
            self.silences = self.silences + 1 if payment.awaiting_answer else 0
        except (InDoubt, Refused) as silence:
            self.silences += 1
            log.warning("%s: PG에 물었으나 답이 없습니다 (%s)", order_id, silence.code)
        except Exception as error:
            tell(f"{order_id}: 대사하지 못했습니다", error)
        return True


async def _wake(till: Till, gateway: str) -> None:
    """A PG that speaks again is asked about everything it has left open."""
    waiting = (col(Payment.gateway) == gateway, col(Payment.awaiting_answer), col(Payment.next_check_at) > now())
    before = col(Payment.checked_at) < now() - BREATH  # asked while it was silent, not just now
    async with till.db.write() as session:
        if (await session.exec(update(Payment).where(*waiting, before).values(next_check_at=now()))).rowcount:
            till.stir.set()


async def keep_reconciling(till: Till, every: float) -> None:
    """Runs beside the app for ever. At the latest every `every` seconds, sooner when something is due sooner."""
    passes: set[asyncio.Task[list[Payment]]] = set()

    async def begin() -> None:
        pause = await _pause(till, every)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(till.stir.wait(), pause)
        till.stir.clear()
        if len(passes) < PASSES:
            passes.add(task := asyncio.create_task(reconcile(till)))
            task.add_done_callback(passes.discard)
            task.add_done_callback(_complain)

    await keep_on(begin, SKIPPED)


async def _pause(till: Till, every: float) -> float:
    """Seconds until the next pass is worth it. What is overdue waits for its PG to speak again, or is being asked."""
    waits = col(Payment.next_check_at)
    async with till.db.read() as session:
        first = (await session.exec(select(func.min(waits)).where(waits > now()))).one()
        left = or_(waits <= now(), waits.is_not(None) & col(Payment.awaiting_answer))
        silent = (await session.exec(select(Payment.id).where(left).limit(1))).first()
    pauses = [every, PROBE.total_seconds() if silent else every]
    if isinstance(first, datetime):
        pauses.append((first - now()).total_seconds())
    return max(1.0, min(pauses))


def _complain(task: "asyncio.Task[list[Payment]]") -> None:
    if not task.cancelled() and (error := task.exception()):
        tell(SKIPPED, error)
