"""Verdicts cost less: of an object that is kept nothing is written, and indexes hold what is looked for only."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

PARTS = (
    ("ix_objects_touched", "objects", ["bucket", "touched", "id"], "condemned IS NULL"),
    ("ix_objects_digest", "objects", ["digest"], "dedup_key IS NULL"),
    ("ix_gc_log_digest", "gc_log", ["digest"], "event = 'purged'"),
)
COLLECTED = "objects touched until then are decided on"
WALKED = "when the collector began with every object"
TOUCHED = "since when it is worth a look, or was when the collector came; ahead while a hold keeps it"


def upgrade() -> None:
    op.add_column("buckets", _number("collected", "-1", COLLECTED))
    op.add_column("buckets", _number("walked", "0", WALKED))
    op.drop_index("ix_objects_examined", "objects")
    for name, table, columns, part in PARTS:
        op.drop_index(name, table)
        op.create_index(name, table, columns, sqlite_where=sa.text(part), postgresql_where=sa.text(part))
    op.drop_index("uq_objects_dedup", "objects")
    op.create_index("uq_objects_dedup", "objects", ["dedup_key", "bucket"], unique=True)
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("objects", "touched", comment=TOUCHED)
        op.alter_column("objects", "examined", comment="no longer written")


def _number(name: str, default: str, comment: str) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default=default, comment=comment)
