# ruff: noqa: N802
"""A host table as a reference rule: what it keeps, what is refused, and who is left alone because of it."""

import dataclasses
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import pytest
from sqlalchemy import insert, update

from core import uids
from core.collector import Collector
from core.errors import Unusable
from core.model import EMPTY, Bucket
from core.policy import BucketPolicy, Reference
from core.references import Registry, Rule
from core.schema import blob_data, buckets, holds, objects, renditions
from core.store import Store
from tests.collector import life
from tests.collector.conftest import OpenStore
from tests.collector.hosts import COLUMN, PHOTOS, WITH_PHOTOS, Host, insert_profile
from tests.collector.life import PHOTO
from tests.collector.points import Points, once_at
from tests.parts import stores

pytestmark = pytest.mark.slow

T = TypeVar("T")
CROWD = 1200
"""More objects than the breaker lets go without a word."""


@pytest.fixture
def host(database_url: str) -> Host:
    return Host(database_url).make_table()


def with_host(open_store: OpenStore) -> Store:
    return open_store(media=WITH_PHOTOS)


def given_up(store: Store, bucket: str = "media", data: bytes = PHOTO) -> str:
    """The uid of an object that only a host may still want."""
    life.put_and_delete(store, data=data, bucket=bucket)
    return life.rows(store, objects)[-1].uid


