"""Files as an application sees them: attachments of documents, by their ids. Each public method is one transaction.

An attachment that no document has is its maker's, below `/BUCKET/attachments/`. The same content in many documents is
many files and one object; what is taken off a document is in the trash.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select, update

from . import buckets, crossing, files, guards, locks, media, places, reach, relocation, room, subtrees, tree, uids
from .assets import Assets, identified
from .contents import Contents
from .database import Database, Transaction
from .errors import AlreadyExists, Forbidden, NoParent, NotFound, Unauthenticated
from .guards import UNATTACHED
from .model import ANYTHING, BucketId, Caller, Expect, Kind, Look, Node, NodeId, Path, Rules
from .namespace import Namespace
from .objects import BlobNeeded
from .paths import NAME_BYTES, checked
from .places import Place
from .reach import Showing
from .schema import aliases, names, nodes
from .staging import HEAD, Sealable

TRIES = 100
LONGEST, ENDING = NAME_BYTES, 20
"""Bytes of a name, and letters of what is kept as its ending when it is shortened."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """`id` is the alias that its maker chose, or else its uid; `document` the uid of the document that has it."""

    id: str
    node: Node
    document: str | None


@dataclass(frozen=True, slots=True)
class Attachments:
    """Attachments and documents as one caller may use them."""

    namespace: Namespace
    assets: Assets

    @property
    def caller(self) -> Caller:
        return self.namespace.caller

    @property
    def database(self) -> Database:
        return self.namespace.database

    @property
    def contents(self) -> Contents:
        return self.namespace.contents

    def home(self, bucket: str, document: str | None) -> Path:
        """Where a new attachment goes. Raises NotFound, Unauthenticated, Forbidden."""
        guards.writable((bucket,), self.caller, deep=0)
        if document is None:
            with self.database.read() as tx:
                buckets.get(tx, bucket)
            return (bucket, UNATTACHED, _folder(self.caller.name))
        found = self.document(document)
        if found.access is None or not found.access.writable(self.caller):
            raise Forbidden(document, "you may read it, not write")
        return found.path

    def document(self, uid: str) -> Node:
        """A collection by its uid. Raises NotFound, Unauthenticated, Forbidden."""
        with self.database.read() as tx:
            which = (nodes.c.uid == uid) & (nodes.c.kind == Kind.COLLECTION)
            shown = list(reach.showings(tx, which)) if uids.is_uid(uid) else []
            if not shown:
                raise NotFound(uid, "there is no such document")
            if not shown[0].access.readable(self.caller):
                kind = Forbidden if self.caller.name else Unauthenticated
                raise kind(uid, "you may not read it")
            return reach.nodes_of(tx, shown)[0]

    def check_create(
        self, home: Path, filename: str, media_type: str, size: int | None, id_: str | None = None
    ) -> None:
        """Raises all that `create` would, as far as it can be known before the bytes come."""
        with self.database.read() as tx:
            self._check_id(tx, id_)
            bucket = buckets.get(tx, home[0])
        media.admit_announced(bucket, (*home, filename), media_type, size)
        if size:
            room.admit(self.contents, bucket, home, size, size)

    def create(self, home: Path, draft: Sealable, filename: str, media_type: str, id_: str | None = None) -> Attachment:
        """A new file in `home`; where the name is taken, one like it is not.

        Raises AlreadyExists where the id is taken, and what `Namespace.put` does.
        """
        content = draft.seal()

        def attempt() -> Attachment:
            with self.database.read() as tx:
                bucket = buckets.get(tx, home[0])
            path = (*home, filename)
            media.admit_bytes(bucket, path, media.type_of(filename, media_type, content), content)
            blob = self.contents.publish(bucket, content)
            with self.database.write(bucket.id) as tx:
                self._check_id(tx, id_)
                parent = self._made(tx, home)
                path = (*parent.path, _free(tx, parent, filename))
                node = files.write(tx, self.caller, path, content, blob, media_type, None, ANYTHING).node
                if home[1:2] == (UNATTACHED,) and not parent.access.in_document:
                    tx.execute(update(nodes).where(nodes.c.id == node.id).values(owner=self.caller.name))
                if id_ is not None:
                    tx.execute(insert(aliases).values(alias=id_, node=node.id))
                return described(tx, list(reach.showings(tx, nodes.c.id == node.id))[:1])[0]

        return crossing.with_bytes(attempt)

    def _check_id(self, tx: Transaction, id_: str | None) -> None:
        if id_ is not None and tx.scalar(select(nodes.c.id).where(identified(id_))) is not None:
            raise AlreadyExists(id_, "the id is taken")

    def _made(self, tx: Transaction, home: Path) -> Place:
        """The collection of new attachments; nobody's own, so that nobody takes it."""
        for length in (2, 3):
            place = places.resolve(tx, home[:length])
            if len(home) == 3 and home[1] == UNATTACHED and place and place.node is None and place.parent:
                seq = buckets.advance(tx, place.bucket)
                name = home[length - 1]
                tree.add(tx, place.bucket.id, place.parent, name, seq, kind=Kind.COLLECTION, mode=0o755)
        place = places.resolve(tx, home)
        if place is None or place.node is None or not place.node.is_collection:
            raise NoParent(home, "is no collection")
        return place

    def get(self, id_: str) -> Attachment:
        """Raises NotFound, Unauthenticated, Forbidden."""
        node = self.assets.file(id_)
        with self.database.read() as tx:
            return self._of(tx, node)

    def _of(self, tx: Transaction, node: Node) -> Attachment:
        shown = [showing for showing in reach.showings(tx, nodes.c.id == node.id) if showing.path == node.path]
        return described(tx, shown)[0] if shown else Attachment(node.uid, node, None)

    def change(
        self,
        id_: str,
        *,
        filename: str | None = None,
        media_type: str | None = None,
        check: Callable[[Attachment], None] | None = None,
    ) -> Attachment:
        """It has another name, or type. `check` sees it inside the transaction and may refuse.

        Raises AlreadyExists, Locked, Forbidden, UnsupportedMediaType …
        """
        node = self.assets.file(id_)
        head = b"" if media_type is None else self._head(node)
        with self.database.write(node.bucket) as tx:
            place = self._place(tx, node)
            assert place.node
            guards.changeable(place, self.caller)
            if check:
                check(self._of(tx, place.node))
            locks.require(tx, self.caller, ANYTHING, place, member=filename is not None)
            seq = buckets.advance(tx, place.bucket)
            if media_type is not None:
                media.admit(place.bucket, place.path, media_type, place.node.size)
                media.admit_head(place.bucket, place.path, media_type, head, place.node.size)
                values = {"media_type": media_type, "seq": seq, "changed": tx.now}
                tx.execute(update(nodes).where(nodes.c.id == place.node.id).values(**values))
            path = place.path
            if filename is not None and filename != place.path[-1]:
                path = self._renamed(tx, place, filename, seq)
            return self._of(tx, tree.reread(tx, place.node.id, path))

    def _place(self, tx: Transaction, node: Node) -> Place:
        """Where the node was found, if it is still there; another one that took the place is not meant."""
        place = guards.source(tx, self.caller, node.path)
        if place.node is None or place.node.uid != node.uid:
            raise NotFound(node.path, "it was moved meanwhile")
        return place

    def _head(self, node: Node) -> bytes:
        with self.contents.open(node) as reader:
            return reader.read(HEAD)

    def _renamed(self, tx: Transaction, place: Place, filename: str, seq: int) -> Path:
        assert place.node
        assert place.parent
        filename = _fitting(filename)
        if places.member(tx, place.parent, checked(filename)):
            raise AlreadyExists((*place.path[:-1], filename), "the name is taken")
        tree.relocate(tx, place.node, place.parent, place.parent, filename, seq)
        return (*place.path[:-1], filename)

    def delete(self, ids: Sequence[str], check: Callable[[Attachment], None] | None = None) -> None:
        """All of them are in the trash, or none. `check` sees each inside the transaction and may refuse.

        Raises NotFound, Unauthenticated, Forbidden, Locked.
        """
        found = {node.id: node for node in map(self.assets.file, ids)}
        with self.database.write(*{node.bucket for node in found.values()}) as tx:
            for node in found.values():
                place = self._place(tx, node)
                guards.removable(tx, place, self.caller)
                if check and place.node:
                    check(self._of(tx, place.node))
                locks.require(tx, self.caller, ANYTHING, place, member=True)
                relocation.remove(tx, place, buckets.advance(tx, place.bucket), self.caller.name)

    def of_document(self, uid: str) -> list[Attachment]:
        """The files that the collection holds, in the order in which they were set; the others after them, by name."""
        document = self.document(uid)
        with self.database.read() as tx:
            return self._members(tx, document)

    def _members(self, tx: Transaction, document: Node) -> list[Attachment]:
        held = select(names.c.node).where(names.c.parent == document.id)
        which = (nodes.c.kind == Kind.FILE) & nodes.c.id.in_(held) & (names.c.parent == document.id)
        shown = [showing for showing in reach.showings(tx, which) if showing.access.readable(self.caller)]
        rows = tx.execute(select(nodes.c.id, nodes.c.position).where(nodes.c.id.in_(held)))
        order = {row.id: row.position for row in rows}

        def key(showing: Showing) -> tuple[bool, int, str]:
            position = order.get(showing.node)
            return position is None, position or 0, showing.path[-1]

        return described(tx, sorted(shown, key=key))

    def set_of_document(
        self, uid: str, ids: Sequence[str], check: Callable[[list[Attachment]], None] | None = None
    ) -> list[Attachment]:
        """The collection's files are these, in this order; all of it, or nothing. `check` sees those before.

        What it has not yet is copied, or moved where it is an attachment of the caller's that no document has; what it
        has and is not named goes to the trash. Raises NotFound, Unauthenticated, Forbidden, Locked, QuotaExceeded.
        """
        document = self.document(uid)
        wanted = list({node.id: node for node in map(self.assets.file, ids)}.values())

        def attempt() -> list[Attachment]:
            with self.database.write(document.bucket, *{node.bucket for node in wanted}) as tx:
                return self._set(tx, document, wanted, check)

        def brought() -> list[Attachment]:
            try:
                return attempt()
            except BlobNeeded:
                self._bring(document.bucket, wanted)
                raise

        return crossing.with_bytes(brought)

    def _set(
        self,
        tx: Transaction,
        document: Node,
        wanted: Sequence[Node],
        check: Callable[[list[Attachment]], None] | None,
    ) -> list[Attachment]:
        here = self._place(tx, document)
        guards.changeable(here, self.caller)
        if check:
            check(self._members(tx, document))
        kept = [self._attached(tx, here, node) for node in wanted]
        for page in list(tree.pages(tx, document.id, here.path, 1000)):
            for member in page:
                if member.kind is Kind.FILE and member.id not in kept:
                    place = guards.source(tx, self.caller, member.path)
                    guards.removable(tx, place, self.caller)
                    locks.require(tx, self.caller, ANYTHING, place, member=True)
                    relocation.remove(tx, place, buckets.advance(tx, place.bucket), self.caller.name)
        for position, node in enumerate(kept):
            tx.execute(update(nodes).where(nodes.c.id == node).values(position=position))
        return self._members(tx, document)

    def _attached(self, tx: Transaction, here: Place, node: Node) -> NodeId:
        """The document's own file of that content: the very one, or a copy."""
        assert here.node
        source = self._place(tx, node)
        assert source.node
        if source.parent == here.node.id:
            return source.node.id
        target = guards.target(tx, self.caller, (*here.path, _free(tx, here, node.name)))
        mine = source.access.owner == self.caller.name and not source.access.in_document
        if mine and source.bucket.id == target.bucket.id:
            return relocation.move(tx, self.caller, source, target, ANYTHING, overwrite=False)
        return relocation.copy(tx, self.caller, source, target, ANYTHING, deep=False, overwrite=False)

    def _bring(self, to: BucketId, wanted: Sequence[Node]) -> None:
        with self.database.read() as tx:
            bucket = buckets.by_id(tx, to)
            missing = [each for node in wanted for each in subtrees.lacking(tx, node.id, bucket, history=False)]
        crossing.bring_each(self.database, self.contents, missing, bucket)

    def set_rules(self, uid: str, rules: Rules, check: Callable[[Node], None] | None = None) -> Node:
        """The document's visibility, or whether it is a library. `check` sees it inside the transaction.

        Raises as `Namespace.set_properties` does.
        """
        document = self.document(uid)

        def meant(look: Look) -> None:
            found = look.node(document.path)
            if found is None or found.uid != uid:
                raise NotFound(document.path, "it was moved meanwhile")
            if check and document.access and document.access.belongs_to(self.caller):
                check(found)

        self.namespace.set_properties(document.path, (), rules=rules, expect=Expect(meant))
        return self.document(uid)


