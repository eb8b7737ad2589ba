"""Stores to back up, archives, and stores made of them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.archives import DirectoryArchive
from core.restoring import Restored, restore
from core.store import Store
from tests.conftest import DATABASES
from tests.parts import stores

Restore = Callable[..., tuple[Store, Restored]]
ANYHOW: Callable[[int, int], None] = lambda done, total: None  # noqa: E731


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = stores.opened(database_url, tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def archive(tmp_path: Path) -> DirectoryArchive:
    return DirectoryArchive(tmp_path / "archive")


@pytest.fixture(params=DATABASES)
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database to restore into, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'other.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Restore]:
    """Restores an archive's snapshot, on SQLite unless told otherwise, and opens the store that it makes."""
    with ExitStack() as ending:

        def start(
            archive: DirectoryArchive,
            name: str | None = None,
            *,
            url: str = "",
            partial: bool = False,
        ) -> tuple[Store, Restored]:
            data = tmp_path / "restored"
            settings = stores.settings(url or f"sqlite:///{data / 'davstore.db'}", data)
            result = restore(settings, archive, name, ANYHOW, partial=partial)
            opened = stores.stores.open(settings)
            ending.callback(opened.close)
            return opened, result

        yield start
