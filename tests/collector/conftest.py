"""Stores on each database, whose invariants hold after the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.namespace import Namespace
from core.policy import BucketPolicy
from core.store import Store
from tests.parts import stores

OpenStore = Callable[..., Store]


@pytest.fixture
def open_store(database_url: str, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens stores on one database and directory, each as another process would; what they hold is sound at the end."""
    with ExitStack() as ending:

        def start(**buckets: BucketPolicy) -> Store:
            store = stores.opened(database_url, tmp_path / "data", "os", {}, **buckets)
            ending.callback(store.close)
            ending.callback(_is_sound, store)
            return store

        yield start


def _is_sound(store: Store) -> None:
    assert store.verify(deep=True).problems == ()


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


@pytest.fixture
def ann(store: Store) -> Namespace:
    return store.namespace(stores.ANN)
