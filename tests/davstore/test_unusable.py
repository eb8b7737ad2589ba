"""Installations that cannot be opened: one line that says what to do, exit code 3, and nothing is lost."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from core import store
from core.model import Caller
from core.settings import Settings
from tests.parts.commands import Davstore, refused
from tests.parts.processes import free_port
from tests.parts.server import ROOT
from tests.parts.small_disk import small_disk
from tests.parts.stores import put

Spoil = Callable[[Path], object]


def _overwritten(data: Path) -> None:
    (data / "davstore.db").write_bytes(b"not a database at all. " * 1000)


def _torn(data: Path) -> None:
    with (data / "davstore.db").open("r+b") as file:
        file.seek(1024)
        file.write(b"\xff" * 60_000)


def _of_revision(revision: str) -> Spoil:
    return lambda data: _run(data, f"UPDATE davstore_version SET version_num = '{revision}'")


def _of_another_program(data: Path) -> None:
    (data / "davstore.db").unlink()
    _run(data, "CREATE TABLE users (id INTEGER PRIMARY KEY, login TEXT)")


def _without_blobs(data: Path) -> None:
    shutil.rmtree(data / "blobs")


def _with_an_empty_disk_mounted_over_the_blobs(data: Path) -> None:
    _without_blobs(data)
    (data / "blobs").mkdir()


def _with_the_blobs_of_another(data: Path) -> None:
    (data / "blobs" / ".davstore-storage").write_text("01900000-0000-7000-8000-000000000000\n")


def _a_file(data: Path) -> None:
    shutil.rmtree(data)
    data.write_text("precious")


def _run(data: Path, statement: str) -> None:
    connection = sqlite3.connect(data / "davstore.db")
    with connection:
        connection.execute(statement)
    connection.close()


SPOILED = [
    pytest.param(_overwritten, "restore it from a backup", id="overwritten"),
    pytest.param(_torn, "restore it from a backup", id="torn"),
    pytest.param(_of_revision("9999"), "a newer davstore made; install that one", id="newer"),
    pytest.param(_of_another_program, "another program", id="another program's"),
    pytest.param(_without_blobs, "mount the disk of storage local", id="no blobs"),
    pytest.param(_with_an_empty_disk_mounted_over_the_blobs, "mount the disk of storage local", id="empty blobs"),
    pytest.param(_with_the_blobs_of_another, "belongs to another storage", id="another's blobs"),
]


@pytest.fixture
def data(data_template: Path, tmp_path: Path) -> Path:
    """An installation with a file."""
    data = tmp_path / "data"
    shutil.copytree(data_template, data)
    opened = store.open(Settings(data=data))
    put(opened.namespace(Caller("admin")), ("files", "a"), b"x" * 100_000)
    opened.close()
    return data


def kept(data: Path) -> Mapping[str, bytes]:
    """What must not change: blobs and rows."""
    files = [file for file in data.rglob("*") if file.is_file()]
    return {
        str(file.relative_to(data)): b"".join(_rows(file)) if file.suffix == ".db" else file.read_bytes()
        for file in files
        if file.suffix not in {".lock", ".db-shm", ".db-wal"} and not file.name.endswith(("-wal", "-shm"))
    }


def _rows(file: Path) -> list[bytes]:
    connection = sqlite3.connect(file)
    try:
        return [line.encode() for line in connection.iterdump()]
    except sqlite3.DatabaseError:
        return [file.read_bytes()]
    finally:
        connection.close()


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "davstore", "serve", "--port", "0", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("spoil", "remedy"), SPOILED)
def test_a_command_says_what_to_do_and_changes_nothing(data: Path, spoil: Spoil, remedy: str):
    spoil(data)
    before = kept(data)

    line = refused(Davstore(data)("du"), code=3)

    assert remedy in line
    assert kept(data) == before


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "remedy"), SPOILED)
def test_the_server_says_what_to_do_and_changes_nothing(data: Path, spoil: Spoil, remedy: str):
    spoil(data)
    before = kept(data)

    ended = serve("--data", str(data))

    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("davstore: ")
    assert ended.stderr.count("\n") == 1
    assert remedy in ended.stderr
    assert kept(data) == before


@pytest.mark.slow
def test_a_data_directory_that_is_a_file_stays_a_file(data: Path):
    _a_file(data)

    ended = serve("--data", str(data))

    assert (ended.returncode, ended.stderr) == (3, f"davstore: {data}: is a file; choose another data directory\n")
    assert data.read_text() == "precious"


@pytest.mark.slow
def test_a_disk_that_cannot_be_written_is_named(tmp_path: Path):
    with small_disk(tmp_path / "disk", 1 << 20, "ro") as disk:
        ended = serve("--data", str(disk / "data"))

    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    assert f"{disk / 'data'}: cannot be written (Read-only file system); choose another data directory" in ended.stderr


@pytest.mark.slow
def test_a_first_start_on_a_full_disk_can_be_repeated_once_there_is_room(tmp_path: Path):
    with small_disk(tmp_path / "disk", 64 << 10) as disk:
        full = serve("--data", str(disk / "data"))
        shutil.copytree(disk / "data", tmp_path / "data")
    roomy = Davstore(tmp_path / "data")("user", "ls", "--json")

    assert (full.returncode, full.stderr.count("\n")) == (3, 1)
    assert "no room left" in full.stderr
    assert roomy.exit_code == 0


@pytest.mark.slow
def test_a_postgresql_that_does_not_answer_is_named(tmp_path: Path):
    url = f"postgresql+psycopg://dav:hunter2@127.0.0.1:{free_port()}/dav"
    config = tmp_path / "davstore.toml"
    config.write_text(f'data = "{tmp_path}/data"\n[database]\nurl = "{url}"\n')

    ended = serve("--config", str(config))

    assert (ended.returncode, ended.stderr.count("\n")) == (3, 1)
    assert "Connection refused" in ended.stderr
    assert "hunter2" not in ended.stderr
