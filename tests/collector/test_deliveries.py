# ruff: noqa: N802 - the numbers of defects are theirs
"""The outbox of deletions: each is tried until it succeeds, none is lost, and none stands in another's way."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import pytest
from sqlalchemy import event, insert

from core.blobs import Blob, BlobStore
from core.blobs.store import Capability
from core.collector import Collector
from core.deliveries import CLAIM, deliver
from core.errors import Refusal, StorageUnavailable
from core.jobs import Stopped
from core.model import SECOND
from core.outbox import BACKUP
from core.policy import BucketPolicy
from core.schema import objects, purges
from core.schema_services import jobs
from core.staging import Sealed
from core.store import Store
from core.tempo import Tempo
from tests.collector import life
from tests.collector.life import DAY, PHOTO

pytestmark = pytest.mark.slow

MINUTE = 60 * SECOND
MIB = 1 << 20


class Refusing:
    """A blob store that refuses to delete some of its blobs."""

    def __init__(self, inner: BlobStore) -> None:
        self._inner = inner
        self.name, self.type, self.staging = inner.name, inner.type, inner.staging
        self.refused: set[str] = set()
        self.broken: set[str] = set()

    def publish(self, key: str, content: Sealed) -> None:
        self._inner.publish(key, content)

    def open(self, key: str) -> BinaryIO:
        return self._inner.open(key)

    def size(self, key: str) -> int | None:
        return self._inner.size(key)

    def delete(self, key: str) -> None:
        if key in self.refused:
            raise StorageUnavailable(key, "is held fast")
        if key in self.broken:
            raise ZeroDivisionError("by zero")
        self._inner.delete(key)

    def blobs(self) -> Iterator[Blob]:
        return self._inner.blobs()

    def check(self) -> Iterator[Capability]:
        return self._inner.check()

    def claim(self, uid: str, *, new: bool) -> None:
        self._inner.claim(uid, new=new)


class Together(Refusing):
    """Deletes many in one request, which one of them can break."""

    def delete_all(self, keys: Sequence[str]) -> dict[str, Refusal]:
        for key in keys:
            self.delete(key)
        return {}


@pytest.mark.expects_log("the deletion of .* failed")
@pytest.mark.parametrize("kind", [Refusing, Together])
def test_one_deletion_that_breaks_in_an_unforeseen_way_stops_no_other_and_is_tried_again(
    store: Store, kind: type[Refusing]
):
    known = cast("dict[str, BlobStore]", store.contents.stores)
    known["local"] = breaking = kind(known["local"])
    for n in range(5):
        life.put_and_delete(store, f"{n}.txt", PHOTO * (n + 1))
    breaking.broken = {life.blobs(store)[0]}

    done = life.run(store)

    assert (done.purged, done.deleted, done.failed) == (5, 4, 1)
    assert set(life.blobs(store)) == breaking.broken
    (letter,) = store.garbage().failing
    assert (letter.attempts, letter.error) == (1, "ZeroDivisionError: by zero")
    (row,) = life.rows(store, purges)
    assert row.due > row.claimed
    breaking.broken = set()
    life.change(store, purges, due=0, claimed=0)
    assert life.run(store).deleted == 1


def test_inline_blobs_share_their_transactions_by_their_bytes(store: Store):
    for n in range(50):
        life.put_and_delete(store, f"{n}.txt", b"%d" % n)
    store.change_bucket("files", BucketPolicy(inline_below=2 * MIB))
    for n in range(3):
        life.put_and_delete(store, f"{n}.txt", bytes([n]) * MIB)
    store.collect_garbage(grace=0, retention=DAY)
    life.change(store, objects, condemned=0)
    Collector(store.database, store.registry).purge()
    commits: list[object] = []

    def count(connection: object) -> None:
        commits.append(connection)

    event.listen(store.database.engine, "commit", count)

    done = deliver(store.database, store.contents)

    event.remove(store.database.engine, "commit", count)
    assert (done.deleted, life.blobs(store)) == (53, [])
    assert len(commits) <= 3 + 4, "claim, deletions, note, and a last look"


@pytest.fixture
def refusing(store: Store) -> Refusing:
    known = cast("dict[str, BlobStore]", store.contents.stores)
    known["local"] = refusing = Refusing(known["local"])
    return refusing


def test_P9_M3_a_deletion_that_fails_is_seen_and_tried_again_and_stops_no_other(store: Store, refusing: Refusing):
    for n in range(5):
        life.put_and_delete(store, f"{n}.txt", PHOTO * (n + 1))
    refusing.refused = {life.blobs(store)[2]}

    done = life.run(store)

    assert (done.purged, done.deleted, done.failed) == (5, 4, 1)
    assert set(life.blobs(store)) == refusing.refused
    (letter,) = store.garbage().failing
    assert (letter.storage, letter.key, letter.attempts) == ("local", *refusing.refused, 1)
    assert "is held fast" in letter.error

    refusing.refused = set()
    assert deliver(store.database, store.contents).deleted == 0
    life.change(store, purges, due=purges.c.due - MINUTE, claimed=purges.c.claimed - MINUTE)
    assert deliver(store.database, store.contents).deleted == 1
    assert (life.blobs(store), store.garbage().failing) == ([], ())


def test_M3_every_failure_doubles_the_wait_up_to_a_day_and_the_letter_is_never_dropped(
    store: Store, refusing: Refusing
):
    life.put_and_delete(store)
    refusing.refused = set(life.blobs(store))
    waits: list[int] = []

    for _ in range(14):
        life.change(store, purges, due=0, claimed=0)
        life.run(store)
        (row,) = life.rows(store, purges)
        waits.append(row.due - row.claimed)

    assert waits[1] == 2 * waits[0]
    assert waits == sorted(waits)
    assert waits[-1] == DAY
    assert store.garbage().failing[0].attempts == 14


def test_a_deletion_in_a_storage_that_is_not_configured_waits_for_it(store: Store):
    life.put_and_delete(store)
    with store.database.write() as tx:
        tx.execute(insert(purges).values(storage="cellar", key="k", due=0))

    done = life.run(store)

    assert (done.deleted, done.failed) == (1, 1)
    (letter,) = store.garbage().failing
    assert (letter.storage, letter.key) == ("cellar", "k")
    assert "is not configured here; add it under [storages]" in letter.error


def test_what_another_worker_has_claimed_is_left_to_it_until_its_time_is_over(store: Store):
    life.put_and_delete(store)
    with store.database.write() as tx:
        now = tx.now
    life.run(store, grace=0, retention=DAY)
    with store.database.write() as tx:
        tx.execute(insert(purges).values(storage="local", key=life.blobs(store)[0] + "x", due=0, claimed=now + CLAIM))

    assert deliver(store.database, store.contents).deleted == 0
    life.change(store, purges, claimed=now)
    assert deliver(store.database, store.contents).deleted == 1


def test_a_claim_of_a_clock_that_was_ahead_once_is_over(store: Store):
    life.put_and_delete(store)
    life.run(store, retention=DAY)
    with store.database.write() as tx:
        tx.execute(insert(purges).values(storage="local", key=life.blobs(store)[0] + "x", due=0, claimed=tx.now + DAY))

    assert deliver(store.database, store.contents).deleted == 1


def test_the_rest_for_a_backup_of_a_clock_that_was_ahead_once_is_over(store: Store):
    life.put_and_delete(store)
    with store.database.write() as tx:
        tx.execute(insert(jobs).values(name=BACKUP, lease=tx.now + DAY))

    assert life.run(store).deleted == 1


def test_deleting_what_is_gone_already_is_success(store: Store):
    life.put_and_delete(store)
    for file in life.files_on_disk(store.settings.data):
        file.unlink()

    done = life.run(store)

    assert (done.deleted, done.failed) == (1, 0)


def test_a_disk_that_is_not_mounted_loses_no_deletion(store: Store):
    life.put_and_delete(store)
    disk, elsewhere = store.settings.data / "blobs", store.settings.data / "elsewhere"
    disk.rename(elsewhere)
    disk.mkdir()

    done = life.run(store)

    assert (done.purged, done.deleted, done.failed) == (1, 0, 1)
    disk.rmdir()
    elsewhere.rename(disk)
    life.change(store, purges, due=0, claimed=0)
    assert life.run(store).deleted == 1
    assert life.blobs(store) == []


def test_deletions_share_their_transactions(store: Store):
    for n in range(50):
        life.put_and_delete(store, f"{n}.txt", PHOTO * (n + 1))
    store.collect_garbage(grace=0, retention=DAY)
    life.change(store, objects, condemned=0)
    Collector(store.database, store.registry).purge()
    commits: list[object] = []

    def count(connection: object) -> None:
        commits.append(connection)

    event.listen(store.database.engine, "commit", count)

    done = deliver(store.database, store.contents)

    event.remove(store.database.engine, "commit", count)
    assert (done.deleted, len(commits)) == (50, 3)


def test_a_worker_that_is_stopped_has_noted_what_it_deleted(store: Store):
    for n in range(5):
        life.put_and_delete(store, f"{n}.txt", PHOTO * (n + 1))
    store.collect_garbage(grace=0, retention=DAY)
    life.change(store, objects, condemned=0)
    Collector(store.database, store.registry).purge()
    steps = iter([None, Stopped])

    def stop() -> None:
        if (reason := next(steps)) is not None:
            raise reason

    with pytest.raises(Stopped):
        deliver(store.database, store.contents, Tempo(between=stop))

    assert len(life.blobs(store)) == 3
    assert {row.key for row in life.rows(store, purges)} == set(life.blobs(store))
    life.change(store, purges, claimed=0)
    assert deliver(store.database, store.contents).deleted == 3
