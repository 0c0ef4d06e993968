"""Do the PGs' webhooks still come in? A blocked address is noticed by nobody else: payments go on without them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.clock import now
from app.models import Payment, Status, Webhook
from app.till import Till

SOON = timedelta(hours=1)
"""After money has moved: by then a PG has told of it, or tried to several times (pg/toss.md §5.1)."""
TOLD = (Status.COMPLETED, Status.REFUNDED)


@dataclass(frozen=True)
class Hearing:
    """What one PG has told us lately."""

    gateway: str
    last: datetime | None
    """The newest webhook that is not forged."""
    missed: bool
    """Money has moved there since, and nobody told us."""


async def hearing(session: AsyncSession, till: Till) -> Sequence[Hearing]:
    """Every configured PG that sends webhooks."""
    return [await _of(session, gateway.name) for gateway in till.gateways.values() if gateway.tells]


async def _of(session: AsyncSession, gateway: str) -> Hearing:
    webhooks = select(Webhook.received_at).where(Webhook.gateway == gateway, col(Webhook.forged).is_(False))
    last = (await session.exec(webhooks.order_by(col(Webhook.received_at).desc()).limit(1))).first()
    paid = select(Payment.created_at).where(Payment.gateway == gateway, col(Payment.status).in_(TOLD))
    due = paid.where(col(Payment.created_at) < now() - SOON).order_by(col(Payment.created_at).desc()).limit(1)
    paid_at = (await session.exec(due)).first()
    return Hearing(gateway, last, missed=paid_at is not None and (last is None or last < paid_at))