def _folder(user: str) -> str:
    """What the collection of a user's attachments is called."""
    dots = {".": "%2E", "..": "%2E%2E"}
    return _fitting(dots.get(user, user.replace("/", "%2F"))) or "nobody"


def _free(tx: Transaction, parent: Place, filename: str) -> str:
    """The name, or where the collection has it already one like it."""
    assert parent.node
    for n in range(1, TRIES):
        name = _fitting(filename, "" if n == 1 else f" ({n})")
        if places.member(tx, parent.node.id, checked(name)) is None:
            return name
    return _fitting(filename, f" ({uids.fresh()})")


def _fitting(filename: str, mark: str = "") -> str:
    """The name with a mark before its ending, shortened to what a name can have."""
    stem, dot, ending = filename.rpartition(".")
    if not stem or len(ending) > ENDING:
        stem, dot, ending = filename, "", ""
    end = f"{mark}{dot}{ending}"
    room = LONGEST - len(end.encode(errors="replace"))
    return stem.encode(errors="replace")[:room].decode(errors="ignore") + end


def described(tx: Transaction, shown: Sequence[Showing]) -> list[Attachment]:
    """The attachments of those paths, in that order."""
    found = reach.nodes_of(tx, shown)
    wanted = {showing.document for showing in shown if showing.document}
    rows = tx.execute(select(nodes.c.id, nodes.c.uid).where(nodes.c.id.in_(wanted)))
    documents = {row.id: row.uid for row in rows}
    named = select(aliases.c.node, aliases.c.alias).where(aliases.c.node.in_([node.id for node in found]))
    alias = {row.node: row.alias for row in tx.execute(named.order_by(aliases.c.alias.desc()))}
    by_path = {showing.path: showing.document for showing in shown}
    return [
        Attachment(alias.get(node.id, node.uid), node, documents.get(by_path[node.path] or NodeId(0))) for node in found
    ]
