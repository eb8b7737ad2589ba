"""The tables of the tree and its contents (docs/design.md, section 4). Constraints state the invariants.

Keys inside are integers; `uid`s (UUIDv7) are the public names of rows. Times are Instants (nanoseconds since the Unix
epoch, UTC, by the database's clock); sizes are bytes. Tables of accounts, jobs and sharing are in `schema_services`.

A part of a table that has an index is told as SQLite takes it. On PostgreSQL it is the same, as a test of the
migrations sees; said here for both, every process would load both dialects.
"""

from sqlalchemy import (
    JSON,
    UUID,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the type is INTEGER."""
Uid = Text().with_variant(UUID(as_uuid=False), "postgresql")
Bytewise = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that both databases order by its UTF-8 bytes, so that keyset pages agree and indexes cost no collation."""

RULED = "owner <> '' OR visibility IS NOT NULL OR is_local IS NOT NULL"
"""What a node that says something of its own about access has; few do."""

storages = Table(
    "storages",
    metadata,
    Column("name", Text, primary_key=True, comment="as configured"),
    Column("uid", Uid, nullable=False, unique=True, comment="stands in the storage's marker as well"),
    Column("type", Text, nullable=False, comment="local, db or s3"),
    comment="every storage that ever took a blob, and how its root is known again",
)

buckets = Table(
    "buckets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, nullable=False, unique=True),
    Column("name", Bytewise, nullable=False, unique=True, comment="first segment of every path below"),
    Column("storage", Text, nullable=False, comment="where new blobs go"),
    Column("inline_below", BigInteger, nullable=False, comment="smaller contents live in blob_data"),
    Column("max_size", BigInteger, comment="largest content taken; null: any"),
    Column("quota", BigInteger, comment="most bytes of files, trash included; null: any"),
    Column("dedup", Boolean, nullable=False, comment="whether equal bytes share an object"),
    Column("keep_versions", BigInteger, nullable=False, comment="older contents kept for each file"),
    Column("versions_age", BigInteger, nullable=False, comment="nanoseconds a version is kept"),
    Column("trash", BigInteger, comment="nanoseconds a trash row is kept; null: no trash"),
    Column("retention", BigInteger, nullable=False, comment="nanoseconds condemned bytes are kept"),
    Column("expire_after", BigInteger, comment="nanoseconds a file is kept at all; null: until it is deleted"),
    Column("visibility", Text, nullable=False, comment="private, protected or public"),
    Column("types", JSON, nullable=False, comment="media type patterns taken; empty: all"),
    Column(
        "presign",
        Text,
        nullable=False,
        server_default="on-demand",
        comment="stored: the links table has a URL for each content",
    ),
    Column("thumbnails", Boolean, nullable=False, server_default=text("false"), comment="made as pictures come"),
    Column("presets", JSON, nullable=False, server_default="[]", comment="other renditions made as they come"),
    Column("documents", JSON, nullable=False, server_default="[]", comment="names of files that mention media"),
    Column(
        "media_grace",
        BigInteger,
        nullable=False,
        server_default=str(2 * 24 * 3600 * 10**9),
        comment="nanoseconds unmentioned media stay",
    ),
    Column("files", BigInteger, nullable=False, server_default="0", comment="counter: file nodes, trash included"),
    Column("bytes", BigInteger, nullable=False, server_default="0", comment="counter: the sum of their sizes"),
    Column("seq", BigInteger, nullable=False, server_default="0", comment="rises with every change"),
    Column(
        "collected",
        BigInteger,
        nullable=False,
        server_default="-1",
        comment="objects touched until then are decided on",
    ),
    Column(
        "walked", BigInteger, nullable=False, server_default="0", comment="when the collector began with every object"
    ),
    Column(
        "thinned",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="versions replaced up to then are not too many for their files",
    ),
    Column("created", BigInteger, nullable=False),
    comment="top-level folders with their policy",
)

objects = Table(
    "objects",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, nullable=False, unique=True),
    Column("bucket", Id, ForeignKey("buckets.id", ondelete="RESTRICT"), nullable=False),
    Column("digest", Bytewise, nullable=False, comment="SHA-256 of the bytes, lower-case hex"),
    Column("dedup_key", Bytewise, comment="the digest; null where dedup is off"),
    Column("size", BigInteger, nullable=False),
    Column("storage", Bytewise, nullable=False, comment="a storage's name, or inline"),
    Column("key", Bytewise, nullable=False, comment="the blob's; fresh at every publish"),
    Column("state", Text, nullable=False, server_default="live"),
    Column("metadata", JSON, comment="free, for host applications"),
    Column("created", BigInteger, nullable=False),
    Column(
        "touched",
        BigInteger,
        comment="since when it is worth a look, or was when the collector came; ahead while a hold keeps it",
    ),
    Column("condemned", BigInteger, comment="when the collector found no reference"),
    Column("examined", BigInteger, comment="no longer written"),
    Column("verified", BigInteger, comment="when the bytes were last read and hashed"),
    Column("verdict", Text, comment="what that found: ok, lost or corrupt"),
    Column("media_type", Text, comment="as the first bytes show; null: nobody asked yet"),
    CheckConstraint("state IN ('live', 'condemned')", name="state"),
    CheckConstraint("(state = 'condemned') = (condemned IS NOT NULL)", name="condemned"),
    CheckConstraint("verdict IN ('ok', 'lost', 'corrupt')", name="verdict"),
    Index("uq_objects_dedup", "dedup_key", "bucket", unique=True),
    Index("uq_objects_blob", "storage", "key", unique=True),
    Index("ix_objects_digest", "digest", sqlite_where=text("dedup_key IS NULL")),
    Index("ix_objects_touched", "bucket", "touched", "id", sqlite_where=text("condemned IS NULL")),
    Index("ix_objects_condemned", "bucket", "condemned", sqlite_where=text("condemned IS NOT NULL")),
    comment="the rows that vouch for blobs",
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, nullable=False, unique=True),
    Column("bucket", Id, ForeignKey("buckets.id", ondelete="RESTRICT"), nullable=False),
    Column("is_root", Boolean, nullable=False, server_default=text("false"), comment="its bucket's top collection"),
    Column("kind", Text, nullable=False),
    Column("object", Id, ForeignKey("objects.id", ondelete="RESTRICT"), comment="the bytes of a file"),
    Column("size", BigInteger, nullable=False, server_default="0"),
    Column("media_type", Text, nullable=False, server_default=""),
    Column("created", BigInteger, nullable=False),
    Column("modified", BigInteger, nullable=False, comment="of the content, or of a collection's member list"),
    Column("changed", BigInteger, nullable=False, comment="of anything (POSIX ctime)"),
    Column("accessed", BigInteger, comment="as a program set it; null: as modified"),
    Column("author", Text, nullable=False, server_default="", comment="who wrote the content"),
    Column("rewritten", BigInteger, comment="when the content took the place of another; null: it is the first"),
    Column("mode", Integer, nullable=False, comment="POSIX permission bits"),
    Column("uid_number", BigInteger, nullable=False, server_default="0", comment="POSIX user"),
    Column("gid_number", BigInteger, nullable=False, server_default="0", comment="POSIX group"),
    Column("rdev", BigInteger, nullable=False, server_default="0", comment="POSIX device of a special file"),
    Column("target", Text, comment="of a symlink"),
    Column("links", Integer, nullable=False, comment="how many names it has; a root and what is in the trash: 0"),
    Column("owner", Text, nullable=False, server_default="", comment="of a document, or of a file outside every one"),
    Column("visibility", Text, comment="null: inherited"),
    Column("is_local", Boolean, comment="false: what lies here is a library's; null: inherited"),
    Column("position", BigInteger, comment="among the attachments of its document; null: after those that have one"),
    Column("expires", BigInteger, comment="when a file goes by itself, for good; null: never"),
    Column("seq", BigInteger, nullable=False, comment="the bucket's at its last change"),
    CheckConstraint("kind IN ('collection', 'file', 'symlink', 'special')", name="kind"),
    CheckConstraint("(kind = 'file') = (object IS NOT NULL)", name="content"),
    CheckConstraint("kind <> 'collection' OR links <= 1", name="one_name"),
    Index("ix_nodes_object", "object"),
    Index("ix_nodes_ruled", "bucket", "owner", sqlite_where=text(RULED)),
    Index("ix_nodes_expires", "bucket", "expires", sqlite_where=text("expires IS NOT NULL")),
    Index("uq_nodes_root", "bucket", unique=True, sqlite_where=text("is_root = 1")),
    comment="what names point to: identity, attributes, content",
)

