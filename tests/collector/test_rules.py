"""What keeps an object alive, how long it stays when nothing does, and which rows the collector looks at."""

import dataclasses
import time
from datetime import timedelta

import pytest
from sqlalchemy import insert, select, update

from core import uids
from core.database import Transaction
from core.model import SECOND, Instant, Path
from core.policy import BucketPolicy, Versions
from core.progress import AGAIN
from core.references import Registry, Rule
from core.schema import buckets, holds, nodes, objects, purges, renditions, trash, versions
from core.schema_services import gc_log
from core.store import Store
from tests.collector import life
from tests.collector.conftest import OpenStore
from tests.collector.life import DAY, PHOTO
from tests.parts import stores

HOUR = 3600 * SECOND
YEAR = 365 * DAY


def test_what_a_file_refers_to_is_kept(store: Store):
    path = life.put(store)

    done = life.run(store)

    assert (done.examined, done.condemned, done.purged) == (1, 0, 0)
    assert stores.content(life.as_ann(store), path) == PHOTO


def test_what_nothing_refers_to_is_condemned_then_purged_then_its_blob_is_gone(store: Store):
    life.put_and_delete(store)

    condemned = life.condemn(store)
    assert (condemned.condemned, condemned.purged, len(life.blobs(store))) == (1, 0, 1)

    gone = life.run(store)
    assert (gone.condemned, gone.purged, gone.purged_bytes, gone.deleted) == (0, 1, len(PHOTO), 1)
    assert life.rows(store, objects) == life.rows(store, purges) == life.blobs(store) == []


def test_inline_contents_go_alike(store: Store):
    life.put_and_delete(store, data=b"tiny")

    assert life.run(store).deleted == 1
    assert life.blobs(store) == []


def test_nothing_is_looked_at_within_its_grace(store: Store):
    life.put_and_delete(store)

    assert life.run(store, grace=HOUR).examined == 0
    life.change(store, objects, touched=objects.c.touched - HOUR)
    assert life.run(store, grace=HOUR).condemned == 1


def test_the_retention_is_the_buckets_own_where_none_is_given(open_store: OpenStore):
    policy = BucketPolicy(inline_below=stores.INLINE_BELOW, retention=timedelta(hours=2))
    store = open_store(media=policy)
    life.put_and_delete(store)
    life.put_and_delete(store, bucket="media")
    life.condemn(store)

    life.change(store, objects, condemned=objects.c.condemned - 3 * HOUR)

    assert life.run(store, retention=None).purged == 1
    assert life.only_object(store).bucket == life.bucket(store, "files").id


def test_what_lies_in_the_trash_is_kept_and_comes_back(store: Store):
    path = life.put(store)
    life.as_ann(store).delete(path)

    assert life.run(store).condemned == 0
    recovery = store.recovery(life.ADMIN)
    recovery.restore(recovery.trashed()[0].uid)
    assert stores.content(life.as_ann(store), path) == PHOTO


def test_older_versions_are_kept_until_their_file_goes(store: Store):
    path = life.put(store)
    life.put(store, data=PHOTO + b", retouched")

    assert life.run(store).condemned == 0
    life.delete_for_good(store, path)
    assert life.run(store).purged == 2


def test_a_file_made_and_never_used_is_found_because_every_object_is_born_touched(store: Store):
    with store.database.write() as tx:
        tx.execute(
            insert(objects).values(
                uid=uids.fresh(), bucket=life.bucket(store).id, digest="0" * 64, size=0, storage="inline", key="k",
                created=tx.now, touched=tx.now,
            )
        )  # fmt: skip

    assert life.run(store).purged == 1


def test_an_upload_is_born_touched(store: Store):
    life.put(store)

    assert life.only_object(store).touched is not None


@pytest.mark.parametrize("drop", ["delete", "replace", "replace again", "copy over", "move over", "forget version"])
def test_every_way_to_drop_a_reference_touches(store: Store, drop: str):
    path, other = life.put(store), life.put(store, "b.txt", PHOTO * 2)
    life.run(store)
    victim = PHOTO
    namespace = life.as_ann(store)

    match drop:
        case "delete":
            life.delete_for_good(store, path)
        case "replace":
            life.put(store, data=b"something else entirely, and long")
            life.change(store, versions, replaced=0)
        case "replace again":
            victim = b"written and at once rewritten"
            life.put(store, data=victim)
            life.run(store)
            life.put(store, data=b"so that it never was a version")
        case "copy over":
            namespace.copy(other, path)
            life.change(store, versions, replaced=0)
        case "move over":
            namespace.move(other, path)
            life.change(store, versions, replaced=0)
        case _:
            life.put(store, data=b"something else entirely, and long")
            life.run(store)
            life.change(store, versions, replaced=0)
    life.run(store)

    assert len(victim) not in {row.size for row in life.rows(store, objects)}


