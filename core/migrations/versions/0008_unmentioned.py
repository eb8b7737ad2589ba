"""Media files that no document mentions, and since when."""

import sqlalchemy as sa
from alembic import op

from core.schema import Id

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "unmentioned",
        sa.Column("node", Id, autoincrement=False, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False, comment="when the media collector first found no mention"),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name="fk_unmentioned_node", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node", name="pk_unmentioned"),
        comment="media files that no document of their collection mentions",
    )
