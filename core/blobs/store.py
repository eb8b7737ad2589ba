"""The contract of a blob store. `tests/core/test_blob_stores.py` is its conformance suite.

A blob's life: a draft's sealed content is published under a key that no other blob ever had, read in any order by any
number of readers, and deleted once, by the outbox of deletions (I8). In between it never changes (I1).

A key is `<bucket>/<d[0:2]>/<d[2:4]>/<digest>.<blob uid>`, d being the digest; any other is refused with InvalidPath
by stores that make paths of keys. That of an inline content, which no store publishes, is `<bucket>/<blob uid>`. All
methods may be called by several threads and processes at once.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from ..errors import Refusal
from ..model import Instant
from ..staging import Sealed

_key = re.compile(r"[^./\0][^/\0]*/([0-9a-f]{2})/([0-9a-f]{2})/\1\2[0-9a-f]{60}\.[0-9A-Za-z-]+")


def is_key(text: str) -> bool:
    """Whether a blob may lie there."""
    return _key.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Blob:
    key: str
    size: int
    modified: Instant
    """By the store's own clock, 0 where it has none: for reports, never for a proof (I10)."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that a storage can do, or what is missing and what to do about it."""

    name: str
    missing: str = ""
    needed: bool = True
    """False where davstore does without, in the way that `missing` says."""


def checked(name: str, attempt: Callable[[], object], *, needed: bool = True) -> Capability:
    """The capability, missing where the attempt is refused."""
    try:
        attempt()
    except Refusal as refused:
        return Capability(name, refused.reason or str(refused), needed)
    return Capability(name, needed=needed)


class BlobStore(Protocol):
    name: str
    """The storage's, as configured."""
    type: str
    staging: Path
    """Where drafts bound for this store should spill: on the same file system, if it has one."""

    def publish(self, key: str, content: Sealed) -> None:
        """The bytes are at `key`, whole and durably (I7); after a refusal or a crash they may be, or nothing is.

        Repeating it is free; other bytes at `key` are AlreadyExists and stay as they are. The draft stays its owner's:
        it can be published again, under another key or in another store. Raises StorageUnavailable, StorageFull.
        After StorageUnavailable nobody knows what the disk holds of the draft: make a new one rather than repeat.
        """
        ...

    def open(self, key: str) -> BinaryIO:
        """A seekable reader; a real file with a descriptor where the store has one.

        Raises NotFound, StorageUnavailable. Where a blob is deleted while it is read, the reader goes on or raises
        NotFound: it never gives other bytes.
        """
        ...

    def size(self, key: str) -> int | None:
        """How long the blob is; None where there is none, or less than a whole one."""
        ...

    def delete(self, key: str) -> None:
        """Nothing is at `key`. Only the outbox of deletions calls this (I8); repeating it is free."""
        ...

    def blobs(self) -> Iterator[Blob]:
        """Every blob that is there from the first to the last step, in no certain order, and nothing that is no blob.

        A listing that cannot be completed raises StorageUnavailable; only its regular end proves that it is complete.
        """
        ...

    def check(self) -> Iterator[Capability]:
        """What the store needs is tried on it, one thing after the other; nothing is left behind."""
        ...

    def claim(self, uid: str, *, new: bool) -> None:
        """Prove that this root belongs to the storage `uid`: Unusable where its marker is missing or another's.

        Comes before all else. `new` marks a root that never held a blob; repeating it with the same uid is free.
        """
        ...


@runtime_checkable
class BatchDeletes(Protocol):
    """A blob store that deletes many blobs in one request."""

    def delete_all(self, keys: Sequence[str]) -> dict[str, Refusal]:
        """As `delete`, but at the keys for which a refusal is given. Only the outbox of deletions calls this (I8)."""
        ...


@runtime_checkable
class Presigner(Protocol):
    """A blob store whose server gives a blob to whoever has a URL that we signed."""

    name: str

    def presigned(self, key: str, *, seconds: int, signed_at: Instant | None, media_type: str, disposition: str) -> str:
        """A URL with which anybody can GET the blob for so many seconds after `signed_at` (None: from now on).

        The answer says `media_type` and `disposition`. The same arguments give the same URL in every process that has
        the same credentials. The URL is a secret: it belongs in no log. Raises StorageUnavailable; asks nothing.
        """
        ...
