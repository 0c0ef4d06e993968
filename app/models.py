"""What the house remembers: the tables, the states, and the moves allowed between them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, String, text
from sqlalchemy import Enum as SqlEnum
from sqlmodel import Field, SQLModel

from app.clock import now
from app.order_id import new_order_id
from app.roles import ALLOWED, Role

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Status(StrEnum):
    """Where a payment stands. "Partly refunded" is not here: it is read from `refunded_amount`."""

    PENDING = "pending"
    CONFIRMING = "confirming"
    WAITING = "waiting"  # a virtual account is issued, the money is not in yet
    IN_DOUBT = "in_doubt"  # we asked and got no usable answer
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REFUNDED = "refunded"


class RefundStatus(StrEnum):
    REQUESTED = "requested"
    DONE = "done"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


UNSETTLED = (Status.PENDING, Status.CONFIRMING, Status.WAITING, Status.IN_DOUBT)
CLOSED = (Status.EXPIRED, Status.FAILED, Status.CANCELED)  # without money
OPEN_REFUND = (RefundStatus.REQUESTED, RefundStatus.IN_DOUBT)

# The whole life of a payment: what happens -> from where -> to where. Anything else is impossible, and our bug.
MOVES: dict[str, dict[Status, Status]] = {
    "claimed": {Status.PENDING: Status.CONFIRMING},
    # Money at the PG outranks whatever we had closed: it is delivered, or given back.
    "completed": dict.fromkeys(
        (*UNSETTLED, *CLOSED),
        Status.COMPLETED,
    ),
    "waiting": dict.fromkeys((Status.PENDING, Status.CONFIRMING, Status.IN_DOUBT), Status.WAITING),
    "doubted": {Status.CONFIRMING: Status.IN_DOUBT},
    "declined": dict.fromkeys((Status.PENDING, Status.CONFIRMING, Status.IN_DOUBT), Status.FAILED),
    "canceled": dict.fromkeys(UNSETTLED, Status.CANCELED),
    "expired": dict.fromkeys(UNSETTLED, Status.EXPIRED),
    "refunded": {Status.COMPLETED: Status.REFUNDED},
    "returned": {Status.COMPLETED: Status.WAITING},  # the bank took the deposit back
}

IN_FLIGHT = "status IN ('confirming', 'in_doubt')"
"""Of a payment that may be taking money at this moment; in SQL's words, by which its index is found."""

# Seconds between two questions about one unsettled payment: quick while the buyer may be watching.
CHECK_AFTER = (5, 10, 20, 40, 60, 120, 300, 600, 1800, 3600)
RARELY = timedelta(hours=6)
DEPOSIT_MARGIN = timedelta(minutes=5)  # for clocks that disagree, and a bank that is slow to tell the PG


def vat(amount: int) -> int:
    """Whole won of VAT inside `amount`: an eleventh, half a won up (pg/kakaopay.md §4)."""
    return (amount * 2 + 11) // 22


