"""Large subtrees of the trash go bit by bit; what has begun to go cannot be restored."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

PART = sa.text("ending IS NOT NULL")
COMMENT = "since when it goes for good, bit by bit; null: it can be restored"


def upgrade() -> None:
    op.add_column("trash", sa.Column("ending", sa.BigInteger(), comment=COMMENT))
    op.create_index("ix_trash_ending", "trash", ["ending"], sqlite_where=PART, postgresql_where=PART)
