"""Real files in number: copied in, checked, copied again, and the server ended in between."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs

from tests.clients.cadaver import cadaver
from tests.clients.davfs import mounted
from tests.clients.gio import Gio
from tests.clients.programs import run
from tests.clients.rclone import Rclone
from tests.clients.stored import stored
from tests.clients.trees import contents, invented, real_files
from tests.parts.scale import soak
from tests.parts.server import DavServer

FIRST_MILESTONE = 1_000
MANY = soak(2_000, 10_000)
BY_OTHERS = soak(40, 400)
PATIENCE = soak(300, 3_000)
BLOCK = 4
"""The kilobytes by which `du -sk` rounds up each file and folder that is new."""

pytestmark = pytest.mark.timeout(4 * PATIENCE)


def told(server: DavServer, *paths: str) -> dict[str, str]:
    """Every property of all that is in the folders, by its href and as the server writes it."""
    found: dict[str, str] = {}
    for path in paths:
        answer = server.request("PROPFIND", path, headers={"Depth": "1"})
        assert answer.status == 207
        for response in etree.fromstring(answer.body).findall("{DAV:}response"):
            href = response.findtext("{DAV:}href")
            if href == path:
                continue
            found[href] = etree.canonicalize(etree.tostring(response).decode())
            if href.endswith("/"):
                found |= told(server, href)
    return found


def test_a_thousand_files_survive_kill_9_and_a_second_copy_is_free(
    serve: Callable[..., DavServer], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    invented(source, FIRST_MILESTONE)
    first = serve()
    Rclone(first).copy(source, "one", PATIENCE)
    first.kill9()

    server = serve()
    rclone = Rclone(server)
    assert rclone.differences(source, "one", PATIENCE) == []
    before = stored(server)
    rclone.copy(source, "two", PATIENCE)
    after = stored(server)

    assert rclone.differences(source, "two", PATIENCE) == []
    assert (before.files, after.files) == (FIRST_MILESTONE, 2 * FIRST_MILESTONE)
    assert after.logical_bytes == 2 * before.logical_bytes == 2 * before.unique_bytes
    assert after.unique_bytes == before.unique_bytes
    assert after.blob_kilobytes == before.blob_kilobytes


def test_real_files_are_stored_once_whoever_copies_them_and_a_restart_changes_nothing(
    serve: Callable[..., DavServer], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    size = real_files(source, MANY)
    server = serve("--workers", "2")
    rclone = Rclone(server)

    began = time.monotonic()
    rclone.copy(source, "one", PATIENCE)
    took = time.monotonic() - began
    print(f"{MANY} files, {size / 1e6:.0f} MB, by rclone in {took:.0f} s: {MANY / took:.0f} files/s")
    first = stored(server)
    assert (first.files, first.logical_bytes) == (MANY, size)

    part = _part(source, tmp_path / "part")
    _copied_by_others(server, part)
    for name in ("by davfs2", "by cadaver", "by gio"):
        assert rclone.differences(part, name) == []
    assert stored(server).unique_bytes == first.unique_bytes

    rclone.copy(source, "two", PATIENCE)
    second = stored(server)
    assert second.files == 2 * MANY + 3 * BY_OTHERS
    assert second.unique_bytes == first.unique_bytes
    assert second.blob_kilobytes == first.blob_kilobytes

    before = told(server, "/files/")
    server.terminate()
    restarted = serve("--workers", "2")
    assert told(restarted, "/files/") == before
    for name in ("one", "two"):
        assert Rclone(restarted).differences(source, name, PATIENCE) == []
    assert stored(restarted) == second


def _part(source: Path, target: Path) -> Path:
    """Some of the real files, in one folder and under names of their own."""
    target.mkdir()
    files = sorted(file for file in source.rglob("*") if file.is_file())
    for number, file in enumerate(files[:: len(files) // BY_OTHERS][:BY_OTHERS]):
        (target / f"{number} {file.name}").write_bytes(file.read_bytes())
    return target


def _copied_by_others(server: DavServer, part: Path) -> None:
    with mounted(server) as drive:
        run("cp", "-r", part, drive / "by davfs2")
        assert contents(drive / "by davfs2") == contents(part)
    names = [file.name for file in part.iterdir()]
    cadaver(server, 'mkcol "by cadaver"', 'cd "by cadaver"', f"lcd {part}", *(f'put "{name}"' for name in names))
    with Gio(server) as gio:
        gio("mkdir", gio.url("by gio"))
        gio("copy", *(str(part / name) for name in names), gio.url("by gio"))
