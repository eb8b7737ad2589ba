"""The type that a content shows by its first bytes is known once it was asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

COMMENT = "as the first bytes show; null: nobody asked yet"


def upgrade() -> None:
    op.add_column("objects", sa.Column("media_type", sa.Text(), comment=COMMENT))
