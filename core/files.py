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
    old = here.node
    seq = buckets.advance(tx, here.bucket, 0 if old else 1, content.size - (old.size if old else 0))
    object_id = objects.adopt(tx, here.bucket, content, blob)
    pictures.want(tx, here.bucket, object_id, media_type, content.size)
    at = tx.now if modified is None else modified
    expires = buckets.expiry(tx, here.bucket, lifetime)
    if old:
        versions.replace_content(
            tx, old, object_id, content.size, media_type, at, author=caller.name, seq=seq, expires=expires
        )
        node = old.id
    else:
        values = {
            "object": object_id,
            "size": content.size,
            "media_type": media_type,
            "modified": at,
            "expires": expires,
        }
        node = tree.add(tx, here.bucket.id, here.parent, path[-1], seq, kind=Kind.FILE, author=caller.name, **values)
    return Outcome(tree.reread(tx, node, here.path), created=old is None)
