"""what is owed back is found at once"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "5f18d3c6a07b"
down_revision: str | None = "c5e7092b4f16"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    owed = sa.text("kind = 'refund_owed'")
    op.create_index("ix_event_refund_owed", "event", ["payment_id"], sqlite_where=owed, postgresql_where=owed)


def downgrade() -> None:
    op.drop_index("ix_event_refund_owed", "event")
