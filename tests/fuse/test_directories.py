"""mkdir and readdir."""

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.fuse.calls import create, refused, tick


def test_a_new_directory_is_empty(mount: Path):
    os.mkdir(mount / "d")

    assert os.listdir(mount / "d") == []
    assert stat.S_ISDIR(os.stat(mount / "d").st_mode)


@pytest.mark.parametrize(("mode", "mask", "given"), [(0o777, 0o022, 0o755), (0o777, 0o077, 0o700), (0o711, 0, 0o711)])
def test_the_mode_of_a_new_directory_is_what_was_asked_without_the_umask(mount: Path, mode: int, mask: int, given: int):
    os.umask(mask)

    os.mkdir(mount / "d", mode)

    assert stat.S_IMODE(os.stat(mount / "d").st_mode) == given


def test_a_directory_does_not_replace(mount: Path):
    create(mount / "f")
    os.mkdir(mount / "d")

    for name in ("f", "d"):
        with refused(errno.EEXIST):
            os.mkdir(mount / name)


def test_a_directory_needs_a_parent(mount: Path):
    with refused(errno.ENOENT):
        os.mkdir(mount / "nothing" / "d")


def test_a_directory_is_not_made_below_a_file(mount: Path):
    create(mount / "f")

    with refused(errno.ENOTDIR):
        os.mkdir(mount / "f" / "d")


def test_a_directory_is_not_made_through_a_dangling_symlink(mount: Path):
    os.symlink("nowhere", mount / "link")

    with refused(errno.EEXIST):
        os.mkdir(mount / "link")


def test_a_directory_counts_its_subdirectories(mount: Path):
    os.mkdir(mount / "d")
    empty = os.stat(mount / "d").st_nlink
    os.mkdir(mount / "d" / "a")
    os.mkdir(mount / "d" / "b")
    create(mount / "d" / "f")
    full = os.stat(mount / "d").st_nlink
    os.rmdir(mount / "d" / "a")

    assert (empty, full, os.stat(mount / "d").st_nlink) == (2, 4, 3)


def test_a_directory_with_a_sgid_bit_gives_its_group_to_what_is_made_in_it(mount: Path):
    os.chown(mount, 0, 4300)
    os.chmod(mount, 0o2775)

    create(mount / "f")
    os.mkdir(mount / "d")

    assert os.stat(mount / "f").st_gid == 4300
    assert os.stat(mount / "d").st_gid == 4300
    assert os.stat(mount / "d").st_mode & stat.S_ISGID


@pytest.mark.parametrize("kind", ["file", "directory", "symlink"])
def test_making_something_moves_the_times_of_the_directory(mount: Path, kind: str):
    before = os.stat(mount)
    tick()

    match kind:
        case "file":
            create(mount / "f")
        case "directory":
            os.mkdir(mount / "f")
        case _:
            os.symlink("x", mount / "f")

    after = os.stat(mount)
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ctime_ns > before.st_ctime_ns


def test_each_of_many_members_is_listed_once(mount: Path):
    wanted = [f"{n:04}-{'x' * (n % 200)}" for n in range(600)]
    for name in wanted:
        os.mkdir(mount / name)

    assert sorted(os.listdir(mount)) == wanted


def test_members_that_stay_are_listed_once_while_others_come_and_go(mount: Path):
    for n in range(300):
        os.mkdir(mount / f"stays-{n:03}")
    seen: list[str] = []

    with os.scandir(mount) as entries:
        for n, entry in enumerate(entries):
            seen.append(entry.name)
            if n % 10 == 0:
                os.mkdir(mount / f"comes-{n:03}")

    assert sorted(name for name in seen if name.startswith("stays")) == [f"stays-{n:03}" for n in range(300)]


def test_removing_each_member_as_it_is_listed_leaves_none(mount: Path):
    for n in range(300):
        os.mkdir(mount / f"{n:03}")

    with os.scandir(mount) as entries:
        for entry in entries:
            os.rmdir(entry.path)

    assert os.listdir(mount) == []


def test_a_listing_tells_kinds_and_inodes_as_stat_does(mount: Path):
    create(mount / "file")
    os.mkdir(mount / "directory")
    os.symlink("file", mount / "symlink")
    os.mkfifo(mount / "fifo")

    with os.scandir(mount) as entries:
        listed = {
            entry.name: (entry.inode(), entry.is_file(follow_symlinks=False), entry.is_dir(), entry.is_symlink())
            for entry in entries
        }

    inode = {name: os.lstat(mount / name).st_ino for name in os.listdir(mount)}
    assert listed == {
        "file": (inode["file"], True, False, False),
        "directory": (inode["directory"], False, True, False),
        "symlink": (inode["symlink"], False, False, True),
        "fifo": (inode["fifo"], False, False, False),
    }


def test_a_listing_shows_a_member_that_was_just_made(mount: Path):
    os.listdir(mount)

    create(mount / "f")

    assert os.listdir(mount) == ["f"]


def test_a_listing_shows_no_member_that_was_just_removed(mount: Path):
    create(mount / "f")
    os.listdir(mount)

    os.unlink(mount / "f")

    assert os.listdir(mount) == []


def test_a_file_is_not_listed(mount: Path):
    create(mount / "f")

    with refused(errno.ENOTDIR):
        os.listdir(mount / "f")


def test_what_is_not_there_is_not_listed(mount: Path):
    with refused(errno.ENOENT):
        os.listdir(mount / "nothing")


def test_the_parent_is_above(mount: Path):
    os.mkdir(mount / "d")

    assert os.stat(f"{mount}/d/..").st_ino == os.stat(mount).st_ino


def test_deep_directories_are_reached(mount: Path):
    deep = mount.joinpath(*["d"] * 60)

    os.makedirs(deep)
    create(deep / "f", b"deep")

    assert (deep / "f").read_bytes() == b"deep"


def test_the_working_directory_is_known(mount: Path):
    os.mkdir(mount / "d")
    here = os.getcwd()
    os.chdir(mount / "d")
    try:
        os.rename(mount / "d", mount / "e")
        assert os.getcwd() == str(mount / "e")
    finally:
        os.chdir(here)


def test_a_directory_is_never_without_size_or_blocks_that_tools_choke_on(mount: Path):
    status = os.stat(mount)

    assert status.st_size >= 0
    assert status.st_blksize >= 512


@pytest.mark.parametrize(("members", "links"), [(63, 65), (64, 66), (65, 1)])
def test_the_links_of_a_directory_are_counted_up_to_64_members(mount: Path, members: int, links: int):
    for n in range(members):
        os.makedirs(mount / "d" / str(n))

    assert os.stat(mount / "d").st_nlink == links
