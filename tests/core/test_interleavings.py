"""What others do between the steps of a write; each pause is at a named point, so that nothing depends on luck."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path as FilePath

import pytest
from sqlalchemy import delete, select, update

from core.errors import (
    AlreadyExists,
    Forbidden,
    Locked,
    NoParent,
    NotFound,
    PreconditionFailed,
    StorageUnavailable,
)
from core.model import INLINE, Expect, LockRequest, Look
from core.namespace import Namespace
from core.schema import objects, purges
from core.store import Store
from tests.parts import stores
from tests.parts.strikes import told

LARGE, OTHER = b"a content that has a blob of its own", b"another content with a blob of its own"
D, FILE, SECOND, ABROAD = ("files", "d"), ("files", "d", "file"), ("files", "second"), ("media", "abroad")


@contextmanager
def at(store: Store, point: str, act: Callable[[], object], times: int = 1) -> Iterator[list[str]]:
    """Does the act at the first times that a blob store comes to the point; gives what happened."""
    seen: list[str] = []

    def tell(where: str) -> None:
        seen.append(where)
        if where == point and seen.count(point) <= times:
            act()

    with told(store, tell):
        yield seen


def claim_intents(store: Store) -> None:
    """As the worker does that is about to delete the blob."""
    with store.database.write() as tx:
        tx.execute(update(purges).values(claimed=1))


def object_count(store: Store) -> int:
    return store.verify().counts["objects"]


@pytest.fixture(autouse=True)
def collection(ann: Namespace) -> None:
    ann.make_collection(D)


def test_an_upload_whose_blob_is_being_deleted_publishes_again(store: Store, ann: Namespace):
    with at(store, "published", lambda: claim_intents(store)) as seen:
        stores.put(ann, FILE, LARGE)

    assert seen == ["publish", "published"] * 2
    assert stores.content(ann, FILE) == LARGE
    assert object_count(store) == 1


def test_an_upload_whose_blobs_go_again_and_again_is_refused_and_leaves_nothing(store: Store, ann: Namespace):
    with at(store, "published", lambda: claim_intents(store), times=100) as seen, pytest.raises(StorageUnavailable):
        stores.put(ann, FILE, LARGE)

    assert seen.count("published") > 1
    assert ann.find(FILE) is None
    assert object_count(store) == 0


def test_a_known_content_that_is_purged_before_the_commit_is_published_after_all(
    store: Store, ann: Namespace, monkeypatch: pytest.MonkeyPatch
):
    stores.put(ann, SECOND, LARGE)
    ann.delete(SECOND)
    store.recovery(stores.ANN).empty_trash()
    publish, answers = type(store.contents).publish, []

    def purged_after(*given: object) -> object:
        answers.append(publish(*given))  # pyright: ignore[reportArgumentType]
        if answers == [None]:
            with store.database.write() as tx:
                tx.execute(delete(objects))
        return answers[-1]

    monkeypatch.setattr(type(store.contents), "publish", purged_after)
    stores.put(ann, FILE, LARGE)

    assert answers[0] is None
    assert answers[1] is not None
    assert stores.content(ann, FILE) == LARGE


@pytest.mark.parametrize("point", ["publish", "published"])
def test_two_uploads_of_one_content_share_one_object(store: Store, ann: Namespace, bob: Namespace, point: str):
    with at(store, point, lambda: stores.put(bob, SECOND, LARGE)):
        stores.put(ann, FILE, LARGE)

    assert object_count(store) == 1
    assert ann.node(FILE).object_uid == ann.node(SECOND).object_uid
    assert stores.content(ann, FILE) == stores.content(ann, SECOND) == LARGE
    assert [problem.kind for problem in store.verify().reclaimable] == ["due"]


@pytest.mark.parametrize("point", ["publish", "published"])
def test_an_upload_into_a_collection_that_goes_is_refused(store: Store, ann: Namespace, bob: Namespace, point: str):
    for away in (lambda: bob.move(D, ("files", "elsewhere")), lambda: bob.delete(("files", "d"))):
        with at(store, point, away), pytest.raises(NoParent):
            stores.put(ann, FILE, LARGE)
        assert object_count(store) == 0
        if not bob.find(D):
            bob.make_collection(D)

    assert stores.members(ann, ("files", "elsewhere")) == []


def test_a_condition_is_asked_again_when_the_upload_commits(store: Store, ann: Namespace, bob: Namespace):
    def is_absent(look: Look) -> None:
        if look.node(FILE):
            raise PreconditionFailed(FILE)

    ann.check_put(FILE, size=len(LARGE), expect=Expect(is_absent))
    with at(store, "published", lambda: stores.put(bob, FILE, b"bob was first")), pytest.raises(PreconditionFailed):
        stores.put(ann, FILE, LARGE, Expect(is_absent))

    assert stores.content(ann, FILE) == b"bob was first"


def test_a_lock_taken_meanwhile_stops_the_upload(store: Store, ann: Namespace, bob: Namespace):
    with at(store, "published", lambda: bob.lock(D, LockRequest())), pytest.raises(Locked):
        stores.put(ann, FILE, LARGE)

    assert ann.find(FILE) is None


def test_an_upload_over_a_file_that_goes_meanwhile_makes_a_new_one(store: Store, ann: Namespace, bob: Namespace):
    old = stores.put(ann, FILE, b"old").node

    with at(store, "published", lambda: bob.delete(FILE)):
        outcome = stores.put(ann, FILE, LARGE)

    assert outcome.created
    assert outcome.node.uid != old.uid
    assert [entry.path for entry in store.recovery(stores.ANN).trashed()] == [FILE]


@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.parametrize("point", ["open", "publish", "published"])
def test_what_comes_while_a_tree_goes_to_another_bucket_goes_too(
    store: Store, ann: Namespace, bob: Namespace, verb: str, point: str
):
    stores.put(ann, FILE, LARGE)

    with at(store, point, lambda: stores.put(bob, (*D, "late"), OTHER)):
        getattr(ann, verb)(D, ABROAD)

    assert {node.name: stores.content(ann, node.path) for node in stores.members(ann, ABROAD)} == {
        "file": LARGE,
        "late": OTHER,
    }
    assert bool(ann.find(D)) == (verb == "copy")


@pytest.mark.parametrize("verb", ["copy", "move"])
def test_what_is_removed_while_it_goes_to_another_bucket_is_gone(
    store: Store, ann: Namespace, bob: Namespace, verb: str
):
    stores.put(ann, FILE, LARGE)

    with at(store, "published", lambda: bob.delete(D)), pytest.raises(NotFound):
        getattr(ann, verb)(D, ABROAD)

    assert ann.find(ABROAD) is None


def test_a_refused_copy_to_another_bucket_moves_no_byte(store: Store, ann: Namespace):
    stores.put(ann, FILE, LARGE)
    stores.put(ann, ABROAD, b"taken")

    with told(store, pytest.fail):
        with pytest.raises(AlreadyExists):
            ann.copy(FILE, ABROAD, overwrite=False)
        with pytest.raises(Forbidden):
            ann.move(("files",), ABROAD)


def relocate_blob(store: Store, data: FilePath) -> None:
    """As a move between storages or a repair does: the row first, then the old blob goes."""
    with store.database.write() as tx:
        row = tx.execute(select(objects.c.id, objects.c.key).where(objects.c.storage != INLINE)).one()
        new = row.key.rpartition(".")[0] + ".another"
        shutil.copy(data / "blobs" / row.key, data / "blobs" / new)
        tx.execute(update(objects).where(objects.c.id == row.id).values(key=new))
    (data / "blobs" / row.key).unlink()


def test_a_reader_finds_a_blob_that_moved_before_it_was_opened(store: Store, ann: Namespace):
    node = stores.put(ann, FILE, LARGE).node
    relocate_blob(store, store.settings.data)

    with ann.open(node) as file:
        assert file.read() == LARGE


def test_a_reader_goes_on_in_a_blob_that_moves_while_it_is_read(store: Store, ann: Namespace):
    node = stores.put(ann, FILE, LARGE).node

    with ann.open(node) as file:
        assert file.read(5) == LARGE[:5]
        relocate_blob(store, store.settings.data)
        assert file.read() == LARGE[5:]


def test_a_node_that_was_removed_for_good_is_not_found_by_its_reader(store: Store, ann: Namespace):
    node = stores.put(ann, SECOND, LARGE).node
    ann.delete(SECOND)
    store.recovery(stores.ANN).empty_trash()
    with store.database.write() as tx:
        key = tx.scalar(select(objects.c.key))
        tx.execute(delete(objects))
    (store.settings.data / "blobs" / key).unlink()

    with pytest.raises(NotFound):
        ann.open(node)


def test_a_listing_that_others_change_goes_on_and_repeats_nothing(ann: Namespace, bob: Namespace):
    for n in range(6):
        stores.put(ann, (*D, f"{n}"))
    pages = ann.children(D, page=2)

    first = next(pages)
    bob.delete((*D, "2"))
    bob.move((*D, "5"), (*D, "0a"))
    stores.put(bob, (*D, "9"))
    rest = [node.name for page in pages for node in page]

    assert [node.name for node in first] == ["0", "1"]
    assert rest == ["3", "4", "9"]
