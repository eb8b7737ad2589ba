# ruff: noqa: N802 - the numbers of defects are theirs
"""Defects of the two upstream projects, by their numbers (Penpot P, Memos M): none of them is ours."""

import os
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import delete, event, insert

from core.database import Transaction
from core.errors import PreconditionFailed, StorageUnavailable
from core.model import BucketId, Expect, Look
from core.schema import nodes, objects, purges, renditions
from core.store import Store
from tests.collector import life
from tests.collector.failing import Faults, What
from tests.collector.life import DAY, PHOTO
from tests.collector.points import Points, once_at
from tests.parts import stores

OTHER = PHOTO[::-1]


@pytest.mark.slow
def test_P3_an_upload_between_the_question_and_the_verdict_waits_and_keeps_its_object(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """The collector has asked every rule and is about to condemn; the upload wants that very object."""
    life.put_and_delete(store)
    uid, uploading = life.only_object(store).uid, threading.Thread(target=life.put, args=(store, "again.txt"))
    write, asked = store.database.write, threading.Event()

    def asking(*given: BucketId, **how: bool) -> AbstractContextManager[Transaction]:
        if threading.current_thread() is uploading:
            asked.set()
        return write(*given, **how)

    def pause(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("UPDATE objects SET state=") and not uploading.ident:
            uploading.start()
            assert asked.wait(30)
            uploading.join(1)
            assert uploading.is_alive()

    monkeypatch.setattr(store.database, "write", asking)

    event.listen(store.database.engine, "before_cursor_execute", pause)
    done = life.condemn(store)
    uploading.join()
    event.remove(store.database.engine, "before_cursor_execute", pause)

    after = life.only_object(store)
    assert done.condemned == 1
    assert (after.uid, after.state) == (uid, "live")
    assert life.run(store).condemned == 0
    assert stores.content(life.as_ann(store), ("files", "again.txt")) == PHOTO


def test_P4_two_owners_share_an_object_and_one_may_go(store: Store):
    one, two = life.put(store, "one.txt"), life.put(store, "two.txt")
    assert len(life.rows(store, objects)) == 1

    life.delete_for_good(store, one)

    assert life.run(store).condemned == 0
    assert stores.content(life.as_ann(store), two) == PHOTO


@pytest.mark.parametrize("what", ["blob call", "blob call's answer"])
def test_P5_a_blob_that_could_not_be_written_has_no_object_that_others_could_share(store: Store, what: What):
    faults = Faults(store)
    with faults.failing(what, 1), pytest.raises(StorageUnavailable):
        life.put(store)
    assert life.rows(store, objects) == []

    path = life.put(store, "again.txt")

    assert stores.content(life.as_ann(store), path) == PHOTO


def test_P6_M14_the_blob_of_an_upload_that_is_refused_or_abandoned_goes_after_a_day(store: Store):
    def refuse(look: Look) -> None:
        raise PreconditionFailed("a.txt")

    with pytest.raises(PreconditionFailed):
        stores.put(life.as_ann(store), ("files", "a.txt"), PHOTO, Expect(check=refuse))
    assert (len(life.blobs(store)), life.run(store).deleted) == (1, 0)

    life.change(store, purges, due=purges.c.due - DAY)

    assert life.run(store).deleted == 1
    assert life.is_empty(store, store.settings.data)


def test_P7_an_object_that_is_held_can_be_read_until_its_hold_ends(store: Store):
    life.put_and_delete(store)
    held = life.only_object(store).id
    life.hold(store, held, 3600)
    assert life.run(store).condemned == 0

    with store.contents.open_object(held) as file:
        assert file.read() == PHOTO
    life.end_holds(store)
    assert life.run(store).purged == 1


def test_P8_the_same_upload_brings_a_condemned_object_back_under_its_old_id(store: Store):
    life.put_and_delete(store)
    life.condemn(store)
    before = life.only_object(store)

    life.put(store, "again.txt")

    after = life.only_object(store)
    assert (before.state, after.state, after.uid) == ("condemned", "live", before.uid)


def test_P14_of_two_renditions_only_the_one_that_was_dropped_goes(store: Store):
    life.put(store, "source.png")
    life.put_and_delete(store, "small.png", PHOTO * 2)
    life.put_and_delete(store, "large.png", PHOTO * 3)
    source, small, large = life.rows(store, objects)
    with store.database.write() as tx:
        for preset, made in (("small", small), ("large", large)):
            tx.execute(insert(renditions).values(source=source.id, preset=preset, object=made.id))
    life.run(store)

    with store.database.write() as tx:
        tx.execute(delete(renditions).where(renditions.c.preset == "small"))
    life.change(store, objects, touched=0)
    assert life.run(store).condemned == 1

    assert [row.id for row in life.rows(store, objects)] == [source.id, large.id]


def test_M1_renditions_go_with_their_source(store: Store):
    life.put(store, "source.png")
    life.put_and_delete(store, "small.png", PHOTO * 2)
    source, small = life.rows(store, objects)
    with store.database.write() as tx:
        tx.execute(insert(renditions).values(source=source.id, preset="small", object=small.id))
    life.run(store)

    life.delete_for_good(store, ("files", "source.png"))
    life.run(store)

    assert life.is_empty(store, store.settings.data)


def test_P15_what_fails_after_its_upload_is_found_without_anybodys_help(store: Store):
    life.run(store)
    path = life.put(store)
    life.lose(store, path)

    assert life.run(store).purged == 1


def test_P16_the_same_bytes_have_the_type_that_each_owner_gave(store: Store):
    namespace = life.as_ann(store)
    for name, media_type in (("one", "text/plain"), ("two", "application/x-two")):
        with namespace.stage(("files", name)) as draft:
            draft.write(PHOTO)
            namespace.put(("files", name), draft, media_type=media_type)

    assert len(life.rows(store, objects)) == 1
    assert [namespace.node(("files", name)).media_type for name in ("one", "two")] == [
        "text/plain",
        "application/x-two",
    ]


def test_P17_one_run_takes_an_object_from_its_last_reference_to_nothing_in_few_transactions(store: Store):
    for n in range(100):
        life.put(store, f"{n}.txt", b"%d" % n)
    for bucket in store.buckets():
        for node in stores.members(life.as_ann(store), (bucket.name,)):
            life.as_ann(store).delete(node.path)
    store.recovery(life.ADMIN).empty_trash()
    commits: list[object] = []

    def count(connection: object) -> None:
        commits.append(connection)

    event.listen(store.database.engine, "commit", count)

    done = store.collect_garbage(grace=0, retention=DAY)

    event.remove(store.database.engine, "commit", count)
    assert done.condemned == 100
    assert len(commits) < 20


def test_P18_a_scrub_finds_what_is_cut_short_and_what_is_missing(store: Store):
    paths = [life.put(store, f"{n}.txt", PHOTO * (n + 1)) for n in range(3)]
    digests = [row.digest for row in life.rows(store, objects)]
    keys = [store.settings.data / "blobs" / row.key for row in life.rows(store, objects)]
    keys[0].write_bytes(PHOTO[:10])
    keys[1].unlink()

    found = store.scrub()

    assert (found.corrupt, found.lost, found.verified) == ((digests[0],), (digests[1],), 3)
    for n, path in enumerate(paths[:2]):
        life.put(store, f"again {n}.txt", PHOTO * (n + 1))
        assert stores.content(life.as_ann(store), path) == PHOTO * (n + 1)


def test_P18_a_sweep_finds_blobs_that_no_row_names_and_leaves_the_young(store: Store):
    life.put(store)
    old, young = (_orphan(store, n) for n in range(2))
    os.utime(old, (0, 0))

    assert store.sweep().orphans == 1
    assert len(life.rows(store, purges)) == 1
    life.change(store, purges, due=0)
    assert life.run(store).deleted == 1
    assert (old.exists(), young.exists()) == (False, True)
    young.unlink()


def _orphan(store: Store, n: int) -> Path:
    key = life.files_on_disk(store.settings.data)[0]
    orphan = key.with_name(f"{key.name.split('.')[0]}.{n}")
    orphan.write_bytes(PHOTO)
    return orphan


def test_P20_a_publisher_whose_row_was_reclaimed_gets_no_id_without_a_row(store: Store):
    points = Points(store)

    def reclaim() -> None:
        life.change(store, purges, due=0)
        assert life.run(store).deleted == 1

    with points.heard(once_at(points, "published", reclaim)):
        path = life.put(store)

    node = life.as_ann(store).node(path)
    assert node.object_uid == life.only_object(store).uid
    assert stores.content(life.as_ann(store), path) == PHOTO


def test_M2_two_uploads_under_one_name_never_share_a_key(store: Store):
    keys: set[str] = set()
    for content in (PHOTO, OTHER, PHOTO):
        life.put(store, "same.txt", content)
        keys |= {row.key for row in life.rows(store, objects)}
        life.delete_for_good(store, ("files", "same.txt"))
        life.run(store)

    assert len(keys) == 3


def test_M12_a_content_is_attached_as_often_as_one_likes(store: Store):
    paths = [life.put(store, f"{n}.txt") for n in range(4)]
    for path in paths[:3]:
        life.delete_for_good(store, path)
        assert life.run(store).condemned == 0

    assert stores.content(life.as_ann(store), paths[3]) == PHOTO


def test_M13_a_tree_goes_whole_or_not_at_all(store: Store):
    namespace, faults = life.as_ann(store), Faults(store)
    namespace.make_collection(("files", "memo"))
    for n in range(3):
        stores.put(namespace, ("files", "memo", f"{n}.txt"), PHOTO * (n + 1))
    namespace.delete(("files", "memo"))
    recovery = store.recovery(life.ADMIN)

    at = 0
    while recovery.trashed():
        at += 1
        before = [life.rows(store, table) for table in (nodes, objects)]
        try:
            with faults.failing("statement", at):
                recovery.empty_trash()
        except Exception:
            assert [life.rows(store, table) for table in (nodes, objects)] == before
    assert at > 5
    assert life.run(store).purged == 3


def test_M20_parallel_uploads_under_one_name_each_keep_what_they_were_told(store: Store):
    contents = [PHOTO + b"%d" % n for n in range(6)]
    threads = [threading.Thread(target=life.put, args=(store, "same.txt", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    path = ("files", "same.txt")
    last = stores.content(life.as_ann(store), path)
    assert last in contents
    assert life.run(store).failed == 0
    assert stores.content(life.as_ann(store), path) == last
