"""read, write, truncate, append: what bytes a file has."""

import errno
import os
from pathlib import Path

import pytest

from tests.fuse.calls import create, opened, refused, tick

MIB = 1 << 20
NEW = os.O_RDWR | os.O_CREAT
APPEND = os.O_WRONLY | os.O_APPEND


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 65535, 65536, 65537, MIB - 1, MIB, MIB + 1, 3 * MIB + 17])
def test_what_was_written_is_read(mount: Path, size: int):
    data = os.urandom(size)

    create(mount / "f", data)

    assert (mount / "f").read_bytes() == data
    assert os.stat(mount / "f").st_size == size


def test_what_was_written_is_read_before_it_is_closed(mount: Path):
    with opened(mount / "f", NEW) as writer, opened(mount / "f", os.O_RDONLY) as reader:
        os.write(writer, b"not closed")

        assert os.read(reader, 20) == b"not closed"


def test_the_size_of_an_unfinished_file_is_known(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"12345")

        assert os.stat(mount / "f").st_size == 5
        assert os.fstat(fd).st_size == 5


def test_two_handles_write_into_one_file(mount: Path):
    with opened(mount / "f", NEW) as one, opened(mount / "f") as two:
        os.pwrite(one, b"aaaa", 0)
        os.pwrite(two, b"bb", 1)

    assert (mount / "f").read_bytes() == b"abba"


def test_a_write_in_the_middle_leaves_the_rest(mount: Path):
    data = bytearray(os.urandom(300_000))
    create(mount / "f", data)

    with opened(mount / "f") as fd:
        os.pwrite(fd, b"changed", 131_000)

    data[131_000:131_007] = b"changed"
    assert (mount / "f").read_bytes() == data


