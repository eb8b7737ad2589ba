"""A new file is in two indexes less: that of NFC forms has those names only that differ from theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

DIFFERS = sa.text("key <> name")


def upgrade() -> None:
    op.drop_index("ix_nodes_bucket_seq", "nodes")
    op.drop_index("ix_names_key", "names")
    op.create_index("ix_names_key", "names", ["parent", "key"], sqlite_where=DIFFERS, postgresql_where=DIFFERS)
