"""A new user's story: the same photos twice, one copy deleted, then both, restored, gone for good. Bytes come back."""

import hashlib
import random
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.rclone import Rclone
from tests.parts.commands import Davstore, printed
from tests.parts.scale import soak
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.tools import tool

PHOTOS = soak(200, 1000)
SMALLEST, LARGEST = 70_000, 120_000
KIB = 1 << 10
pytestmark = [pytest.mark.slow, pytest.mark.timeout(soak(300, 900))]


def test_photos_copied_in_twice_take_their_room_once_and_give_it_back_when_both_copies_are_gone(
    server: DavServer, tmp_path: Path
):
    photos = _photos(tmp_path / "camera")
    size = sum(len(photo) for photo in photos.values())
    davstore, blobs = Davstore(server.data), server.data / "blobs"
    empty = _used(blobs)

    _copy_in(server, tmp_path / "camera", "/files/holiday/")
    once = _used(blobs)
    assert once - empty >= size
    _copy_in(server, tmp_path / "camera", "/files/backup/")
    twice = _used(blobs)
    assert twice == once

    assert server.request("DELETE", "/files/backup/").status == 204
    assert davstore("trash", "empty", "--yes").exit_code == 0
    assert _let_go(davstore)["purged"] == 0
    assert _used(blobs) == once
    assert "kept by file /files/holiday/0.jpg\n" in _explained(davstore, photos["0.jpg"])

    assert server.request("DELETE", "/files/holiday/").status == 204
    assert _let_go(davstore)["purged"] == 0
    assert "kept by file /files/holiday/0.jpg in the trash until " in _explained(davstore, photos["0.jpg"])
    _restore(server, "holiday")
    for name, photo in photos.items():
        assert server.request("GET", f"/files/holiday/{name}").body == photo

    assert server.request("DELETE", "/files/holiday/").status == 204
    davstore("trash", "empty", "--yes")
    gone = _let_go(davstore)
    assert (gone["purged"], gone["purged_bytes"], gone["failed"]) == (PHOTOS, size, 0)
    assert not [file for file in blobs.rglob("*.*") if file.is_file() and not file.name.startswith(".")]
    assert _used(blobs) - empty < size / 10
    told = _explained(davstore, photos["0.jpg"])
    assert " is gone: " in told
    assert re.findall(r" (condemned|purged): ", told) == ["condemned", "purged"]
    assert printed(davstore("fsck", "--deep", "--json"))["problems"] == []


def _photos(folder: Path) -> dict[str, bytes]:
    chance = random.Random(2)
    photos = {f"{n}.jpg": chance.randbytes(chance.randrange(SMALLEST, LARGEST)) for n in range(PHOTOS)}
    folder.mkdir()
    for name, photo in photos.items():
        (folder / name).write_bytes(photo)
    return photos


def _copy_in(server: DavServer, folder: Path, collection: str) -> None:
    assert server.request("MKCOL", collection).status == 201
    names = ",".join(sorted(file.name for file in folder.iterdir()))
    curl = [tool("curl"), "--silent", "--show-error", "--fail", "--user", f"{USER}:{PASSWORD}"]
    sent = subprocess.run(
        [*curl, "--upload-file", f"{{{names}}}", server.url + collection], cwd=folder, capture_output=True, text=True
    )
    assert sent.returncode == 0, sent.stderr


def _used(folder: Path) -> int:
    """Bytes on the disk, as `du` counts them."""
    return int(subprocess.run(["du", "-sk", folder], capture_output=True, check=True).stdout.split()[0]) * KIB


def _restore(server: DavServer, name: str) -> None:
    """As any WebDAV client would: it looks into the trash and moves out what it finds."""
    rclone, whole = Rclone(server), ("--webdav-url", server.url)
    (entry,) = rclone("lsf", ":webdav:-/trash/files", *whole).splitlines()
    assert entry.startswith(f"{name}.")
    rclone("moveto", f":webdav:-/trash/files/{entry}", f":webdav:files/{name}", *whole)


def _let_go(davstore: Davstore) -> dict[str, int]:
    return printed(davstore("gc", "run", "--grace", "0s", "--retention", "0s", "--json"))


def _digest(photo: bytes) -> str:
    return hashlib.sha256(photo).hexdigest()


def _explained(davstore: Davstore, photo: bytes) -> str:
    return davstore("explain", _digest(photo)).stdout
