"""Older contents of files. Empty contents never become versions; rewrites by one principal within a minute are one."""

from dataclasses import replace

from sqlalchemy import bindparam, delete, exists, insert, select, update

from . import objects, progress, tree, uids
from .database import Transaction
from .errors import NotFound
from .model import SECOND, Digest, Instant, Node, NodeId, ObjectId, Version
from .prepared import Prepared
from .schema import aliases, nodes, versions
from .schema import objects as object_rows

_WRITTEN = Prepared(select(nodes.c.author, nodes.c.rewritten).where(nodes.c.id == bindparam("wanted")))
_CONTENT = ("object", "size", "media_type", "modified", "author", "rewritten", "seq", "expires")
_REPLACE = Prepared(
    update(nodes)
    .where(nodes.c.id == bindparam("wanted"))
    .values(changed=bindparam("at"), **{name: bindparam(name) for name in _CONTENT})
)
_KEPT = ("uid", "node", "object", "size", "media_type", "modified", "author", "replaced")
_KEEP = Prepared(insert(versions).values({name: bindparam(name) for name in _KEPT}))
BURST = 60 * SECOND
"""Rewrites by one principal within this many nanoseconds are one version."""


def replace_content(
    tx: Transaction,
    node: Node,
    new: ObjectId,
    size: int,
    media_type: str,
    modified: int,
    *,
    author: str,
    seq: int,
    expires: Instant | None = None,
    always: bool = False,
    last_written: tuple[str, Instant | None] | None = None,
) -> None:
    """The node has other content; the old one is kept as a version where it is one. The same bytes again are none.

    `expires` None leaves the node's as it is. `always`: a rewrite is a version too. `last_written` is by whom and when
    the content was rewritten last, for those who have read that already.
    """
    old_author, rewritten = last_written or tx.rows(_WRITTEN, {"wanted": node.id})[0]
    if node.object == new:
        author = old_author
    else:
        is_burst = not always and old_author == author and _is_recent(tx, rewritten)
        if node.size and not is_burst:
            keep(tx, node, author=old_author)
            rewritten = tx.now
        objects.touch(tx, tree.object_of(node))
    written = {"object": new, "size": size, "media_type": media_type, "modified": modified, "author": author}
    about = {"at": tx.now, "rewritten": rewritten, "seq": seq, "expires": node.expires if expires is None else expires}
    tx.count(_REPLACE, {"wanted": node.id, **written, **about})


def _is_recent(tx: Transaction, rewritten: int | None) -> bool:
    """The first content of a file is always kept: only what replaced another content is a rewrite."""
    return rewritten is not None and tx.now - rewritten < BURST


def keep(tx: Transaction, node: Node, *, author: str, under: NodeId | None = None) -> None:
    """The node's content becomes a version of it, or of the node `under`."""
    row = {"uid": uids.fresh(), "node": under or node.id, "object": node.object, "size": node.size}
    about = {"media_type": node.media_type, "modified": node.modified, "author": author, "replaced": tx.now}
    tx.count(_KEEP, {**row, **about})


def restore(tx: Transaction, file: Node, content: ObjectId, like: Node, *, author: str, seq: int) -> None:
    """The file has an older content again, with the size, type and time of `like`.

    The content that it had is kept whenever it was written, and the restored one will be.
    """
    if file.size and file.object != content:
        keep(tx, file, author=tx.scalar(select(nodes.c.author).where(nodes.c.id == file.id)))
    written = {"object": content, "size": like.size, "media_type": like.media_type, "modified": like.modified}
    about = {"changed": tx.now, "author": author, "rewritten": None, "seq": seq}
    tx.execute(update(nodes).where(nodes.c.id == file.id).values(**written, **about))
    objects.touch(tx, tree.object_of(file))


def as_of(tx: Transaction, file: Node, uid: str) -> Node:
    """The file as it was when it had that content. Raises NotFound."""
    mine = versions.c.node == file.id
    row = tx.execute(select(versions).where(mine, versions.c.uid == uid)).first() if uids.is_uid(uid) else None
    if row is None:
        raise NotFound(uid, "is no version of this file; `davstore versions ls` lists them")
    return replace(file, object=row.object, size=row.size, media_type=row.media_type, modified=row.modified)


def drop(tx: Transaction, uid: str) -> None:
    """The version is gone for good."""
    held = tx.scalar(delete(versions).where(versions.c.uid == uid).returning(versions.c.object))
    if held is not None:
        objects.touch(tx, held)


def inherit(tx: Transaction, heir: Node, replaced: Node) -> None:
    """A file was renamed over another: the asset goes on in `heir`, with the uid, aliases, access, versions and last
    content of `replaced`.

    `replaced` must be dropped right after.
    """
    is_other = replaced.size and replaced.etag != heir.etag
    if not is_other and tx.scalar(select(exists().where(versions.c.node == heir.id))):
        progress.thin_anew(tx, heir.bucket)
    tx.execute(update(versions).where(versions.c.node == replaced.id).values(node=heir.id))
    if is_other:
        author = tx.scalar(select(nodes.c.author).where(nodes.c.id == replaced.id))
        keep(tx, replaced, author=author, under=heir.id)
    tx.execute(update(aliases).where(aliases.c.node == replaced.id).values(node=heir.id))
    position = tx.scalar(select(nodes.c.position).where(nodes.c.id == replaced.id))
    tx.execute(update(nodes).where(nodes.c.id == replaced.id).values(uid=uids.fresh()))
    kept = {"uid": replaced.uid, "created": replaced.created, "position": position}
    access = {"owner": replaced.owner, "visibility": replaced.visibility}
    tx.execute(update(nodes).where(nodes.c.id == heir.id).values(**kept, **access, rewritten=tx.now))


def of(tx: Transaction, node: NodeId) -> list[Version]:
    """Newest first."""
    kept = select(versions, object_rows.c.digest).join(object_rows, object_rows.c.id == versions.c.object)
    rows = tx.execute(kept.where(versions.c.node == node).order_by(versions.c.replaced.desc(), versions.c.id.desc()))
    return [
        Version(row.uid, Digest(row.digest), row.size, row.media_type, row.modified, row.author, row.replaced)
        for row in rows
    ]
