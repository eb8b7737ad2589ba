"""renameat2(2)."""

import errno
import os
from pathlib import Path

from tests.fuse.calls import EXCHANGE, NOREPLACE, create, refused, renameat2


def test_noreplace_refuses_a_name_that_is_taken(mount: Path):
    create(mount / "a", b"a")
    create(mount / "b", b"b")

    with refused(errno.EEXIST):
        renameat2(mount / "a", mount / "b", NOREPLACE)
    assert (mount / "b").read_bytes() == b"b"


def test_noreplace_renames_where_nothing_is(mount: Path):
    create(mount / "a", b"a")

    renameat2(mount / "a", mount / "b", NOREPLACE)

    assert os.listdir(mount) == ["b"]


def test_two_files_are_exchanged(mount: Path):
    create(mount / "a", b"a")
    create(mount / "b", b"b")

    renameat2(mount / "a", mount / "b", EXCHANGE)

    assert ((mount / "a").read_bytes(), (mount / "b").read_bytes()) == (b"b", b"a")


def test_a_file_and_a_directory_with_members_are_exchanged(mount: Path):
    (mount / "a").mkdir()
    create(mount / "a" / "inner")
    create(mount / "b", b"b")

    renameat2(mount / "a", mount / "b", EXCHANGE)

    assert (mount / "a").read_bytes() == b"b"
    assert os.listdir(mount / "b") == ["inner"]


def test_an_exchange_keeps_the_inodes(mount: Path):
    create(mount / "a", b"a")
    create(mount / "b", b"b")
    before = [os.stat(mount / name).st_ino for name in "ab"]

    renameat2(mount / "a", mount / "b", EXCHANGE)

    assert [os.stat(mount / name).st_ino for name in "ba"] == before


def test_an_exchange_across_directories_takes_the_members_along(mount: Path):
    for name in ("one/d", "two"):
        (mount / name).mkdir(parents=True)
    create(mount / "one" / "d" / "f", b"inner")
    create(mount / "two" / "g", b"file")

    renameat2(mount / "one" / "d", mount / "two" / "g", EXCHANGE)

    assert (mount / "one" / "d").read_bytes() == b"file"
    assert (mount / "two" / "g" / "f").read_bytes() == b"inner"


def test_an_exchange_with_nothing_is_refused(mount: Path):
    create(mount / "a")

    with refused(errno.ENOENT):
        renameat2(mount / "a", mount / "b", EXCHANGE)


def test_an_exchange_with_what_it_is_in_is_refused(mount: Path):
    (mount / "a" / "inner").mkdir(parents=True)

    with refused(errno.EINVAL):
        renameat2(mount / "a", mount / "a" / "inner", EXCHANGE)


def test_flags_that_exclude_each_other_are_refused(mount: Path):
    create(mount / "a")
    create(mount / "b")

    with refused(errno.EINVAL):
        renameat2(mount / "a", mount / "b", NOREPLACE | EXCHANGE)
