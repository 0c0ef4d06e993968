"""What the PGs tell us: stored first, then acted on by asking the PG. Nothing a webhook says is believed.

A row is handled only once the PG was asked because of it; until then the reconciler comes back to it.
"""

import hashlib
import hmac
import logging
from collections.abc import Mapping

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import settlement
from app.clock import now
from app.gateways import Gateway, Heard
from app.models import Payment, Status, Webhook
from app.till import Till

log = logging.getLogger(__name__)


async def receive(till: Till, gateway: Gateway, headers: Mapping[str, str], body: bytes) -> int | None:
    """Store a webhook; the id of one that is still to be handled. Raises Forged when it cannot be the PG's."""
    heard = gateway.hear(headers, body)
    if heard is None:
        return None
    try:
        return await _store(till, gateway, heard, body)
    except IntegrityError:  # the same words arrived twice in one moment
        return await _store(till, gateway, heard, body)


async def _store(till: Till, gateway: Gateway, heard: Heard, body: bytes) -> int | None:
    digest = hashlib.sha256(body).hexdigest()
    async with till.db.write() as session:
        payment = await _payment(session, gateway, heard.order_id)
        if payment is None or payment.id is None:
            log.info("%s: 모르는 주문의 웹훅입니다", gateway.name)
            return None
        same = (col(Webhook.gateway) == gateway.name, col(Webhook.digest) == digest)
        webhook = (await session.exec(select(Webhook).where(*same))).one_or_none()
        if webhook:
            webhook.repeats += 1
        else:
            webhook = Webhook(
                payment_id=payment.id,
                gateway=gateway.name,
                digest=digest,
                transmission_id=heard.transmission_id,
                body=body.decode(errors="replace"),
                forged=_forged(payment, heard),
            )
            webhook.handled_at = now() if webhook.forged or _says_nothing_new(payment, heard) else None
            session.add(webhook)
            await session.flush()
        return None if webhook.handled_at else webhook.id


async def _payment(session: AsyncSession, gateway: Gateway, order_id: str) -> Payment | None:
    mine = (col(Payment.order_id) == order_id, col(Payment.gateway) == gateway.name)
    return (await session.exec(select(Payment).where(*mine))).one_or_none()


def _forged(payment: Payment, heard: Heard) -> bool:
    """Both sides know a secret and they differ. Where one is missing, the PG is asked as always."""
    if payment.pg_secret is None or heard.secret is None:
        return False
    return not hmac.compare_digest(payment.pg_secret.encode(), heard.secret.encode())


def _says_nothing_new(payment: Payment, heard: Heard) -> bool:
    """It tells of what our own call has just done. Believing that much can only spare the PG a question."""
    settled = payment.status in (Status.COMPLETED, Status.REFUNDED)
    return settled and payment.next_check_at is None and heard.given_back == payment.refunded_amount


async def handle(till: Till, webhook_id: int) -> None:
    """Ask the PG about its payment, unless it was asked a moment ago: then the reconciler will."""
    async with till.db.read() as session:
        query = select(Payment.order_id).join(Webhook).where(col(Webhook.id) == webhook_id)
        order_id = (await session.exec(query)).one()
    if not await settlement.lease(till, order_id, early=True):
        return
    asked_at = now()
    await settlement.settle(till, order_id, "webhook")
    async with till.db.write() as session:
        webhook = await session.get_one(Webhook, webhook_id)
        webhook.handled_at = asked_at


async def read_on(till: Till, limit: int = 100) -> None:
    """Handle what was stored and not acted on: we died, or the PG had just been asked."""
    async with till.db.read() as session:
        unread = select(Webhook.id).where(col(Webhook.handled_at).is_(None), col(Webhook.received_at) < now())
        ids = (await session.exec(unread.order_by(col(Webhook.received_at)).limit(limit))).all()
    for webhook_id in ids:
        try:
            await handle(till, webhook_id or 0)
        except Exception:
            log.exception("웹훅 %s: 처리하지 못했습니다", webhook_id)


async def replay(till: Till, webhook_id: int) -> None:
    """The operator wants it acted on again."""
    async with till.db.write() as session:
        (await session.get_one(Webhook, webhook_id)).handled_at = None
    await handle(till, webhook_id)
