"""The values that cross the store's boundary: frozen, and in the glossary's words (docs/design.md, section 2).

Times are `Instant`s: nanoseconds since the Unix epoch, UTC, as POSIX file times need them. Sizes are bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple, NewType, Protocol

BucketId = NewType("BucketId", int)
NodeId = NewType("NodeId", int)
ObjectId = NewType("ObjectId", int)
Digest = NewType("Digest", str)
"""SHA-256 of a content, lower-case hex."""
Instant = NewType("Instant", int)
"""Nanoseconds since the Unix epoch, UTC."""
Visibility = Literal["private", "protected", "public"]
Presign = Literal["on-demand", "stored"]
"""When a bucket's blobs get URLs of their own: as they are asked for, or beforehand, kept in the database."""
Path = tuple[str, ...]
"""() is the root, which lists the buckets; ("files", "a.txt") is a file in bucket `files`."""

SECOND = 1_000_000_000
FOREVER = Instant((1 << 63) - 1)
"""A time that never comes."""
EMPTY = Digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
INLINE = "inline"
"""The storage of contents that are kept in the database by the transaction that names them."""


def instant(moment: datetime) -> Instant:
    """An aware time as an Instant, exact to the microsecond."""
    return Instant((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000)


def moment(at: Instant) -> datetime:
    """An Instant as an aware UTC time, truncated to the microsecond."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at // 1000)


class Kind(StrEnum):
    COLLECTION = "collection"
    FILE = "file"
    SYMLINK = "symlink"
    SPECIAL = "special"


class Scope(StrEnum):
    EXCLUSIVE = "exclusive"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `name` is "" for nobody in particular."""

    name: str = ""
    admin: bool = False
    may_write: bool = True
    unbound: bool = False
    """No visibility binds them: who runs commands on the server's machine reads its disk anyway."""


OPERATOR = Caller("admin", admin=True, unbound=True)
"""Who runs commands."""


@dataclass(frozen=True, slots=True)
class Access:
    """What the nodes on a path come to, the nearest winning.

    A document is a collection with an owner, and all below it is the document's; a file outside every document may
    have an owner of its own. What has none is everybody's whom the server lets in.
    """

    visibility: Visibility = "private"
    owner: str = ""
    in_document: bool = False
    is_local: bool = True

    def of(self, kind: Kind, owner: str, visibility: Visibility | None, is_local: bool | None) -> "Access":
        """Of a member, by what its row says."""
        access = self
        if owner and kind == Kind.COLLECTION:
            access = replace(access, owner=owner, in_document=True)
        elif owner and not self.in_document:
            access = replace(access, owner=owner)
        if visibility is None and is_local is None:
            return access
        return replace(
            access,
            visibility=visibility or self.visibility,
            is_local=self.is_local if is_local is None else is_local,
        )

    def readable(self, caller: Caller) -> bool:
        if not self.owner or caller.unbound or caller.name == self.owner:
            return True
        if not self.in_document:
            return caller.admin
        return self.visibility == "public" or (self.visibility == "protected" and caller.name != "")

    def writable(self, caller: Caller) -> bool:
        return caller.may_write and self.belongs_to(caller)

    def belongs_to(self, caller: Caller) -> bool:
        """A document is its owner's, and an administrator's where he may read it."""
        is_owner = not self.owner or caller.unbound or caller.name == self.owner
        return is_owner or (caller.admin and self.readable(caller))

    @property
    def is_public(self) -> bool:
        """Everybody may read it whom the server lets in without credentials, and it says so itself."""
        return self.visibility == "public" and (self.in_document or not self.owner)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a node shall say of its own access. None leaves it as it is; "inherit" says nothing any more."""

    visibility: Visibility | Literal["inherit"] | None = None
    is_local: bool | None = None
    """False makes a collection a library, whose media are not local to it."""
    owner: str | None = None
    """Makes a collection a document; "" makes it none any more. For those whom no visibility binds."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A content: what it is, and where its blob lies. `key` is the blob's in `storage`."""

    digest: Digest
    size: int
    storage: str
    key: str


@dataclass(frozen=True, slots=True)
class Node:
    """What a path points to. `path` is as stored, which may be another Unicode form than was asked for."""

    id: NodeId
    uid: str
    bucket: BucketId
    path: Path
    kind: Kind
    size: int
    media_type: str
    created: Instant
    modified: Instant
    seq: int
    object: ObjectId | None = None
    object_uid: str = ""
    content: Descriptor | None = None
    mode: int = 0o644
    uid_number: int = 0
    gid_number: int = 0
    links: int = 1
    target: str = ""
    owner: str = ""
    visibility: Visibility | None = None
    is_local: bool | None = None
    access: Access | None = None
    """What its path says of who may read it; None where nothing in its bucket says anything."""
    past: "Removal | Version | None" = None
    """What the trash, or the list of a file's versions, tells of it."""
    expires: Instant | None = None
    """When a file goes by itself."""

    @property
    def is_collection(self) -> bool:
        return self.kind is Kind.COLLECTION

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else ""

    @property
    def etag(self) -> str:
        """The entity tag without quotes: a file's digest; a collection's identity and last change."""
        return self.content.digest if self.content else f"{self.uid}-{self.seq}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A write's result. `created`: nothing was at the path before."""

    node: Node
    created: bool


@dataclass(frozen=True, slots=True)
class Lock:
    """A write lock (RFC 4918, section 6). `owner` is the client's XML, `timeout` the granted nanoseconds."""

    token: str
    root: Path
    infinite: bool
    scope: Scope
    owner: str
    principal: str
    timeout: int
    expires: Instant
    remaining: int = 0
    """Nanoseconds left at the time of reading, by the database's clock."""


class Granted(NamedTuple):
    """What a LOCK gives. `created`: an empty file was made for it (RFC 4918, section 7.3)."""

    lock: Lock
    created: bool
    others: tuple[Lock, ...]
    """Those that cover the resource besides."""
    is_collection: bool


@dataclass(frozen=True, slots=True)
class LockLimits:
    """Nanoseconds."""

    default: int
    longest: int


@dataclass(frozen=True, slots=True)
class LockRequest:
    scope: Scope = Scope.EXCLUSIVE
    infinite: bool = True
    owner: str = ""
    timeout: int | None = None
    """Wanted nanoseconds; None takes the default, and the settings cap it."""


@dataclass(frozen=True, slots=True)
class PropertyName:
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """Sets a dead property to `xml`, the whole property element, or removes it where `xml` is None."""

    name: PropertyName
    xml: str | None


class Look(Protocol):
    """The state of other paths, inside the transaction that decides."""

    def node(self, path: Path) -> Node | None: ...

    def locks(self, path: Path) -> tuple[Lock, ...]:
        """Locks that cover the path, inherited ones included; for an unmapped path those its parent passes down."""
        ...


@dataclass(frozen=True, slots=True)
class Expect:
    """What must hold when a write commits: preconditions travel with the operation.

    `check` sees the state inside the committing transaction and raises PreconditionFailed. `tokens` are the lock
    tokens that the caller submits. `as_lock_owner` lets a lock's own principal pass without its token.
    """

    check: Callable[[Look], None] | None = None
    tokens: frozenset[str] = frozenset()
    as_lock_owner: bool = False


ANYTHING = Expect()


@dataclass(frozen=True, slots=True)
class Bucket:
    """An intelligent top-level folder and its policy. None means no limit."""

    id: BucketId
    uid: str
    name: str
    root: NodeId
    storage: str
    inline_below: int
    max_size: int | None
    quota: int | None
    dedup: bool
    keep_versions: int
    versions_age: int
    trash: int | None
    retention: int
    expire_after: int | None
    visibility: Visibility
    types: tuple[str, ...]
    presign: Presign
    thumbnails: bool
    presets: tuple[str, ...]
    documents: tuple[str, ...]
    media_grace: int
    files: int
    bytes: int
    seq: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a bucket holds. `files` and `logical_bytes` include the trash, as the quota does; `unique_bytes` live."""

    bucket: str
    files: int
    logical_bytes: int
    unique_bytes: int
    condemned_bytes: int
    objects: int
    trashed_bytes: int
    quota: int | None


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """A storage, and what the objects are that have their blobs there."""

    name: str
    type: str
    place: str
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Trashed:
    uid: str
    path: Path
    kind: Kind
    size: int
    by: str
    at: Instant
    until: Instant | None


@dataclass(frozen=True, slots=True)
class Removal:
    """How an entry came to the trash from `path`, and when it may be emptied out of it."""

    path: Path
    by: str
    at: Instant
    until: Instant | None


@dataclass(frozen=True, slots=True)
class Version:
    uid: str
    digest: Digest
    size: int
    media_type: str
    modified: Instant
    author: str
    replaced: Instant


@dataclass(frozen=True, slots=True)
class User:
    name: str
    admin: bool
    created: Instant


@dataclass(frozen=True, slots=True)
class AppPassword:
    uid: str
    user: str
    label: str
    created: Instant
    used: Instant | None
    """About when it was used last."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `verify` found. `kind` is the invariant ("I2") or what is wrong in one word."""

    kind: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Findings:
    """`problems` break an invariant; `reclaimable` are blobs that no row names: waste, never harm."""

    problems: tuple[Problem, ...] = ()
    reclaimable: tuple[Problem, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
