"""A run looks at the versions that are new since the last one, and at those that are old."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

COMMENT = "versions replaced up to then are not too many for their files"


def upgrade() -> None:
    op.add_column("buckets", sa.Column("thinned", sa.BigInteger(), nullable=False, server_default="0", comment=COMMENT))
    op.create_index("ix_versions_replaced", "versions", ["replaced"])
