"""The collector and its opponents, step by step: every order in which their transactions and blob calls can come."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from sqlalchemy import update

from core.errors import NotFound, Refusal
from core.model import Path
from core.schema import objects
from core.store import Store
from tests.collector import life
from tests.collector.points import Act, Points, Turns, every_order, once_at, play
from tests.parts import stores
from tests.parts.scale import SOAKING, soak

pytestmark = pytest.mark.timeout(soak(300, 1800))

STATES = ("new", "referenced", "unreferenced", "condemned", "corrupt", "corrupt and condemned", "lost")


@pytest.fixture
def points(store: Store) -> Points:
    return Points(store)


class Play:
    """Plays that use contents of their own, each the last one of the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.number = 0

    @property
    def content(self) -> bytes:
        return f"the content of play {self.number}, too long for a row".encode()

    def path(self, name: str, bucket: str = "files") -> Path:
        return (bucket, f"{name} {self.number}")

    def begin(self, state: str) -> None:
        """The content is in that state: all of this play is new."""
        self.number += 1
        if state == "new":
            return
        life.put(self.store, self.path("old")[-1], self.content)
        if state == "referenced":
            return
        life.delete_for_good(self.store, self.path("old"))
        if "condemned" in state:
            life.condemn(self.store)
        verdict = next((word for word in ("corrupt", "lost") if word in state), None)
        if verdict:
            self._spoil(verdict)

    def _spoil(self, verdict: str) -> None:
        row = life.rows(self.store, objects)[-1]
        file = self.store.settings.data / "blobs" / row.key
        file.write_bytes(b"spoilt".ljust(row.size)) if verdict == "corrupt" else file.unlink()
        with self.store.database.write() as tx:
            tx.execute(update(objects).where(objects.c.id == row.id).values(verdict=verdict))

    def upload(self, name: str = "new", bucket: str = "files") -> None:
        life.put(self.store, self.path(name)[-1], self.content, bucket)

    def run(self) -> None:
        done = life.run(self.store)
        assert not done.refused
        assert not done.failed

    def is_there(self, name: str, bucket: str = "files") -> bool:
        """Whether there is a file; if so, it has the content of this play."""
        namespace = life.as_ann(self.store)
        if namespace.find(self.path(name, bucket)) is None:
            return False
        assert stores.content(namespace, self.path(name, bucket)) == self.content
        return True

    def end(self) -> None:
        """What is left lives on its references, and all goes without them."""
        life.empty_everything(self.store)
        assert life.is_empty(self.store, self.store.settings.data), f"play {self.number}"


def in_every_order(
    store: Store,
    points: Points,
    state: str,
    actors: Sequence[Callable[[Play], object]],
    check: Callable[[Play], object],
) -> None:
    """All orders in soak, or as many as there may be; else some of them, chosen by a seed that is printed."""
    plays = Play(store)

    def once(choices: Sequence[int]) -> Sequence[tuple[int, int]]:
        plays.begin(state)
        turns, made = play(points, [_bound(act, plays) for act in actors], choices)
        try:
            check(plays)
            if plays.number % 6 == 0:
                plays.end()
        except AssertionError:
            print("\n".join(turns.told))
            raise
        return made

    if SOAKING:
        print(f"{every_order(once, 5000)} orders")
    else:
        seed = random.SystemRandom().randrange(1 << 32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        for _ in range(12):
            once([chance.randrange(6) for _ in range(60)])
    plays.end()


def _bound(act: Callable[[Play], object], plays: Play) -> Act:
    return lambda: act(plays)


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
def test_an_upload_and_a_run_in_every_order(store: Store, points: Points, state: str):
    def check(plays: Play) -> None:
        assert plays.is_there("new")
        if state == "referenced":
            assert plays.is_there("old")

    in_every_order(store, points, state, [Play.upload, Play.run], check)


@pytest.mark.slow
@pytest.mark.parametrize("state", ["new", "condemned", "lost"])
def test_two_identical_uploads_and_a_run_in_many_orders(store: Store, points: Points, state: str):
    def check(plays: Play) -> None:
        assert plays.is_there("new")
        assert plays.is_there("other")

    actors = [Play.upload, lambda plays: plays.upload("other"), Play.run]
    in_every_order(store, points, state, actors, check)


@pytest.mark.slow
def test_an_upload_a_deletion_and_a_run_in_many_orders(store: Store, points: Points):
    def delete(plays: Play) -> None:
        life.delete_for_good(store, plays.path("old"))

    def check(plays: Play) -> None:
        assert plays.is_there("new")
        assert not plays.is_there("old")

    in_every_order(store, points, "referenced", [delete, Play.run, Play.upload], check)


@pytest.mark.slow
def test_a_restore_and_a_final_deletion_and_a_run_in_every_order(store: Store, points: Points):
    restored: set[int] = set()

    def trash_then_restore(plays: Play) -> None:
        life.as_ann(store).delete(plays.path("old"))
        recovery = store.recovery(life.ADMIN)
        try:
            recovery.restore(recovery.trashed()[0].uid)
            restored.add(plays.number)
        except (NotFound, IndexError):
            pass

    def forget(plays: Play) -> None:
        store.recovery(life.ADMIN).empty_trash()

    def check(plays: Play) -> None:
        assert plays.is_there("old") == (plays.number in restored)

    in_every_order(store, points, "referenced", [trash_then_restore, forget, Play.run], check)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["copy", "move"])
