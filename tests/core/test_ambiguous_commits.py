"""A commit whose answer never came: what became of it is read back, and nothing is deleted on a guess."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from core.errors import StorageUnavailable
from core.store import Store
from tests.parts.cutting import Cutter
from tests.parts.postgresql import Cluster
from tests.parts.stores import ANN, content, opened, put

LARGE = b"a large content" * 100
FILE = ("files", "a")


def is_commit(sent: bytes) -> bool:
    return b"COMMIT\0" in sent


@pytest.fixture
def cutter(postgres: Cluster) -> Iterator[Cutter]:
    with Cutter(postgres.port) as cutter:
        yield cutter


@pytest.fixture
def store(cutter: Cutter, postgres_url: str, tmp_path: Path) -> Iterator[Store]:
    through = make_url(postgres_url).set(port=cutter.port).render_as_string(hide_password=False)
    store = opened(through, tmp_path / "data")
    yield store
    assert store.verify(deep=True).problems == ()
    store.close()


def spend(cluster: Cluster, name: str, transactions: int) -> None:
    """So many transactions are committed there."""
    with create_engine(cluster.url(name)).connect() as connection:
        for _ in range(transactions):
            connection.execute(text("SELECT txid_current()"))
            connection.commit()
    connection.engine.dispose()


@pytest.mark.slow
def test_what_a_promoted_standby_says_of_a_number_that_it_gave_anew_counts_for_nothing(tmp_path: Path):
    """Both servers go on counting from the same number; only one of them has our transaction."""
    with Cluster() as primary, Cutter(primary.port) as cutter:
        name = primary.create()
        through = make_url(primary.url(name)).set(port=cutter.port).render_as_string(hide_password=False)
        store = opened(through, tmp_path / "data")
        with primary.standby(synchronous=False) as standby:
            standby.promote()
            spend(standby, name, 200)

            def fails_over(sent: bytes) -> bool:
                if is_commit(sent):
                    cutter.server = standby.port
                return is_commit(sent)

            cutter.cut_before(fails_over)

            with pytest.raises(StorageUnavailable):
                put(store.namespace(ANN), FILE, LARGE)

            assert cutter.cuts == 1
            assert store.namespace(ANN).find(FILE) is None
            store.close()


class Nth:
    """The n-th commit that is sent."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, sent: bytes) -> bool:
        self.left -= is_commit(sent)
        return self.left == 0


@pytest.mark.parametrize("n", [1, 2])
def test_a_put_whose_commit_was_made_is_acknowledged_though_the_answer_was_lost(store: Store, cutter: Cutter, n: int):
    cutter.cut_after(Nth(n))

    put(store.namespace(ANN), FILE, LARGE)

    assert cutter.cuts == 1
    assert content(store.namespace(ANN), FILE) == LARGE


@pytest.mark.parametrize("n", [1, 2])
def test_a_put_whose_commit_never_arrived_is_refused_and_leaves_nothing(store: Store, cutter: Cutter, n: int):
    cutter.cut_before(Nth(n))

    with pytest.raises(StorageUnavailable):
        put(store.namespace(ANN), FILE, LARGE)

    assert cutter.cuts == 1
    assert store.namespace(ANN).find(FILE) is None
    put(store.namespace(ANN), FILE, LARGE)
    assert content(store.namespace(ANN), FILE) == LARGE
