"""What cannot be served is refused in one line that names the thing and the remedy, and nothing is touched."""

import os
import random
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.parts.server import DavServer
from tests.parts.tools import tool
from tests.survival.conftest import CONTENTS
from tests.survival.drive import davstore, fsck

pytestmark = pytest.mark.slow

REFUSED, UNUSABLE = 1, 3
VOLATILE = ("-wal", "-shm", ".lock")
NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"]
CONFIGURATIONS = {
    "an unknown key": ("[server]\nprot = 1", ["server.prot", "did you mean server.port"]),
    "an unknown section": ("[sever]\nport = 1", ["sever", "server"]),
    "a wrong kind of value": ("[server]\nworkers = 'many'", ["server.workers", "whole number"]),
    "a value out of range": ("[server]\nworkers = 0", ["server.workers", "greater than or equal to 1"]),
    "no TOML": ("= =", ["not TOML", "line 1"]),
    "a storage that is not there": ("[buckets.b]\nstorage = 'nowhere'", ["nowhere", "define [storages.nowhere]"]),
    "a reserved name": ("[buckets.assets]", ["buckets.assets", "choose another"]),
    "another database": ("[database]\nurl = 'mysql://x'", ["database.url", "postgresql+psycopg://"]),
    "a size without a unit that we know": ("[buckets.b]\nmax_size = 'lots'", ["buckets.b.max_size", "64 KiB"]),
    "two storages in one place": (
        "[storages.a]\npath = '/tmp/x'\n[storages.b]\npath = '/tmp/x'",
        ["storages.b.path", "directory of its own"],
    ),
    "limits that contradict": (
        "[locks]\ndefault_timeout = '2d'\nmax_timeout = '1d'",
        ["default_timeout", "must not be longer than max_timeout"],
    ),
}


def _refused(words: Sequence[str], code: int, *arguments: str | Path, wrapper: Sequence[str] = ()) -> None:
    ended = davstore(*arguments, wrapper=wrapper)

    assert ended.returncode == code, ended
    assert ended.stdout == ""
    assert ended.stderr.startswith("davstore: ")
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert not [word for word in words if word not in ended.stderr], ended.stderr


def _refused_untouched(data: Path, *words: str) -> None:
    before = _contents(data)

    _refused(words, UNUSABLE, "serve", "--port", "0", "--data", data)

    assert _contents(data) == before


def _contents(data: Path) -> dict[str, bytes]:
    files = [path for path in data.rglob("*") if path.is_file() and not path.name.endswith(VOLATILE)]
    return {str(path.relative_to(data)): path.read_bytes() for path in files}


@pytest.mark.parametrize("mistake", CONFIGURATIONS)
def test_a_wrong_configuration_names_the_key_and_the_remedy(tmp_path: Path, mistake: str):
    text, words = CONFIGURATIONS[mistake]
    config = tmp_path / "davstore.toml"
    config.write_text(text)

    _refused([str(config), *words], UNUSABLE, "serve", "--data", tmp_path / "data", "--config", config)

    assert not (tmp_path / "data").exists()


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path):
    _refused([str(tmp_path / "x.toml"), "--config"], UNUSABLE, "serve", "--config", tmp_path / "x.toml")


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that everybody may enter, and only its owner may change."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


def test_a_data_directory_that_cannot_be_written_is_named(public: Path):
    as_nobody = [tool("setpriv", "util-linux"), *NOBODY]

    _refused([str(public), "give it to this user"], UNUSABLE, "serve", "--data", public, wrapper=as_nobody)

    assert not list(public.iterdir())


def test_a_data_directory_that_cannot_be_made_is_named(public: Path):
    as_nobody = [tool("setpriv", "util-linux"), *NOBODY]

    _refused([str(public), "another data directory"], UNUSABLE, "serve", "--data", public / "data", wrapper=as_nobody)


def test_anothers_data_directory_is_named(public: Path, installation: Path):
    shutil.copytree(installation, public / "data")
    (public / "data").chmod(0o700)
    as_nobody = [tool("setpriv", "util-linux"), *NOBODY]

    _refused([str(public), "give it to this user"], UNUSABLE, "serve", "--data", public / "data", wrapper=as_nobody)


def test_a_file_is_no_data_directory(tmp_path: Path):
    (tmp_path / "file").write_text("mine")

    _refused([str(tmp_path / "file"), "another data directory"], UNUSABLE, "serve", "--data", tmp_path / "file")

    assert (tmp_path / "file").read_text() == "mine"


def test_a_port_that_is_taken_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        _refused([port, "--port"], REFUSED, "serve", "--data", tmp_path / "data", "--port", port)

    assert not (tmp_path / "data").exists()


def _overwrite_the_head(database: Path) -> None:
    _overwrite(database, 0, 100)


def _overwrite_the_body(database: Path) -> None:
    _overwrite(database, 4096, database.stat().st_size)


def _overwrite(database: Path, start: int, stop: int) -> None:
    content = bytearray(database.read_bytes())
    content[start:stop] = random.Random(1).randbytes(stop - start)
    database.write_bytes(content)


def _truncate(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def _write_text(database: Path) -> None:
    database.write_text("Dear diary,\n" * 100)


@pytest.mark.parametrize("damage", [_overwrite_the_head, _overwrite_the_body, _truncate, _write_text])
def test_a_damaged_database_is_refused_and_left_as_it_is(installation: Path, damage: Callable[[Path], None]):
    damage(installation / "davstore.db")

    _refused_untouched(installation, "davstore.db", "damaged", "restore it from a backup")


def test_the_blobs_of_a_database_that_is_gone_are_not_taken_over(installation: Path):
    whole = (installation / "davstore.db").read_bytes()
    (installation / "davstore.db").unlink()

    _refused([str(installation / "blobs"), "another storage"], UNUSABLE, "serve", "--port", "0", "--data", installation)

    for file in installation.glob("davstore.db*"):
        file.unlink()
    (installation / "davstore.db").write_bytes(whole)
    fsck(installation, None, "--deep")


def test_a_database_that_is_newer_than_the_program_is_left_to_a_newer_one(installation: Path):
    database = sqlite3.connect(installation / "davstore.db")
    with database:
        database.execute("UPDATE davstore_version SET version_num = '9999'")
    database.close()

    _refused_untouched(installation, "9999", "newer", "install")


def test_a_blob_directory_that_is_gone_is_not_made_anew(installation: Path):
    (installation / "blobs").rename(installation / "unplugged")

    _refused_untouched(installation, str(installation / "blobs"), "mount the disk of storage local")

    assert not (installation / "blobs").exists()
    (installation / "unplugged").rename(installation / "blobs")
    fsck(installation, None, "--deep")


def test_the_blob_directory_of_another_installation_is_not_used(
    installation: Path, tmp_path: Path, serve: Callable[..., DavServer]
):
    serve(data=tmp_path / "other").terminate()
    (installation / "blobs").rename(tmp_path / "aside")
    shutil.copytree(tmp_path / "other" / "blobs", installation / "blobs")

    _refused_untouched(installation, str(installation / "blobs"), "another storage", "correct its path")

    shutil.rmtree(installation / "blobs")
    (tmp_path / "aside").rename(installation / "blobs")
    with DavServer(installation) as server:
        assert {path: server.request("GET", path).body for path in CONTENTS} == CONTENTS
