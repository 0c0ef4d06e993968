"""A payment's folder: the payment under its lock, with everything that belongs to it.

What a verb does to it is a plain function: it cannot wait for anything, so that no lock is held while a PG thinks.
Whoever wants a folder at one moment is served in one transaction (app.together), each statement of it for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeVar

from sqlalchemy import and_, insert, inspect, or_
from sqlalchemy.orm import Session, defer
from sqlmodel import SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from app import daily, terms  # noqa: F401  whoever moves money keeps the totals, and what a payment is found by
from app.clock import now
from app.db import among
from app.models import CLOSED, OPEN_REFUND, Event, Payment, Purchase, Refund, Status, Webhook
from app.till import LAST_LOOK, NO_ORDER, THESE, Refused, Till
from app.together import ALONE

Answer = TypeVar("Answer")


@dataclass
class Folder:
    till: Till
    payment: Payment
    refunds: list[Refund]
    """The oldest first."""
    purchases: list[Purchase]
    """What this payment has opened, and by what its buyer may read the prompt now."""
    unread: list[Webhook]
    added: list[SQLModel] = field(default_factory=list)
    opened: bool = False
    """The prompt, just now: other payments that wait for a deposit for it are not wanted any more."""

    @property
    def owned(self) -> Purchase | None:
        """The live purchase by which the buyer may read the prompt."""
        return next((purchase for purchase in self.purchases if purchase.revoked_at is None), None)

    @property
    def purchase(self) -> Purchase | None:
        """This payment's own, live or taken back."""
        return next((purchase for purchase in self.purchases if purchase.payment_id == self.payment.id), None)

    @property
    def open_refund(self) -> Refund | None:
        """The one that waits for an answer: there are never two."""
        return next((refund for refund in self.refunds if refund.status in OPEN_REFUND), None)

    def refund(self, refund_id: int | None) -> Refund:
        return next(entry for entry in self.refunds if entry.id == refund_id)

    def add(self, row: SQLModel) -> None:
        if isinstance(row, Refund):
            self.refunds.append(row)
        self.added.append(row)

    def rest(self) -> None:
        """Stop asking the PG when nothing is open any more, else see that it is asked again.

        What we have closed may still be paid in a window that stands open, at a PG that charges there: one last look.
        """
        told = any(webhook.handled_at is None for webhook in self.unread)
        if self.payment.unsettled or self.open_refund or told:
            if self.payment.next_check_at is None:
                self.payment.check_later()
        else:
            self.payment.next_check_at, self.payment.awaiting_answer = self._last_look(), False

    def _last_look(self) -> datetime | None:
        gateway = self.till.gateways.get(self.payment.gateway)
        if self.payment.status not in CLOSED or gateway is None or not gateway.charges_in_window:
            return None
        last = self.payment.created_at + LAST_LOOK
        return None if self.payment.checked_at and self.payment.checked_at >= last else last

    @property
    def touched(self) -> bool:
        rows: Sequence[Any] = (self.payment, *self.refunds, *self.purchases, *self.unread)
        return bool(self.added) or any(inspect(row).modified for row in rows)


@dataclass(frozen=True)
class Wish:
    till: Till
    order_id: str
    change: Callable[[Folder], Any]


async def change(till: Till, order_id: str, act: Callable[[Folder], Answer]) -> Answer:
    """What `act` answers, once what it did to the folder is committed.

    It may be called twice, and must change nothing but the folder. Raises what it raises, Refused 404 for an order
    that is not there, and IntegrityError; nothing has changed then.
    """
    answer: Answer = await till.db.write_together(_change, Wish(till, order_id, act), key=order_id)
    return answer


def _change(session: Session, wishes: Sequence[Wish]) -> Sequence[Any]:
    # Only who is alone waits for a lock: it holds no other one, and nobody waits behind it.
    alone = session.info["alone"]
    folders = _take_out(session, _LOCKED if alone else _FREE, {wish.order_id: wish.till for wish in wishes})
    missing = Refused("NOT_FOUND", NO_ORDER, 404) if alone else ALONE
    answers = [_act(wish, folders[wish.order_id]) if wish.order_id in folders else missing for wish in wishes]
    write_down(session, [row for folder in folders.values() for row in folder.added])
    _wake_others(session, [folder.payment for folder in folders.values() if folder.opened])
    daily.add_up(session)
    return answers