def test_an_object_that_nobody_touched_is_looked_at_after_30_days(store: Store):
    path = life.put(store)
    assert life.run(store).examined == 1
    life.lose(store, path)

    life.a_month_later(store, 29)
    assert life.run(store).examined == 0
    life.a_month_later(store)
    assert store.collect_garbage(grace=0, dry_run=True).examined == 1
    assert life.run(store).purged == 1


def test_an_object_that_an_older_program_cleared_is_looked_at_too(store: Store):
    path = life.put(store)
    life.run(store)
    life.lose(store, path)
    life.change(store, objects, touched=None)

    assert life.run(store).examined == 0
    life.a_month_later(store)
    assert life.run(store).purged == 1


def test_a_clock_that_was_ahead_once_stops_no_collection(store: Store):
    with store.database.write() as tx:
        tx.execute(update(buckets).values(collected=tx.now + YEAR, walked=tx.now + YEAR))
    life.put_and_delete(store)

    told = store.collect_garbage(grace=0, retention=0, dry_run=True)
    done = life.run(store)

    assert (told.condemned, done.purged) == (1, 1)


def test_a_run_while_the_clock_is_a_year_ahead_keeps_nothing_for_a_year(store: Store, monkeypatch: pytest.MonkeyPatch):
    _set_clock(monkeypatch, YEAR)
    kept = life.put(store, "kept.txt")
    life.put_and_delete(store, "condemned.txt", PHOTO * 2)
    life.condemn(store)
    life.put_and_delete(store, "touched.txt", PHOTO * 3)

    _set_clock(monkeypatch, 0)
    life.put_and_delete(store, "later.txt", PHOTO * 4)
    life.run(store)

    assert life.only_object(store).size == len(PHOTO)
    life.delete_for_good(store, kept)
    assert life.run(store).purged == 1


def test_a_touch_that_lies_ahead_is_found_after_30_days_and_one_for_a_hold_is_left(store: Store):
    life.put_and_delete(store, "held.txt", PHOTO * 2)
    life.hold(store, life.only_object(store).id, 3600)
    life.put_and_delete(store)
    life.condemn(store)
    assert life.rows(store, objects)[1].state == "condemned"
    life.put_and_delete(store)
    with store.database.write() as tx:
        tx.execute(update(objects).where(objects.c.size == len(PHOTO)).values(touched=tx.now + YEAR))
    before = life.rows(store, objects)[0].touched

    life.a_month_later(store)

    assert life.run(store).purged == 1
    assert life.only_object(store).touched == before > _now(store)


def test_30_days_are_what_the_design_says():
    assert AGAIN == 30 * DAY


def test_a_hold_keeps_until_it_ends(store: Store):
    life.put_and_delete(store)
    life.hold(store, life.only_object(store).id, 60)

    assert life.run(store).condemned == 0
    assert life.only_object(store).state == "live"

    life.end_holds(store)
    assert life.run(store).purged == 1
    assert life.rows(store, holds) == []


def test_the_end_of_a_hold_has_its_grace(store: Store):
    life.put_and_delete(store)
    life.hold(store, life.only_object(store).id, 60)
    life.run(store)

    life.end_holds(store, HOUR)
    assert life.run(store, grace=2 * HOUR).examined == 0

    life.change(store, objects, touched=objects.c.touched - 2 * HOUR)
    assert life.run(store, grace=2 * HOUR).condemned == 1


def test_a_hold_that_ends_while_its_object_is_condemned_keeps_nothing_for_ever(store: Store):
    life.put_and_delete(store)
    life.condemn(store)
    life.hold(store, life.only_object(store).id, -1)

    assert life.run(store).purged == 1


def test_a_hold_on_a_condemned_object_revives_it(store: Store):
    life.put_and_delete(store)
    life.condemn(store)
    life.hold(store, life.only_object(store).id, 60)

    assert life.run(store).revived == 1
    assert life.only_object(store).state == "live"


