"""roles notes approvals bulk refunds"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel.sql.sqltypes
from alembic import op

revision: str = "0b7269a5a4dc"
down_revision: str | None = "e90d7a1c52b6"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "bulkjob",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("by", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("reason", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("started_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("finished_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("leased_until", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulkjob")),
    )
    with op.batch_alter_table("bulkjob", schema=None) as batch_op:
        batch_op.create_index(
            "ix_bulkjob_open",
            ["started_at"],
            unique=False,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )

    op.create_table(
        "approval",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("reason", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("account_sealed", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("asked_by", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("asked_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("decided_by", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("decided_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_approval_amount")),
        sa.CheckConstraint("NOT granted OR decided_by <> asked_by", name=op.f("ck_approval_two_people")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_approval_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
    )
    with op.batch_alter_table("approval", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_approval_payment_id"), ["payment_id"], unique=False)
        batch_op.create_index(
            "uq_approval_open",
            ["payment_id"],
            unique=True,
            sqlite_where=sa.text("decided_at IS NULL"),
            postgresql_where=sa.text("decided_at IS NULL"),
        )

    op.create_table(
        "note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.Integer(), nullable=False),
        sa.Column("author", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("text", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_note_payment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note")),
    )
    with op.batch_alter_table("note", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_note_payment_id"), ["payment_id"], unique=False)

    op.create_table(
        "bulkrow",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("payment_id", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("refund_id", sa.Integer(), nullable=True),
        sa.Column("excluded", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.Column("refused", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["bulkjob.id"], name=op.f("fk_bulkrow_job_id")),
        sa.ForeignKeyConstraint(["payment_id"], ["payment.id"], name=op.f("fk_bulkrow_payment_id")),
        sa.ForeignKeyConstraint(["refund_id"], ["refund.id"], name=op.f("fk_bulkrow_refund_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulkrow")),
    )
    with op.batch_alter_table("bulkrow", schema=None) as batch_op:
        batch_op.create_index("uq_bulkrow_job_id_payment_id", ["job_id", "payment_id"], unique=True)

    role = sa.Enum("viewer", "operator", "owner", name="role", native_enum=False, length=12)
    op.add_column("user", sa.Column("role", role, server_default="viewer", nullable=False))
    op.execute("UPDATE \"user\" SET role = 'owner' WHERE is_admin")  # they could do everything until now


def downgrade() -> None:
    op.drop_column("user", "role")
    for table in ("bulkrow", "note", "approval", "bulkjob"):
        op.drop_table(table)
