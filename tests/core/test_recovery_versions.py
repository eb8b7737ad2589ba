"""Contents that come back: a version in its file, and an object that nothing refers to any more as a file."""

import pytest
from sqlalchemy import select, update

from core.errors import AlreadyExists, Corrupt, Forbidden, Locked, NotFound, QuotaExceeded
from core.model import Caller, LockRequest
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.recovery import Recovery
from core.schema import objects
from core.store import Store
from tests.parts.stores import ANN, BOB, content, put

ONE, TWO, THREE = (word * 9 for word in (b"one", b"two", b"three"))
FILE, ELSEWHERE = ("files", "a.txt"), ("files", "d", "e", "b.txt")
ADMIN = Caller("admin", admin=True)
NOBODY = "0192f0c0-0000-7000-8000-000000000000"


@pytest.fixture
def recovery(store: Store) -> Recovery:
    return store.recovery(ADMIN)


@pytest.fixture
def lost(store: Store, ann: Namespace) -> str:
    """The uid of a condemned object."""
    put(ann, FILE, ONE)
    uid = ann.node(FILE).object_uid
    ann.delete(FILE)
    store.recovery(ADMIN).empty_trash()
    assert store.collect_garbage(grace=0).condemned == 1
    return uid


def written(ann: Namespace, *contents: bytes) -> None:
    for each in contents:
        put(ann, FILE, each)


def state(store: Store, uid: str) -> str:
    with store.database.read() as tx:
        return tx.scalar(select(objects.c.state).where(objects.c.uid == uid))


def test_an_older_content_takes_the_place_of_the_present_one(ann: Namespace, recovery: Recovery):
    written(ann, ONE, TWO)
    [older] = recovery.versions(FILE)

    node = recovery.restore_version(FILE, older.uid)

    assert (content(ann, FILE), node.size, node.modified) == (ONE, len(ONE), older.modified)
    [kept] = recovery.versions(FILE)
    assert (kept.size, kept.author) == (len(TWO), "ann")
    assert recovery.restore_version(FILE, kept.uid).size == len(TWO)
    assert content(ann, FILE) == TWO


def test_a_content_that_was_restored_is_kept_however_soon_it_is_replaced(store: Store, ann: Namespace):
    written(ann, ONE, TWO)
    mine = store.recovery(ANN)
    mine.restore_version(FILE, mine.versions(FILE)[0].uid)

    put(ann, FILE, THREE)

    assert {version.size for version in mine.versions(FILE)} == {len(ONE), len(TWO)}


def test_a_restored_version_counts_its_bytes(store: Store, ann: Namespace, recovery: Recovery):
    written(ann, THREE, ONE)

    recovery.restore_version(FILE, recovery.versions(FILE)[0].uid)

    assert store.usage()[0].logical_bytes == len(THREE)


def test_a_version_that_would_pass_the_quota_is_refused_and_nothing_changes(store: Store, ann: Namespace):
    written(ann, THREE, ONE)
    store.change_bucket("files", BucketPolicy(quota=len(ONE)))
    recovery = store.recovery(ADMIN)
    before = recovery.versions(FILE)

    with pytest.raises(QuotaExceeded):
        recovery.restore_version(FILE, before[0].uid)

    assert (content(ann, FILE), recovery.versions(FILE)) == (ONE, before)


def test_a_version_of_another_file_is_none(ann: Namespace, recovery: Recovery):
    written(ann, ONE, TWO)
    put(ann, ("files", "other"), TWO)

    for uid in (recovery.versions(FILE)[0].uid, NOBODY, "nonsense"):
        with pytest.raises(NotFound):
            recovery.restore_version(("files", "other"), uid)


def test_a_locked_file_gets_an_older_content_from_its_lock_owner_only(store: Store, ann: Namespace):
    written(ann, ONE, TWO)
    uid = store.recovery(ANN).versions(FILE)[0].uid
    ann.lock(FILE, LockRequest())

    with pytest.raises(Locked):
        store.recovery(BOB).restore_version(FILE, uid)

    assert store.recovery(ANN).restore_version(FILE, uid).size == len(ONE)


def test_a_condemned_object_comes_back_as_a_file(store: Store, ann: Namespace, recovery: Recovery, lost: str):
    node = recovery.revive(lost, ELSEWHERE)

    assert (node.path, node.media_type, content(ann, ELSEWHERE)) == (ELSEWHERE, "text/plain", ONE)
    assert state(store, lost) == "live"
    assert store.collect_garbage(grace=0, retention=0).purged == 0
    assert content(ann, ELSEWHERE) == ONE
    assert store.explain(lost)[0].events[-1].reason == "admin brought it back"
    assert store.usage()[0].logical_bytes == len(ONE)


def test_an_object_that_is_not_condemned_yet_comes_back_as_well(ann: Namespace, recovery: Recovery):
    put(ann, FILE, ONE)
    uid = ann.node(FILE).object_uid
    ann.delete(FILE)
    recovery.empty_trash()

    recovery.revive(uid, FILE)

    assert content(ann, FILE) == ONE


def test_a_revival_that_is_refused_changes_nothing(store: Store, ann: Namespace, recovery: Recovery, lost: str):
    put(ann, FILE, TWO)

    with pytest.raises(AlreadyExists):
        recovery.revive(lost, FILE)
    with pytest.raises(Forbidden):
        recovery.revive(lost, ("media", "a"))
    with pytest.raises(Forbidden):
        recovery.revive(lost, ("files",))
    with pytest.raises(Forbidden):
        store.recovery(ANN).revive(lost, ELSEWHERE)

    assert (state(store, lost), content(ann, FILE)) == ("condemned", TWO)
    assert ann.find(("files", "d")) is None


@pytest.mark.parametrize("uid", [NOBODY, "nonsense"])
def test_what_is_no_object_does_not_come_back(recovery: Recovery, uid: str):
    with pytest.raises(NotFound):
        recovery.revive(uid, FILE)


def test_an_object_that_went_does_not_come_back(store: Store, recovery: Recovery, lost: str):
    store.collect_garbage(grace=0, retention=0)

    with pytest.raises(NotFound):
        recovery.revive(lost, FILE)


def test_an_object_whose_bytes_are_known_to_be_lost_does_not_come_back(store: Store, recovery: Recovery, lost: str):
    with store.database.write() as tx:
        tx.execute(update(objects).where(objects.c.uid == lost).values(verdict="lost"))

    with pytest.raises(Corrupt):
        recovery.revive(lost, FILE)

    with store.database.write() as tx:
        tx.execute(update(objects).values(verdict=None))
