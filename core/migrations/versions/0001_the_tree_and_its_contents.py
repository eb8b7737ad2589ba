"""The tree and its contents."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "blob_data",
        sa.Column(
            "key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False, comment="the blob's"
        ),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False, comment="piece, from 0"),
        sa.Column("data", sa.LargeBinary(), nullable=False, comment="1 MiB, the last piece less"),
        sa.PrimaryKeyConstraint("key", "n", name=op.f("pk_blob_data")),
        comment="bytes of inline contents and of storages of type db",
    )
    op.create_table(
        "buckets",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.Column(
            "name",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            nullable=False,
            comment="first segment of every path below",
        ),
        sa.Column("storage", sa.Text(), nullable=False, comment="where new blobs go"),
        sa.Column("inline_below", sa.BigInteger(), nullable=False, comment="smaller contents live in blob_data"),
        sa.Column("max_size", sa.BigInteger(), nullable=True, comment="largest content taken; null: any"),
        sa.Column("quota", sa.BigInteger(), nullable=True, comment="most bytes of files, trash included; null: any"),
        sa.Column("dedup", sa.Boolean(), nullable=False, comment="whether equal bytes share an object"),
        sa.Column("keep_versions", sa.BigInteger(), nullable=False, comment="older contents kept for each file"),
        sa.Column("versions_age", sa.BigInteger(), nullable=False, comment="nanoseconds a version is kept"),
        sa.Column("trash", sa.BigInteger(), nullable=True, comment="nanoseconds a trash row is kept; null: no trash"),
        sa.Column("retention", sa.BigInteger(), nullable=False, comment="nanoseconds condemned bytes are kept"),
        sa.Column(
            "expire_after",
            sa.BigInteger(),
            nullable=True,
            comment="nanoseconds a file is kept at all; null: until it is deleted",
        ),
        sa.Column("visibility", sa.Text(), nullable=False, comment="private, protected or public"),
        sa.Column("types", sa.JSON(), nullable=False, comment="media type patterns taken; empty: all"),
        sa.Column(
            "files", sa.BigInteger(), server_default="0", nullable=False, comment="counter: file nodes, trash included"
        ),
        sa.Column(
            "bytes", sa.BigInteger(), server_default="0", nullable=False, comment="counter: the sum of their sizes"
        ),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False, comment="rises with every change"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_buckets")),
        sa.UniqueConstraint("name", name=op.f("uq_buckets_name")),
        sa.UniqueConstraint("uid", name=op.f("uq_buckets_uid")),
        comment="top-level folders with their policy",
    )
    op.create_table(
        "purges",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("claimed", sa.BigInteger(), nullable=True, comment="until when a worker has it"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True, comment="of the last attempt"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purges")),
        comment="the outbox of deletions: blobs that no object vouches for, or not yet",
    )
    with op.batch_alter_table("purges", schema=None) as batch_op:
        batch_op.create_index("ix_purges_due", ["due"], unique=False)
        batch_op.create_index("uq_purges_blob", ["storage", "key"], unique=True)

    op.create_table(
        "storages",
        sa.Column("name", sa.Text(), nullable=False, comment="as configured"),
        sa.Column(
            "uid",
            sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"),
            nullable=False,
            comment="stands in the storage's marker as well",
        ),
        sa.Column("type", sa.Text(), nullable=False, comment="local, db or s3"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_storages")),
        sa.UniqueConstraint("uid", name=op.f("uq_storages_uid")),
        comment="every storage that ever took a blob, and how its root is known again",
    )
    op.create_table(
        "objects",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.Column("bucket", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the bytes, lower-case hex"),
        sa.Column("dedup_key", sa.Text(), nullable=True, comment="the digest; null where dedup is off"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("storage", sa.Text(), nullable=False, comment="a storage's name, or inline"),
        sa.Column("key", sa.Text(), nullable=False, comment="the blob's; fresh at every publish"),
        sa.Column("state", sa.Text(), server_default="live", nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=True, comment="free, for host applications"),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column(
            "touched", sa.BigInteger(), nullable=True, comment="when a reference was dropped last; null: examined since"
        ),
        sa.Column("condemned", sa.BigInteger(), nullable=True, comment="when the collector found no reference"),
        sa.Column("examined", sa.BigInteger(), nullable=True, comment="when the collector looked last"),
        sa.Column("verified", sa.BigInteger(), nullable=True, comment="when the bytes were last read and hashed"),
        sa.Column("verdict", sa.Text(), nullable=True, comment="what that found: ok, lost or corrupt"),
        sa.CheckConstraint("(state = 'condemned') = (condemned IS NOT NULL)", name=op.f("ck_objects_condemned")),
        sa.CheckConstraint("state IN ('live', 'condemned')", name=op.f("ck_objects_state")),
        sa.CheckConstraint("verdict IN ('ok', 'lost', 'corrupt')", name=op.f("ck_objects_verdict")),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.id"], name=op.f("fk_objects_bucket"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_objects")),
        sa.UniqueConstraint("uid", name=op.f("uq_objects_uid")),
        comment="the rows that vouch for blobs",
    )
    with op.batch_alter_table("objects", schema=None) as batch_op:
        batch_op.create_index(
            "ix_objects_condemned",
            ["bucket", "condemned"],
            unique=False,
            sqlite_where=sa.text("condemned IS NOT NULL"),
            postgresql_where=sa.text("condemned IS NOT NULL"),
        )
        batch_op.create_index("ix_objects_digest", ["digest"], unique=False)
        batch_op.create_index("ix_objects_examined", ["bucket", "examined"], unique=False)
        batch_op.create_index(
            "ix_objects_touched",
            ["bucket", "touched"],
            unique=False,
            sqlite_where=sa.text("touched IS NOT NULL"),
            postgresql_where=sa.text("touched IS NOT NULL"),
        )
        batch_op.create_index("ix_objects_verified", ["verified"], unique=False)
        batch_op.create_index("uq_objects_blob", ["storage", "key"], unique=True)
        batch_op.create_index("uq_objects_dedup", ["bucket", "dedup_key"], unique=True)

    op.create_table(
        "digests",
        sa.Column("object", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("sha1", sa.Text(), nullable=True),
        sa.Column("md5", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name=op.f("fk_digests_object"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("object", name=op.f("pk_digests")),
        comment="other digests of contents, made when asked for",
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("object", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name=op.f("fk_holds_object"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
        comment="references with an end",
    )
    with op.batch_alter_table("holds", schema=None) as batch_op:
        batch_op.create_index("ix_holds_object", ["object"], unique=False)
        batch_op.create_index("ix_holds_until", ["until"], unique=False)

    op.create_table(
        "nodes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.Column("bucket", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "is_root",
            sa.Boolean(),
            server_default=sa.text("(false)"),
            nullable=False,
            comment="its bucket's top collection",
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "object", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True, comment="the bytes of a file"
        ),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("media_type", sa.Text(), server_default="", nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column(
            "modified", sa.BigInteger(), nullable=False, comment="of the content, or of a collection's member list"
        ),
        sa.Column("changed", sa.BigInteger(), nullable=False, comment="of anything (POSIX ctime)"),
        sa.Column("author", sa.Text(), server_default="", nullable=False, comment="who wrote the content"),
        sa.Column(
            "rewritten",
            sa.BigInteger(),
            nullable=True,
            comment="when the content took the place of another; null: it is the first",
        ),
        sa.Column("mode", sa.Integer(), nullable=False, comment="POSIX permission bits"),
        sa.Column("uid_number", sa.BigInteger(), server_default="0", nullable=False, comment="POSIX user"),
        sa.Column("gid_number", sa.BigInteger(), server_default="0", nullable=False, comment="POSIX group"),
        sa.Column(
            "rdev", sa.BigInteger(), server_default="0", nullable=False, comment="POSIX device of a special file"
        ),
        sa.Column("target", sa.Text(), nullable=True, comment="of a symlink"),
        sa.Column(
            "links", sa.Integer(), nullable=False, comment="how many names it has; a root and what is in the trash: 0"
        ),
        sa.Column("owner", sa.Text(), server_default="", nullable=False, comment="principal"),
        sa.Column("visibility", sa.Text(), nullable=True, comment="null: inherited"),
        sa.Column(
            "expires", sa.BigInteger(), nullable=True, comment="when a file goes by itself, for good; null: never"
        ),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="the bucket's at its last change"),
        sa.CheckConstraint("(kind = 'file') = (object IS NOT NULL)", name=op.f("ck_nodes_content")),
        sa.CheckConstraint("kind <> 'collection' OR links <= 1", name=op.f("ck_nodes_one_name")),
        sa.CheckConstraint("kind IN ('collection', 'file', 'symlink', 'special')", name=op.f("ck_nodes_kind")),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.id"], name=op.f("fk_nodes_bucket"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name=op.f("fk_nodes_object"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
        sa.UniqueConstraint("uid", name=op.f("uq_nodes_uid")),
        comment="what names point to: identity, attributes, content",
    )
    with op.batch_alter_table("nodes", schema=None) as batch_op:
        batch_op.create_index("ix_nodes_bucket_seq", ["bucket", "seq"], unique=False)
        batch_op.create_index(
            "ix_nodes_expires",
            ["bucket", "expires"],
            unique=False,
            sqlite_where=sa.text("expires IS NOT NULL"),
            postgresql_where=sa.text("expires IS NOT NULL"),
        )
        batch_op.create_index("ix_nodes_object", ["object"], unique=False)
        batch_op.create_index(
            "uq_nodes_root",
            ["bucket"],
            unique=True,
            sqlite_where=sa.text("is_root = 1"),
            postgresql_where=sa.text("is_root"),
        )

    op.create_table(
        "renditions",
        sa.Column("source", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("preset", sa.Text(), nullable=False),
        sa.Column(
            "object", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True, comment="null: there is none"
        ),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True, comment="why there is none"),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name=op.f("fk_renditions_object"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["source"], ["objects.id"], name=op.f("fk_renditions_source"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("source", "preset", name=op.f("pk_renditions")),
        comment="objects derived from others, by preset",
    )
    with op.batch_alter_table("renditions", schema=None) as batch_op:
        batch_op.create_index("ix_renditions_object", ["object"], unique=False)

    op.create_table(
        "dead_properties",
        sa.Column("node", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("xml", sa.Text(), nullable=False, comment="the whole property element, xml:lang kept"),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("fk_dead_properties_node"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node", "namespace", "name", name=op.f("pk_dead_properties")),
        comment="properties that clients set (RFC 4918, section 4)",
    )
    op.create_table(
        "locks",
        sa.Column("token", sa.Text(), nullable=False, comment="urn:uuid:…"),
        sa.Column("node", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("infinite", sa.Boolean(), nullable=False, comment="Depth: infinity"),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False, comment="the client's XML"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("timeout", sa.BigInteger(), nullable=False, comment="granted nanoseconds"),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("fk_locks_node"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_locks")),
        comment="write locks; by node, so they survive the renaming of an ancestor",
    )
    with op.batch_alter_table("locks", schema=None) as batch_op:
        batch_op.create_index("ix_locks_node", ["node"], unique=False)

    op.create_table(
        "names",
        sa.Column("parent", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column(
            "name",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            nullable=False,
            comment="byte-exact, as given",
        ),
        sa.Column(
            "key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False, comment="its NFC form"
        ),
        sa.Column("node", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("fk_names_node"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["parent"], ["nodes.id"], name=op.f("fk_names_parent"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("parent", "name", name=op.f("pk_names")),
        comment="(parent, name) -> node: the tree",
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("names", schema=None) as batch_op:
        batch_op.create_index("ix_names_key", ["parent", "key"], unique=False)
        batch_op.create_index("ix_names_node", ["node"], unique=False)

    op.create_table(
        "trash",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.Column("bucket", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("node", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("path", sa.JSON(), nullable=False, comment="where it was: its names, the bucket's first"),
        sa.Column("by", sa.Text(), nullable=False, comment="principal"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True, comment="when it may be emptied; null: never by itself"),
        sa.ForeignKeyConstraint(["bucket"], ["buckets.id"], name=op.f("fk_trash_bucket"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("fk_trash_node"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trash")),
        sa.UniqueConstraint("node", name=op.f("uq_trash_node")),
        sa.UniqueConstraint("uid", name=op.f("uq_trash_uid")),
        comment="removed subtrees that can be restored: one row for each, whatever its size",
    )
    with op.batch_alter_table("trash", schema=None) as batch_op:
        batch_op.create_index("ix_trash_bucket", ["bucket", "at"], unique=False)
        batch_op.create_index("ix_trash_until", ["until"], unique=False)

    op.create_table(
        "versions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("uid", sa.Text().with_variant(sa.UUID(as_uuid=False), "postgresql"), nullable=False),
        sa.Column("node", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("object", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("modified", sa.BigInteger(), nullable=False, comment="of that content"),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("replaced", sa.BigInteger(), nullable=False, comment="when a newer content took its place"),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"], name=op.f("fk_versions_node"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["object"], ["objects.id"], name=op.f("fk_versions_object"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
        sa.UniqueConstraint("uid", name=op.f("uq_versions_uid")),
        comment="older contents of files",
    )
    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.create_index("ix_versions_node", ["node", "replaced"], unique=False)
        batch_op.create_index("ix_versions_object", ["object"], unique=False)
