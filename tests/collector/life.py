"""Short ways through the life and death of bytes, and a look at the rows behind them."""

from pathlib import Path as FilePath

from sqlalchemy import Table, delete, func, insert, select, update

from core import buckets as bucket_rows
from core.database import AnyRow
from core.garbage import Run
from core.model import SECOND, Bucket, Caller, ObjectId, Path
from core.namespace import Namespace
from core.schema import blob_data, buckets, holds, names, nodes, objects, purges
from core.store import Store
from tests.parts import stores

ADMIN = Caller("admin", admin=True)
DAY = 24 * 3600 * SECOND
PHOTO = b"the bytes of a photo, too many for a row"
"""More than is kept inline."""


def put(store: Store, name: str = "a.txt", data: bytes = PHOTO, bucket: str = "files") -> Path:
    path = (bucket, name)
    stores.put(as_ann(store), path, data)
    return path


def lose(store: Store, path: Path) -> None:
    """The file's rows go by hand, as if a program failed that should have touched its object."""
    node = as_ann(store).node(path)
    with store.database.write() as tx:
        tx.execute(delete(names).where(names.c.node == node.id))
        tx.execute(delete(nodes).where(nodes.c.id == node.id))
        tx.execute(update(buckets).values(files=0, bytes=0))


def as_ann(store: Store) -> Namespace:
    return store.namespace(stores.ANN)


def delete_for_good(store: Store, path: Path) -> None:
    as_ann(store).delete(path)
    store.recovery(ADMIN).empty_trash(path[0])


def put_and_delete(store: Store, name: str = "a.txt", data: bytes = PHOTO, bucket: str = "files") -> None:
    delete_for_good(store, put(store, name, data, bucket))


def run(store: Store, grace: int = 0, retention: int | None = 0) -> Run:
    return store.collect_garbage(grace=grace, retention=retention)


def condemn(store: Store) -> Run:
    """Collects, and lets nothing go."""
    return run(store, retention=DAY)


def rows(store: Store, table: Table) -> list[AnyRow]:
    with store.database.read() as tx:
        return list(tx.execute(select(table).order_by(*table.primary_key.columns)))


def only_object(store: Store) -> AnyRow:
    (row,) = rows(store, objects)
    return row


def change(store: Store, table: Table, **values: object) -> None:
    """Sets columns of all rows by hand; the collector has not come so far as an object's touch that is set."""
    with store.database.write() as tx:
        tx.execute(update(table).values(**values))
        if "touched" in values:
            tx.execute(update(buckets).values(collected=-1))


def a_month_later(store: Store, days: int = 30) -> None:
    """So many days have passed since the collector began to look at every object."""
    with store.database.write() as tx:
        tx.execute(update(buckets).values(walked=tx.now - days * DAY))


def hold(store: Store, wanted: ObjectId, seconds: float) -> None:
    with store.database.write() as tx:
        until = tx.now + int(seconds * SECOND)
        tx.execute(insert(holds).values(object=wanted, until=until, why="a test wants it"))


def end_holds(store: Store, ago: int = 0) -> None:
    """Time passes until every hold ended so many nanoseconds ago, and with it what the collector waited for."""
    with store.database.write() as tx:
        tx.execute(update(objects).where(objects.c.touched > tx.now).values(touched=tx.now - ago))
        tx.execute(update(holds).values(until=tx.now - ago))
        if ago:
            tx.execute(update(buckets).values(collected=tx.now - ago - 1))


def bucket(store: Store, name: str = "files") -> Bucket:
    with store.database.read() as tx:
        return bucket_rows.get(tx, name)


def blobs(store: Store) -> list[str]:
    """The keys of all blobs in all storages."""
    return sorted(blob.key for each in store.contents.stores.values() for blob in each.blobs())


def files_on_disk(data: FilePath) -> list[FilePath]:
    return [file for file in (data / "blobs").rglob("*") if file.is_file() and not file.name.startswith(".")]


def empty_everything(store: Store) -> None:
    """All is deleted for good and let go; the intents of publishers that failed are as old as it takes."""
    namespace = as_ann(store)
    for each in store.buckets():
        for node in stores.members(namespace, (each.name,)):
            namespace.delete(node.path)
    store.recovery(ADMIN).empty_trash()
    end_holds(store)
    change(store, purges, due=0, claimed=None)
    run(store)


def is_empty(store: Store, data: FilePath) -> bool:
    """No object, no bytes, nothing due: neither in rows nor on the disk."""
    with store.database.read() as tx:
        left = [tx.scalar(select(func.count()).select_from(table)) for table in (objects, blob_data, purges, holds)]
    return left == [0, 0, 0, 0] and not files_on_disk(data)