def test_what_was_revived_for_a_hold_goes_after_it(store: Store):
    life.put_and_delete(store)
    life.condemn(store)
    life.hold(store, life.only_object(store).id, 60)
    life.run(store)

    life.end_holds(store)

    assert life.run(store).purged == 1


def test_many_holds_may_end_at_once(store: Store):
    life.put(store)
    for _ in range(50):
        life.hold(store, life.only_object(store).id, -1)

    assert life.run(store).condemned == 0
    assert life.rows(store, holds) == []


def test_a_rendition_lives_as_long_as_its_source_and_not_longer(store: Store):
    life.put(store, "source.png", PHOTO)
    life.put_and_delete(store, "thumbnail.png", PHOTO * 2)
    source, thumbnail = life.rows(store, objects)
    with store.database.write() as tx:
        tx.execute(insert(renditions).values(source=source.id, preset="small", object=thumbnail.id))

    assert life.run(store).condemned == 0
    life.delete_for_good(store, ("files", "source.png"))
    assert life.condemn(store).condemned == 1
    done = life.run(store)

    assert (done.condemned, done.purged, life.rows(store, objects)) == (1, 2, [])


def test_renditions_of_renditions_go_in_one_run(store: Store):
    count = 5
    for n in range(count):
        life.put(store, f"{n}.png", PHOTO * (n + 1))
    _derive(store, *((n, n + 1) for n in range(count - 1)))
    life.run(store)
    for n in reversed(range(1, count)):
        life.delete_for_good(store, ("files", f"{n}.png"))
    assert life.run(store).condemned == 0

    life.delete_for_good(store, ("files", "0.png"))

    assert life.run(store).purged == count


def test_a_condemned_rendition_whose_source_came_again_is_live_again(store: Store):
    life.put(store, "source.png")
    life.put(store, "small.png", PHOTO * 2)
    _derive(store, (0, 1))
    for name in ("source.png", "small.png"):
        life.delete_for_good(store, ("files", name))
    assert life.condemn(store).condemned == 2

    life.put(store, "source.png")

    done = life.run(store)
    assert (done.revived, done.purged) == (1, 0)
    assert [row.state for row in life.rows(store, objects)] == ["live", "live"]


@pytest.mark.parametrize("pairs", [[(0, 0)], [(0, 1), (1, 0)], [(0, 1), (1, 2), (2, 0)], [(0, 0), (0, 1), (1, 1)]])
def test_renditions_keep_neither_themselves_nor_each_other(store: Store, pairs: list[tuple[int, int]]):
    """A rendition that somebody uploads again may be a rendition's source, and its own."""
    names = sorted({n for pair in pairs for n in pair})
    for n in names:
        life.put(store, f"{n}.png", PHOTO * (n + 1))
    _derive(store, *pairs)
    for n in names[1:]:
        life.delete_for_good(store, ("files", f"{n}.png"))

    assert life.run(store).condemned == 0
    assert len(store.explain(life.rows(store, objects)[-1].digest)[0].references) > 0
    life.delete_for_good(store, ("files", "0.png"))
    assert [store.explain(row.digest)[0].references for row in life.rows(store, objects)] == [()] * len(names)
    assert life.run(store).purged == len(names)


def test_a_rendition_of_what_only_a_hold_or_a_version_keeps_is_kept(store: Store):
    life.put(store, "0.png")
    life.put(store, "0.png", PHOTO * 2)
    life.put_and_delete(store, "1.png", PHOTO * 3)
    life.put_and_delete(store, "2.png", PHOTO * 4)
    life.put_and_delete(store, "3.png", PHOTO * 5)
    _derive(store, (0, 2), (3, 4))
    life.hold(store, life.rows(store, objects)[3].id, 60)

    assert life.run(store).condemned == 0


def _derive(store: Store, *pairs: tuple[int, int]) -> None:
    """The second object of each pair is a rendition of the first."""
    ids = [row.id for row in life.rows(store, objects)]
    with store.database.write() as tx:
        for n, (source, made) in enumerate(pairs):
            tx.execute(insert(renditions).values(source=ids[source], preset=str(n), object=ids[made]))


def test_no_rendition_of_a_source_is_no_hindrance(store: Store):
    life.put_and_delete(store)
    with store.database.write() as tx:
        tx.execute(insert(renditions).values(source=select(objects.c.id).scalar_subquery(), preset="s", reason="none"))

    assert life.run(store).purged == 1


