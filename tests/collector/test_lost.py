"""Blobs that were lost or damaged behind the store's back: no upload counts on one, and whoever misses it says so."""

from pathlib import Path

import pytest
from sqlalchemy import delete, event, update

from core.errors import Corrupt, StorageUnavailable
from core.model import Digest, Kind
from core.policy import BucketPolicy
from core.schema import blob_data, objects, purges
from core.store import Store
from tests.collector import life
from tests.collector.conftest import OpenStore
from tests.collector.life import DAY, PHOTO
from tests.parts import stores

NEW = "new.txt"


def blob(store: Store) -> Path:
    return store.settings.data / "blobs" / life.only_object(store).key


def spoil(store: Store, how: str) -> None:
    """Behind our back: nothing in the database knows of it."""
    if how == "lost":
        blob(store).unlink()
    elif how == "shorter":
        blob(store).write_bytes(PHOTO[:-1])
    else:
        blob(store).write_bytes(PHOTO + b"!")


def verdict(store: Store) -> str | None:
    return life.only_object(store).verdict


WAYS = {"lost": "lost", "shorter": "corrupt", "longer": "corrupt"}


@pytest.mark.parametrize("how", WAYS)
def test_an_upload_brings_its_bytes_where_those_of_its_content_are_gone(store: Store, how: str):
    old = life.put(store)
    spoil(store, how)

    new = life.put(store, NEW)

    assert [stores.content(life.as_ann(store), path) for path in (new, old)] == [PHOTO, PHOTO]
    assert verdict(store) is None
    life.run(store)
    assert life.blobs(store) == [life.only_object(store).key]


def test_an_upload_brings_inline_bytes_that_are_gone(store: Store):
    old = life.put(store, data=b"few")
    with store.database.write() as tx:
        tx.execute(delete(blob_data))

    new = life.put(store, NEW, b"few")

    assert [stores.content(life.as_ann(store), path) for path in (new, old)] == [b"few", b"few"]


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_content_that_is_to_be_inline_brings_its_bytes_where_its_object_has_a_blob(
    open_store: OpenStore, is_lost: bool
):
    store = open_store()
    old = life.put(store)
    before = life.only_object(store).key
    store.change_bucket("files", BucketPolicy(inline_below=1000))
    if is_lost:
        blob(store).unlink()

    new = life.put(store, NEW)

    assert life.only_object(store).storage == "inline"
    assert [stores.content(life.as_ann(store), path) for path in (new, old)] == [PHOTO, PHOTO]
    life.run(store)
    assert (before in life.blobs(store)) is not is_lost, "who reads a healthy blob may go on"
    life.change(store, purges, due=purges.c.due - 7 * DAY)
    life.run(store)
    assert before not in life.blobs(store)


def test_a_content_is_not_known_without_its_body_where_its_blob_is_gone(store: Store):
    life.put(store)
    digest = Digest(life.only_object(store).digest)
    blob(store).unlink()
    ann = life.as_ann(store)

    assert ann.put_known(("files", NEW), digest, len(PHOTO)) is None
    assert ann.find(("files", NEW)) is None
    assert verdict(store) == "lost"
    life.put(store, NEW)
    outcome = ann.put_known(("files", "third.txt"), digest, len(PHOTO))
    assert outcome
    assert outcome.node.kind is Kind.FILE


@pytest.mark.parametrize("how", WAYS)
def test_who_misses_a_blob_notes_it_for_fsck_and_explain(store: Store, how: str):
    path = life.put(store)
    spoil(store, how)

    with pytest.raises(Corrupt):
        stores.content(life.as_ann(store), path)

    assert verdict(store) == WAYS[how]
    assert store.explain("/files/a.txt")[0].verdict == WAYS[how]
    assert [problem.subject for problem in store.verify().problems if "found lost or corrupt" in problem.detail]
    life.put(store, NEW)


def test_a_blob_that_many_miss_is_noted_once(store: Store):
    path = life.put(store)
    blob(store).unlink()
    commits: list[object] = []

    def count(connection: object) -> None:
        commits.append(connection)

    event.listen(store.database.engine, "commit", count)
    for _ in range(5):
        with pytest.raises(Corrupt):
            stores.content(life.as_ann(store), path)
    event.remove(store.database.engine, "commit", count)

    assert len(commits) == 1
    life.put(store, NEW)


def test_a_blob_that_only_moved_is_not_missed(store: Store):
    """The row that the reader had is an old one."""
    path = life.put(store)
    old = life.as_ann(store).node(path)
    moved = life.only_object(store).key + "x"
    blob(store).rename(store.settings.data / "blobs" / moved)
    with store.database.write() as tx:
        tx.execute(update(objects).values(key=moved))

    with store.contents.open(old) as file:
        assert file.read() == PHOTO
    assert verdict(store) is None


def test_a_disk_that_is_not_mounted_is_no_loss(store: Store):
    """Nobody can say what is on it."""
    path = life.put(store)
    disk, elsewhere = store.settings.data / "blobs", store.settings.data / "elsewhere"
    disk.rename(elsewhere)
    (disk / ".staging").mkdir(parents=True)

    with pytest.raises(StorageUnavailable, match="is its disk mounted"):
        stores.content(life.as_ann(store), path)
    with pytest.raises(StorageUnavailable, match="is its disk mounted"):
        life.put(store, NEW)

    disk.rename(store.settings.data / "aside")
    elsewhere.rename(disk)
    assert verdict(store) is None
