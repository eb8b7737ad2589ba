"""Stores with several storages, whose invariants hold after the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.namespace import Namespace
from core.storage_settings import DatabaseStorage, LocalStorage, S3Storage, Storage
from core.store import Store
from tests.parts import stores


def storages(folder: Path, s3: S3Storage | None = None) -> dict[str, Storage]:
    """Besides `local`: another directory, the database, and a bucket."""
    made: dict[str, Storage] = {
        "second": LocalStorage(path=folder / "second"),
        "rows": DatabaseStorage(type="db"),
    }
    return made if s3 is None else {**made, "s3main": s3}


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = stores.opened(database_url, tmp_path / "data", storages=storages(tmp_path))
    yield opened
    assert opened.verify(deep=True).problems == ()
    assert not list(tmp_path.rglob("draft.*"))
    opened.close()


@pytest.fixture
def s3_store(s3_storage: S3Storage, database_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = stores.opened(database_url, tmp_path / "data", storages=storages(tmp_path, s3_storage))
    yield opened
    assert opened.verify(deep=True).problems == ()
    assert not list(tmp_path.rglob("draft.*"))
    opened.close()


@pytest.fixture
def ann(store: Store) -> Namespace:
    return store.namespace(stores.ANN)
