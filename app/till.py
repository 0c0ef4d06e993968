"""The till: what the verbs work with, how they find a row, and how they say no."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import bindparam
from sqlalchemy.orm import Session
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.circuit import Circuit
from app.db import Database, among
from app.gateways import Gateway, InDoubt, Method
from app.models import Payment, Purchase

BREATH = timedelta(seconds=2)
"""Between two questions to the PG about one payment that nobody but a passer-by is waiting for."""


LAST_LOOK = timedelta(hours=2)
"""After an order's beginning: by then every window of it has closed (a last one may open as late as 45 minutes)."""


NO_ORDER = "그런 주문이 없습니다. 주문번호를 확인해 주세요."


class Refused(Exception):
    """A refusal with a sentence for the person; `status` is the HTTP status that tells it."""

    def __init__(self, code: str, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Till:
    """What the verbs work with: where rows are kept, and who speaks to the PGs."""

    db: Database
    gateways: Mapping[str, Gateway]
    circuits: Mapping[str, Circuit] = field(default_factory=lambda: defaultdict(Circuit))
    """By the name of the gateway."""
    stir: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something has become due sooner than this process's reconciler expects."""
    looks: dict[str, bool] = field(default_factory=dict)
    """The orders that a webhook's look is at, and whether another was told of one meanwhile."""
    pen: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Of whoever writes down what was said to the PGs."""
    settle_after: float = 60
    """Seconds before the reconciler takes up an unsettled payment."""
    approval_above: int = 0
    """Whole won of one payment given back above which a second person must agree; 0 = off."""
    patience: float = 25
    """Seconds to wait for the answer of a call that another request has made."""

    def gateway_for(self, payment: Payment) -> Gateway:
        """Raises InDoubt when its keys are no longer configured: we cannot ask, so we do not know."""
        try:
            return self.gateways[payment.gateway]
        except KeyError:
            raise InDoubt("GATEWAY_NOT_CONFIGURED", f"{payment.gateway}의 키가 설정되어 있지 않습니다.") from None

    @property
    def methods(self) -> dict[str, Method]:
        """Every way to pay, in the order in which people look for it."""
        return {key: method for gateway in self.gateways.values() for key, method in gateway.methods.items()}

    def gateway_of_method(self, payment_method: str) -> Gateway | None:
        return next((gateway for gateway in self.gateways.values() if payment_method in gateway.methods), None)


# Statements are built once: to build one costs more than to ask it.
_FOUND = select(Payment).where(col(Payment.order_id) == bindparam("order_id"))
_LOCKED = _FOUND.with_for_update(key_share=True)  # see app.folder
THESE = select(Payment).where(among(Payment.order_id, "order_ids"))
_OWNED = select(Purchase).where(
    col(Purchase.user_id) == bindparam("user_id"),
    col(Purchase.prompt_id) == bindparam("prompt_id"),
    col(Purchase.revoked_at).is_(None),
)


class Wait:
    """For what somebody else is doing, at most so many seconds: look, and look again in pauses that grow."""

    def __init__(self, seconds: float) -> None:
        self._pause, self._until = 0.02, asyncio.get_running_loop().time() + seconds

    async def again(self) -> bool:
        """After a pause. False when it has been long enough."""
        if asyncio.get_running_loop().time() > self._until:
            return False
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 1.5, 0.5)
        return True


async def find(session: AsyncSession, order_id: str, *, lock: bool = False) -> Payment:
    """Raises Refused 404. With `lock` the row is ours until the transaction ends (SQLite has one writer anyway)."""
    payment = (await session.exec(_LOCKED if lock else _FOUND, params={"order_id": order_id})).one_or_none()
    if payment is None:
        raise Refused("NOT_FOUND", NO_ORDER, 404)
    return payment


async def look_up(till: Till, order_id: str) -> Payment:
    """Raises Refused 404. Read with whoever else looks for a payment at this moment, and not locked."""
    payment: Payment = await till.db.read_together(_look_up, order_id)
    return payment


def _look_up(session: Session, order_ids: Sequence[str]) -> Sequence[Payment | Refused]:
    rows = session.scalars(THESE, {"order_ids": list(order_ids)})
    found = {payment.order_id: payment for payment in rows}
    return [found.get(order_id) or Refused("NOT_FOUND", NO_ORDER, 404) for order_id in order_ids]


async def owned(session: AsyncSession, user_id: int, prompt_id: int) -> Purchase | None:
    """The live purchase by which this person may read this prompt."""
    return (await session.exec(_OWNED, params={"user_id": user_id, "prompt_id": prompt_id})).one_or_none()