def test_a_write_of_nothing_changes_nothing(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        assert os.write(fd, b"") == 0

    assert (mount / "f").read_bytes() == b"data"


def test_a_read_at_the_end_gives_nothing(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        assert os.pread(fd, 10, 4) == b""


def test_a_read_beyond_the_end_gives_nothing(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        assert os.pread(fd, 10, 10_000) == b""


def test_a_read_across_the_end_is_short(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f") as fd:
        assert os.pread(fd, 10, 2) == b"ta"


def test_scattered_buffers_are_written_and_read_in_order(mount: Path):
    parts = [bytearray(3), bytearray(4)]
    with opened(mount / "f", NEW) as fd:
        os.writev(fd, [b"one", b"four"])
        os.preadv(fd, parts, 0)

    assert parts == [b"one", b"four"]


def test_appending_goes_to_the_end(mount: Path):
    create(mount / "f", b"one")

    with opened(mount / "f", APPEND) as fd:
        os.write(fd, b" two")

    assert (mount / "f").read_bytes() == b"one two"


def test_two_that_append_do_not_overwrite_each_other(mount: Path):
    create(mount / "f")

    with opened(mount / "f", APPEND) as one, opened(mount / "f", APPEND) as two:
        for n in range(10):
            os.write(one, b"a%d" % n)
            os.write(two, b"b%d" % n)

    assert (mount / "f").read_bytes() == b"".join(b"a%db%d" % (n, n) for n in range(10))


def test_appending_ignores_where_the_handle_stands(mount: Path):
    create(mount / "f", b"one")

    with opened(mount / "f", os.O_RDWR | os.O_APPEND) as fd:
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b" two")

    assert (mount / "f").read_bytes() == b"one two"


def test_appending_follows_a_truncation(mount: Path):
    create(mount / "f", b"a long one")

    with opened(mount / "f", APPEND) as fd:
        os.truncate(mount / "f", 1)
        os.write(fd, b"nother")

    assert (mount / "f").read_bytes() == b"another"


def test_truncation_cuts(mount: Path):
    create(mount / "f", b"0123456789")

    os.truncate(mount / "f", 4)

    assert (mount / "f").read_bytes() == b"0123"


def test_truncation_lengthens_with_zeros(mount: Path):
    create(mount / "f", b"01")

    os.truncate(mount / "f", 5)

    assert (mount / "f").read_bytes() == b"01\0\0\0"


def test_truncation_to_the_same_size_keeps_all(mount: Path):
    create(mount / "f", b"01")

    os.truncate(mount / "f", 2)

    assert (mount / "f").read_bytes() == b"01"


def test_what_was_cut_does_not_come_back(mount: Path):
    create(mount / "f", b"x" * 100_000)

    os.truncate(mount / "f", 10)
    os.truncate(mount / "f", 100_000)

    assert (mount / "f").read_bytes() == b"x" * 10 + bytes(99_990)


def test_a_handle_truncates_its_file(mount: Path):
    create(mount / "f", b"0123456789")

    with opened(mount / "f") as fd:
        os.ftruncate(fd, 3)

        assert os.fstat(fd).st_size == 3
    assert (mount / "f").read_bytes() == b"012"


def test_truncation_by_path_is_seen_by_an_open_handle(mount: Path):
    create(mount / "f", b"0123456789")

    with opened(mount / "f") as fd:
        os.truncate(mount / "f", 3)

        assert os.pread(fd, 10, 0) == b"012"


def test_truncation_of_an_unfinished_file_is_kept(mount: Path):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"0123456789")
        os.truncate(mount / "f", 4)
        os.pwrite(fd, b"X", 1)

    assert (mount / "f").read_bytes() == b"0X23"


def test_truncation_moves_the_times_of_content_and_change(mount: Path):
    create(mount / "f", b"0123456789")
    before = os.stat(mount / "f")
    tick()

    os.truncate(mount / "f", 4)

    after = os.stat(mount / "f")
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ctime_ns > before.st_ctime_ns


def test_truncation_of_a_directory_is_refused(mount: Path):
    with refused(errno.EISDIR):
        os.truncate(mount, 0)


def test_truncation_of_nothing_is_refused(mount: Path):
    with refused(errno.ENOENT):
        os.truncate(mount / "nothing", 0)


def test_truncation_to_less_than_nothing_is_refused(mount: Path):
    create(mount / "f", b"data")

    with refused(errno.EINVAL):
        os.truncate(mount / "f", -1)


def test_truncation_needs_a_handle_for_writing(mount: Path):
    create(mount / "f", b"data")

    with opened(mount / "f", os.O_RDONLY) as fd, refused(errno.EINVAL, errno.EBADF):
        os.ftruncate(fd, 0)


def test_a_handle_may_stand_beyond_the_end(mount: Path):
    create(mount / "f", b"x" * 10)

    with opened(mount / "f") as fd:
        assert os.lseek(fd, 100, os.SEEK_SET) == 100
        assert os.fstat(fd).st_size == 10


def test_a_handle_finds_the_end(mount: Path):
    create(mount / "f", b"x" * 10)

    with opened(mount / "f") as fd:
        assert os.lseek(fd, -3, os.SEEK_END) == 7


def test_files_are_larger_than_four_gib(mount: Path):
    where = 5 << 30
    with opened(mount / "f", NEW) as fd:
        os.pwrite(fd, b"far", where)

        assert os.fstat(fd).st_size == where + 3
        assert os.pread(fd, 10, where - 2) == b"\0\0far"
        os.ftruncate(fd, 0)


@pytest.mark.parametrize("size", [1000, 5 * MIB])
def test_a_part_is_copied_by_the_kernel(mount: Path, size: int):
    data = os.urandom(size)
    create(mount / "from", data)

    with opened(mount / "from", os.O_RDONLY) as source, opened(mount / "to", NEW) as target:
        copied = 0
        while copied < size - 10 and (step := os.copy_file_range(source, target, size - 10 - copied)):
            copied += step

    assert (mount / "to").read_bytes() == data[: size - 10]


@pytest.mark.parametrize(("start", "at"), [(0, 0), (MIB, 0), (17, 3 * MIB), (2 * MIB, MIB // 2)])
def test_a_part_is_copied_into_the_middle_of_another(mount: Path, start: int, at: int):
    data, other = os.urandom(5 * MIB), os.urandom(2 * MIB)
    create(mount / "from", data)
    create(mount / "to", other)

    with opened(mount / "from", os.O_RDONLY) as source, opened(mount / "to") as target:
        done = 0
        while step := os.copy_file_range(source, target, 2 * MIB - done, start + done, at + done):
            done += step

    expected = bytearray(max(len(other), at + 2 * MIB))
    expected[: len(other)] = other
    expected[at : at + 2 * MIB] = data[start : start + 2 * MIB]
    assert (mount / "to").read_bytes() == expected


def test_a_part_is_copied_within_a_file(mount: Path):
    data = os.urandom(3 * MIB)
    create(mount / "f", data)

    with opened(mount / "f") as fd:
        assert os.copy_file_range(fd, fd, MIB, 0, 4 * MIB) == MIB

    assert (mount / "f").read_bytes() == data + bytes(MIB) + data[:MIB]


def test_nothing_is_copied_from_beyond_the_end(mount: Path):
    create(mount / "from", b"x" * 200_000)

    with opened(mount / "from", os.O_RDONLY) as source, opened(mount / "to", NEW) as target:
        assert os.copy_file_range(source, target, 1000, 300_000, 10) == 0

    assert os.stat(mount / "to").st_size == 0


def test_sendfile_reads_from_a_file(mount: Path):
    data = os.urandom(200_000)
    create(mount / "from", data)

    with opened(mount / "from", os.O_RDONLY) as source, opened(mount / "to", NEW) as target:
        sent = 0
        while sent < len(data):
            sent += os.sendfile(target, source, sent, len(data) - sent)

    assert (mount / "to").read_bytes() == data


def test_a_write_moves_the_times_of_content_and_change(mount: Path):
    create(mount / "f", b"data")
    before = os.stat(mount / "f")
    tick()

    (mount / "f").write_bytes(b"other")

    after = os.stat(mount / "f")
    assert after.st_mtime_ns > before.st_mtime_ns
    assert after.st_ctime_ns > before.st_ctime_ns


def test_a_handle_with_o_sync_writes(mount: Path):
    with opened(mount / "f", NEW | os.O_SYNC) as fd:
        os.write(fd, b"data")

    assert (mount / "f").read_bytes() == b"data"


@pytest.mark.parametrize("sync", [os.fsync, os.fdatasync])
def test_an_unfinished_file_is_synchronised_and_goes_on(mount: Path, sync: object):
    with opened(mount / "f", NEW) as fd:
        os.write(fd, b"one")
        sync(fd)  # pyright: ignore[reportCallIssue]
        os.write(fd, b" two")

    assert (mount / "f").read_bytes() == b"one two"


def test_a_duplicated_handle_outlives_the_first(mount: Path):
    fd = os.open(mount / "f", NEW)
    again = os.dup(fd)
    os.write(fd, b"one")
    os.close(fd)
    os.write(again, b" two")
    os.close(again)

    assert (mount / "f").read_bytes() == b"one two"


def test_a_program_on_the_mount_runs(mount: Path):
    create(mount / "program", b"#!/bin/sh\necho it runs\n", mode=0o755)

    with os.popen(str(mount / "program")) as run:
        assert run.read() == "it runs\n"
