"""What is kept for a time only: files of a temporary bucket and files that were told to expire."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from core.errors import NotFound
from core.model import FOREVER, SECOND, Instant, Path
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.store import Store
from tests.parts.stores import ANN, content, put

LARGE = b"x" * 100
FILE, KEPT = ("tmp", "a"), ("files", "a")
HOUR = 3600 * SECOND


@pytest.fixture
def store(checked: Callable[..., Store]) -> Store:
    """With a bucket whose files are over at once, and one whose files live for an hour."""
    over = BucketPolicy(inline_below=16, expire_after=timedelta(0))
    return checked(tmp=over, hour=BucketPolicy(inline_below=16, expire_after=timedelta(hours=1)))


@pytest.fixture
def ann(store: Store) -> Namespace:
    return store.namespace(ANN)


def collect(store: Store) -> int:
    """How many files a run found to be over."""
    return store.collect_garbage(grace=0, retention=0).files_expired


def left(ann: Namespace, path: Path) -> Instant | None:
    return ann.node(path).expires


def test_a_file_of_a_temporary_bucket_is_read_until_the_collector_finds_its_time_over(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    before = content(ann, FILE)

    ended = collect(store)

    assert (before, ended, ann.find(FILE)) == (LARGE, 1, None)


def test_an_expired_file_goes_for_good_and_so_do_its_bytes(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)

    run = store.collect_garbage(grace=0, retention=0)

    assert (run.purged, run.purged_bytes, run.deleted) == (1, 100, 1)
    assert store.recovery(ANN).trashed() == []
    usage = next(usage for usage in store.usage() if usage.bucket == "tmp")
    assert (usage.files, usage.logical_bytes, usage.objects) == (0, 0, 0)


def test_what_is_not_over_yet_stays(store: Store, ann: Namespace):
    put(ann, ("hour", "a"), LARGE)
    put(ann, KEPT, LARGE)

    assert collect(store) == 0
    assert (content(ann, ("hour", "a")), content(ann, KEPT)) == (LARGE, LARGE)


def test_each_upload_begins_the_time_anew(store: Store, ann: Namespace):
    put(ann, ("hour", "a"), b"one")
    ann.set_properties(("hour", "a"), [], expires=Instant(1))

    put(ann, ("hour", "a"), b"two")

    assert collect(store) == 0
    assert content(ann, ("hour", "a")) == b"two"


def test_a_file_can_be_told_when_to_go_and_told_otherwise(store: Store, ann: Namespace):
    put(ann, KEPT, LARGE)

    told = ann.set_properties(KEPT, [], expires=Instant(5 * HOUR)).expires
    otherwise = ann.set_properties(KEPT, [], expires=FOREVER).expires

    assert (told, otherwise, collect(store)) == (5 * HOUR, None, 0)
    ann.set_properties(KEPT, [], expires=Instant(5 * HOUR))
    assert (collect(store), ann.find(KEPT)) == (1, None)


def test_an_upload_to_a_bucket_that_keeps_files_leaves_what_the_file_was_told(ann: Namespace):
    put(ann, KEPT, b"one")
    ann.set_properties(KEPT, [], expires=Instant(7))

    put(ann, KEPT, b"two")

    assert left(ann, KEPT) == 7


def test_a_copy_lives_as_long_as_its_bucket_says(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    ann.make_collection(("tmp", "d"))
    put(ann, ("tmp", "d", "b"), b"inside")

    ann.copy(FILE, KEPT)
    ann.copy(("tmp", "d"), ("files", "d"))
    ann.copy(KEPT, ("hour", "a"))

    assert (left(ann, KEPT), left(ann, ("files", "d", "b"))) == (None, None)
    assert left(ann, ("hour", "a")) is not None
    assert collect(store) == 2
    assert (content(ann, KEPT), content(ann, ("files", "d", "b"))) == (LARGE, b"inside")


def test_a_copy_over_a_file_of_a_temporary_bucket_begins_its_time_anew(store: Store, ann: Namespace):
    put(ann, KEPT, b"new")
    put(ann, ("hour", "a"), b"old")
    ann.set_properties(("hour", "a"), [], expires=Instant(1))

    ann.copy(KEPT, ("hour", "a"))

    assert collect(store) == 0
    assert content(ann, ("hour", "a")) == b"new"


def test_a_file_that_is_moved_to_another_bucket_lives_as_long_as_that_one_says(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    put(ann, ("files", "b"), b"more")

    ann.move(FILE, KEPT)
    ann.move(("files", "b"), ("tmp", "b"))

    assert collect(store) == 1
    assert content(ann, KEPT) == LARGE
    assert ann.find(("tmp", "b")) is None


def test_a_collection_never_expires_and_notices_that_a_member_did(store: Store, ann: Namespace):
    ann.make_collection(("tmp", "d"))
    put(ann, ("tmp", "d", "a"), LARGE)
    before = ann.node(("tmp", "d")).etag

    collect(store)

    after = ann.node(("tmp", "d"))
    assert after.expires is None
    assert after.etag != before


def test_an_expired_file_goes_from_the_trash_too(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    ann.delete(FILE)
    ann.make_collection(("tmp", "d"))
    put(ann, ("tmp", "d", "b"), LARGE)
    ann.delete(("tmp", "d"))

    assert collect(store) == 2
    assert [entry.path for entry in store.recovery(ANN).trashed()] == [("tmp", "d")]


def test_the_versions_of_an_expired_file_go_with_it(store: Store, ann: Namespace):
    put(ann, ("hour", "a"), b"one" * 9)
    put(ann, ("hour", "a"), b"two" * 9)
    ann.set_properties(("hour", "a"), [], expires=Instant(1))

    run = store.collect_garbage(grace=0, retention=0)

    assert (run.files_expired, run.purged) == (1, 2)
    with pytest.raises(NotFound):
        store.recovery(ANN).versions(("hour", "a"))


def test_many_files_that_are_over_all_go(store: Store, ann: Namespace):
    for number in range(120):
        put(ann, ("tmp", str(number)), b"%d" % number)

    assert collect(store) == 120


def test_a_dry_run_ends_nothing(store: Store, ann: Namespace):
    put(ann, FILE, LARGE)

    store.collect_garbage(grace=0, retention=0, dry_run=True)

    assert content(ann, FILE) == LARGE


def test_bytes_of_a_temporary_bucket_are_kept_two_hours_unless_it_says_otherwise():
    assert BucketPolicy(expire_after=timedelta(days=1)).retention == timedelta(hours=2)
    assert BucketPolicy(expire_after=timedelta(days=1), retention=timedelta(days=3)).retention == timedelta(days=3)
    assert BucketPolicy().retention == timedelta(days=7)
