"""rename(2)."""

import errno
import os
import threading
from pathlib import Path

import pytest

from tests.fuse.calls import create, opened, refused, tick


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_has_its_new_name_only(mount: Path):
    create(mount / "a", b"data")

    os.rename(mount / "a", mount / "b")

    assert names(mount) == ["b"]
    assert (mount / "b").read_bytes() == b"data"


def test_a_renamed_file_is_the_same_file(mount: Path):
    create(mount / "a", b"data")
    before = os.stat(mount / "a")

    os.rename(mount / "a", mount / "b")

    after = os.stat(mount / "b")
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)


def test_a_file_takes_the_place_of_another(mount: Path):
    create(mount / "a", b"new")
    create(mount / "b", b"old")

    os.rename(mount / "a", mount / "b")

    assert names(mount) == ["b"]
    assert (mount / "b").read_bytes() == b"new"


def test_the_file_that_takes_a_place_keeps_its_inode(mount: Path):
    create(mount / "a", b"new")
    create(mount / "b", b"old")
    inode = os.stat(mount / "a").st_ino

    os.rename(mount / "a", mount / "b")

    assert os.stat(mount / "b").st_ino == inode


def test_a_handle_of_a_replaced_file_reads_the_old_bytes(mount: Path):
    create(mount / "a", b"new")
    create(mount / "b", b"old")

    with opened(mount / "b", os.O_RDONLY) as fd:
        os.rename(mount / "a", mount / "b")

        assert os.read(fd, 10) == b"old"


def test_a_replaced_file_has_no_links(mount: Path):
    create(mount / "a", b"new")
    create(mount / "b", b"old")

    with opened(mount / "b", os.O_RDONLY) as fd:
        os.rename(mount / "a", mount / "b")

        assert os.fstat(fd).st_nlink == 0


def test_a_handle_of_the_renamed_file_writes_under_the_new_name(mount: Path):
    create(mount / "a", b"one")

    with opened(mount / "a", os.O_WRONLY | os.O_APPEND) as fd:
        os.rename(mount / "a", mount / "b")
        os.write(fd, b" two")

    assert (mount / "b").read_bytes() == b"one two"
    assert names(mount) == ["b"]


def test_an_unfinished_file_is_renamed(mount: Path):
    with opened(mount / "a", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"one")
        os.rename(mount / "a", mount / "b")
        os.write(fd, b" two")

    assert (mount / "b").read_bytes() == b"one two"


def test_an_unfinished_file_takes_the_place_of_another(mount: Path):
    create(mount / "b", b"old")

    with opened(mount / "a", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"new")
        os.rename(mount / "a", mount / "b")

        assert (mount / "b").read_bytes() == b"new"
    assert names(mount) == ["b"]
    assert (mount / "b").read_bytes() == b"new"


def test_a_file_in_the_place_of_one_being_written_stays(mount: Path):
    create(mount / "a", b"new")

    with opened(mount / "b", os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, b"old")
        os.rename(mount / "a", mount / "b")
        os.write(fd, b" and more")

    assert (mount / "b").read_bytes() == b"new"


@pytest.mark.parametrize("content", [b"", b"old", b"old" * 100_000], ids=["empty", "inline", "a blob"])
def test_who_found_a_file_before_another_took_its_place_reads_what_was_there(mount: Path, content: bytes):
    """O_PATH is the lookup; the file is opened afterwards, without another one."""
    create(mount / "f", content)
    create(mount / "new", b"another")

    with opened(mount / "f", os.O_PATH) as fd:
        os.rename(mount / "new", mount / "f")
        found = Path(f"/proc/self/fd/{fd}").read_bytes()

    assert found == content
    assert (mount / "f").read_bytes() == b"another"


def test_a_reader_never_misses_a_file_that_is_replaced(mount: Path):
    create(mount / "f", b"0")
    missing: list[OSError] = []

    def look() -> None:
        try:
            while not done.is_set():
                assert (mount / "f").read_bytes()
        except OSError as error:
            missing.append(error)

    done = threading.Event()
    reader = threading.Thread(target=look)
    reader.start()
    for n in range(30):
        create(mount / "new", b"%d" % n)
        os.rename(mount / "new", mount / "f")
    done.set()
    reader.join()

    assert not missing


def test_a_file_moves_to_another_directory(mount: Path):
    (mount / "d").mkdir()
    create(mount / "a", b"data")

    os.rename(mount / "a", mount / "d" / "a")

    assert (names(mount), names(mount / "d")) == (["d"], ["a"])


def test_a_directory_takes_what_is_in_it_along(mount: Path):
    (mount / "a" / "inner").mkdir(parents=True)
    create(mount / "a" / "inner" / "f", b"data")

    os.rename(mount / "a", mount / "b")

    assert (mount / "b" / "inner" / "f").read_bytes() == b"data"


def test_a_directory_takes_the_place_of_an_empty_one(mount: Path):
    (mount / "a" / "inner").mkdir(parents=True)
    (mount / "b").mkdir()

    os.rename(mount / "a", mount / "b")

    assert names(mount / "b") == ["inner"]
    assert names(mount) == ["b"]


