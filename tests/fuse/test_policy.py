"""What a choosy bucket refuses through a mount: at which call, with which error, and what becomes of the draft."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.calls import fallocate, opened, refused
from tests.fuse.test_drafts import Start, listed
from tests.parts import images
from tests.parts.mount import Mount
from tests.parts.server import DavServer

CONFIGURATION = """
[buckets.choosy]
types = ["image/*", "text/*"]
max_size = "10 KiB"
"""
PAGE = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(500)
DISGUISED = {
    "page.png": (PAGE, "is image/png by its name or declaration, and its bytes are not"),
    "program.txt": (PROGRAM, "is text/plain by its name or declaration, and application/x-executable by its bytes"),
}
TAKES = "the bucket takes image/*, text/*"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    (tmp_path / "davstore.toml").write_text(CONFIGURATION)
    return tmp_path / "davstore.toml"


@pytest.fixture
def choosy(start: Start, configuration: Path) -> Mount:
    return start("--config", str(configuration), "--attr-timeout", "0")


@pytest.mark.parametrize(("name", "call"), [("page.png", "close"), ("program.txt", "fsync")])
def test_bytes_in_disguise_are_refused_and_kept_as_a_draft_that_says_why(
    choosy: Mount, configuration: Path, name: str, call: str
):
    data, reason = DISGUISED[name]
    file = choosy.point / "choosy" / name
    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    assert os.write(fd, data) == len(data)

    if call == "fsync":
        with refused(errno.EINVAL):
            os.fsync(fd)
    with refused(errno.EINVAL):
        os.close(fd)

    (draft,) = listed(choosy, configuration)
    assert (draft["path"], draft["size"], draft["is_final"]) == (f"/choosy/{name}", len(data), True)
    assert reason in draft["error"]
    assert TAKES in draft["error"]
    assert (file.name in os.listdir(file.parent), file.stat().st_size) == (True, 0)
    os.unlink(file)
    assert listed(choosy, configuration, "--retry") == []


def test_a_rewrite_in_disguise_leaves_the_old_content_and_a_good_one_ends_the_draft(choosy: Mount, configuration: Path):
    file, good = choosy.point / "choosy" / "page.png", images.picture("PNG")
    file.write_bytes(good)

    with refused(errno.EINVAL):
        file.write_bytes(PAGE)

    assert len(listed(choosy, configuration)) == 1
    with Mount(choosy.point.with_name("other"), choosy.data, "--config", str(configuration)) as other:
        assert (other.point / "choosy" / "page.png").read_bytes() == good
    file.write_bytes(good + b"\n")
    assert listed(choosy, configuration) == []
    assert file.read_bytes() == good + b"\n"


def test_what_is_too_large_is_refused_by_the_call_that_makes_it_so_and_what_was_there_stays(
    choosy: Mount, configuration: Path
):
    file, source = choosy.point / "choosy" / "a.txt", choosy.point / "files" / "large"
    file.write_bytes(b"x" * 10_000)
    source.write_bytes(b"y" * 20_000)
    grow: dict[str, Callable[[int, int], object]] = {
        "write": lambda fd, _: os.pwrite(fd, b"y" * 1000, 9_900),
        "truncate": lambda fd, _: os.ftruncate(fd, 10_241),
        "fallocate": lambda fd, _: fallocate(fd, 0, 0, 10_241),
        "copy": lambda fd, large: os.copy_file_range(large, fd, 20_000, 0, 0),
    }

    for name, act in grow.items():
        with opened(file) as fd, opened(source, os.O_RDONLY) as large, refused(errno.EFBIG):
            act(fd, large)
        assert file.read_bytes() == b"x" * 10_000, name

    assert listed(choosy, configuration) == []


def test_the_same_over_dav_is_415_and_413_with_what_is_allowed(serve: Callable[..., DavServer], configuration: Path):
    server = serve("--config", str(configuration))

    for name, (data, reason) in DISGUISED.items():
        answer = server.request("PUT", f"/choosy/{name}", data)
        assert answer.status == 415
        assert reason.encode() in answer.body
        assert TAKES.encode() in answer.body
    too_large = server.request("PUT", "/choosy/a.txt", b"x" * 10_241)

    assert too_large.status == 413
    assert b"10240" in too_large.body
    assert re.findall(rb"/choosy/[^<]+", server.request("PROPFIND", "/choosy/", headers={"Depth": "1"}).body) == []