def _act(wish: Wish, folder: Folder) -> Any:
    try:
        return wish.change(folder)
    except Refused as no:
        if folder.touched:  # it must not be half done
            raise
        return no


AT_ONCE = {  # what nobody needs the id of, in the order in which it is written
    kind: (insert(kind), [column.key for column in inspect(kind).columns if not column.primary_key])
    for kind in (Purchase, Event)
}


def write_down(session: Session, rows: Sequence[SQLModel]) -> None:
    """With all that has changed in this session.

    Most rows are written without becoming entities: that is half the work, and one statement, however many there are.
    """
    session.add_all(row for row in rows if type(row) not in AT_ONCE)
    session.flush()
    for kind, (statement, names) in AT_ONCE.items():
        values = [{name: getattr(row, name) for name in names} for row in rows if isinstance(row, kind)]
        if values:
            session.connection().execute(statement, values)
    for row in rows:
        if isinstance(row, Event):
            daily.count(session, row)


# Statements are built once: to build one costs more than to ask it.
# Locked against whoever changes the payment (FOR NO KEY UPDATE), and not against whoever writes about it: a row that
# points to it, such as what a PG has said, takes a lock of its own.
_LOCKED = THESE.with_for_update(key_share=True)
_FREE = THESE.with_for_update(key_share=True, skip_locked=True)
_REFUNDS = select(Refund).where(among(Refund.payment_id, "payment_ids"))
WITHOUT_BODY = defer(inspect(Webhook).attrs["body"].class_attribute)  # that is as long as whoever sent it liked
_UNREAD = (
    select(Webhook)
    .options(WITHOUT_BODY)
    .where(among(Webhook.payment_id, "payment_ids"), col(Webhook.handled_at).is_(None))
)

# More than what is wanted: each of these buyers with each of these prompts.
_OWNED = and_(
    among(Purchase.user_id, "user_ids"), among(Purchase.prompt_id, "prompt_ids"), col(Purchase.revoked_at).is_(None)
)
_PURCHASES = select(Purchase).where(or_(among(Purchase.payment_id, "payment_ids"), _OWNED))
_AWAITED = (
    select(Payment)
    .where(among(Payment.user_id, "user_ids"), among(Payment.prompt_id, "prompt_ids"))
    .where(col(Payment.status) == Status.WAITING)
    .with_for_update(key_share=True, skip_locked=True)
)


def _take_out(session: Session, locked: SelectOfScalar[Payment], tills: Mapping[str, Till]) -> dict[str, Folder]:
    payments = session.scalars(locked, {"order_ids": list(tills)}).all()
    if not payments:
        return {}
    folders = {it.id: Folder(tills[it.order_id], it, [], [], []) for it in payments}
    ids = {"payment_ids": list(folders)}
    for refund in sorted(session.scalars(_REFUNDS, ids), key=attrgetter("id")):
        folders[refund.payment_id].refunds.append(refund)
    for webhook in session.scalars(_UNREAD, ids):
        folders[webhook.payment_id].unread.append(webhook)
    purchases = session.scalars(_PURCHASES, ids | _same(payments)).all()
    for folder in folders.values():
        it = folder.payment
        for purchase in purchases:
            same = (purchase.user_id, purchase.prompt_id) == (it.user_id, it.prompt_id) and not purchase.revoked_at
            if same or purchase.payment_id == it.id:
                folder.purchases.append(purchase)
    return {folder.payment.order_id: folder for folder in folders.values()}


def _same(payments: Sequence[Payment]) -> dict[str, list[int]]:
    return {
        "user_ids": list({payment.user_id for payment in payments}),
        "prompt_ids": list({payment.prompt_id for payment in payments}),
    }


def _wake_others(session: Session, opened: Sequence[Payment]) -> None:
    """Whoever owns the prompt now must not pay for it again: the reconciler closes the accounts that wait for it."""
    if opened:
        owners = {(payment.user_id, payment.prompt_id) for payment in opened}
        for other in session.scalars(_AWAITED, _same(opened)):
            if (other.user_id, other.prompt_id) in owners:
                other.next_check_at = now()
