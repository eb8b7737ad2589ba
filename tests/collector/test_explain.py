"""Why an object is alive, or what let it go: every reference, and what happened to it when."""

import pytest
from sqlalchemy import insert

from core.errors import NotFound
from core.model import SECOND, Instant, moment
from core.schema import objects, renditions
from core.store import Store
from tests.collector import life
from tests.collector.life import DAY, PHOTO
from tests.parts import stores


def test_every_reference_is_named(store: Store):
    life.put(store, "one.txt")
    life.put(store, "two.txt")
    life.put(store, "three.txt")
    life.put(store, "three.txt", PHOTO * 2)
    life.as_ann(store).delete(("files", "two.txt"))
    held = life.rows(store, objects)[0]
    life.hold(store, held.id, 3600)
    with store.database.write() as tx:
        source = life.rows(store, objects)[1].id
        tx.execute(insert(renditions).values(source=source, preset="small", object=held.id))

    (told,) = store.explain("/files/one.txt")

    (entry,) = store.recovery(life.ADMIN).trashed()
    (version,) = store.recovery(life.ADMIN).versions(("files", "three.txt"))
    assert (told.state, told.uid, told.digest, told.size, told.until) == (
        "live",
        held.uid,
        held.digest,
        len(PHOTO),
        None,
    )
    *named, hold = sorted(told.references, key=lambda each: each.startswith("hold"))
    assert set(named) == {
        "file /files/one.txt",
        f"file /files/two.txt in the trash until {_told(entry.until)} (`davstore trash restore {entry.uid}`)",
        f"version {version.uid} of /files/three.txt",
        "rendition small",
    }
    assert hold.startswith("hold until ")
    assert hold.endswith(" UTC: a test wants it")


def _told(at: Instant | None) -> str:
    assert at is not None
    return f"{moment(at):%Y-%m-%d %H:%M:%S} UTC"


def test_a_path_that_was_deleted_leads_to_what_is_in_the_trash(store: Store):
    ann = life.as_ann(store)
    ann.make_collection(("files", "folder"))
    stores.put(ann, ("files", "folder", "one.txt"), PHOTO)
    stores.put(ann, ("files", "folder", "two.txt"), PHOTO * 2)
    ann.delete(("files", "folder"))
    life.put(store, "folder", PHOTO * 3)
    ann.delete(("files", "folder"))
    expected = {"/files/folder/one.txt": len(PHOTO), "/files/folder/two.txt": 2 * len(PHOTO)}

    assert {path: [told.size for told in store.explain(path)] for path in expected} == {
        path: [size] for path, size in expected.items()
    }
    (file,) = store.explain("/files/folder")
    assert (file.size, file.state) == (3 * len(PHOTO), "live")
    assert "in the trash until" in file.references[0]
    with pytest.raises(NotFound, match="not in the trash"):
        store.explain("/files/folder/three.txt")


def test_a_files_uid_leads_to_its_content(store: Store):
    path = life.put(store, "one.txt")

    (told,) = store.explain(life.as_ann(store).node(path).uid)

    assert told.references == ("file /files/one.txt",)


def test_what_was_condemned_says_until_when_it_can_come_back(store: Store):
    life.put_and_delete(store)
    life.condemn(store)
    row = life.only_object(store)

    for about in (row.uid, row.digest, row.digest.upper()):
        (told,) = store.explain(about)
        assert (told.state, told.references, told.until) == ("condemned", (), row.condemned + 7 * DAY)
        assert [event.event for event in told.events] == ["condemned"]
        assert abs(told.events[0].at - row.condemned) < SECOND


def test_what_is_gone_is_still_told_of(store: Store):
    life.put_and_delete(store)
    before = life.only_object(store)
    life.run(store)

    for about in (before.uid, before.digest):
        (told,) = store.explain(about)
        assert (told.state, told.uid, told.size) == ("gone", before.uid, len(PHOTO))
        assert [event.event for event in told.events] == ["condemned", "purged"]


def test_a_content_that_came_again_is_told_of_twice(store: Store):
    life.put_and_delete(store)
    life.run(store)
    life.put(store)

    told = store.explain(life.only_object(store).digest)

    assert sorted(each.state for each in told) == ["gone", "live"]


@pytest.mark.parametrize("about", ["/files/nothing.txt", "0198c0de-0000-7000-8000-000000000001", "ab" * 32, "rubbish"])
def test_what_was_never_there_is_refused(store: Store, about: str):
    with pytest.raises(NotFound):
        store.explain(about)
