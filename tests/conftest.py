"""What every test has: databases, a server, and a watch over what it leaves behind and logs."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from core.storage_settings import S3Storage
from tests.parts import engines, passwords, processes, stores
from tests.parts.postgresql import Cluster
from tests.parts.scale import soak
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import DavServer

SLOW = {"fuse", "machines", "scaleout", "serving", "survival"}
"""Folders of tests that all are long or need a real part: a mount, several servers, one that is ended."""
REAL_PARTS = {"postgres", "postgres_url", "seaweedfs", "s3_storage", "server", "serve"}
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]

hypothesis.settings.register_profile("davstore", deadline=None, max_examples=soak(100, 2_000), print_blob=True)
hypothesis.settings.load_profile("davstore")


def pytest_configure() -> None:
    processes.adopt_orphans()
    engines.share_compiled()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Folders without a fast test are not even imported where only those are asked for."""
    is_fast = config.getoption("markexpr") == "not slow"
    return True if is_fast and collection_path.name in SLOW and collection_path.is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_real = isinstance(item, pytest.Function) and REAL_PARTS & set(item.fixturenames)
        if is_real or item.path.parent.name in SLOW:
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        passwords.make_cheap(patch)
        yield


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """A process or a listening socket that a test leaves behind fails it, and is ended."""
    known, open_before = processes.children(os.getpid()), processes.listening()
    yield
    mine = processes.children(os.getpid()) - known - processes.lasting
    all_ended = processes.ended(mine)
    left = {pid: processes.command(pid) for pid in mine if processes.is_running(pid)}
    processes.kill(below for pid in left for below in processes.tree(pid))
    processes.ended(left)
    processes.reap(mine)
    assert all_ended, f"left running: {left}"
    assert not processes.listening() - open_before, "left a listening socket"


@pytest.fixture(autouse=True)
def nothing_unexpected_logged(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A warning or an error in this process's log fails a test that does not announce it with `expects_log`."""
    yield
    expected = [str(pattern) for marker in request.node.iter_markers("expects_log") for pattern in marker.args]
    records = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    alarming = [record.getMessage() for record in records if record.levelno >= logging.WARNING]
    unexpected = [line for line in alarming if not any(re.search(pattern, line) for pattern in expected)]
    assert not unexpected, "unexpected in the log"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A real PostgreSQL for the whole run."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    """A fresh, empty PostgreSQL database."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[SeaweedFS]:
    """A real S3 server for the whole run."""
    with SeaweedFS() as server:
        yield server


@pytest.fixture
def s3_storage(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> S3Storage:
    """A fresh bucket, as configured; this process has the credentials in its environment."""
    for name, value in seaweedfs.environ.items():
        monkeypatch.setenv(name, value)
    return seaweedfs.storage()


@pytest.fixture(params=DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database without any table, on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "davstore.db"
    stores.migrated(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres: Cluster) -> str:
    name = postgres.create()
    stores.migrated(postgres.url(name))
    return name


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database on each engine, with the newest tables (made once; each test gets a copy)."""
    if request.param == "sqlite":
        file = tmp_path / "davstore.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = cluster.create(request.getfixturevalue("postgres_template"))
    yield cluster.url(name)
    cluster.drop(name)


@pytest.fixture
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., DavServer]]:
    """Starts servers, on `tmp_path / "data"` unless told otherwise; they end with the test, before what they use."""
    for used in {"database_url", "postgres_url", "empty_database_url", "s3_storage"} & set(request.fixturenames):
        request.getfixturevalue(used)
    with ExitStack() as started:

        def start(*options: str, data: Path = tmp_path / "data", **given: object) -> DavServer:
            server = DavServer(data, *options, **given)  # pyright: ignore[reportArgumentType] - DavServer's own
            started.callback(lambda: print(server.log_text()[-20_000:]))
            return started.enter_context(server)

        yield start


@pytest.fixture
def server(serve: Callable[..., DavServer]) -> DavServer:
    """A server with an empty data directory and the default settings."""
    return serve()
