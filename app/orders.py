"""An order, at our price: the payment that it begins waits for its buyer to come back from the PG."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app import daily, terms
from app.clock import now
from app.db import among
from app.folder import write_down
from app.models import IN_FLIGHT, Payment, Prompt, Purchase, Status, User
from app.order_id import new_order_id
from app.till import Refused, Till

CONSENT = (
    "주문할 상품과 금액을 확인했고, 결제하면 프롬프트가 바로 공개되어 "
    "단순 변심으로는 청약철회가 제한된다는 점에 동의합니다."
)
CONSENT_DIGEST = hashlib.sha256(CONSENT.encode()).hexdigest()
OWNED = "이미 보유한 프롬프트입니다."
EARLIER = "이 프롬프트의 이전 결제를 확인하고 있어 새로 주문하지 않았습니다. 그 결과를 먼저 확인해 주세요."

_INSERT = insert(Payment).returning(Payment)
_PROMPTS = select(Prompt).where(among(Prompt.id, "prompt_ids"))
_OWNED = select(Purchase.user_id, Purchase.prompt_id).where(
    among(Purchase.user_id, "user_ids"),
    among(Purchase.prompt_id, "prompt_ids"),
    col(Purchase.revoked_at).is_(None),
)
_IN_FLIGHT = (
    select(Payment)
    .where(among(Payment.user_id, "user_ids"), among(Payment.prompt_id, "prompt_ids"), text(IN_FLIGHT))
    .with_hint(Payment, "INDEXED BY uq_payment_in_flight", "sqlite")  # it would read all that is in flight, by status
)


@dataclass(frozen=True)
class Order:
    """What a buyer asks for. `amount` is the price they were shown, in whole won; None when none was shown."""

    prompt_id: int
    payment_method: str
    buyer_name: str
    buyer_phone: str
    amount: int | None = None


async def start(till: Till, user: User, order: Order) -> Payment:
    """A pending payment at our price.

    Raises Refused: no such prompt or method, owned already, an earlier payment in flight, another price shown.
    """
    gateway = till.gateway_of_method(order.payment_method)
    if gateway is None:
        raise Refused("METHOD_UNAVAILABLE", "지금은 쓸 수 없는 결제수단입니다. 다른 결제수단을 골라 주세요.", 422)
    wish = Wanted(user, order, gateway.name, now() + timedelta(seconds=till.settle_after))
    payment: Payment = await till.db.write_together(_start, wish, key=(user.id, order.prompt_id))
    return payment


async def in_flight(session: AsyncSession, user_id: int, prompt_id: int) -> Payment | None:
    """The payment that may be taking money for this prompt now: no other order for it begins meanwhile.

    A window that takes the money by itself would take it twice, whatever we refuse to confirm.
    """
    same = {"user_ids": [user_id], "prompt_ids": [prompt_id]}
    return (await session.exec(_IN_FLIGHT, params=same)).one_or_none()


@dataclass(frozen=True)
class Wanted:
    """By whom, what, from which gateway, and when the PG is asked if nothing has been heard of it by then."""

    user: User
    order: Order
    gateway: str
    check_at: datetime

    def facts(self, prompt: Prompt | None, taken: Refused | None) -> dict[str, Any]:
        """Of the payment that begins. Raises Refused; `taken` says why this buyer cannot have this prompt."""
        user, order = self.user, self.order
        assert user.id is not None, "only people with an account buy"
        if prompt is None or prompt.id is None:
            raise Refused("NOT_FOUND", "그런 프롬프트가 없습니다.", 404)
        if taken:
            raise taken
        amount = prompt.price_for(user)
        if order.amount not in (None, amount):
            raise Refused(
                "AMOUNT_MISMATCH", f"가격이 ₩{order.amount:,} → ₩{amount:,}으로 바뀌었습니다. 다시 눌러 주세요.", 400
            )
        return {
            "order_id": new_order_id(),
            "user_id": user.id,
            "prompt_id": prompt.id,
            "gateway": self.gateway,
            "payment_method": order.payment_method,
            "amount": amount,
            "list_price": prompt.price,
            "buyer_name": order.buyer_name,
            "buyer_email": user.email,
            "buyer_phone": order.buyer_phone,
            "item_name": prompt.title,
            "consent_digest": CONSENT_DIGEST,
            "consented_at": now(),
            "next_check_at": self.check_at,
        }


def _start(session: Session, wishes: Sequence[Wanted]) -> Sequence[Payment | Refused]:
    """For everybody who orders at this moment (app.together)."""
    prompts, taken = _on_offer(session, wishes)
    asked: list[dict[str, Any] | Refused] = []
    for wish in wishes:
        prompt_id = wish.order.prompt_id
        try:
            asked.append(wish.facts(prompts.get(prompt_id), taken.get((wish.user.id, prompt_id))))
        except Refused as no:
            asked.append(no)
    begun = _begin(session, [facts for facts in asked if not isinstance(facts, Refused)])
    return [facts if isinstance(facts, Refused) else begun[facts["order_id"]] for facts in asked]


def _begin(session: Session, rows: list[dict[str, Any]]) -> dict[str, Payment]:
    """The payments by their order ids. One statement: to make them as entities first is a third of an order's cost."""
    if not rows:
        return {}
    payments = session.scalars(_INSERT, rows).all()
    terms.keep(session, payments)
    write_down(session, [payment.tell("created", "buyer", before=Status.PENDING) for payment in payments])
    daily.add_up(session)
    return {payment.order_id: payment for payment in payments}


def _on_offer(
    session: Session, wishes: Sequence[Wanted]
) -> tuple[dict[int | None, Prompt], dict[tuple[int | None, int], Refused]]:
    """The prompts that are asked for, and why some of these buyers cannot have some of them."""
    asked = {"prompt_ids": list({wish.order.prompt_id for wish in wishes})}
    prompts = {prompt.id: prompt for prompt in session.scalars(_PROMPTS, asked)}
    by_whom = asked | {"user_ids": list({wish.user.id for wish in wishes})}
    taken: dict[tuple[int | None, int], Refused] = {
        (earlier.user_id, earlier.prompt_id): Refused("IN_FLIGHT", EARLIER)
        for earlier in session.scalars(_IN_FLIGHT, by_whom)
    }
    for owner in session.execute(_OWNED, by_whom):
        taken[owner.user_id, owner.prompt_id] = Refused("ALREADY_OWNED", OWNED)
    return prompts, taken
