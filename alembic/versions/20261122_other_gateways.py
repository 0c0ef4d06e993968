"""What a payment needs to remember of any gateway, and one open refund at a time"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel.sql.sqltypes
from alembic import op

revision: str = "f0ed04b6ea42"
down_revision: str | None = "1f150aef3899"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


OPEN = sa.text("status IN ('requested', 'in_doubt')")


def upgrade() -> None:
    with op.batch_alter_table("payment", schema=None) as batch_op:
        batch_op.add_column(sa.Column("pg_token", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.add_column(sa.Column("pg_window", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("account_bank", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.add_column(sa.Column("account_number", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.add_column(sa.Column("account_holder", sqlmodel.sql.sqltypes.AutoString(), nullable=True))
        batch_op.add_column(sa.Column("deposit_due_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True))

    with op.batch_alter_table("refund", schema=None) as batch_op:
        batch_op.add_column(sa.Column("attempt", sa.Integer(), server_default="0", nullable=False))
        batch_op.create_index(
            "uq_refund_open",
            ["payment_id"],
            unique=True,
            sqlite_where=OPEN,
            postgresql_where=OPEN,
        )


def downgrade() -> None:
    op.drop_index("uq_refund_open", "refund", sqlite_where=OPEN, postgresql_where=OPEN)
    op.drop_column("refund", "attempt")
    for name in ("deposit_due_at", "account_holder", "account_number", "account_bank", "pg_window", "pg_token"):
        op.drop_column("payment", name)
