"""What people leave beside the payments: notes, views, pleas of buyers, approvals of large refunds, refunds of many."""

from datetime import date, datetime, timedelta

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

import app.models  # noqa: F401  how constraints are named, and the tables that these point to
from app.clock import KST, now


class Note(SQLModel, table=True):
    """Append-only."""

    id: int | None = Field(default=None, primary_key=True)
    payment_id: int = Field(foreign_key="payment.id", index=True)
    author: str  # an admin's e-mail
    text: str
    at: datetime = Field(default_factory=now)


class SavedView(SQLModel, table=True):
    """A filter with a name, for everybody who works here. A period in it stays relative."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    query: str  # as it reads in the list's address
    by: str  # an admin's e-mail
    at: datetime = Field(default_factory=now)


class Plea(SQLModel, table=True):
    """A buyer asks for their money back: an operator gives it back, or says why not.

    Whether it is open is read from the refunds, too: app.pleas.
    """

    __table_args__ = (
        Index(
            "uq_plea_unanswered",
            "payment_id",
            unique=True,
            sqlite_where=text("answered_at IS NULL"),
            postgresql_where=text("answered_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    payment_id: int = Field(foreign_key="payment.id", index=True)
    reason: str
    asked_at: datetime = Field(default_factory=now)
    answered_at: datetime | None = None
    answered_by: str | None = None  # an admin's e-mail
    answer: str | None = None  # why nothing was given back; none where something was

    @property
    def due_on(self) -> date:
        """By when we promise an answer: three working days (전자상거래법 §18), in Korea.

        Holidays are not known here, so that around them we promise sooner than we must.
        """
        day = self.asked_at.astimezone(KST).date()
        for _ in range(3):
            day += timedelta(days=1 if day.weekday() < 4 else 7 - day.weekday())
        return day

    @property
    def is_late(self) -> bool:
        return now().astimezone(KST).date() > self.due_on


class Approval(SQLModel, table=True):
    """A refund above the limit: one operator asks for it, another allows exactly this, or does not."""

    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("NOT granted OR decided_by <> asked_by", name="two_people"),
        Index(
            "uq_approval_open",
            "payment_id",
            unique=True,
            sqlite_where=text("decided_at IS NULL"),
            postgresql_where=text("decided_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    payment_id: int = Field(foreign_key="payment.id", index=True)
    amount: int  # whole won
    remaining: int  # whole won that were left when it was asked for: with less, nothing is given back
    reason: str
    account_sealed: str | None = None  # where a deposit goes back to, encrypted; erased once it is decided
    asked_by: str
    asked_at: datetime = Field(default_factory=now)
    decided_by: str | None = None
    decided_at: datetime | None = None
    granted: bool = False

    @property
    def key(self) -> str:
        """The refund's key: one approval is one refund, however often it is pressed."""
        return f"approval-{self.id}"


class BulkJob(SQLModel, table=True):
    """Many refunds for one reason. Drawn up first, looked over, then started."""

    __table_args__ = (
        Index(
            "ix_bulkjob_open",
            "started_at",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    by: str  # an admin's e-mail
    reason: str = ""
    created_at: datetime = Field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    leased_until: datetime | None = None  # one worker at a time; a dead one's job is taken over then


class BulkRow(SQLModel, table=True):
    """One payment of a job. Its outcome is its refund's, or the sentence why there is none."""

    __table_args__ = (Index("uq_bulkrow_job_id_payment_id", "job_id", "payment_id", unique=True),)

    id: int | None = Field(default=None, primary_key=True)
    job_id: int = Field(foreign_key="bulkjob.id")
    payment_id: int = Field(foreign_key="payment.id")
    amount: int  # whole won: what was left when the job was drawn up
    tries: int = 0
    refund_id: int | None = Field(default=None, foreign_key="refund.id")
    excluded: str | None = None  # why it was never to be refunded
    refused: str | None = None  # why it could not be refunded

    @property
    def key(self) -> str:
        """The refund's key: however often a killed job takes up this row, it is one refund; a retry is another."""
        return f"bulk-{self.id}-{self.tries}"
