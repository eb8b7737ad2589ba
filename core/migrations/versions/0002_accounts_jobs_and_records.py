"""Accounts, jobs and records."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="administrative events",
    )
    op.create_table(
        "gc_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("object_uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gc_log")),
        comment="what the collector let go, when and why",
    )
    with op.batch_alter_table("gc_log", schema=None) as batch_op:
        batch_op.create_index("ix_gc_log_at", ["at"], unique=False)
        batch_op.create_index("ix_gc_log_digest", ["digest"], unique=False)
        batch_op.create_index("ix_gc_log_object_uid", ["object_uid"], unique=False)

    op.create_table(
        "groups",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
        comment="named sets of users",
    )
    op.create_table(
        "jobs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("lease", sa.BigInteger(), nullable=True, comment="until when the holder has it"),
        sa.Column("last_run", sa.BigInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_jobs")),
        comment="background jobs and who runs them",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.Column("name", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("password", sa.Text(), nullable=False, comment="argon2id, as an encoded string"),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        sa.UniqueConstraint("uid", name=op.f("uq_users_uid")),
        comment="people who may sign in",
    )
    op.create_table(
        "app_passwords",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False, comment="digest of a random secret"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_app_passwords_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_passwords")),
        comment="passwords for one program each",
    )
    with op.batch_alter_table("app_passwords", schema=None) as batch_op:
        batch_op.create_index("ix_app_passwords_user", ["user"], unique=False)

    op.create_table(
        "members",
        sa.Column("group", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("user", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["group"], ["groups.id"], name=op.f("fk_members_group"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_members_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group", "user", name=op.f("pk_members")),
        comment="who is in which group",
    )
    with op.batch_alter_table("members", schema=None) as batch_op:
        batch_op.create_index("ix_members_user", ["user"], unique=False)

    op.create_table(
        "reference_rules",
        sa.Column("bucket", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("table", sa.Text(), nullable=False, comment="a host application's"),
        sa.Column("column", sa.Text(), nullable=False, comment="an indexed foreign key to objects.uid"),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.id"], name=op.f("fk_reference_rules_bucket"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("bucket", "table", "column", name=op.f("pk_reference_rules")),
        comment="host tables that keep objects alive: a collector that is not told of one leaves its bucket alone",
    )
    op.create_table(
        "drafts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.Column("node", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("file", sa.Text(), nullable=False, comment="in the staging directory"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True, comment="why it could not be published"),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("fk_drafts_node"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
        sa.UniqueConstraint("uid", name=op.f("uq_drafts_uid")),
        comment="durable, unpublished contents of the FUSE mount",
    )
    with op.batch_alter_table("drafts", schema=None) as batch_op:
        batch_op.create_index("ix_drafts_node", ["node"], unique=False)

    op.create_table(
        "grants",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("node", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("group", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("right", sa.Text(), nullable=False, comment="read, write or manage"),
        sa.ForeignKeyConstraint(["group"], ["groups.id"], name=op.f("fk_grants_group"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("fk_grants_node"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name=op.f("fk_grants_user"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grants")),
        comment="rights on a node and all below it",
    )
    with op.batch_alter_table("grants", schema=None) as batch_op:
        batch_op.create_index("ix_grants_node", ["node"], unique=False)

    op.create_table(
        "shares",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.Column("node", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("right", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("fk_shares_node"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shares")),
        sa.UniqueConstraint("uid", name=op.f("uq_shares_uid")),
        comment="links that open a node to whoever has them",
    )
    with op.batch_alter_table("shares", schema=None) as batch_op:
        batch_op.create_index("ix_shares_node", ["node"], unique=False)
