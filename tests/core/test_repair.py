"""`fsck --repair`: what it plans, what it does, and what it leaves to people."""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update

from core.model import SECOND, LockRequest
from core.namespace import Namespace
from core.repair import Plan
from core.schema import buckets, locks, names, nodes, objects, purges, trash
from core.store import Store
from tests.core.conftest import OpenStore
from tests.parts.stores import ANN, content, put

LARGE, OTHER = b"x" * 100, b"y" * 100
FILE, COPY = ("files", "a"), ("files", "b")


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    """Its invariants are the tests' to break."""
    return open_store()


def repaired(store: Store, *, deep: bool = False) -> Plan:
    plan = store.plan_repair(store.verify(deep=deep))
    store.repair(plan)
    return plan


def actions(plan: Plan) -> list[str]:
    return [step.action for step in plan.steps]


def blob_of(store: Store, path: Path) -> Path:
    """The one blob's file."""
    [file] = [file for file in (path / "data" / "blobs").rglob("*") if file.is_file() and "." in file.name[40:]]
    return file


def verdicts(store: Store) -> list[str | None]:
    with store.database.read() as tx:
        return list(tx.execute(select(objects.c.verdict)).scalars())


def named(store: Store) -> int:
    with store.database.read() as tx:
        return tx.scalar(select(func.count()).select_from(names))


def test_where_nothing_is_wrong_nothing_is_planned(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)

    assert repaired(store, deep=True) == Plan((), ())


def test_miscounted_files_and_bytes_are_counted_anew(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    put(ann, COPY, b"small")
    ann.delete(COPY)
    with store.database.write() as tx:
        tx.execute(update(buckets).values(files=77, bytes=7))

    plan = repaired(store)

    assert [(step.action, step.subject) for step in plan.steps] == [("recount", "files"), ("recount", "media")]
    assert [(usage.files, usage.logical_bytes) for usage in store.usage()] == [(2, 105), (0, 0)]
    assert store.verify().problems == ()


def test_a_lock_in_the_trash_goes_and_no_other(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    put(ann, COPY, LARGE)
    kept, *_ = ann.lock(COPY, LockRequest())
    ann.delete(FILE)
    with store.database.write() as tx:
        stale = {column.name: getattr(row, column.name) for row in tx.execute(select(locks)) for column in locks.c}
        gone = tx.scalar(select(trash.c.node))
        tx.execute(insert(locks).values(stale | {"token": "urn:uuid:stale", "node": gone}))

    plan = repaired(store)

    assert [(step.action, step.subject) for step in plan.steps] == [("unlock", "urn:uuid:stale")]
    assert [lock.token for lock in store.locks()] == [kept.token]
    assert store.verify().problems == ()


def test_a_missing_blob_is_noted_and_the_next_upload_repairs_it_for_all(store: Store, ann: Namespace, tmp_path: Path):
    put(ann, FILE, LARGE)
    ann.copy(FILE, COPY)
    blob_of(store, tmp_path).unlink()

    plan = repaired(store)

    assert (actions(plan), plan.left, verdicts(store)) == (["judge"], (), ["lost"])
    assert len(store.verify().problems) == 2
    put(ann, ("files", "again"), LARGE)
    assert (content(ann, FILE), content(ann, COPY)) == (LARGE, LARGE)
    assert store.verify(deep=True).problems == ()


@pytest.mark.parametrize("damage", [OTHER, b"short"])
def test_a_corrupt_blob_is_noted_and_the_next_upload_repairs_it_for_all(
    store: Store, ann: Namespace, tmp_path: Path, damage: bytes
):
    put(ann, FILE, LARGE)
    blob = blob_of(store, tmp_path)
    blob.chmod(0o600)
    blob.write_bytes(damage)

    plan = repaired(store, deep=True)

    assert (set(actions(plan)), verdicts(store)) == ({"judge"}, ["corrupt"])
    put(ann, COPY, LARGE)
    assert content(ann, FILE) == LARGE
    assert store.verify(deep=True).problems == ()


def test_orphans_older_than_a_day_are_due_in_a_week_and_younger_ones_are_left(
    store: Store, ann: Namespace, tmp_path: Path
):
    put(ann, FILE, LARGE)
    vouched = blob_of(store, tmp_path)
    old, young = (vouched.with_name(vouched.name[:-4] + end) for end in ("0001", "0002"))
    for orphan in (old, young):
        orphan.write_bytes(LARGE)
    long_ago = time.time() - 2 * 86400
    os.utime(old, (long_ago, long_ago))

    plan = repaired(store)

    assert [step.detail for step in plan.steps] == ["post 1 orphan blobs of 100 bytes, due in a week"]
    with store.database.read() as tx:
        [row] = tx.execute(select(purges)).all()
        assert row.key.endswith(old.name)
        assert 6.9 < (row.due - tx.now) / (86400 * SECOND) <= 7
    assert old.exists()
    assert store.collect_garbage(grace=0, retention=0).deleted == 0


def test_what_would_take_a_name_away_is_left_to_people(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    with store.database.write() as tx:
        tx.execute(update(nodes).where(nodes.c.kind == "file").values(links=5))
    before = named(store)

    plan = repaired(store)

    assert (plan.steps, [problem.kind for problem in plan.left]) == ((), ["I4"])
    assert named(store) == before
    assert [problem.kind for problem in store.verify().problems] == ["I4"]


def test_a_plan_changes_nothing(store: Store, ann: Namespace, tmp_path: Path):
    put(ann, FILE, LARGE)
    blob_of(store, tmp_path).unlink()
    with store.database.write() as tx:
        tx.execute(update(buckets).values(files=77))
    before = store.verify()

    store.plan_repair(before)

    assert store.verify() == before


def test_a_step_that_is_not_called_for_any_more_does_nothing(store: Store, ann: Namespace, tmp_path: Path):
    put(ann, FILE, LARGE)
    blob = blob_of(store, tmp_path)
    blob.rename(tmp_path / "aside")
    plan = store.plan_repair(store.verify())
    (tmp_path / "aside").rename(blob)

    store.repair(plan)

    assert verdicts(store) == ["ok"]
    assert store.recovery(ANN).trashed() == []
