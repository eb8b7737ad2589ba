"""Each damage is found, and named by the invariant that it breaks; what is in order is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, func, insert, select, update

from core.errors import Corrupt
from core.model import INLINE, LockRequest
from core.schema import buckets, locks, names, nodes, objects, purges, trash, versions
from core.store import Store
from tests.core.conftest import OpenStore
from tests.parts import stores

LARGE, OTHER = b"a content that has a blob of its own", b"another content with a blob of its own"
FILE, D, INNER, GONE = ("files", "file"), ("files", "d"), ("files", "d", "x"), ("files", "gone")


@pytest.fixture
def filled(open_store: OpenStore) -> Store:
    store = open_store()
    ann, bob = store.namespace(stores.ANN), store.namespace(stores.BOB)
    ann.make_collection(D)
    stores.put(ann, INNER, b"inline")
    stores.put(ann, FILE, LARGE)
    stores.put(bob, FILE, OTHER)
    ann.make_collection(GONE)
    stores.put(ann, (*GONE, "y"), b"inline too")
    ann.delete(GONE)
    return store


def execute(store: Store, *statements: object) -> None:
    with store.database.write() as tx:
        for statement in statements:
            tx.execute(statement)  # pyright: ignore[reportArgumentType]


def blob(store: Store) -> Path:
    with store.database.read() as tx:
        key = tx.scalar(select(objects.c.key).where(objects.c.storage != INLINE).limit(1))
    return store.settings.data / "blobs" / key


def overwrite(store: Store, data: bytes) -> None:
    blob(store).write_bytes(data)


def no_blob(store: Store) -> None:
    blob(store).unlink()


def lock_in_the_trash(store: Store) -> None:
    store.namespace(stores.ANN).lock(FILE, LockRequest())
    execute(store, update(locks).values(node=select(trash.c.node).scalar_subquery()))


def two_exclusive_locks(store: Store) -> None:
    ann = store.namespace(stores.ANN)
    ann.lock(FILE, LockRequest())
    ann.lock(INNER, LockRequest())
    execute(store, update(locks).values(node=select(func.min(nodes.c.id)).where(of_file).scalar_subquery()))


of_file = nodes.c.object.is_not(None)
in_trash = select(trash.c.node)
parent_in_trash = names.c.parent.in_(in_trash)
inner = select(names.c.node).where(names.c.name == "x").scalar_subquery()
referred = select(nodes.c.object).where(of_file)
elsewhere = select(buckets.c.id).where(buckets.c.name == "media").scalar_subquery()

DAMAGES: dict[str, tuple[Callable[[Store], None], str]] = {
    "links": (lambda s: execute(s, update(nodes).where(of_file).values(links=5)), "I4"),
    "a circle": (
        lambda s: execute(s, insert(names).values(parent=inner, name="below", key="below", node=inner)),
        "I4",
    ),
    "no name": (lambda s: execute(s, delete(names).where(names.c.name == "x")), "I4"),
    "trash and tree": (
        lambda s: execute(s, update(trash).values(node=inner)),
        "I4",
    ),
    "nothing leads there": (lambda s: execute(s, delete(trash)), "I4"),
    "no root": (lambda s: execute(s, update(nodes).where(nodes.c.is_root).values(is_root=False)), "I4"),
    "another bucket's node": (
        lambda s: execute(s, update(nodes).where(nodes.c.id == inner).values(bucket=elsewhere)),
        "I4",
    ),
    "another bucket's object": (lambda s: execute(s, update(objects).values(bucket=elsewhere, dedup_key=None)), "I3"),
    "a node's size": (lambda s: execute(s, update(nodes).where(of_file).values(size=1)), "I3"),
    "a version's size": (lambda s: execute(s, update(versions).values(size=1)), "I3"),
    "condemned in use": (
        lambda s: execute(s, update(objects).where(objects.c.id.in_(referred)).values(state="condemned", condemned=1)),
        "I3",
    ),
    "verdict": (lambda s: execute(s, update(objects).values(verdict="lost")), "I2"),
    "due for deletion": (
        lambda s: execute(
            s, insert(purges).from_select(["storage", "key", "due"], select(objects.c.storage, objects.c.key, 1))
        ),
        "I2",
    ),
    "a file counter": (lambda s: execute(s, update(buckets).values(files=buckets.c.files + 1)), "counter"),
    "a byte counter": (lambda s: execute(s, update(buckets).values(bytes=buckets.c.bytes + 1)), "counter"),
    "no blob": (no_blob, "I2"),
    "a short blob": (lambda s: overwrite(s, b"short"), "I2"),
    "an unknown storage": (
        lambda s: execute(s, update(objects).where(objects.c.storage != INLINE).values(storage="tape")),
        "I2",
    ),
    "a lock in the trash": (lock_in_the_trash, "I5"),
    "two exclusive locks": (two_exclusive_locks, "I5"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found(filled: Store, damage: str):
    assert filled.verify(deep=True).problems == ()
    spoil, kind = DAMAGES[damage]

    spoil(filled)

    assert kind in {problem.kind for problem in filled.verify().problems}


def test_bytes_that_changed_are_found_by_reading_them_all(filled: Store):
    overwrite(filled, b"x" * blob(filled).stat().st_size)

    assert filled.verify().problems == ()
    assert {problem.kind for problem in filled.verify(deep=True).problems} == {"I1"}


def test_a_reader_of_a_missing_blob_is_told_so(filled: Store):
    ann = filled.namespace(stores.ANN)
    content = ann.node(FILE).content
    assert content
    (filled.settings.data / "blobs" / content.key).unlink()

    with pytest.raises(Corrupt):
        stores.content(ann, FILE)


def test_a_blob_without_a_row_is_waste_and_no_problem(filled: Store):
    known = blob(filled)
    known.with_name(known.name.rpartition(".")[0] + ".orphan").write_bytes(LARGE)

    findings = filled.verify(deep=True)

    assert findings.problems == ()
    assert [problem.kind for problem in findings.reclaimable] == ["orphan"]


def test_an_expired_lock_breaks_nothing_wherever_it_is(filled: Store):
    lock_in_the_trash(filled)
    execute(filled, update(locks).values(expires=1))

    assert filled.verify().problems == ()


def test_verify_counts_what_it_looked_at(filled: Store):
    counts = filled.verify().counts

    assert {name: counts[name] for name in ("objects", "versions", "trash")} == {
        "objects": 4,
        "versions": 1,
        "trash": 1,
    }
