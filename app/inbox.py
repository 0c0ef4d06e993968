"""What the PGs tell us: stored first, then acted on by asking the PG. Nothing a webhook says is believed.

Storing a webhook makes its payment due in the same transaction; it counts as handled in the transaction that writes
what the PG then says. In between we may die: the reconciler finds the payment due.
"""

import hashlib
import hmac
import logging
from collections.abc import Mapping

from sqlalchemy import bindparam
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import settlement
from app.clock import now
from app.folder import WITHOUT_BODY
from app.gateways import Gateway, Heard, InDoubt
from app.models import Payment, Status, Webhook
from app.till import Refused, Till

log = logging.getLogger(__name__)

MOST = 50
"""Rows that one payment keeps. Who knows an order's number can send as many other words as they like."""

_SAME = select(Webhook).where(col(Webhook.gateway) == bindparam("gateway"), col(Webhook.digest) == bindparam("digest"))
_LAST = (
    select(Webhook)
    .options(WITHOUT_BODY)
    .where(col(Webhook.payment_id) == bindparam("payment_id"))
    .order_by(col(Webhook.id))
    .offset(MOST - 1)
    .limit(1)
)
_TOLD_OF = (
    select(Payment)
    .where(col(Payment.order_id) == bindparam("order_id"), col(Payment.gateway) == bindparam("gateway"))
    .with_for_update(key_share=True)
)


async def receive(till: Till, gateway: Gateway, headers: Mapping[str, str], body: bytes) -> str | None:
    """Store a webhook; the order to look at because of it, if any. Raises Forged when it cannot be the PG's."""
    heard = gateway.hear(headers, body)
    if heard is None:
        return None
    try:
        return await _store(till, gateway, heard, body)
    except IntegrityError:  # the same words arrived twice in one moment
        return await _store(till, gateway, heard, body)


async def _store(till: Till, gateway: Gateway, heard: Heard, body: bytes) -> str | None:
    digest = hashlib.sha256(body).hexdigest()
    async with till.db.write() as session:
        payment = await _payment(session, gateway, heard.order_id)
        if payment is None or payment.id is None:
            log.info("%s: 모르는 주문의 웹훅입니다", gateway.name)
            return None
        webhook = (await session.exec(_SAME, params={"gateway": gateway.name, "digest": digest})).one_or_none()
        if webhook:
            webhook.repeats += 1
            if not (webhook.forged or _sent_again(webhook, heard) or _says_nothing_new(payment, heard)):
                webhook.transmission_id, webhook.received_at, webhook.handled_at = heard.transmission_id, now(), None
        else:
            webhook = Webhook(
                payment_id=payment.id,
                gateway=gateway.name,
                digest=digest,
                transmission_id=heard.transmission_id,
                body=body.decode(errors="replace").replace("\0", "\ufffd"),  # PostgreSQL keeps no NUL
                forged=_forged(payment, heard),
            )
            webhook.handled_at = now() if webhook.forged or _says_nothing_new(payment, heard) else None
            await _keep(session, webhook)
        if webhook.handled_at:
            return None
        soon = max(now(), settlement.breath_after(payment))
        payment.next_check_at = min(payment.next_check_at or soon, soon)
        return payment.order_id


async def _keep(session: AsyncSession, webhook: Webhook) -> None:
    """In a row of its own; once its payment has MOST of them, by making the last one news again."""
    last = (await session.exec(_LAST, params={"payment_id": webhook.payment_id})).one_or_none()
    if last is None:
        session.add(webhook)
        return
    last.repeats += 1
    if not webhook.forged:
        last.forged, last.received_at = False, webhook.received_at  # what was asked before this does not answer it
    if webhook.handled_at is None:
        last.handled_at = None


async def _payment(session: AsyncSession, gateway: Gateway, order_id: str) -> Payment | None:
    return (await session.exec(_TOLD_OF, params={"order_id": order_id, "gateway": gateway.name})).one_or_none()


def _forged(payment: Payment, heard: Heard) -> bool:
    """Both sides know a secret and they differ. Where one is missing, the PG is asked as always."""
    if payment.pg_secret is None or heard.secret is None:
        return False
    return not hmac.compare_digest(payment.pg_secret.encode(), heard.secret.encode(errors="replace"))


def _sent_again(webhook: Webhook, heard: Heard) -> bool:
    """By the PG's own word. Without it the same words may be news: of another part given back (pg/portone.md §15)."""
    return heard.transmission_id is not None and heard.transmission_id == webhook.transmission_id


def _says_nothing_new(payment: Payment, heard: Heard) -> bool:
    """It tells of what our own call has just done. Believing that much can only spare the PG a question."""
    settled = payment.status in (Status.COMPLETED, Status.REFUNDED)
    return settled and payment.next_check_at is None and heard.given_back == payment.refunded_amount


async def look(till: Till, order_id: str, actor: str = "webhook") -> None:
    """Ask the PG now, unless it is being asked, was asked a moment ago or does not answer: then the reconciler will."""
    if order_id in till.looks:
        till.looks[order_id] = True
        return
    till.looks[order_id] = False
    try:
        if await settlement.lease(till, order_id, actor):
            await settlement.settle(till, order_id, actor)
        else:
            till.stir.set()  # within a breath of the last question: the reconciler must not sleep over it
    except InDoubt as silence:
        log.warning("%s: PG에 물었으나 답이 없습니다 (%s)", order_id, silence.code)
    finally:
        if till.looks.pop(order_id):
            till.stir.set()  # what was told meanwhile has made it due


async def replay(till: Till, webhook_id: int) -> None:
    """The operator wants it acted on again. Raises Refused 404."""
    async with till.db.write() as session:
        webhook = await session.get(Webhook, webhook_id)
        if webhook is None:
            raise Refused("NOT_FOUND", "그런 웹훅이 없습니다.", 404)
        payment = await session.get_one(Payment, webhook.payment_id)
        webhook.handled_at, payment.next_check_at = None, now()
    await look(till, payment.order_id)
