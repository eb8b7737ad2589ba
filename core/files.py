"""Files get their content here, inside the transaction that commits it."""

from datetime import timedelta

from . import buckets, guards, locks, media, objects, pictures, tree, versions
from .database import Transaction
from .errors import Forbidden, IsACollection
from .model import Caller, Descriptor, Expect, Instant, Kind, Outcome, Path
from .places import Place
from .staging import Sealed


def place(tx: Transaction, caller: Caller, path: Path, expect: Expect) -> Place:
    """Where a content may be written: expectations hold, the parent is there, no lock stands in the way.

    Raises PreconditionFailed, NoParent, IsACollection, Forbidden, Locked.
    """
    guards.holds(tx, caller, expect)
    guards.fillable(tx, path)
    found = guards.target(tx, caller, path)
    if found.node and found.node.is_collection:
        raise IsACollection(path)
    if found.node and found.node.kind is not Kind.FILE:
        raise Forbidden(path, "the name belongs to something that only the mount shows")
    locks.require(tx, caller, expect, found, member=found.node is None)
    return found


def write(
    tx: Transaction,
    caller: Caller,
    path: Path,
    content: Sealed,
    blob: Descriptor | None,
    declared: str,
    modified: Instant | None,
    expect: Expect,
    lifetime: Instant | timedelta | None = None,
) -> Outcome:
    """The file has this content; the old one is a version. Raises also QuotaExceeded, BlobNeeded."""
    here = place(tx, caller, path, expect)
    assert here.parent
    media_type = media.type_of(path[-1], declared, content)
    media.admit(here.bucket, path, media_type, content.size)
    if content.data is not None:
        media.admit_bytes(here.bucket, path, media_type, content)
    old = here.node
    seq = buckets.advance(tx, here.bucket, 0 if old else 1, content.size - (old.size if old else 0))
    kept = objects.adopt(tx, here.bucket, content, blob)
    pictures.want(tx, here.bucket, kept.id, media_type, content.size)
    at = tx.now if modified is None else modified
    expires = buckets.expiry(tx, here.bucket, lifetime)
    if old:
        versions.replace_content(
            tx, old, kept.id, content.size, media_type, at, author=caller.name, seq=seq, expires=expires
        )
        return Outcome(tree.reread(tx, old.id, here.path), created=False)
    node = tree.added(
        *(tx, here.bucket.id, here.parent, here.path, seq),
        kind=Kind.FILE,
        vouched=(kept.uid, kept.content),
        object=kept.id,
        size=content.size,
        media_type=media_type,
        author=caller.name,
        modified=at,
        expires=expires,
    )
    return Outcome(node, created=True)