def test_a_hosts_row_keeps_an_object_and_its_end_lets_it_go(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    host.show(given_up(store))

    assert life.run(store).condemned == 0
    host.forget()
    assert life.run(store).examined == 0
    life.a_month_later(store)
    assert life.run(store).purged == 1


def test_renditions_of_what_only_a_host_keeps_are_kept(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    host.show(given_up(store))
    given_up(store, data=PHOTO * 2)
    source, made = life.rows(store, objects)
    with store.database.write() as tx:
        tx.execute(insert(renditions).values(source=source.id, preset="small", object=made.id))

    assert life.run(store).condemned == 0
    host.forget()
    life.change(store, objects, touched=0)
    assert life.run(store).purged == 2


def test_a_hosts_row_that_comes_late_revives(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    uid = given_up(store)
    life.condemn(store)

    host.show(uid)

    assert life.run(store).revived == 1
    assert life.only_object(store).state == "live"
    assert store.explain(uid)[0].events[-1].reason == "a reference was found"


def test_what_a_host_refers_to_late_can_be_read_at_once_and_is_live_after_the_next_run(
    open_store: OpenStore, host: Host
):
    store = with_host(open_store)
    uids = [given_up(store, data=PHOTO * (n + 1)) for n in range(2)]
    life.condemn(store)
    assert store.objects.get_object(uids[0]) is None

    host.show(uids[0])

    assert store.objects.get_object_bytes(uids[0]) == PHOTO
    done = life.run(store, retention=7 * life.DAY)
    assert (done.revived, done.purged) == (1, 0)
    assert [row.state for row in life.rows(store, objects)] == ["live", "condemned"]
    assert store.objects.get_object(uids[1]) is None


def test_explain_names_the_hosts_table(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    uid = given_up(store)
    host.show(uid)

    (told,) = store.explain(uid)

    assert told.references == ("host table profile.photo_uid",)


@pytest.mark.parametrize(
    ("foreign_key", "indexed", "reference", "message"),
    [
        (
            COLUMN,
            True,
            Reference(table="profiles", column="photo_uid"),
            "there is no such table in davstore's database",
        ),
        (
            COLUMN,
            True,
            Reference(table="profile", column="photo"),
            "the table has no such column; it has id, photo_uid",
        ),
        ("", True, PHOTOS, r"ALTER TABLE profile ADD FOREIGN KEY \(photo_uid\) REFERENCES objects \(uid\)"),
        (COLUMN, False, PHOTOS, r"has no index, .* CREATE INDEX ON profile \(photo_uid\)"),
        (f"{COLUMN} ON DELETE CASCADE", True, PHOTOS, "would go with the object .ON DELETE CASCADE."),
        (f"{COLUMN} ON DELETE SET NULL", True, PHOTOS, "would go with the object .ON DELETE SET NULL."),
    ],
    ids=["no table", "no column", "no foreign key", "no index", "cascade", "set null"],
)
def test_a_rule_that_cannot_be_trusted_is_refused_at_the_start_with_what_to_do(
    open_store: OpenStore, database_url: str, foreign_key: str, indexed: bool, reference: Reference, message: str
):
    Host(database_url).make_table(foreign_key, indexed=indexed)

    with pytest.raises(Unusable, match=message) as refused:
        open_store(media=BucketPolicy(references=(reference,)))

    assert str(refused.value).startswith(f"buckets.media.references: {reference.table}.{reference.column}")


@pytest.mark.parametrize("foreign_key", [f"{COLUMN} ON DELETE RESTRICT", f"{COLUMN} DEFERRABLE INITIALLY DEFERRED"])
def test_foreign_keys_that_keep_objects_may_be_written_in_other_ways(
    open_store: OpenStore, database_url: str, foreign_key: str
):
    host = Host(database_url).make_table(foreign_key)
    store = with_host(open_store)
    uid = given_up(store)
    host.show(uid)

    assert life.run(store).condemned == 0
    assert host.shown() == [uid]


def test_a_primary_key_is_index_enough(open_store: OpenStore, database_url: str):
    host = Host(database_url)
    uid = "TEXT" if host.is_sqlite else "UUID"
    with host.connected() as connection:
        connection.execute(f"CREATE TABLE profile (photo_uid {uid} PRIMARY KEY REFERENCES objects (uid))")

    with_host(open_store)


def test_P2_a_rule_that_this_process_was_not_told_of_leaves_its_bucket_alone_and_the_rest_goes_on(
    open_store: OpenStore, host: Host
):
    with_host(open_store)
    ignorant = open_store()
    kept, gone = given_up(ignorant), given_up(ignorant, "files")
    host.show(kept)

    done = life.run(ignorant)

    assert done.refused == (
        "media: profile.photo_uid: this process was not told of the rule; add it to the configuration",
    )
    assert [row.uid for row in life.rows(ignorant, objects)] == [kept]
    assert gone != kept


def test_P9_a_foreign_key_that_no_rule_knows_keeps_its_object_and_stops_nothing_else(open_store: OpenStore, host: Host):
    store = open_store()
    kept = given_up(store, "files", PHOTO + b"kept")
    for n in range(20):
        life.put_and_delete(store, data=PHOTO * (n + 2))
    host.show(kept)

    done = life.run(store)

    assert (done.condemned, done.purged, done.revived, done.refused) == (21, 20, 1, ())
    assert life.only_object(store).uid == kept
    assert "a row that no rule knows refers to it" in [event.reason for event in store.explain(kept)[0].events]


def test_P9_a_foreign_key_that_is_checked_at_the_commit_stops_no_other_bucket(open_store: OpenStore, database_url: str):
    host = Host(database_url).make_table(f"{COLUMN} DEFERRABLE INITIALLY DEFERRED")
    store = open_store()
    kept = given_up(store, "files")
    given_up(store, "media", PHOTO * 2)
    host.show(kept)

    done = life.run(store)

    assert [row.uid for row in life.rows(store, objects)] == [kept]
    assert host.shown() == [kept]
    assert bool(done.refused) == host.is_sqlite, "PostgreSQL can be asked before the commit"


def test_P3_a_hosts_row_inserted_between_the_proof_and_the_deletion_keeps_the_object(open_store: OpenStore, host: Host):
    """On PostgreSQL the foreign key decides, on SQLite the host waits until the object is gone and is refused."""
    store = with_host(open_store)
    uid, other = given_up(store), given_up(store, data=PHOTO * 2)
    life.condemn(store)
    late = _After(store.registry)
    outcome: list[str] = []

    def insert() -> None:
        try:
            with host.connected() as connection:
                insert_profile(host, connection, uid)
            outcome.append("shown")
        except Exception as error:
            outcome.append(type(error).__name__)

    thread = threading.Thread(target=insert)

    def begin() -> None:
        thread.start()
        thread.join(0.3 if host.is_sqlite else None)

    late.then = begin
    done = Collector(store.database, late).purge(0)
    thread.join()

    left = [row.uid for row in life.rows(store, objects)]
    if host.is_sqlite:
        assert (outcome, done.purged, left) == (["IntegrityError"], 2, [])
    else:
        assert (outcome, done.purged, done.revived, left) == (["shown"], 1, 1, [uid])
    assert host.shown() == left
    assert other not in left


def test_P3_a_hosts_open_transaction_keeps_the_object_and_makes_no_writer_wait(open_store: OpenStore, host: Host):
    """On SQLite it is the one writer of the database itself."""
    if host.is_sqlite:
        return
    store = with_host(open_store)
    uid, other = given_up(store), given_up(store, data=PHOTO * 2)
    life.condemn(store)
    with host.connected() as connection:
        insert_profile(host, connection, uid)

        done = _not_waiting(lambda: life.run(store))
        path = _not_waiting(lambda: life.put(store, "b.txt", PHOTO * 3, "media"))

        assert (done.purged, done.left, done.revived) == (1, 1, 0)
        assert other not in {row.uid for row in life.rows(store, objects)}
        assert stores.content(life.as_ann(store), path) == PHOTO * 3
        connection.commit()
    life.run(store)

    assert host.shown() == [uid]
    assert {row.uid: row.state for row in life.rows(store, objects)}[uid] == "live"
    assert store.objects.get_object_bytes(uid) == PHOTO


def test_P3_a_hosts_open_transaction_makes_the_purge_wait_on_sqlite_and_keeps_the_object(
    open_store: OpenStore, host: Host
):
    if not host.is_sqlite:
        return
    store = with_host(open_store)
    uid = given_up(store)
    life.condemn(store)
    with host.connected() as connection:
        insert_profile(host, connection, uid)
        running = threading.Thread(target=life.run, args=(store,))
        running.start()
        running.join(0.3)
        assert running.is_alive()
        connection.commit()
    running.join()

    assert host.shown() == [row.uid for row in life.rows(store, objects)] == [uid]
    assert life.only_object(store).state == "live"


def test_a_row_that_no_rule_knows_and_that_is_about_to_go_makes_nobody_wait_for_long(open_store: OpenStore, host: Host):
    """PostgreSQL looks at such rows when it checks the foreign key, and waits for whoever is changing one."""
    if host.is_sqlite:
        return
    store = open_store()
    uid = given_up(store)
    life.condemn(store)
    host.show(uid)
    with host.connected() as connection:
        connection.execute("DELETE FROM profile")

        done = _not_waiting(lambda: life.run(store))

        assert (done.purged, done.left, done.revived) == (0, 1, 0)
        connection.rollback()
    assert life.run(store).revived == 1
    host.forget()
    life.change(store, objects, touched=0)
    assert life.run(store).purged == 1


def test_the_breaker_stops_a_run_that_would_condemn_most_of_a_bucket_with_hosts(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    _crowd(store, CROWD)

    done = store.collect_garbage(grace=0, retention=0)
    told = store.collect_garbage(grace=0, retention=0, dry_run=True)

    assert done.refused == told.refused
    assert done.refused[0].startswith(f"media: the breaker: {CROWD} of {CROWD} objects would be condemned")
    assert (done.condemned, told.condemned) == (0, 0)
    forced = store.collect_garbage(grace=0, retention=0, force=True)
    assert (forced.condemned, forced.purged) == (CROWD, CROWD)


def test_the_breaker_lets_half_a_bucket_go(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    _crowd(store, CROWD, touched=CROWD // 2)

    assert life.run(store).condemned == CROWD // 2


def test_the_breakers_share_is_configured(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    _crowd(store, CROWD)

    def told(breaker: float) -> int:
        chosen = store.settings.collector.model_copy(update={"breaker": breaker})
        other = dataclasses.replace(store, settings=store.settings.model_copy(update={"collector": chosen}))
        return other.collect_garbage(grace=0, dry_run=True).condemned

    assert [told(share) for share in (0.0, 0.9, 1.0)] == [0, 0, CROWD]


def test_the_breakers_share_counts_for_the_job_of_a_server(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    _crowd(store, CROWD)
    chosen = store.settings.collector.model_copy(update={"breaker": 1.0, "grace": timedelta(0)})
    other = dataclasses.replace(store, settings=store.settings.model_copy(update={"collector": chosen}))

    other.run_due_jobs(lambda _: False)

    assert {row.state for row in life.rows(store, objects)} == {"condemned"}
    life.run(store)


def test_the_breaker_minds_neither_small_buckets_nor_those_without_hosts(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    _crowd(store, 1000)
    _crowd(store, CROWD, bucket="files")

    done = life.run(store)

    assert (done.condemned, done.refused) == (1000 + CROWD, ())


def test_a_host_can_hold_what_it_is_about_to_refer_to(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    uid = given_up(store)
    life.hold(store, life.only_object(store).id, 60)
    life.run(store)

    host.show(uid)
    life.end_holds(store)

    assert life.run(store).condemned == 0
    assert life.rows(store, holds) == []


def test_a_run_while_the_host_refers_to_it_at_every_point(open_store: OpenStore, host: Host):
    store = with_host(open_store)
    points = Points(store)
    uid = given_up(store)

    with points.heard(once_at(points, "condemned", lambda: host.show(uid))):
        done = life.run(store)

    assert (done.condemned, done.revived, done.purged) == (1, 1, 0)
    assert host.shown() == [uid]


def _not_waiting(act: Callable[[], T]) -> T:
    """What it gives, though the host's transaction stays open until it has."""
    results: list[T] = []
    acting = threading.Thread(target=lambda: results.append(act()), daemon=True)
    acting.start()
    acting.join(20)
    assert results, "waits for the host"
    return results[0]


class _After(Registry):
    """Something happens when the purge has proved that nothing refers: after the question, before the deletion."""

    def __init__(self, inner: Registry) -> None:
        super().__init__(inner.hosts)
        object.__setattr__(self, "then", None)
        object.__setattr__(self, "asked", 0)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def rules(self, bucket: Bucket) -> tuple[Rule, ...]:
        known = super().rules(bucket)
        return known if bucket.name != "media" else (*known, _Last(self))  # pyright: ignore[reportReturnType]


class _Last:
    """Asked after all rules."""

    name = "nothing"

    def __init__(self, after: "_After") -> None:
        self._after = after

    def referenced(self, tx: object, wanted: object) -> set[int]:
        self._after.asked += 1  # pyright: ignore[reportAttributeAccessIssue]
        if self._after.asked == 1:  # pyright: ignore[reportAttributeAccessIssue]
            self._after.then()  # pyright: ignore[reportAttributeAccessIssue]
        return set()


def _crowd(store: Store, count: int, bucket: str = "media", touched: int | None = None) -> None:
    """Objects with empty contents, the first of them touched."""
    row = {"bucket": life.bucket(store, bucket).id, "digest": EMPTY, "size": 0, "storage": "inline"}
    with store.database.write() as tx:
        worth_a_look = count if touched is None else touched
        rows = [
            {
                **row,
                "uid": uids.fresh(),
                "key": f"{bucket}/{n}",
                "created": 0,
                "touched": 2 if n < worth_a_look else 1,
            }
            for n in range(count)
        ]
        tx.execute(update(buckets).values(collected=1, walked=tx.now))
        tx.execute(insert(objects), rows)
        tx.execute(insert(blob_data), [{"key": f"inline/{bucket}/{n}", "n": 0, "data": b""} for n in range(count)])
