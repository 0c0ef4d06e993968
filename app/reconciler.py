"""Comes back to whatever is unsettled: it reads the tables, never a queue, and never ends asking.

Several workers may run it at once, and `python -m app reconcile` beside them: a lease lets one ask at a time.
"""

import asyncio
import logging

from sqlmodel import col, select

from app import inbox
from app.clock import now
from app.models import Payment
from app.settlement import lease, settle
from app.till import Till

log = logging.getLogger(__name__)


async def reconcile(till: Till, limit: int = 100) -> list[Payment]:
    """One pass over the payments whose time has come, and the webhooks not acted on. Returns what it settled."""
    await inbox.read_on(till)
    async with till.db.read() as session:
        due = select(Payment.order_id).where(col(Payment.next_check_at) <= now())
        order_ids = (await session.exec(due.order_by(col(Payment.next_check_at)).limit(limit))).all()
    settled = []
    for order_id in order_ids:
        try:
            if await lease(till, order_id):
                payment = await settle(till, order_id, "reconciler")
                settled += [] if payment.next_check_at else [payment]
        except Exception:
            log.exception("%s: 대사하지 못했습니다", order_id)
    return settled


async def keep_reconciling(till: Till, every: float) -> None:
    """Runs beside the app for ever; `every` in seconds."""
    while True:
        await asyncio.sleep(every)
        try:
            await reconcile(till)
        except Exception:
            log.exception("대사를 한 차례 거릅니다")