def _only(condition: str) -> dict[str, Any]:
    """The rows that an index is about, in both databases' words."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _words(enum: type[StrEnum]) -> Any:
    """Stored as its value in a VARCHAR: a native PostgreSQL enum is painful to migrate."""
    return SqlEnum(
        enum,
        native_enum=False,
        length=12,
        create_constraint=False,
        name=enum.__name__.lower(),
        values_callable=lambda words: [word.value for word in words],
    )


class User(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    email: str = Field(sa_type=String(254), unique=True)
    password_hash: str
    name: str
    phone: str
    is_member: bool = False  # pays the member price
    is_admin: bool = False
    role: Role = Field(
        default=Role.VIEWER, sa_type=_words(Role), sa_column_kwargs={"server_default": Role.VIEWER.value}
    )
    epoch: int = 0  # raised to sign out everywhere: sessions carry the epoch they began in
    created_at: datetime = Field(default_factory=now)

    def may(self, permission: str) -> bool:
        return self.is_admin and permission in ALLOWED[self.role]


class ApiToken(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user.id", index=True)
    digest: str = Field(unique=True)  # SHA-256: the token itself is shown once and never stored
    created_at: datetime = Field(default_factory=now)


class Prompt(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    category: str = Field(index=True)
    title: str
    summary: str
    preview: str  # what anyone may read before paying
    body: str  # what the buyer pays for
    price: int  # whole won, VAT included
    member_price: int | None = None

    def price_for(self, user: User | None) -> int:
        """Whole won."""
        if user and user.is_member and self.member_price is not None:
            return self.member_price
        return self.price


class Payment(SQLModel, table=True):
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("refunded_amount >= 0 AND refunded_amount <= paid_amount", name="refunded_amount"),
        # One buyer cannot have two payments for one prompt at the PG at once: a second window waits or is refused.
        Index("uq_payment_in_flight", "user_id", "prompt_id", unique=True, **_only(IN_FLIGHT)),
        Index("ix_payment_next_check_at", "next_check_at", **_only("next_check_at IS NOT NULL")),
        Index("ix_payment_created_at_id", "created_at", "id"),
        Index("ix_payment_amount_id", "amount", "id"),
        Index("ix_payment_status_created_at_id", "status", "created_at", "id"),
        Index("ix_payment_payment_method_created_at_id", "payment_method", "created_at", "id"),
        Index("ix_payment_gateway_created_at_id", "gateway", "created_at", "id"),
        Index("ix_payment_status_payment_method_created_at_id", "status", "payment_method", "created_at", "id"),
        Index("ix_payment_pg_transaction_id", "pg_transaction_id", **_only("pg_transaction_id IS NOT NULL")),
    )

    id: int | None = Field(default=None, primary_key=True)
    order_id: str = Field(default_factory=new_order_id, unique=True)
    user_id: int = Field(foreign_key="user.id", index=True)
    prompt_id: int = Field(foreign_key="prompt.id")
    gateway: str
    payment_method: str  # what the buyer chose: card, transfer, …
    amount: int  # whole won: what we ask for, computed from the catalogue
    list_price: int  # whole won: before the member discount
    paid_amount: int = 0  # whole won the PG says it took: evidence, kept whatever becomes of the row
    refunded_amount: int = 0  # whole won: given back, or reserved by a refund that is under way
    status: Status = Field(default=Status.PENDING, sa_type=_words(Status))
    pg_transaction_id: str | None = None
    pg_token: str | None = Field(default=None, repr=False)  # the PG's permission to take the money, good for once
    pg_window: dict[str, Any] | None = Field(
        default=None, sa_type=JSON, repr=False
    )  # the PG's page while it stays open
    pg_secret: str | None = Field(default=None, repr=False)  # what the PG's webhooks must repeat
    receipt_url: str | None = None
    account_bank: str | None = None  # the virtual account that waits for the deposit
    account_number: str | None = None
    account_holder: str | None = None
    deposit_due_at: datetime | None = None
    buyer_name: str
    buyer_email: str
    buyer_phone: str
    item_name: str
    consent_digest: str  # SHA-256 of the sentence the buyer agreed to
    consented_at: datetime
    failure_code: str | None = None
    failure_message: str | None = None
    checks: int = 0  # how often the PG was asked where this payment stands
    checked_at: datetime | None = None
    awaiting_answer: bool = False  # the last call to the PG about this payment has brought no answer yet
    next_check_at: datetime | None = None  # when the reconciler asks next; None = at rest
    created_at: datetime = Field(default_factory=now)
    claimed_at: datetime | None = None  # when the PG was first asked to take the money
    completed_at: datetime | None = None
    refunded_at: datetime | None = None

    def check_later(self) -> None:
        """Ask the PG again after a pause that grows with every question, and never end asking.

        A deposit is told by webhook, its deadline by nobody: until then rarely, and right after it.
        """
        self.next_check_at = now() + timedelta(seconds=CHECK_AFTER[min(self.checks, len(CHECK_AFTER) - 1)])
        over = self.deposit_due_at and self.deposit_due_at + DEPOSIT_MARGIN
        if self.status == Status.WAITING and over and now() < over:
            self.next_check_at = min(now() + RARELY, over)

    @property
    def remaining(self) -> int:
        """Whole won that can still be given back."""
        return self.paid_amount - self.refunded_amount

    @property
    def vat(self) -> int:
        """Whole won of it inside `amount`."""
        return vat(self.amount)

    @property
    def refundable(self) -> bool:
        return self.status == Status.COMPLETED and self.remaining > 0

    @property
    def needs_account(self) -> bool:
        """Money that came in by hand goes back only to an account that the buyer names."""
        return self.payment_method.endswith("virtual_account")

    @property
    def unsettled(self) -> bool:
        return self.status in UNSETTLED

    def can(self, kind: str) -> bool:
        return self.status in MOVES[kind]

    def move(self, kind: str, actor: str, **facts: Any) -> "Event":
        """Make one legal move and return the event that tells of it. `facts` are the columns that change with it."""
        assert self.can(kind), f"{self.order_id}: {kind} is impossible from {self.status}"
        before, self.status = self.status, MOVES[kind][self.status]
        paid = self.paid_amount
        for name, value in facts.items():
            setattr(self, name, value)
        moved = abs(self.paid_amount - paid)
        return self.tell(kind, actor, before=before, amount=moved or None, note=facts.get("failure_code"))

    def tell(
        self,
        kind: str,
        actor: str,
        *,
        before: Status | None = None,
        amount: int | None = None,
        note: str | None = None,
    ) -> "Event":
        assert self.id is not None, "an event needs a stored payment"
        before = self.status if before is None else before
        return Event(
            payment_id=self.id,
            kind=kind,
            actor=actor,
            before=before,
            after=self.status,
            amount=amount,
            note=note,
            at=now(),
        )


class Refund(SQLModel, table=True):
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        Index("uq_refund_payment_id_key", "payment_id", "key", unique=True),
        # One after the other: what the PG holds before each is then certain, and guards against giving back twice.
        Index("uq_refund_open", "payment_id", unique=True, **_only("status IN ('requested', 'in_doubt')")),
    )

    id: int | None = Field(default=None, primary_key=True)
    payment_id: int = Field(foreign_key="payment.id")
    key: str  # the caller's idempotency key: one press of the button, one refund
    amount: int  # whole won
    reason: str
    status: RefundStatus = Field(default=RefundStatus.REQUESTED, sa_type=_words(RefundStatus))
    requested_by: str
    attempt: int = 0  # raised when the PG has bound an error to our key
    account_sealed: str | None = None  # where a deposit goes back to, encrypted; erased once the refund is closed
    pg_transaction_id: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    created_at: datetime = Field(default_factory=now)
    done_at: datetime | None = None

    @property
    def pg_key(self) -> str:
        """The idempotency key sent to the PG: our row's id, so a replay is harmless there too.

        A new attempt has a new key. It is harmless because the PG compares what it holds with what we say it holds.
        """
        assert self.id is not None, "a refund is stored before the PG is asked"
        again = f"-{self.attempt}" if self.attempt else ""
        return f"refund-{self.id}-{self.created_at:%Y%m%d%H%M%S%f}{again}"


class Purchase(SQLModel, table=True):
    """What unlocks the prompt. At most one live purchase per buyer and prompt, kept by a unique index."""

    __table_args__ = (Index("uq_purchase_live", "user_id", "prompt_id", unique=True, **_only("revoked_at IS NULL")),)

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="user.id")
    prompt_id: int = Field(foreign_key="prompt.id")
    payment_id: int = Field(foreign_key="payment.id", unique=True)
    created_at: datetime = Field(default_factory=now)
    revoked_at: datetime | None = None


class Webhook(SQLModel, table=True):
    """The inbox: stored before it is acted on, so that nothing a PG told us is lost. Its content is never believed."""

    __table_args__ = (
        Index("uq_webhook_gateway_digest", "gateway", "digest", unique=True),
        Index("ix_webhook_gateway_received_at", "gateway", "received_at"),
        Index("ix_webhook_unread", "received_at", **_only("handled_at IS NULL")),
    )

    id: int | None = Field(default=None, primary_key=True)
    payment_id: int = Field(foreign_key="payment.id", index=True)
    gateway: str
    digest: str  # SHA-256 of the body: the same words are one row, told of `repeats` times more
    transmission_id: str | None = None
    body: str
    forged: bool = False  # its secret is not the payment's
    repeats: int = 0
    received_at: datetime = Field(default_factory=now)  # when it was news last
    handled_at: datetime | None = None  # when the PG was asked because of it


class Event(SQLModel, table=True):
    """Append-only, written with the change it tells of: audit trail, timeline and live stream in one."""

    __table_args__ = (Index("ix_event_refund_owed", "payment_id", **_only("kind = 'refund_owed'")),)

    id: int | None = Field(default=None, primary_key=True)
    payment_id: int = Field(foreign_key="payment.id", index=True)
    kind: str
    actor: str  # buyer, webhook, reconciler, system, or an admin's e-mail
    before: Status = Field(sa_type=_words(Status))
    after: Status = Field(sa_type=_words(Status))
    amount: int | None = None  # whole won that moved, or of a refund
    note: str | None = None  # the PG's code, or a refund's reason
    at: datetime = Field(default_factory=now)