def test_the_same_upload_revives_what_is_condemned(store: Store):
    life.put_and_delete(store)
    life.condemn(store)
    before = life.only_object(store)

    path = life.put(store, "again.txt")

    after = life.only_object(store)
    assert (after.id, after.uid, after.key, after.state, after.condemned) == (
        before.id,
        before.uid,
        before.key,
        "live",
        None,
    )
    assert life.run(store).condemned == 0
    assert stores.content(life.as_ann(store), path) == PHOTO


@pytest.mark.parametrize("work", ["collect", "purge"])
def test_a_dry_run_decides_like_the_run_and_changes_nothing(store: Store, work: str):
    life.put(store, "kept.txt", b"kept, and longer than what is inline")
    for n in range(5):
        life.put_and_delete(store, f"{n}.txt", PHOTO * (n + 2))
    life.hold(store, life.rows(store, objects)[1].id, -1)
    if work == "purge":
        life.condemn(store)
        life.hold(store, life.rows(store, objects)[2].id, -1)
        life.hold(store, life.rows(store, objects)[3].id, 60)
    before = _everything(store)

    told = store.collect_garbage(grace=0, retention=0, dry_run=True)

    assert _everything(store) == before
    done = life.run(store)
    if work == "collect":
        assert (told.examined, told.condemned) == (done.examined, done.condemned) == (6, 5)
    else:
        assert (told.revived, told.purged, told.purged_bytes) == (done.revived, done.purged, done.purged_bytes)
        assert (done.revived, done.purged) == (1, 4)


def test_a_dry_run_finds_what_a_hold_let_go(store: Store):
    life.put_and_delete(store)
    life.hold(store, life.only_object(store).id, 60)
    life.run(store)
    life.end_holds(store)

    told = store.collect_garbage(grace=0, dry_run=True)

    assert (told.examined, told.condemned) == (1, 1)


def test_the_log_is_kept_for_a_year(store: Store):
    life.put_and_delete(store)
    life.run(store)
    assert len(life.rows(store, gc_log)) == 2

    life.change(store, gc_log, at=_now(store) - 364 * DAY)
    life.run(store)
    assert len(life.rows(store, gc_log)) == 2
    life.change(store, gc_log, at=_now(store) - 365 * DAY)
    life.run(store)

    assert life.rows(store, gc_log) == []


def test_the_log_tells_what_happened_to_an_object(store: Store):
    life.put_and_delete(store)
    life.condemn(store)
    life.put_and_delete(store)
    life.run(store)

    told = [(row.event, row.bucket, row.size) for row in life.rows(store, gc_log)]

    assert told == [(event, "files", len(PHOTO)) for event in ("condemned", "revived", "condemned", "purged")]


def test_trash_and_versions_end_with_their_time(open_store: OpenStore):
    policy = BucketPolicy(inline_below=stores.INLINE_BELOW, versions=Versions(keep=2))
    store = open_store(files=policy)
    path = life.put(store, "gone.txt")
    life.as_ann(store).delete(path)
    for n in range(5):
        life.put(store, "kept.txt", PHOTO + bytes([n]))
        life.change(store, nodes, rewritten=None)

    done = life.run(store)
    assert (done.trash_expired, done.versions_expired) == (0, 2)
    life.change(store, trash, until=_now(store))
    assert life.run(store).trash_expired == 1
    left = {row.size for row in life.rows(store, objects)}
    assert (len(life.rows(store, versions)), left) == (2, {len(PHOTO) + 1})


def test_the_newest_versions_are_those_that_stay(open_store: OpenStore):
    policy = BucketPolicy(inline_below=stores.INLINE_BELOW, versions=Versions(keep=2))
    store = open_store(files=policy)
    path = ("files", "a.txt")
    for n in range(6):
        life.put(store, path[-1], PHOTO + b"!" * n)
        life.change(store, nodes, rewritten=None)

    life.run(store)

    kept = [version.size - len(PHOTO) for version in store.recovery(life.ADMIN).versions(path)]
    assert kept == [4, 3]


def _rewrite(store: Store, path: Path, times: int) -> None:
    for n in range(times + 1):
        life.put(store, path[-1], PHOTO + b"!" * n, bucket=path[0])
        life.change(store, nodes, rewritten=None)


def _keeping(most: int) -> BucketPolicy:
    return BucketPolicy(inline_below=stores.INLINE_BELOW, versions=Versions(keep=most))


