"""Presigned URLs that are kept for host applications."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "buckets",
        sa.Column(
            "presign",
            sa.Text(),
            nullable=False,
            server_default="on-demand",
            comment="stored: the links table has a URL for each content",
        ),
    )
    op.create_table(
        "links",
        sa.Column("object", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("storage", sa.Text(), nullable=False, comment="where the blob was when the URL was signed"),
        sa.Column("key", sa.Text(), nullable=False, comment="the blob's"),
        sa.Column("url", sa.Text(), nullable=False, comment="whoever has it can read the blob until it expires"),
        sa.Column("signed", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name=op.f("fk_links_object"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("object", name=op.f("pk_links")),
        comment="presigned URLs of the buckets that keep them for host applications",
    )
