"""What could not be stored is kept, and neither replaces what came after it nor is lost."""

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.calls import opened, refused
from tests.parts.mount import Mount
from tests.parts.postgresql import Cluster
from tests.parts.server import DavServer
from tests.survival.drive import davstore

Start = Callable[..., Mount]
GONE = (errno.ENOTCONN, errno.EIO, errno.EBADF, errno.ECONNABORTED)

CONFIGURATION = """
[buckets.rationed]
quota = "1 MiB"
[buckets.pictures]
types = ["image/*"]
[buckets.final]
trash = false
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "davstore.toml").write_text(CONFIGURATION)
    return tmp_path / "davstore.toml"


@pytest.fixture
def rationed(start: Start, configuration: Path) -> Mount:
    return start("--config", str(configuration), "--attr-timeout", "0")


def listed(mount: Mount, configuration: Path, *options: str) -> list[dict[str, Any]]:
    told = davstore("drafts", "--json", *options, "--config", configuration, "--data", mount.data)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def test_what_was_refused_does_not_come_back_over_what_was_written_since(rationed: Mount, configuration: Path):
    bucket = rationed.point / "rationed"
    (bucket / "filler").write_bytes(b"x" * 900_000)
    with refused(errno.EDQUOT):
        (bucket / "f").write_bytes(b"y" * 300_000)
    assert [draft["size"] for draft in listed(rationed, configuration)] == [300_000]

    (bucket / "f").write_bytes(b"NEW")
    os.unlink(bucket / "filler")
    emptied = davstore("trash", "empty", "--yes", "--config", configuration, "--data", rationed.data)
    assert emptied.returncode == 0, emptied.stderr

    assert listed(rationed, configuration, "--retry") == []
    assert (bucket / "f").read_bytes() == b"NEW"


def test_what_was_refused_is_stored_once_there_is_room(rationed: Mount, configuration: Path):
    bucket = rationed.point / "rationed"
    (bucket / "filler").write_bytes(b"x" * 900_000)
    with refused(errno.EDQUOT):
        (bucket / "f").write_bytes(b"y" * 300_000)

    os.truncate(bucket / "filler", 0)

    assert listed(rationed, configuration, "--retry") == []
    assert (bucket / "f").read_bytes() == b"y" * 300_000


def test_what_a_client_put_after_an_fsync_stays_and_the_draft_is_a_version(
    start: Start, serve: Callable[..., DavServer], tmp_path: Path
):
    mount = start("--bucket", "files")
    (mount.point / "f").write_bytes(b"first" * 20_000)
    fd = os.open(mount.point / "f", os.O_RDWR)
    os.pwrite(fd, b"changed", 5)
    os.fsync(fd)
    mount.kill9()
    with refused(*GONE):
        os.close(fd)
        os.fsync(fd)
    mount.forget()
    server = serve()
    assert server.request("PUT", "/files/f", b"newer").status == 204

    again = start("--bucket", "files")

    assert (again.point / "f").read_bytes() == b"newer"
    names = os.listdir(again.point / ".versions" / "f")
    contents = {(again.point / ".versions" / "f" / name).read_bytes() for name in names}
    assert b"first" + b"changed" + (b"first" * 20_000)[12:] in contents
    assert not list(mount.data.rglob("kept.*"))


def test_what_is_of_another_type_stays_listed_and_is_tried_when_asked_for(rationed: Mount, configuration: Path):
    bucket = rationed.point / "pictures"
    with refused(errno.EINVAL):
        (bucket / "f.txt").write_bytes(b"no picture at all")

    (draft,) = listed(rationed, configuration)
    assert (draft["path"], draft["is_final"]) == ("/pictures/f.txt", True)
    assert len(listed(rationed, configuration, "--retry")) == 1
    rationed.unmount()
    with Mount(rationed.point, rationed.data, "--config", str(configuration)) as again:
        assert os.listdir(again.point / "pictures") == ["f.txt"]
        assert "still kept" not in again.log_text()
        os.unlink(again.point / "pictures" / "f.txt")
    with Mount(rationed.point, rationed.data, "--config", str(configuration)):
        assert listed(rationed, configuration) == []


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_file_that_another_mount_ended_is_synchronised_and_closed_as_if_nothing_were(
    start: Start, configuration: Path, is_kept: bool
):
    """A draft of it that is kept already, and one that nobody knows of yet."""
    one, two = (start("--config", str(configuration), "--attr-timeout", "0") for _ in range(2))
    file = one.point / "final" / "f"
    file.write_bytes(b"first" * 20_000)

    with opened(file) as fd:
        os.pwrite(fd, b"changed", 5)
        if is_kept:
            os.fsync(fd)
        os.pwrite(fd, b"again", 5)
        os.unlink(two.point / "final" / "f")
        os.fsync(fd)
        assert os.pread(fd, 5, 5) == b"again"

    assert not file.exists()
    assert "Traceback" not in one.log_text()
    assert not list(one.data.rglob("kept.*"))


def test_what_was_written_before_the_database_went_away_is_there_when_it_is_back(start: Start, tmp_path: Path):
    with Cluster() as cluster:
        environ = {"DAVSTORE_DATABASE__URL": cluster.url(cluster.create())}
        told = davstore("bucket", "ls", "--data", tmp_path / "data", environ=environ)
        assert told.returncode == 0, told.stderr
        (tmp_path / "data").mkdir(exist_ok=True)
        mount = start("--bucket", "files", "--attr-timeout", "0", environ=environ)
        mount.expect_log("waits to be kept", "is away|database", "still kept")
        fd = os.open(mount.point / "f", os.O_RDWR | os.O_CREAT)
        os.write(fd, b"written" * 100_000)
        cluster.stop()
        with refused(errno.EIO):
            os.close(fd)
        assert _soon(lambda: "still kept" in mount.log_text())

        cluster.start()

        assert _soon(lambda: _stored(tmp_path / "data", environ) == 700_000)
        assert (mount.point / "f").read_bytes() == b"written" * 100_000
        mount.unmount()


def _stored(data: Path, environ: dict[str, str]) -> int:
    told = davstore("du", "--json", "--data", data, environ=environ)
    assert told.returncode == 0, told.stderr
    return sum(bucket["logical_bytes"] for bucket in json.loads(told.stdout))


def _soon(claim: Callable[[], bool]) -> bool:
    limit = time.monotonic() + 60
    while not claim():
        if time.monotonic() > limit:
            return False
        time.sleep(0.2)
    return True
