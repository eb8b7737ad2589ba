"""The tables of accounts, sharing, jobs and records, on the same metadata as `schema`."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, Text, text

from .schema import Bytewise, Id, Uid, metadata

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, nullable=False, unique=True),
    Column("name", Bytewise, nullable=False, unique=True),
    Column("password", Text, nullable=False, comment="argon2id, as an encoded string"),
    Column("admin", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    comment="people who may sign in",
)

groups = Table(
    "groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Bytewise, nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
    comment="named sets of users",
)

members = Table(
    "members",
    metadata,
    Column("group", Id, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("user", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Index("ix_members_user", "user"),
    comment="who is in which group",
)

grants = Table(
    "grants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("node", Id, ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False),
    Column("user", Id, ForeignKey("users.id", ondelete="CASCADE")),
    Column("group", Id, ForeignKey("groups.id", ondelete="CASCADE")),
    Column("right", Text, nullable=False, comment="read, write or manage"),
    Index("ix_grants_node", "node"),
    comment="rights on a node and all below it",
)

app_passwords = Table(
    "app_passwords",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, comment="what it is revoked by"),
    Column("user", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("label", Text, nullable=False),
    Column("password", Text, nullable=False, comment="digest of a random secret"),
    Column("created", BigInteger, nullable=False),
    Column("used", BigInteger, comment="about when it last let somebody in"),
    Index("ix_app_passwords_user", "user"),
    Index("uq_app_passwords_uid", "uid", unique=True),
    Index("uq_app_passwords_password", "password", unique=True),
    comment="passwords for one program each",
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="what all gateways sign with",
)

shares = Table(
    "shares",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, nullable=False, unique=True),
    Column("node", Id, ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False),
    Column("right", Text, nullable=False),
    Column("password", Text),
    Column("expires", BigInteger),
    Column("by", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Index("ix_shares_node", "node"),
    comment="links that open a node to whoever has them",
)

drafts = Table(
    "drafts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", Uid, nullable=False, unique=True),
    Column("node", Id, ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False),
    Column("file", Text, nullable=False, comment="in the staging directory"),
    Column("principal", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("error", Text, comment="why it could not be published"),
    Column("base", Text, comment="digest of the content that the file had when it was begun; null: not known"),
    Column("is_final", Boolean, comment="refused for its type or size: no mount tries again by itself; null: no"),
    Index("ix_drafts_node", "node"),
    comment="durable, unpublished contents of the FUSE mount",
)

uploads = Table(
    "uploads",
    metadata,
    Column("uid", Uid, primary_key=True),
    Column("bucket", Id, ForeignKey("buckets.id", ondelete="CASCADE"), nullable=False),
    Column("storage", Text, nullable=False, comment="in whose staging directory the bytes are"),
    Column("principal", Text, nullable=False, comment="whose it is"),
    Column("length", BigInteger, nullable=False, comment="bytes that will have come"),
    Column("offset", BigInteger, nullable=False, comment="bytes that came, and are on disk"),
    Column("about", JSON, nullable=False, comment="what the client said of the content"),
    Column("node", Uid, comment="the file that it became"),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Index("ix_uploads_bucket", "bucket"),
    Index("ix_uploads_expires", "expires"),
    comment="contents that come in parts, over days and connections",
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text),
    Column("lease", BigInteger, comment="until when the holder has it"),
    Column("last_run", BigInteger),
    Column("last_error", Text),
    comment="background jobs and who runs them",
)

links = Table(
    "links",
    metadata,
    Column("object", Id, ForeignKey("objects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("storage", Text, nullable=False, comment="where the blob was when the URL was signed"),
    Column("key", Text, nullable=False, comment="the blob's"),
    Column("url", Text, nullable=False, comment="whoever has it can read the blob until it expires"),
    Column("signed", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    comment="presigned URLs of the buckets that keep them for host applications",
)

reference_rules = Table(
    "reference_rules",
    metadata,
    Column("bucket", Id, ForeignKey("buckets.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("table", Text, primary_key=True, comment="a host application's"),
    Column("column", Text, primary_key=True, comment="an indexed foreign key to objects.uid"),
    comment="host tables that keep objects alive: a collector that is not told of one leaves its bucket alone",
)

gc_log = Table(
    "gc_log",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("object_uid", Uid),
    Column("digest", Bytewise),
    Column("size", BigInteger),
    Column("reason", Text),
    Index("ix_gc_log_digest", "digest", sqlite_where=text("event = 'purged'")),
    Index("ix_gc_log_at", "at"),
    Index("ix_gc_log_object_uid", "object_uid"),
    comment="what the collector let go, when and why",
)

unmentioned = Table(
    "unmentioned",
    metadata,
    Column("node", Id, ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("since", BigInteger, nullable=False, comment="when the media collector first found no mention"),
    comment="media files that no document of their collection mentions",
)

audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("principal", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", JSON),
    Column("count", Integer, nullable=False, server_default="1"),
    comment="administrative events",
)
