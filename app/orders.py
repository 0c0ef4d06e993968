"""An order, at our price: the payment that it begins waits for its buyer to come back from the PG."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session
from sqlmodel import col, select

from app import daily, terms
from app.clock import now
from app.db import among
from app.folder import write_down
from app.models import Payment, Prompt, Purchase, Status, User
from app.order_id import new_order_id
from app.till import Refused, Till

CONSENT = (
    "주문할 상품과 금액을 확인했고, 결제하면 프롬프트가 바로 공개되어 "
    "단순 변심으로는 청약철회가 제한된다는 점에 동의합니다."
)
CONSENT_DIGEST = hashlib.sha256(CONSENT.encode()).hexdigest()
OWNED = "이미 보유한 프롬프트입니다."

_INSERT = insert(Payment).returning(Payment)
_PROMPTS = select(Prompt).where(among(Prompt.id, "prompt_ids"))
_OWNED = select(Purchase.user_id, Purchase.prompt_id).where(
    among(Purchase.user_id, "user_ids"),
    among(Purchase.prompt_id, "prompt_ids"),
    col(Purchase.revoked_at).is_(None),
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
    """A pending payment at our price. Raises Refused: no such prompt or method, owned already, another price shown."""
    gateway = till.gateway_of_method(order.payment_method)
    if gateway is None:
        raise Refused("METHOD_UNAVAILABLE", "지금은 쓸 수 없는 결제수단입니다. 다른 결제수단을 골라 주세요.", 422)
    wish = Wanted(user, order, gateway.name, now() + timedelta(seconds=till.settle_after))
    payment: Payment = await till.db.write_together(_start, wish, key=(user.id, order.prompt_id))
    return payment


@dataclass(frozen=True)
class Wanted:
    """By whom, what, from which gateway, and when the PG is asked if nothing has been heard of it by then."""

    user: User
    order: Order
    gateway: str
    check_at: datetime

    def facts(self, prompt: Prompt | None, owned: bool) -> dict[str, Any]:
        """Of the payment that begins. Raises Refused."""
        user, order = self.user, self.order
        assert user.id is not None, "only people with an account buy"
        if prompt is None or prompt.id is None:
            raise Refused("NOT_FOUND", "그런 프롬프트가 없습니다.", 404)
        if owned:
            raise Refused("ALREADY_OWNED", OWNED)
        amount = prompt.price_for(user)
        if order.amount not in (None, amount):
            raise Refused("AMOUNT_MISMATCH", f"가격이 ₩{amount:,}입니다. 금액을 확인하고 다시 눌러 주세요.", 400)
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
    prompts, owned = _on_offer(session, wishes)
    asked: list[dict[str, Any] | Refused] = []
    for wish in wishes:
        prompt_id = wish.order.prompt_id
        try:
            asked.append(wish.facts(prompts.get(prompt_id), (wish.user.id, prompt_id) in owned))
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


def _on_offer(session: Session, wishes: Sequence[Wanted]) -> tuple[dict[int | None, Prompt], set[tuple[int, int]]]:
    """The prompts that are asked for, and who owns which of them already."""
    asked = {"prompt_ids": list({wish.order.prompt_id for wish in wishes})}
    prompts = {prompt.id: prompt for prompt in session.scalars(_PROMPTS, asked)}
    owners = session.execute(_OWNED, asked | {"user_ids": list({wish.user.id for wish in wishes})})
    return prompts, {(row.user_id, row.prompt_id) for row in owners}