def test_a_directory_does_not_replace_one_with_members(mount: Path):
    (mount / "a").mkdir()
    (mount / "b" / "inner").mkdir(parents=True)

    with refused(errno.ENOTEMPTY, errno.EEXIST):
        os.rename(mount / "a", mount / "b")
    assert names(mount) == ["a", "b"]


def test_a_directory_does_not_replace_a_file(mount: Path):
    (mount / "a").mkdir()
    create(mount / "b")

    with refused(errno.ENOTDIR):
        os.rename(mount / "a", mount / "b")


def test_a_file_does_not_replace_a_directory(mount: Path):
    create(mount / "a")
    (mount / "b").mkdir()

    with refused(errno.EISDIR):
        os.rename(mount / "a", mount / "b")


def test_a_directory_does_not_move_into_itself(mount: Path):
    (mount / "a" / "inner").mkdir(parents=True)

    with refused(errno.EINVAL):
        os.rename(mount / "a", mount / "a" / "inner" / "a")


def test_a_directory_does_not_replace_what_it_is_in(mount: Path):
    (mount / "a" / "inner").mkdir(parents=True)

    with refused(errno.ENOTEMPTY):
        os.rename(mount / "a" / "inner", mount / "a")


def test_a_rename_to_the_same_name_changes_nothing(mount: Path):
    create(mount / "a", b"data")

    os.rename(mount / "a", mount / "a")

    assert (mount / "a").read_bytes() == b"data"


def test_a_rename_onto_another_name_of_the_file_changes_nothing(mount: Path):
    create(mount / "a", b"data")
    os.link(mount / "a", mount / "b")

    os.rename(mount / "a", mount / "b")

    assert names(mount) == ["a", "b"]
    assert os.stat(mount / "a").st_nlink == 2


def test_a_rename_over_one_of_several_names_leaves_the_others(mount: Path):
    create(mount / "a", b"new")
    create(mount / "b", b"old")
    os.link(mount / "b", mount / "c")

    os.rename(mount / "a", mount / "b")

    assert (mount / "c").read_bytes() == b"old"
    assert os.stat(mount / "c").st_nlink == 1


def test_what_is_not_there_cannot_be_renamed(mount: Path):
    with refused(errno.ENOENT):
        os.rename(mount / "nothing", mount / "b")


def test_nothing_moves_below_a_missing_directory(mount: Path):
    create(mount / "a")

    with refused(errno.ENOENT):
        os.rename(mount / "a", mount / "nothing" / "a")


def test_nothing_moves_below_a_file(mount: Path):
    create(mount / "a")
    create(mount / "b")

    with refused(errno.ENOTDIR):
        os.rename(mount / "a", mount / "b" / "a")


def test_a_symlink_itself_is_renamed(mount: Path):
    create(mount / "f", b"data")
    os.symlink("f", mount / "a")

    os.rename(mount / "a", mount / "b")

    assert os.readlink(mount / "b") == "f"
    assert names(mount) == ["b", "f"]


def test_a_symlink_is_replaced_and_not_its_target(mount: Path):
    create(mount / "f", b"data")
    create(mount / "a", b"new")
    os.symlink("f", mount / "link")

    os.rename(mount / "a", mount / "link")

    assert not (mount / "link").is_symlink()
    assert (mount / "f").read_bytes() == b"data"


def test_upper_and_lower_case_are_different_names(mount: Path):
    create(mount / "name", b"data")

    os.rename(mount / "name", mount / "Name")

    assert names(mount) == ["Name"]


def test_a_rename_moves_the_times_of_both_directories(mount: Path):
    (mount / "from").mkdir()
    (mount / "to").mkdir()
    create(mount / "from" / "a")
    before = [os.stat(mount / name).st_mtime_ns for name in ("from", "to")]
    tick()

    os.rename(mount / "from" / "a", mount / "to" / "a")

    after = [os.stat(mount / name).st_mtime_ns for name in ("from", "to")]
    assert all(new > old for old, new in zip(before, after, strict=True))


def test_a_rename_moves_the_time_of_the_change_and_not_of_the_content(mount: Path):
    create(mount / "a", b"data")
    before = os.stat(mount / "a")
    tick()

    os.rename(mount / "a", mount / "b")

    after = os.stat(mount / "b")
    assert after.st_mtime_ns == before.st_mtime_ns
    assert after.st_ctime_ns > before.st_ctime_ns


def test_a_directory_that_moves_takes_its_link_to_the_parent_along(mount: Path):
    for name in ("from", "to", "from/d"):
        (mount / name).mkdir()

    os.rename(mount / "from" / "d", mount / "to" / "d")

    assert [os.stat(mount / name).st_nlink for name in ("from", "to")] == [2, 3]
    assert os.stat(mount / "to" / "d" / "..").st_ino == os.stat(mount / "to").st_ino


def test_a_save_by_rename_is_complete(mount: Path):
    create(mount / "document", b"old")

    with opened(mount / "document.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL) as fd:
        os.write(fd, b"new")
        os.fsync(fd)
    os.rename(mount / "document.tmp", mount / "document")
    with opened(mount, os.O_RDONLY | os.O_DIRECTORY) as top:
        os.fsync(top)

    assert (mount / "document").read_bytes() == b"new"
    assert names(mount) == ["document"]