def test_a_policy_that_keeps_fewer_versions_counts_for_those_that_are_there(open_store: OpenStore):
    store = open_store(files=_keeping(4))
    path = ("files", "a.txt")
    _rewrite(store, path, 4)
    assert life.run(store).versions_expired == 0

    store.change_bucket("files", _keeping(1))

    assert life.run(store).versions_expired == 3
    assert len(store.recovery(life.ADMIN).versions(path)) == 1


def test_versions_that_come_from_another_bucket_are_held_to_the_policy_of_the_new_one(open_store: OpenStore):
    store = open_store(files=_keeping(1), media=_keeping(4))
    _rewrite(store, ("media", "a.txt"), 4)
    _rewrite(store, ("files", "b.txt"), 1)
    assert life.run(store).versions_expired == 0

    life.as_ann(store).move(("media", "a.txt"), ("files", "a.txt"))

    assert life.run(store).versions_expired == 3
    assert len(store.recovery(life.ADMIN).versions(("files", "a.txt"))) == 1


def test_versions_that_a_rename_over_the_same_content_joined_are_counted_together(open_store: OpenStore):
    store = open_store(files=_keeping(2))
    over, renamed = ("files", "a.txt"), ("files", "b.txt")
    for path in (over, renamed):
        _rewrite(store, path, 2)
    assert life.run(store).versions_expired == 0

    life.as_ann(store).move(renamed, over)

    assert life.run(store).versions_expired == 2
    assert len(store.recovery(life.ADMIN).versions(over)) == 2


def test_versions_that_were_looked_at_count_when_one_more_comes(open_store: OpenStore):
    store = open_store(files=_keeping(2))
    path = ("files", "a.txt")
    _rewrite(store, path, 2)
    assert life.run(store).versions_expired == 0
    _rewrite(store, ("files", "other.txt"), 1)
    life.run(store)

    life.put(store, path[-1], PHOTO * 2)

    assert life.run(store).versions_expired == 1
    assert len(store.recovery(life.ADMIN).versions(path)) == 2


def test_versions_count_that_come_after_the_newest_went(open_store: OpenStore):
    """SQLite gives their ids again."""
    store = open_store(files=_keeping(1))
    _rewrite(store, ("files", "a.txt"), 5)
    life.run(store)
    life.delete_for_good(store, ("files", "a.txt"))

    _rewrite(store, ("files", "b.txt"), 4)

    assert life.run(store).versions_expired == 3


def test_versions_count_after_a_clock_that_was_ahead_once(open_store: OpenStore):
    store = open_store(files=_keeping(1))
    with store.database.write() as tx:
        tx.execute(update(buckets).values(thinned=tx.now + DAY))

    for name in ("a.txt", "b.txt"):
        _rewrite(store, ("files", name), 4)
        assert life.run(store).versions_expired == 3


def test_old_versions_go_by_age(store: Store):
    path = life.put(store)
    life.put(store, data=PHOTO * 2)
    life.change(store, versions, replaced=_now(store) - 89 * DAY)

    assert life.run(store).versions_expired == 0
    life.change(store, versions, replaced=_now(store) - 90 * DAY)
    assert life.run(store).versions_expired == 1
    assert store.recovery(life.ADMIN).versions(path) == []


def test_every_rule_that_is_built_in_is_asked(store: Store):
    rules = Registry({}).rules(life.bucket(store))
    assert {rule.name for rule in rules} == {"nodes", "versions", "renditions", "holds"}


def test_a_forced_row_that_no_rule_knows_is_kept_by_its_foreign_key(store: Store):
    path = life.put(store)
    for n in range(20):
        life.put_and_delete(store, f"{n}.txt", PHOTO * (n + 2))
    blind = dataclasses.replace(store, registry=_Blind(store.registry.hosts))

    done = life.run(blind)

    assert (done.condemned, done.revived, done.purged) == (21, 1, 20)
    assert stores.content(life.as_ann(store), path) == PHOTO


class _Blind(Registry):
    def rules(self, bucket: object) -> tuple[Rule, ...]:
        return ()


def _now(store: Store) -> int:
    with store.database.read() as tx:
        return tx.now


def _set_clock(monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    """The database's clock, on either engine, is so many nanoseconds ahead."""

    def now(tx: Transaction) -> Instant:
        return Instant(time.time_ns() // 1000 * 1000 + ahead)

    monkeypatch.setattr(Transaction, "now", property(now))


def _everything(store: Store) -> object:
    tables = (objects, holds, purges, gc_log, versions, trash, nodes)
    return [life.rows(store, table) for table in tables], life.blobs(store)
