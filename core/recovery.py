"""What brings back: the trash and the versions, as one caller may use them."""

from dataclasses import dataclass

from sqlalchemy import select

from . import buckets, forgetting, guards, locks, media, objects, relocation, trash, tree, versions
from .database import AnyRow, Database, Transaction
from .errors import AlreadyExists, Corrupt, Forbidden, NotACollection, NotFound
from .model import Bucket, Caller, Expect, Kind, Node, NodeId, Path, Trashed, Version
from .places import Place
from .schema import objects as object_rows
from .tempo import FLAT_OUT, Tempo
from .uids import is_uid


@dataclass(frozen=True, slots=True)
class Recovery:
    database: Database
    caller: Caller

    def trashed(self, bucket: str | None = None) -> list[Trashed]:
        """What can be restored, newest first. Raises NotFound for an unknown bucket."""
        with self.database.read() as tx:
            if bucket is not None:
                buckets.get(tx, bucket)
            return [entry for entry, _ in trash.entries(tx, bucket)]

    def restore(self, uid: str, to: Path | None = None) -> Node:
        """The removed subtree is back where it was, or at `to` in the same bucket; missing collections are made again.

        Raises NotFound, AlreadyExists, NotACollection, Locked, Forbidden.
        """
        with self.database.read() as tx:
            entry, _ = trash.get(tx, uid)
            bucket = buckets.get(tx, entry.path[0])
        path = entry.path if to is None else to
        guards.writable(path, self.caller)
        if path[0] != bucket.name:
            raise Forbidden(path, f"it can come back to bucket {bucket.name} only; move it from there")
        with self.database.write(bucket.id) as tx:
            _, node = trash.get(tx, uid)
            seq = buckets.advance(tx, bucket)
            parent = self._collection(tx, bucket, path[:-1], seq)
            if self._place(tx, path).node:
                raise AlreadyExists(path, "the name is taken; give another with --to")
            trash.take_out(tx, node, seq)
            tree.link(tx, parent, path[-1], node)
            tree.mark_changed(tx, parent, seq)
            return guards.found(tx, self.caller, path)

    def _collection(self, tx: Transaction, bucket: Bucket, path: Path, seq: int) -> NodeId:
        node = guards.Situation(tx, self.caller).node(path)
        if node is None:
            self._place(tx, path)
            above = self._collection(tx, bucket, path[:-1], seq)
            return tree.add(
                tx, bucket.id, above, path[-1], seq, kind=Kind.COLLECTION, mode=0o755, author=self.caller.name
            )
        if not node.is_collection:
            raise NotACollection(path, "is a file now; give another place with --to")
        return node.id

    def _place(self, tx: Transaction, path: Path) -> Place:
        """Where something comes back. Raises Locked where a lock that is not the caller's guards it."""
        place = guards.Situation(tx, self.caller).place(path)
        locks.require(tx, self.caller, Expect(as_lock_owner=True), place, member=True)
        return place

    def empty_trash(self, bucket: str | None = None) -> int:
        """The entries are gone for good, one transaction each, or several for a large one. Returns how many went."""
        guards.writable((), self.caller, deep=0)
        with self.database.read() as tx:
            if bucket is not None:
                buckets.get(tx, bucket)
            uids, begun = trash.uids_of(tx, bucket), trash.ending(tx)
        if begun:
            forgetting.finish(self.database)
        return sum(self.forget(uid) for uid in uids)

    def forget(self, uid: str, tempo: Tempo = FLAT_OUT) -> bool:
        """The entry is gone for good. False where it was gone already."""
        with self.database.read() as tx:
            found = trash.find(tx, uid)
        if found is None:
            return False
        with self.database.write(found[0]) as tx:
            if trash.find(tx, uid) is None:
                return False
            is_large = forgetting.begin(tx, buckets.by_id(tx, found[0]), found[1], tempo)
        if is_large:
            forgetting.finish(self.database, tempo)
        return True

    def versions(self, path: Path) -> list[Version]:
        """Older contents of a file, newest first. Raises NotFound."""
        with self.database.read() as tx:
            place = guards.source(tx, self.caller, path)
            return versions.of(tx, place.node.id) if place.node else []

    def restore_version(self, path: Path, uid: str) -> Node:
        """The file has an older content again, and the one that it had takes that one's place among the versions.

        Raises NotFound, Locked, QuotaExceeded, Forbidden.
        """
        guards.writable(path, self.caller)
        with self.database.read() as tx:
            bucket = buckets.get(tx, path[0])
        with self.database.write(bucket.id) as tx:
            place = guards.source(tx, self.caller, path)
            assert place.node
            version = versions.as_of(tx, place.node, uid)
            node = relocation.recall(tx, self.caller, version, place, Expect(as_lock_owner=True), overwrite=True)
            versions.drop(tx, uid)
            return tree.reread(tx, node, place.path)

    def revive(self, uid: str, to: Path) -> Node:
        """An object's content is a file at `to`, in the object's bucket; missing collections are made again.

        For administrators: nobody else may read what he knows by its uid alone (I9). Raises NotFound, AlreadyExists,
        NotACollection, Locked, QuotaExceeded, Corrupt, Forbidden.
        """
        if not self.caller.admin:
            raise Forbidden(uid, "only an administrator brings objects back by their uid")
        guards.writable(to, self.caller)
        with self.database.read() as tx:
            home = _vouching(tx, uid).bucket
        with self.database.write(home) as tx:
            bucket, found = buckets.by_id(tx, home), _vouching(tx, uid)
            if to[0] != bucket.name:
                raise Forbidden(to, f"it can come back to bucket {bucket.name} only; move it from there")
            seq = buckets.advance(tx, bucket, 1, found.size)
            parent = self._collection(tx, bucket, to[:-1], seq)
            if self._place(tx, to).node:
                raise AlreadyExists(to, "the name is taken; give another with --to")
            objects.revive(tx, bucket, found.id, f"{self.caller.name} brought it back")
            values = {"object": found.id, "size": found.size, "media_type": media.type_of(to[-1], "")}
            rest = {"author": self.caller.name, "expires": buckets.expiry(tx, bucket)}
            tree.add(tx, home, parent, to[-1], seq, kind=Kind.FILE, **values, **rest)
            return guards.found(tx, self.caller, to)


def _vouching(tx: Transaction, uid: str) -> AnyRow:
    """The row of an object whose bytes are there. Raises NotFound, Corrupt."""
    wanted = (object_rows.c.id, object_rows.c.bucket, object_rows.c.size, object_rows.c.verdict)
    row = tx.execute(select(*wanted).where(object_rows.c.uid == uid)).first() if is_uid(uid) else None
    if row is None:
        raise NotFound(uid, "is no object, or no more; `davstore explain` tells what is known of it")
    if row.verdict in {"lost", "corrupt"}:
        raise Corrupt(uid, f"its bytes are {row.verdict}; an upload of the same content brings them back")
    return row
