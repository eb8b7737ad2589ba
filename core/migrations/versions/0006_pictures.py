"""Pictures: their sizes, and the work of making renditions; what buckets do with media."""

import sqlalchemy as sa
from alembic import op

from core.schema import Id

revision = "0006"
down_revision = "0005"

MEDIA_GRACE = 2 * 24 * 3600 * 10**9


def upgrade() -> None:
    new = (
        sa.Column(
            "thumbnails", sa.Boolean, nullable=False, server_default=sa.text("false"), comment="made as pictures come"
        ),
        sa.Column(
            "presets",
            sa.JSON,
            nullable=False,
            server_default="[]",
            comment="other renditions made as they come",
        ),
        sa.Column(
            "documents",
            sa.JSON,
            nullable=False,
            server_default="[]",
            comment="names of files that mention media",
        ),
        sa.Column(
            "media_grace",
            sa.BigInteger,
            nullable=False,
            server_default=str(MEDIA_GRACE),
            comment="nanoseconds unmentioned media stay",
        ),
    )
    for column in new:
        op.add_column("buckets", column)
    op.create_table(
        "pictures",
        sa.Column(
            "object",
            Id,
            sa.ForeignKey("objects.id", name="fk_pictures_object", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column(
            "wanted",
            sa.BigInteger,
            comment="since when its bucket's renditions are to be made; null: they are, or never",
        ),
        sa.Column("claimed", sa.BigInteger, comment="until when a process makes renditions of it"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0", comment="that ended with the process"),
        sa.Column("width", sa.Integer, comment="pixels, as displayed"),
        sa.Column("height", sa.Integer),
        sa.Column("reason", sa.Text, comment="why there is no rendition, whatever the preset"),
        sa.PrimaryKeyConstraint("object", name="pk_pictures"),
        comment="contents as pictures: what is known of them, and who makes their renditions",
    )
    op.create_index(
        "ix_pictures_wanted",
        "pictures",
        ["wanted"],
        sqlite_where=sa.text("wanted IS NOT NULL"),
        postgresql_where=sa.text("wanted IS NOT NULL"),
    )
