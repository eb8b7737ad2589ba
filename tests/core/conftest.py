"""A store on each database, whose invariants hold after the test."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from core.namespace import Namespace
from core.policy import BucketPolicy
from core.store import Store
from tests.conftest import DATABASES
from tests.parts import stores

OpenStore = Callable[..., Store]


@pytest.fixture
def open_store(database_url: str, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens stores on one database and directory: each as another process would, with policies for its buckets."""
    with ExitStack() as ending:

        def start(durability: str = "os", **buckets: BucketPolicy) -> Store:
            store = stores.opened(database_url, tmp_path / "data", durability, {}, **buckets)
            ending.callback(store.close)
            return store

        yield start


@pytest.fixture
def checked(open_store: OpenStore, tmp_path: Path) -> Iterator[OpenStore]:
    """Stores, all of whose invariants hold after the test, and which leave no draft behind."""
    opened: list[Store] = []

    def start(durability: str = "os", **buckets: BucketPolicy) -> Store:
        opened.append(open_store(durability, **buckets))
        return opened[-1]

    yield start
    for store in opened:
        assert store.verify(deep=True).problems == ()
    assert not list((tmp_path / "data").rglob("draft.*"))


@pytest.fixture
def store(checked: OpenStore) -> Store:
    return checked()


@pytest.fixture
def ann(store: Store) -> Namespace:
    return store.namespace(stores.ANN)


@pytest.fixture
def bob(store: Store) -> Namespace:
    return store.namespace(stores.BOB)


@contextmanager
def lasting_store(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> Generator[Store]:
    """A store for all tests of a module; `wipe` empties it."""
    data = folders.mktemp("lasting")
    if request.param == "sqlite":
        cluster, name, url = None, "", f"sqlite:///{data / 'davstore.db'}"
    else:
        cluster = request.getfixturevalue("postgres")
        name = cluster.create()
        url = cluster.url(name)
    store = stores.opened(url, data / "data")
    yield store
    assert store.verify(deep=True).problems == ()
    store.close()
    if cluster:
        cluster.drop(name)


@pytest.fixture(scope="module", params=DATABASES)
def lasting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with lasting_store(request, tmp_path_factory) as store:
        yield store


@pytest.fixture(scope="module", params=DATABASES)
def untouched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One that no test changes."""
    with lasting_store(request, tmp_path_factory) as store:
        yield store
