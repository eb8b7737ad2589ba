"""Verifying a store while others write and the collector lets go: what is in order is no problem."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from core.blobs import Blob
from core.store import Store
from tests.collector import life
from tests.collector.life import PHOTO
from tests.collector.points import Points
from tests.parts.strikes import told


class Killed(BaseException):
    pass


def let_go(store: Store) -> None:
    life.delete_for_good(store, ("files", "going.txt"))
    life.run(store)


def let_go_whole(store: Store, _: Points) -> None:
    let_go(store)


def killed_after_a_deletion(store: Store, points: Points) -> None:
    """A blob is gone, and its row in the outbox is not."""

    def kill(point: str) -> None:
        if point == "deleted":
            raise Killed

    with points.heard(kill), suppress(Killed):
        let_go(store)


@pytest.mark.parametrize("how", [let_go_whole, killed_after_a_deletion])
def test_a_blob_that_is_let_go_before_its_storage_is_listed_is_not_missing(
    store: Store, how: Callable[[Store, Points], None], monkeypatch: pytest.MonkeyPatch
):
    points = Points(store)
    life.put(store, "going.txt")
    local, pending = store.contents.stores["local"], [how]
    real = local.blobs

    def blobs() -> Iterator[Blob]:
        if pending:
            pending.pop()(store, points)
        return real()

    monkeypatch.setattr(local, "blobs", blobs)

    assert store.verify().problems == ()
    assert not pending


def test_a_blob_that_is_let_go_while_others_are_read_is_not_unreadable(store: Store):
    life.put(store, "staying.txt", PHOTO * 2)
    life.put(store, "going.txt")
    pending = ["going.txt"]

    def strike(point: str) -> None:
        if point == "open" and pending:
            pending.pop()
            let_go(store)

    with told(store, strike):
        assert store.verify(deep=True).problems == ()
    assert not pending
