"""sessions that somebody has ended, as long as a copy of their cookie could still be used"""

from collections.abc import Sequence

import sqlalchemy as sa
import sqlmodel.sql.sqltypes
from alembic import op

revision: str = "c3e7b1904fd2"
down_revision: str | None = "a8f20c7d5e13"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "endedsession",
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("ended_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endedsession")),
    )
    op.create_index("ix_endedsession_ended_at", "endedsession", ["ended_at"])


def downgrade() -> None:
    op.drop_index("ix_endedsession_ended_at", "endedsession")
    op.drop_table("endedsession")
