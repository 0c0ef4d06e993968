"""when a PG has last told us something is found at once"""

from collections.abc import Sequence

from alembic import op

revision: str = "a8f20c7d5e13"
down_revision: str | None = "5f18d3c6a07b"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("ix_webhook_gateway_received_at", "webhook", ["gateway", "received_at"])


def downgrade() -> None:
    op.drop_index("ix_webhook_gateway_received_at", "webhook")
