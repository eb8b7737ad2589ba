"""What a draft began with, whether it was refused for good, and whether what is in the trash lay open to everybody.

A program of the revision before writes none of these: null says that nobody knows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    base = "digest of the content that the file had when it was begun; null: not known"
    final = "refused for its type or size: no mount tries again by itself; null: no"
    enclosed = "lay in a collection that does not let everybody in; null: not known"
    op.add_column("drafts", sa.Column("base", sa.Text(), comment=base))
    op.add_column("drafts", sa.Column("is_final", sa.Boolean(), comment=final))
    op.add_column("trash", sa.Column("is_enclosed", sa.Boolean(), comment=enclosed))
