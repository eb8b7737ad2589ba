"""Documents, libraries and attachments in the tree; app passwords and the secret of tokens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0005"
down_revision = "0004"

RULED = "owner <> '' OR visibility IS NOT NULL OR is_local IS NOT NULL"
OWNER = "of a document, or of a file outside every one"


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    bytewise = sa.Text(collation="C") if is_postgresql else sa.Text()
    uid = UUID(as_uuid=False) if is_postgresql else sa.Text()
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    is_local = "false: what lies here is a library's; null: inherited"
    position = "among the attachments of its document; null: after those that have one"
    op.add_column("nodes", sa.Column("is_local", sa.Boolean(), comment=is_local))
    op.add_column("nodes", sa.Column("position", sa.BigInteger(), comment=position))
    if is_postgresql:
        op.alter_column("nodes", "owner", comment=OWNER)
        op.alter_column("app_passwords", "used", comment="about when it last let somebody in")
    ruled = sa.text(RULED)
    op.create_index("ix_nodes_ruled", "nodes", ["bucket", "owner"], sqlite_where=ruled, postgresql_where=ruled)
    owner = sa.Column(
        "owner", sa.Text(), nullable=False, server_default="", comment="of the document that it was in, or was"
    )
    op.add_column("trash", owner)
    op.create_table(
        "aliases",
        sa.Column("alias", bytewise, primary_key=True, comment="chosen by a client"),
        sa.Column(
            "node",
            number,
            sa.ForeignKey("nodes.id", name="fk_aliases_node", ondelete="CASCADE"),
            nullable=False,
        ),
        comment="further public names of nodes, beside their uids",
    )
    op.create_index("ix_aliases_node", "aliases", ["node"])
    op.add_column("app_passwords", sa.Column("uid", uid, comment="what it is revoked by"))
    op.create_index("uq_app_passwords_uid", "app_passwords", ["uid"], unique=True)
    op.create_index("uq_app_passwords_password", "app_passwords", ["password"], unique=True)
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
        comment="what all gateways sign with",
    )
