"""Blobs that move between storages: nothing is lost, whoever strikes meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from core import moving
from core.blobs.local import LocalBlobs
from core.errors import InvalidSetting, Refusal, StorageUnavailable
from core.model import SECOND
from core.moving import Moved
from core.namespace import Namespace
from core.schema import objects, purges
from core.scrubbing import scrub
from core.store import Store
from core.tempo import Tempo
from tests.parts import stores
from tests.parts.scale import soak
from tests.parts.strikes import Countdown, Struck, blob_call_fails, statement_fails, told

HOUR = 3600 * SECOND
POINTS = ("publish", "published", "open")[: soak(2, 3)]
LARGE, OTHER = b"a content that has a blob of its own", b"another content with a blob of its own"
FILE, SECOND_FILE = ("files", "a"), ("files", "b")


def ignore(_: Moved) -> None:
    pass


def moved(store: Store, source: str = "local", target: str = "second", keep: int = 0) -> Moved:
    return store.move_blobs(source, target, ignore, keep)


def places(store: Store) -> dict[str, int]:
    """How many objects each storage has."""
    with store.database.read() as tx:
        found = list(tx.execute(select(objects.c.storage)).scalars())
    return {name: found.count(name) for name in set(found) - {"inline"}}


def blobs(store: Store, name: str) -> int:
    return len(list(store.contents.stores[name].blobs()))


def collect(store: Store) -> None:
    store.collect_garbage(grace=0, retention=0)


def due_now(store: Store) -> None:
    """As if every due time had come, and no claim were left."""
    with store.database.write() as tx:
        tx.execute(update(purges).values(due=0))


@contextmanager
def at(store: Store, point: str, act: Callable[[], object]) -> Iterator[None]:
    """Does the act once, at the first time that a blob store comes to the point."""
    seen: list[str] = []

    def tell(where: str) -> None:
        if where == point and not seen:
            seen.append(where)
            act()

    with told(store, tell):
        yield
    assert seen == [point]


def test_everything_of_a_storage_moves_and_the_old_blobs_go_when_they_are_due(store: Store, ann: Namespace) -> None:
    contents = {("files", f"{n}"): f"content number {n:04d} of many".encode() for n in range(120)}
    for path, data in contents.items():
        stores.put(ann, path, data)
    told_of: list[Moved] = []

    result = store.move_blobs("local", "second", told_of.append, HOUR)

    size = sum(map(len, contents.values()))
    assert (result.moved, result.moved_bytes, result.left, result.failed) == (120, size, 0, ())
    assert [(step.moved, step.left) for step in told_of] == [(0, 120), (50, 70), (100, 20), (120, 0)]
    assert places(store) == {"second": 120}
    assert (blobs(store, "local"), blobs(store, "second")) == (120, 120)
    due_now(store)
    collect(store)
    assert (blobs(store, "local"), blobs(store, "second")) == (0, 120)
    assert {path: stores.content(ann, path) for path in contents} == contents


def test_large_blobs_are_told_and_pointed_to_a_few_at_a_time(
    store: Store, ann: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "PAGE_BYTES", 250)
    for n, size in enumerate((100, 100, 100, 300, 40)):
        stores.put(ann, ("files", f"{n}"), b"%d" % n * size)
    told_of: list[Moved] = []

    store.move_blobs("local", "second", told_of.append, HOUR)

    assert [(step.moved, step.moved_bytes) for step in told_of] == [(0, 0), (2, 200), (3, 300), (4, 600), (5, 640)]


@pytest.mark.parametrize("route", [("local", "rows", "local"), ("local", "rows", "second"), ("rows", "local", "rows")])
def test_a_content_can_move_anywhere_and_back(store: Store, ann: Namespace, route: tuple[str, ...]) -> None:
    store.change_bucket("files", stores.SMALL.model_copy(update={"storage": route[0]}))
    data = LARGE * 100_000
    stores.put(ann, FILE, data)

    for source, target in pairwise(route):
        assert moved(store, source, target).moved == 1
        collect(store)
        assert stores.content(ann, FILE) == data

    assert blobs(store, route[-1]) == 1
    assert sum(blobs(store, name) for name in set(route)) == 1


def test_versions_the_trash_and_condemned_objects_move_too(store: Store, ann: Namespace) -> None:
    for data in (LARGE, OTHER):
        stores.put(ann, FILE, data)
    ann.delete(FILE)
    stores.put(ann, SECOND_FILE, LARGE * 2)
    ann.delete(SECOND_FILE)
    store.recovery(stores.ANN).empty_trash()
    store.collect_garbage(grace=0)
    stores.put(ann, FILE, LARGE * 3)

    assert moved(store).moved == 4
    assert places(store) == {"second": 4}


def test_contents_that_come_while_blobs_move_are_moved_as_well(store: Store, ann: Namespace) -> None:
    stores.put(ann, FILE, LARGE)

    with at(store, "published", lambda: stores.put(ann, SECOND_FILE, OTHER)):
        result = moved(store)

    assert (result.moved, result.left) == (2, 0)
    assert places(store) == {"second": 2}


def test_a_reader_that_found_the_file_before_it_moved_gets_its_bytes(store: Store, ann: Namespace) -> None:
    node = stores.put(ann, FILE, LARGE).node
    with ann.open(node) as early:
        moved(store)
        collect(store)

        assert early.read() == LARGE
    with ann.open(node) as late:
        assert late.read() == LARGE


@pytest.mark.parametrize("point", POINTS)
def test_an_object_that_is_purged_while_it_moves_is_gone_and_its_copy_goes(
    store: Store, ann: Namespace, point: str
) -> None:
    stores.put(ann, FILE, LARGE)

    def purge() -> None:
        ann.delete(FILE)
        store.recovery(stores.ANN).empty_trash()
        collect(store)

    with at(store, point, purge):
        result = moved(store)

    assert (result.moved, result.left) == (0, 0)
    assert places(store) == {}
    due_now(store)
    collect(store)
    assert (blobs(store, "local"), blobs(store, "second")) == (0, 0)


@pytest.mark.parametrize("point", POINTS)
def test_an_object_that_is_repaired_while_it_moves_keeps_the_repaired_blob(
    store: Store, ann: Namespace, point: str
) -> None:
    stores.put(ann, FILE, LARGE)

    def repair() -> None:
        with store.database.write() as tx:
            tx.execute(update(objects).values(verdict="lost"))
        stores.put(ann, SECOND_FILE, LARGE)

    with at(store, point, repair):
        result = moved(store)

    assert (result.moved, result.changed, result.left) == (0, 1, 1)
    assert places(store) == {"local": 1}
    collect(store)
    assert (blobs(store, "local"), blobs(store, "second")) == (1, 0)
    assert stores.content(ann, FILE) == LARGE


@pytest.mark.parametrize("point", POINTS)
def test_the_same_content_uploaded_while_it_moves_is_stored_once(store: Store, ann: Namespace, point: str) -> None:
    stores.put(ann, FILE, LARGE)

    with at(store, point, lambda: stores.put(ann, SECOND_FILE, LARGE)):
        assert moved(store).moved == 1

    collect(store)
    assert places(store) == {"second": 1}
    assert (blobs(store, "local"), blobs(store, "second")) == (0, 1)
    assert stores.content(ann, SECOND_FILE) == LARGE


@pytest.mark.parametrize("point", POINTS)
def test_two_movers_move_an_object_once(store: Store, ann: Namespace, point: str) -> None:
    stores.put(ann, FILE, LARGE)

    with at(store, point, lambda: moved(store, "local", "rows")):
        result = moved(store)

    assert (result.moved, result.changed) == (0, 1)
    assert places(store) == {"rows": 1}
    collect(store)
    assert [blobs(store, name) for name in ("local", "second", "rows")] == [0, 0, 1]


@pytest.mark.parametrize("how", ["purged", "moved by another"])
def test_what_goes_before_it_could_be_read_is_no_failure(store: Store, ann: Namespace, how: str) -> None:
    stores.put(ann, FILE, LARGE)

    def go() -> None:
        if how == "purged":
            ann.delete(FILE)
            store.recovery(stores.ANN).empty_trash()
        else:
            moved(store, "local", "rows")
        collect(store)

    with at(store, "open", go):
        result = moved(store)

    assert (result.moved, result.changed, result.failed) == (0, 1, ())


def test_a_blob_that_moves_while_others_are_scrubbed_is_read_where_it_is(store: Store, ann: Namespace) -> None:
    for path, data in ((FILE, LARGE), (SECOND_FILE, OTHER)):
        stores.put(ann, path, data)

    def move() -> None:
        if places(store) == {"local": 2}:
            assert moved(store).moved == 2
            collect(store)

    done = scrub(store.database, store.contents, tempo=Tempo(between=move))

    assert (done.verified, done.lost, done.corrupt) == (2, (), ())


@pytest.mark.parametrize("claimed", [True, False])
def test_a_copy_whose_deletion_has_begun_is_not_counted_on(store: Store, ann: Namespace, claimed: bool) -> None:
    stores.put(ann, FILE, LARGE)

    def outlast() -> None:
        with store.database.write() as tx:
            tx.execute(update(purges).values(claimed=1) if claimed else delete(purges))

    with at(store, "published", outlast):
        result = moved(store)

    assert (result.moved, result.changed, result.left) == (0, 1, 1)
    assert places(store) == {"local": 1}
    assert stores.content(ann, FILE) == LARGE


def test_a_blob_that_has_other_bytes_is_not_moved_and_told(store: Store, ann: Namespace) -> None:
    stores.put(ann, FILE, LARGE)
    stores.put(ann, SECOND_FILE, OTHER)
    local = store.contents.stores["local"]
    assert isinstance(local, LocalBlobs)
    [damaged] = [file for file in local.root.rglob("*.*") if file.is_file() and file.read_bytes() == LARGE]
    damaged.write_bytes(OTHER)

    result = moved(store)

    assert (result.moved, result.left) == (1, 1)
    [line] = result.failed
    assert "has other bytes" in line
    assert places(store) == {"local": 1, "second": 1}
    damaged.write_bytes(LARGE)
    assert moved(store).moved == 1


def test_a_blob_that_is_missing_is_told(store: Store, ann: Namespace) -> None:
    stores.put(ann, FILE, LARGE)
    local = store.contents.stores["local"]
    assert isinstance(local, LocalBlobs)
    [lost] = [file for file in local.root.rglob("*.*") if file.is_file() and file.read_bytes() == LARGE]
    lost.unlink()

    [line] = moved(store).failed

    assert "is missing" in line
    lost.write_bytes(LARGE)


def test_a_storage_that_does_not_answer_ends_the_move(store: Store, ann: Namespace) -> None:
    stores.put(ann, FILE, LARGE)
    second = store.contents.stores["second"]
    assert isinstance(second, LocalBlobs)
    marker = second.root / ".davstore-storage"
    uid = marker.read_text()
    second.root.rename(second.root.with_name("away"))

    with pytest.raises(StorageUnavailable):
        moved(store)

    second.root.with_name("away").rename(second.root)
    assert marker.read_text() == uid
    assert moved(store).moved == 1


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [("local", "local", "is both"), ("local", "inline", "inline_below"), ("local", "tape", "not configured")],
)
def test_a_move_that_makes_no_sense_is_refused(store: Store, source: str, target: str, words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        moved(store, source, target)


@pytest.mark.slow
@pytest.mark.parametrize("fails", [statement_fails, blob_call_fails])
def test_a_move_that_is_cut_off_at_any_step_loses_nothing_and_can_be_repeated(
    store: Store, ann: Namespace, fails: Callable[[Store, int], AbstractContextManager[Countdown]]
) -> None:
    for n in range(3):
        stores.put(ann, ("files", f"{n}"), LARGE + b"%d" % n)
    route, step = ("local", "second"), 0

    while True:
        step += 1
        with fails(store, step) as countdown, suppress(Struck, Refusal):
            moved(store, *route, keep=HOUR)
        assert store.verify(deep=True).problems == ()
        moved(store, *route, keep=HOUR)
        assert places(store) == {route[1]: 3}
        if not countdown.has_struck:
            break
        route = route[1], route[0]
    assert step > 5


def test_blobs_move_to_a_bucket_and_back(s3_store: Store, tmp_path: Path) -> None:
    ann = s3_store.namespace(stores.ANN)
    contents = {("files", f"{n}"): LARGE * n for n in (1, 10, 300_000)}
    for path, data in contents.items():
        stores.put(ann, path, data)

    for source, target in (("local", "s3main"), ("s3main", "rows"), ("rows", "s3main"), ("s3main", "local")):
        assert moved(s3_store, source, target).moved == 3
        collect(s3_store)
        assert {path: stores.content(ann, path) for path in contents} == contents
        assert (blobs(s3_store, source), blobs(s3_store, target)) == (0, 3)