def test_to_another_bucket_beside_a_final_deletion_and_a_run_in_many_orders(store: Store, points: Points, verb: str):
    acknowledged: set[int] = set()

    def cross(plays: Play) -> None:
        try:
            getattr(life.as_ann(store), verb)(plays.path("old"), plays.path("there", "media"))
            acknowledged.add(plays.number)
        except NotFound:
            pass

    def delete(plays: Play) -> None:
        with suppress(NotFound):
            life.delete_for_good(store, plays.path("old"))

    def check(plays: Play) -> None:
        assert plays.is_there("there", "media") == (plays.number in acknowledged)
        assert not plays.is_there("old")

    in_every_order(store, points, "referenced", [cross, delete, Play.run], check)


@pytest.mark.slow
def test_a_copy_to_a_bucket_that_lets_the_same_content_go_in_every_order(store: Store, points: Points):
    """The target's own object looks fit when the copy begins; the collector may have let it go when it ends."""

    def unneeded(plays: Play) -> None:
        plays.upload("theirs", "media")
        life.delete_for_good(store, plays.path("theirs", "media"))

    def copy(plays: Play) -> None:
        life.as_ann(store).copy(plays.path("old"), plays.path("there", "media"))

    def check(plays: Play) -> None:
        assert plays.is_there("there", "media")

    def run(plays: Play) -> None:
        unneeded(plays)
        plays.run()

    in_every_order(store, points, "referenced", [copy, run], check)


WHERE = ("looked up", "intended", "published")


@pytest.mark.parametrize("point", WHERE)
def test_a_run_between_two_steps_of_an_upload_costs_it_nothing(store: Store, points: Points, point: str):
    reached: list[int] = []

    with points.heard(once_at(points, point, lambda: reached.append(life.run(store).examined))):
        path = life.put(store)

    assert len(reached) == 1
    assert stores.content(life.as_ann(store), path) == life.PHOTO


def test_an_upload_that_saw_a_condemned_object_brings_its_own_bytes_when_that_is_purged(store: Store, points: Points):
    life.put_and_delete(store)
    life.condemn(store)
    before = life.only_object(store)

    with points.heard(once_at(points, "looked up", lambda: life.run(store))):
        path = life.put(store)

    after = life.only_object(store)
    assert (after.uid != before.uid, after.key != before.key) == (True, True)
    assert life.blobs(store) == [after.key]
    assert stores.content(life.as_ann(store), path) == life.PHOTO


@pytest.mark.parametrize("point", ["purged", "claimed", "deleted", "carried out"])
def test_an_upload_while_its_content_goes_never_shares_the_old_blobs_fate(store: Store, points: Points, point: str):
    life.put_and_delete(store)
    old = life.only_object(store).key

    with points.heard(once_at(points, point, lambda: life.put(store, "again.txt"))):
        life.run(store)

    assert life.only_object(store).key != old
    assert life.blobs(store) == [life.only_object(store).key]
    assert stores.content(life.as_ann(store), ("files", "again.txt")) == life.PHOTO


def test_an_upload_while_its_content_is_condemned_revives_it(store: Store, points: Points):
    life.put_and_delete(store)
    before = life.only_object(store)

    with points.heard(once_at(points, "condemned", lambda: life.put(store, "again.txt"))):
        done = life.run(store)

    after = life.only_object(store)
    assert (done.condemned, done.purged) == (1, 0)
    assert (after.uid, after.key, after.state) == (before.uid, before.key, "live")


def test_a_publisher_whose_intent_was_claimed_publishes_again(store: Store, points: Points):
    """It took longer than a day: its blob may be gone."""

    def a_day_later() -> None:
        life.change(store, life.purges, due=0)
        life.run(store)

    with points.heard(once_at(points, "published", a_day_later)):
        path = life.put(store)

    assert life.blobs(store) == [life.only_object(store).key]
    assert stores.content(life.as_ann(store), path) == life.PHOTO


def test_a_publisher_does_not_count_on_a_blob_whose_deletion_is_claimed_and_not_yet_done(store: Store, points: Points):
    def a_day_later() -> None:
        life.change(store, life.purges, due=0)
        life.run(store)

    turns = Turns(points, [lambda: life.put(store), a_day_later])
    for actor, point in ((0, "0 published"), (1, "1 claimed")):
        while point not in turns.told:
            turns.go(actor)
    while 0 in turns.alive:
        turns.go(0)
    while turns.alive:
        turns.go(1)
    turns.join()

    assert (turns.failures, turns.told.count("0 published")) == ([], 2)
    assert life.blobs(store) == [life.only_object(store).key]


def test_an_upload_that_loses_its_bytes_again_and_again_is_refused(store: Store, points: Points):
    def always(point: str) -> None:
        if point == "published":
            with points.heard(lambda _: None):
                life.change(store, life.purges, due=0)
                life.run(store)

    with points.heard(always), pytest.raises(Refusal, match="again and again"):
        life.put(store)

    assert life.is_empty(store, store.settings.data)


def test_what_another_upload_made_meanwhile_needs_no_second_blob(store: Store, points: Points):
    """P20 and the like: of two equal blobs that were published at once one is let go, at once."""
    with points.heard(once_at(points, "published", lambda: life.put(store, "first.txt"))):
        life.put(store, "second.txt")

    assert life.run(store).deleted == 1
    assert life.blobs(store) == [life.only_object(store).key]
