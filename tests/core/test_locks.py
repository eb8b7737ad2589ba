"""Locks end, are counted from the database's clock, and stay with what they lock."""

import time

import pytest
from sqlalchemy import update

from core.errors import Locked, NoSuchLock, PreconditionFailed
from core.model import SECOND, Caller, Expect, LockRequest, Scope
from core.namespace import Namespace
from core.schema import locks
from core.store import Store
from tests.parts import stores

D, FILE, INNER = ("files", "d"), ("files", "file"), ("files", "d", "x")


def expire(store: Store) -> None:
    with store.database.write() as tx:
        tx.execute(update(locks).values(expires=tx.now - 1))


@pytest.mark.parametrize(
    ("wanted", "granted"), [(None, 3600), (60 * SECOND, 60), (24 * 3600 * SECOND, 86_400), (10**18, 86_400)]
)
def test_a_timeout_is_granted_up_to_the_longest(ann: Namespace, wanted: int | None, granted: int):
    lock, created, *_ = ann.lock(FILE, LockRequest(timeout=wanted))

    assert created
    assert lock.timeout == granted * SECOND
    assert lock.remaining == granted * SECOND
    assert abs(lock.expires / SECOND - time.time() - granted) < 5


def test_an_expired_lock_is_none(store: Store, ann: Namespace, bob: Namespace):
    lock, *_ = ann.lock(FILE, LockRequest())
    expire(store)

    assert ann.locks([ann.node(FILE)]) == {}
    assert store.locks() == []
    with pytest.raises(PreconditionFailed):
        ann.refresh(FILE, None, expect=Expect(tokens=frozenset({lock.token})))
    with pytest.raises(NoSuchLock):
        ann.unlock(FILE, lock.token)
    stores.put(bob, FILE, b"bob's")
    bob.lock(FILE, LockRequest())
    bob.delete(FILE, expect=Expect(tokens=frozenset(lock.token for lock in store.locks())))


def test_a_file_with_an_expired_lock_goes_to_the_trash_and_comes_back(store: Store, ann: Namespace):
    ann.lock(FILE, LockRequest())
    expire(store)
    ann.delete(FILE)
    assert store.verify().problems == ()

    recovery = store.recovery(stores.ANN)
    recovery.restore(recovery.trashed()[0].uid)
    assert store.locks() == []


def test_a_refresh_counts_from_now(store: Store, ann: Namespace):
    lock, *_ = ann.lock(FILE, LockRequest(timeout=100 * SECOND))
    mine = Expect(tokens=frozenset({lock.token}))

    assert ann.refresh(FILE, None, expect=mine).remaining == 100 * SECOND
    assert ann.refresh(FILE, 10**18, expect=mine).remaining == 86_400 * SECOND
    assert [held.token for held in store.locks()] == [lock.token]


def test_shared_locks_stand_side_by_side_and_each_holder_may_write(store: Store, ann: Namespace, bob: Namespace):
    shared = LockRequest(Scope.SHARED)
    mine, theirs = ann.lock(FILE, shared)[0], bob.lock(FILE, shared)[0]

    stores.put(ann, FILE, b"ann's", Expect(tokens=frozenset({mine.token})))
    stores.put(bob, FILE, b"bob's", Expect(tokens=frozenset({theirs.token})))
    assert {lock.token for lock in ann.locks([ann.node(FILE)])[ann.node(FILE).id]} == {mine.token, theirs.token}


def test_the_owner_may_pass_without_the_token_where_that_is_said(ann: Namespace, bob: Namespace):
    ann.lock(FILE, LockRequest())

    ann.set_properties(FILE, [], expect=Expect(as_lock_owner=True))
    with pytest.raises(Locked):
        bob.set_properties(FILE, [], expect=Expect(as_lock_owner=True))


def test_a_lock_stays_while_what_holds_it_is_renamed_by_its_holder(store: Store, ann: Namespace):
    """RFC 4918, section 7.7: a lock does not move with what is moved."""
    ann.make_collection(D)
    lock, *_ = ann.lock(INNER, LockRequest())

    ann.move(D, ("files", "e"), expect=Expect(tokens=frozenset({lock.token})))

    assert store.locks() == []


def test_a_lock_on_a_file_holds_for_what_is_saved_over_it(store: Store, ann: Namespace):
    lock, *_ = ann.lock(FILE, LockRequest())
    stores.put(ann, ("files", "new"), b"new")

    ann.move(("files", "new"), FILE, expect=Expect(tokens=frozenset({lock.token})))

    assert [(held.token, held.root) for held in store.locks()] == [(lock.token, FILE)]


def test_an_administrator_gives_up_anybodys_lock(store: Store, ann: Namespace):
    lock, *_ = ann.lock(FILE, LockRequest())
    other, *_ = ann.lock(("files", "other"), LockRequest())

    store.namespace(Caller("root", admin=True)).unlock(FILE, lock.token)
    store.break_lock(other.token)

    assert store.locks() == []
    with pytest.raises(NoSuchLock):
        store.break_lock(other.token)


def test_a_lock_is_told_for_all_that_it_covers(ann: Namespace):
    ann.make_collection(D)
    lock, *_ = ann.lock(D, LockRequest())
    stores.put(ann, INNER, b"", Expect(tokens=frozenset({lock.token})))

    assert [held.root for held in ann.locks([ann.node(INNER)])[ann.node(INNER).id]] == [D]
    told = ann.locks(stores.members(ann, ("files",)))
    assert [held.token for held in told[ann.node(D).id]] == [lock.token]
