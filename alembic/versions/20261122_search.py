"""search by pieces of name, e-mail address and phone number; filters by gateway, and by status and method"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from app.terms import pieces, spellings

revision: str = "7c2d90e41b58"
down_revision: str | None = "6c0d9a4e51b7"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BATCH = 10_000  # payments
OWNERS = ("buyer_name", "buyer_email", "buyer_phone")


def upgrade() -> None:
    with op.batch_alter_table("payment") as payment:
        payment.drop_index("ix_payment_buyer_email")
        payment.create_index(
            "ix_payment_pg_transaction_id",
            ["pg_transaction_id"],
            sqlite_where=sa.text("pg_transaction_id IS NOT NULL"),
            postgresql_where=sa.text("pg_transaction_id IS NOT NULL"),
        )
        payment.create_index("ix_payment_gateway_created_at_id", ["gateway", "created_at", "id"])
        payment.create_index(
            "ix_payment_status_payment_method_created_at_id", ["status", "payment_method", "created_at", "id"]
        )
    if op.get_bind().dialect.name == "sqlite":
        _fill_sqlite()
    else:
        _fill_postgres()


def _fill_sqlite() -> None:
    # Only which payments hold a piece: neither where in them, nor how long they are, nor their text.
    op.execute(
        "CREATE VIRTUAL TABLE payment_terms USING fts5(terms, content='', detail=none, columnsize=0, tokenize='ascii')"
    )
    insert = sa.text("INSERT INTO payment_terms (rowid, terms) VALUES (:id, :terms)")
    for rows in _payments():
        op.get_bind().execute(insert, [{"id": row.id, "terms": pieces(*row[1:])} for row in rows])


def _fill_postgres() -> None:
    op.execute(
        "CREATE TABLE spelling (kind text, value text, terms tsvector NOT NULL,"
        " CONSTRAINT pk_spelling PRIMARY KEY (kind, value))"
    )
    insert = sa.text("INSERT INTO spelling VALUES (:kind, :value, CAST(:terms AS tsvector)) ON CONFLICT DO NOTHING")
    for rows in _payments():
        told = {(kind, value): terms for row in rows for kind, value, terms in spellings(*row[1:])}
        values = [{"kind": kind, "value": value, "terms": terms} for (kind, value), terms in told.items()]
        op.get_bind().execute(insert, values)
    # Without fastupdate: its list of what is still to be sorted in would be read by every search.
    op.execute("CREATE INDEX ix_spelling_terms ON spelling USING gin (terms) WITH (fastupdate = off)")
    for owner in OWNERS:
        op.create_index(f"ix_payment_{owner}_id", "payment", [owner, "id"])


def _payments() -> Iterator[list[Any]]:
    query = sa.text(
        f"SELECT id, {', '.join(OWNERS)} FROM payment WHERE id > :after ORDER BY id LIMIT {BATCH}"  # noqa: S608  our names
    )
    after = 0
    while rows := list(op.get_bind().execute(query, {"after": after})):
        yield rows
        after = rows[-1].id


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE payment_terms")
    else:
        op.execute("DROP TABLE spelling")
        for owner in OWNERS:
            op.drop_index(f"ix_payment_{owner}_id", "payment")
    with op.batch_alter_table("payment") as payment:
        payment.drop_index("ix_payment_status_payment_method_created_at_id")
        payment.drop_index("ix_payment_gateway_created_at_id")
        payment.drop_index("ix_payment_pg_transaction_id")
        payment.create_index("ix_payment_buyer_email", ["buyer_email"])
