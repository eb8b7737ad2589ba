"""Indexes of the collector: digests and keys sort by their bytes, and what was touched is read in batches."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BYTEWISE = {
    "objects": ("digest", "dedup_key", "storage", "key"),
    "purges": ("storage", "key"),
    "gc_log": ("digest",),
}
TOUCHED = "since when it is worth a look; ahead while a hold keeps it; null: when nothing changed"


def upgrade() -> None:
    op.drop_index("ix_objects_verified", "objects")
    op.drop_index("ix_objects_touched", "objects")
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in BYTEWISE.items():
            for column in columns:
                op.alter_column(table, column, type_=sa.Text(collation="C"))
        op.alter_column("objects", "touched", comment=TOUCHED)
    op.create_index(
        "ix_objects_touched",
        "objects",
        ["bucket", "touched", "id"],
        sqlite_where=sa.text("touched IS NOT NULL"),
        postgresql_where=sa.text("touched IS NOT NULL"),
    )
