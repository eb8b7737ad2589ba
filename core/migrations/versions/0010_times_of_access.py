"""When a file was read last, as far as a program said so: the mount keeps what `touch -a` and `cp -p` set."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("accessed", sa.BigInteger(), comment="as a program set it; null: as modified"))
