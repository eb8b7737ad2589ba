"""What was removed can be had again, and counts until it is gone for good."""

import pytest

from core.errors import NotFound
from core.model import SECOND, Kind, PropertyChange, PropertyName
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.recovery import Recovery
from core.store import Store
from tests.core.conftest import OpenStore
from tests.parts import stores
from tests.parts.snapshots import snapshot

LARGE = b"a content that has a blob of its own"
D, FILE, SUB = ("files", "d"), ("files", "d", "file"), ("files", "d", "sub")
KEEP = PropertyName("urn:example", "keep")


@pytest.fixture
def recovery(store: Store) -> Recovery:
    return store.recovery(stores.BOB)


@pytest.fixture
def filled(ann: Namespace) -> Namespace:
    ann.make_collection(D)
    ann.make_collection(SUB)
    stores.put(ann, FILE, LARGE)
    ann.set_properties(FILE, [PropertyChange(KEEP, "<kept/>")])
    return ann


def test_an_entry_says_what_it_was(filled: Namespace, recovery: Recovery):
    filled.delete(D)

    (entry,) = recovery.trashed()
    assert (entry.path, entry.kind, entry.size, entry.by) == (D, Kind.COLLECTION, len(LARGE), "ann")
    assert entry.until == entry.at + 30 * 24 * 3600 * SECOND
    assert recovery.trashed("files") == [entry]
    assert recovery.trashed("media") == []
    with pytest.raises(NotFound):
        recovery.trashed("none")


def test_what_is_restored_is_as_it_was(store: Store, filled: Namespace, recovery: Recovery):
    def tree() -> object:
        nodes = stores.below(filled, D)
        return {node.path: (node.uid, node.modified, node.created) for node in nodes}, filled.properties(nodes)

    before = tree()
    filled.delete(D)

    restored = recovery.restore(recovery.trashed()[0].uid)

    assert restored.path == D
    assert tree() == before
    assert recovery.trashed() == []


def test_collections_that_are_missing_are_made_again(filled: Namespace, recovery: Recovery):
    filled.delete(FILE)
    filled.delete(D)
    file = next(entry for entry in recovery.trashed() if entry.path == FILE)

    assert recovery.restore(file.uid).path == FILE
    assert [node.path for node in stores.below(filled, D)] == [FILE]


def test_names_removed_again_and_again_are_kept_apart(filled: Namespace, recovery: Recovery):
    for content in (b"first", b"second", b"third"):
        stores.put(filled, ("files", "x"), content)
        filled.delete(("files", "x"))

    assert [entry.size for entry in recovery.trashed()] == [5, 6, 5]
    second = recovery.trashed()[1]
    assert stores.content(filled, recovery.restore(second.uid).path) == b"second"


def test_the_trash_counts_until_it_is_emptied(store: Store, filled: Namespace, recovery: Recovery):
    def used() -> tuple[int, int, int]:
        usage = next(usage for usage in store.usage() if usage.bucket == "files")
        return usage.files, usage.logical_bytes, usage.trashed_bytes

    filled.delete(D)
    assert used() == (1, len(LARGE), len(LARGE))
    assert recovery.empty_trash("media") == 0
    assert recovery.empty_trash() == 1
    assert used() == (0, 0, 0)


def test_a_bucket_without_trash_lets_go_at_once(checked: OpenStore):
    store = checked(bare=BucketPolicy(trash=None))
    ann = store.namespace(stores.ANN)
    for n, bucket in enumerate(("bare", "bare", "files")):
        stores.put(ann, (bucket, f"{n}"), LARGE)

    ann.delete(("bare", "0"))
    ann.copy(("files", "2"), ("bare", "1"))
    ann.delete(("bare", "1"))

    assert store.recovery(stores.ANN).trashed() == []
    assert [usage.logical_bytes for usage in store.usage() if usage.bucket == "bare"] == [0]


def test_emptying_the_trash_touches_nothing_else(store: Store, filled: Namespace, recovery: Recovery):
    stores.put(filled, ("files", "copy"), LARGE)
    filled.copy(D, ("files", "e"))
    filled.delete(("files", "e"))
    before = snapshot(store)["tree"]

    recovery.empty_trash()

    assert snapshot(store)["tree"] == before