names = Table(
    "names",
    metadata,
    Column("parent", Id, ForeignKey("nodes.id", ondelete="RESTRICT"), primary_key=True, autoincrement=False),
    Column("name", Bytewise, primary_key=True, comment="byte-exact, as given"),
    Column("key", Bytewise, nullable=False, comment="its NFC form"),
    Column("node", Id, ForeignKey("nodes.id", ondelete="RESTRICT"), nullable=False),
    Index("ix_names_key", "parent", "key", sqlite_where=text("key <> name")),
    Index("ix_names_node", "node"),
    sqlite_with_rowid=False,
    comment="(parent, name) -> node: the tree",
)

versions = Table(
    "versions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, nullable=False, unique=True),
    Column("node", Id, ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False),
    Column("object", Id, ForeignKey("objects.id", ondelete="RESTRICT"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("modified", BigInteger, nullable=False, comment="of that content"),
    Column("author", Text, nullable=False),
    Column("replaced", BigInteger, nullable=False, comment="when a newer content took its place"),
    Index("ix_versions_node", "node", "replaced"),
    Index("ix_versions_replaced", "replaced"),
    Index("ix_versions_object", "object"),
    comment="older contents of files",
)

trash = Table(
    "trash",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, nullable=False, unique=True),
    Column("bucket", Id, ForeignKey("buckets.id", ondelete="RESTRICT"), nullable=False),
    Column("node", Id, ForeignKey("nodes.id", ondelete="RESTRICT"), nullable=False, unique=True),
    Column("path", JSON, nullable=False, comment="where it was: its names, the bucket's first"),
    Column("by", Text, nullable=False, comment="principal"),
    Column("at", BigInteger, nullable=False),
    Column("until", BigInteger, comment="when it may be emptied; null: never by itself"),
    Column("owner", Text, nullable=False, server_default="", comment="of the document that it was in, or was"),
    Column("ending", BigInteger, comment="since when it goes for good, bit by bit; null: it can be restored"),
    Column("is_enclosed", Boolean, comment="lay in a collection that does not let everybody in; null: not known"),
    Index("ix_trash_bucket", "bucket", "at"),
    Index("ix_trash_until", "until"),
    Index("ix_trash_ending", "ending", sqlite_where=text("ending IS NOT NULL")),
    comment="removed subtrees that can be restored: one row for each, whatever its size",
)

aliases = Table(
    "aliases",
    metadata,
    Column("alias", Bytewise, primary_key=True, comment="chosen by a client"),
    Column("node", Id, ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False),
    Index("ix_aliases_node", "node"),
    comment="further public names of nodes, beside their uids",
)

dead_properties = Table(
    "dead_properties",
    metadata,
    Column("node", Id, ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("namespace", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("xml", Text, nullable=False, comment="the whole property element, xml:lang kept"),
    comment="properties that clients set (RFC 4918, section 4)",
)

locks = Table(
    "locks",
    metadata,
    Column("token", Text, primary_key=True, comment="urn:uuid:…"),
    Column("node", Id, ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False),
    Column("infinite", Boolean, nullable=False, comment="Depth: infinity"),
    Column("exclusive", Boolean, nullable=False),
    Column("owner", Text, nullable=False, comment="the client's XML"),
    Column("principal", Text, nullable=False),
    Column("timeout", BigInteger, nullable=False, comment="granted nanoseconds"),
    Column("expires", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Index("ix_locks_node", "node"),
    comment="write locks; by node, so they survive the renaming of an ancestor",
)

blob_data = Table(
    "blob_data",
    metadata,
    Column("key", Bytewise, primary_key=True, comment="the blob's"),
    Column("n", Integer, primary_key=True, autoincrement=False, comment="piece, from 0"),
    Column("data", LargeBinary, nullable=False, comment="1 MiB, the last piece less"),
    comment="bytes of inline contents and of storages of type db",
)

purges = Table(
    "purges",
    metadata,
    Column("id", Id, primary_key=True),
    Column("storage", Bytewise, nullable=False),
    Column("key", Bytewise, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("claimed", BigInteger, comment="until when a worker has it"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text, comment="of the last attempt"),
    Index("uq_purges_blob", "storage", "key", unique=True),
    Index("ix_purges_due", "due"),
    comment="the outbox of deletions: blobs that no object vouches for, or not yet",
)

holds = Table(
    "holds",
    metadata,
    Column("id", Id, primary_key=True),
    Column("object", Id, ForeignKey("objects.id", ondelete="RESTRICT"), nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Index("ix_holds_object", "object"),
    Index("ix_holds_until", "until"),
    comment="references with an end",
)

pictures = Table(
    "pictures",
    metadata,
    Column("object", Id, ForeignKey("objects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("wanted", BigInteger, comment="since when its bucket's renditions are to be made; null: they are, or never"),
    Column("claimed", BigInteger, comment="until when a process makes renditions of it"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="that ended with the process"),
    Column("width", Integer, comment="pixels, as displayed"),
    Column("height", Integer),
    Column("reason", Text, comment="why there is no rendition, whatever the preset"),
    Index("ix_pictures_wanted", "wanted", sqlite_where=text("wanted IS NOT NULL")),
    comment="contents as pictures: what is known of them, and who makes their renditions",
)

renditions = Table(
    "renditions",
    metadata,
    Column("source", Id, ForeignKey("objects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("preset", Text, primary_key=True),
    Column("object", Id, ForeignKey("objects.id", ondelete="RESTRICT"), comment="null: there is none"),
    Column("width", Integer),
    Column("height", Integer),
    Column("reason", Text, comment="why there is none"),
    Index("ix_renditions_object", "object"),
    comment="objects derived from others, by preset",
)

digests = Table(
    "digests",
    metadata,
    Column("object", Id, ForeignKey("objects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("sha1", Text),
    Column("md5", Text),
    comment="other digests of contents, made when asked for",
)
