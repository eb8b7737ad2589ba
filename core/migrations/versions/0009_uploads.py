"""Uploads that can be resumed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0009"
down_revision = "0008"

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Uid = sa.Text().with_variant(UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("uid", Uid, primary_key=True),
        sa.Column("bucket", Id, sa.ForeignKey("buckets.id", ondelete="CASCADE"), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False, comment="in whose staging directory the bytes are"),
        sa.Column("principal", sa.Text(), nullable=False, comment="whose it is"),
        sa.Column("length", sa.BigInteger(), nullable=False, comment="bytes that will have come"),
        sa.Column("offset", sa.BigInteger(), nullable=False, comment="bytes that came, and are on disk"),
        sa.Column("about", sa.JSON(), nullable=False, comment="what the client said of the content"),
        sa.Column("node", Uid, comment="the file that it became"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        comment="contents that come in parts, over days and connections",
    )
    op.create_index("ix_uploads_bucket", "uploads", ["bucket"])
    op.create_index("ix_uploads_expires", "uploads", ["expires"])
