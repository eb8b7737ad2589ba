"""A store behind the WSGI application, in this process."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import store
from core.settings import Server, Settings
from core.store import Store
from davstore.app import application
from tests.davstore.client import Dav
from tests.parts.commands import Davstore

USERS = {"admin": "correct horse", "bob": "battery staple"}


@pytest.fixture(scope="session")
def data_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with two users."""
    data = tmp_path_factory.mktemp("template") / "data"
    made = store.open(Settings(data=data))
    made.accounts.first_admin(USERS["admin"])
    made.accounts.add("bob", USERS["bob"])
    made.close()
    return data


@pytest.fixture
def opened(data_template: Path, tmp_path: Path) -> Iterator[Store]:
    """A fresh store; after the test its invariants hold and no draft is left."""
    data = tmp_path / "data"
    shutil.copytree(data_template, data)
    opened = store.open(Settings(data=data))
    yield opened
    findings = opened.verify(deep=True)
    opened.close()
    assert not findings.problems
    assert not list(data.rglob("draft.*"))


@pytest.fixture
def dav(opened: Store) -> Dav:
    """Nobody in particular, who may do everything."""
    return Dav(application(opened, opened.settings.model_copy(update={"server": Server(anonymous="write")})))


@pytest.fixture
def alone(opened: Store) -> Dav:
    """Nobody in particular, where that is nobody who may."""
    return Dav(application(opened, opened.settings))


@pytest.fixture
def admin(alone: Dav) -> Dav:
    return alone.signed_in("admin", USERS["admin"])


@pytest.fixture
def bob(alone: Dav) -> Dav:
    return alone.signed_in("bob", USERS["bob"])


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Davstore:
    """The command line in an empty directory, with nothing said in the environment."""
    for name in ("DAVSTORE_CONFIG", "DAVSTORE_DATA", "DAVSTORE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Davstore()


@pytest.fixture
def davstore(opened: Store, anywhere: Davstore) -> Davstore:
    """The command line on the store's data directory."""
    return Davstore(opened.settings.data)
