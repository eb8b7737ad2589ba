"""A dry run sees what has had its time, and what would go because of that, as the run then finds it."""

from datetime import timedelta

import pytest

from core.model import Instant
from core.policy import BucketPolicy, Versions
from core.schema import nodes, objects, trash
from core.store import Store
from tests.collector import life
from tests.collector.conftest import OpenStore
from tests.collector.life import PHOTO
from tests.parts import stores

KEPT = ("files", "kept")


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store(files=BucketPolicy(inline_below=16, versions=Versions(keep=1, age=timedelta(days=1))))


def _outdate(store: Store) -> None:
    """In the trash and over: a tree of three, one of which is in use, and another of which has a name elsewhere. Two
    versions too many, of which one is in use. One file that expired."""
    ann, tree = life.as_ann(store), ("files", "tree")
    stores.put(ann, KEPT, PHOTO)
    ann.make_collection(tree)
    for name, data in (("same", PHOTO), ("alone", PHOTO * 2), ("linked", PHOTO * 3)):
        stores.put(ann, (*tree, name), data)
    inodes = store.inodes(stores.ANN)
    inodes.link(ann.node((*tree, "linked")).id, ann.node(("files",)).id, "linked")
    ann.delete(tree)
    life.change(store, trash, until=0)
    for data in (PHOTO * 4, PHOTO, PHOTO * 5, PHOTO * 6):
        stores.put(ann, ("files", "changing"), data)
        life.change(store, nodes, rewritten=None)
    life.put(store, "over", PHOTO * 7)
    ann.set_properties(("files", "over"), [], expires=Instant(1))


@pytest.mark.parametrize("examined", [False, True])
def test_a_dry_run_counts_what_a_run_then_ends_and_lets_go(store: Store, examined: bool):
    _outdate(store)
    if examined:
        life.change(store, objects, touched=1)
        with store.database.write() as tx:
            tx.execute(life.update(life.buckets).values(collected=2, walked=tx.now))

    told = store.collect_garbage(grace=0, retention=0, dry_run=True)
    done = life.run(store)

    assert (done.trash_expired, done.versions_expired, done.files_expired, done.condemned) == (1, 2, 1, 3)
    parts = ("trash_expired", "versions_expired", "files_expired", "condemned", "purged", "purged_bytes", "examined")
    assert {part: getattr(told, part) for part in parts} == {part: getattr(done, part) for part in parts}


def test_with_a_grace_what_is_over_is_counted_and_its_contents_stay(store: Store):
    _outdate(store)

    told = store.collect_garbage(grace=life.DAY, retention=0, dry_run=True)

    assert (told.trash_expired, told.versions_expired, told.files_expired) == (1, 2, 1)
    assert (told.condemned, told.purged) == (0, 0)
