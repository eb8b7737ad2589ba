"""`davstore mount` from beginning to end: what it shows, how it ends, and how it says what is wrong."""

import errno
import os
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.actor import Actor
from tests.fuse.calls import create, opened, refused, renameat2
from tests.fuse.conftest import NOBODY
from tests.parts import mount as mounts
from tests.parts.mount import Mount
from tests.parts.stores import installed
from tests.parts.tools import tool
from tests.survival.drive import davstore, drafts, fsck

Start = Callable[..., Mount]

KERNEL = 1.2
"""Seconds after which the kernel asks again for attributes, by default."""
CONFIGURATION = """
[buckets.files]
[buckets.rationed]
quota = "1 MiB"
[buckets.narrow]
max_size = "100 KiB"
[buckets.pictures]
types = ["image/*"]
[buckets.final]
trash = false
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    installed(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def configured(start: Start, tmp_path: Path) -> Mount:
    """All buckets, with policies that refuse things."""
    (tmp_path / "davstore.toml").write_text(CONFIGURATION)
    return start("--config", str(tmp_path / "davstore.toml"))


def test_a_mount_ends_when_it_is_unmounted(start: Start):
    mount = start("--bucket", "files")
    (mount.point / "f").write_bytes(b"data")

    mount.unmount()

    assert os.listdir(mount.point) == []
    fsck(mount.data)


def test_a_mount_ends_when_it_is_told(start: Start):
    mount = start("--bucket", "files")

    mount.terminate()

    assert not mounts.is_mounted(mount.point)


def test_what_is_written_and_not_closed_is_kept_when_the_mount_is_told_to_end(start: Start):
    mount = start("--bucket", "files")
    fd = os.open(mount.point / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"not closed")

    mount.terminate()

    with refused(errno.ENOTCONN, errno.EIO, errno.EBADF):
        os.write(fd, b"more")
        os.close(fd)
    again = start("--bucket", "files")
    assert (again.point / "f").read_bytes() == b"not closed"


def test_a_mount_without_its_helper_program_ends_as_well(start: Start, tmp_path: Path):
    """For root, libfuse needs no fusermount3."""
    mount = start("--bucket", "files", environ={"PATH": str(tmp_path)})
    fd = os.open(mount.point / "f", os.O_WRONLY | os.O_CREAT)
    os.write(fd, b"not closed")

    mount.terminate()

    with refused(errno.ENOTCONN, errno.EIO, errno.EBADF):
        os.write(fd, b"more")
        os.close(fd)
    assert "Traceback" not in mount.log_text()
    again = start("--bucket", "files")
    assert (again.point / "f").read_bytes() == b"not closed"


def test_all_buckets_are_shown(configured: Mount):
    assert sorted(os.listdir(configured.point)) == ["files", "final", "narrow", "pictures", "rationed"]


def test_one_bucket_is_shown(start: Start):
    mount = start("--bucket", "files")

    create(mount.point / "f", b"data")

    assert os.listdir(mount.point) == ["f"]


def test_buckets_are_not_made_renamed_or_removed_here(configured: Mount):
    for act in (
        lambda: os.mkdir(configured.point / "new"),
        lambda: create(configured.point / "new"),
        lambda: os.rmdir(configured.point / "files"),
        lambda: os.rename(configured.point / "files", configured.point / "other"),
    ):
        with refused(errno.EACCES, errno.EPERM, errno.EBUSY):
            act()


def test_nothing_moves_between_buckets_by_itself(configured: Mount):
    create(configured.point / "files" / "f", b"data")

    for act in (os.rename, os.link):
        with refused(errno.EXDEV):
            act(configured.point / "files" / "f", configured.point / "final" / "f")
    subprocess.run([tool("mv"), configured.point / "files" / "f", configured.point / "final" / "f"], check=True)
    assert (configured.point / "final" / "f").read_bytes() == b"data"


def test_what_is_over_the_quota_is_refused_and_the_rest_stays(configured: Mount):
    bucket = configured.point / "rationed"
    (bucket / "kept").write_bytes(b"x" * 400_000)

    with refused(errno.EDQUOT, errno.ENOSPC):
        (bucket / "f").write_bytes(b"y" * 900_000)

    assert (bucket / "kept").read_bytes() == b"x" * 400_000
    if (bucket / "f").exists():
        os.unlink(bucket / "f")


def test_a_rewrite_over_the_quota_leaves_the_old_content(configured: Mount):
    file = configured.point / "rationed" / "f"
    file.write_bytes(b"x" * 1000)

    with refused(errno.EDQUOT, errno.ENOSPC):
        file.write_bytes(b"y" * 2_000_000)

    configured.unmount()
    with Mount(configured.point, configured.data, "--bucket", "rationed") as again:
        assert (again.point / "f").read_bytes() == b"x" * 1000
    assert not drafts(configured.data)


def test_the_room_of_a_bucket_is_its_quota(configured: Mount):
    (configured.point / "rationed" / "f").write_bytes(b"x" * 500_000)

    told = os.statvfs(configured.point / "rationed" / "f")

    assert told.f_bavail * told.f_frsize <= (1 << 20) - 500_000
    assert told.f_blocks * told.f_frsize <= (1 << 20) + 4096


def test_what_is_too_large_is_refused(configured: Mount):
    with refused(errno.EFBIG):
        (configured.point / "narrow" / "f").write_bytes(b"x" * 200_000)


def test_what_is_of_another_type_is_refused(configured: Mount):
    with refused(errno.EINVAL):
        (configured.point / "pictures" / "f.txt").write_bytes(b"no picture at all")


def test_unlinked_files_go_to_the_trash(start: Start):
    mount = start("--bucket", "files")
    (mount.point / "f").write_bytes(b"data")

    os.unlink(mount.point / "f")

    told = davstore("trash", "ls", "--json", "--data", mount.data)
    assert '"f"' in told.stdout or "/files/f" in told.stdout


def test_unlinked_files_are_gone_where_the_bucket_has_no_trash(configured: Mount, tmp_path: Path):
    (configured.point / "final" / "f").write_bytes(b"data")

    os.unlink(configured.point / "final" / "f")

    told = davstore("trash", "ls", "--json", "--config", tmp_path / "davstore.toml", "--data", configured.data)
    assert "final" not in told.stdout


@pytest.mark.parametrize("kind", ["file", "fifo", "link", "renamed over"])
def test_what_is_gone_for_good_is_seen_by_whoever_holds_it(configured: Mount, kind: str):
    """O_PATH opens nothing: the file system hears of it only when it is asked."""
    path = configured.point / "final" / "it"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        os.symlink("nowhere", path)
    else:
        create(path, b"data")
    before = os.lstat(path)

    with opened(path, os.O_PATH | os.O_NOFOLLOW) as fd:
        if kind == "renamed over":
            create(path.with_name("other"), b"other")
            os.rename(path.with_name("other"), path)
        else:
            os.unlink(path)
            create(path, b"another")
        time.sleep(KERNEL)
        seen = os.fstat(fd)

        assert (seen.st_mode, seen.st_size, seen.st_nlink) == (before.st_mode, before.st_size, 0)
        assert os.stat(path).st_ino != seen.st_ino


def test_who_opens_what_is_gone_with_its_bytes_is_told_to_look_again(configured: Mount, tmp_path: Path):
    """`open` of a path asks for the name once more at ESTALE; here there is only the descriptor."""
    path = configured.point / "final" / "f"
    create(path, b"data" * 100_000)

    with opened(path, os.O_PATH) as fd:
        os.unlink(path)
        at = ("--config", tmp_path / "davstore.toml", "--data", configured.data)
        davstore("gc", "run", "--grace", "0s", "--retention", "0s", *at)
        with refused(errno.ESTALE):
            os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)


@pytest.mark.parametrize("bucket", ["files", "final"])
def test_an_unlinked_file_has_attributes_of_its_own(configured: Mount, bucket: str):
    path = configured.point / bucket / "f"
    create(path, b"data")
    os.setxattr(path, "user.before", b"1")

    with opened(path) as fd:
        os.unlink(path)
        os.setxattr(fd, "user.after", b"2")

        assert sorted(os.listxattr(fd)) == ["user.after", "user.before"]
        assert os.getxattr(fd, "user.before") == b"1"
        os.removexattr(fd, "user.before")
        assert os.listxattr(fd) == ["user.after"]
        create(path, b"another")
        assert os.listxattr(path) == []


def test_a_mount_for_reading_changes_nothing(start: Start):
    first = start("--bucket", "files")
    (first.point / "f").write_bytes(b"data")
    (first.point / "d").mkdir()
    first.unmount()
    mount = start("--bucket", "files", "--read-only")
    f, d, new = mount.point / "f", mount.point / "d", mount.point / "new"

    assert f.read_bytes() == b"data"
    for act in (
        lambda: os.open(f, os.O_RDWR),
        lambda: create(new),
        lambda: os.mkdir(new),
        lambda: os.symlink("x", new),
        lambda: os.link(f, new),
        lambda: os.rename(f, new),
        lambda: renameat2(f, d, 2),
        lambda: os.unlink(f),
        lambda: os.rmdir(d),
        lambda: os.chmod(f, 0o600),
        lambda: os.chown(f, 1, 1),
        lambda: os.utime(f),
        lambda: os.truncate(f, 0),
        lambda: os.setxattr(f, "user.a", b"1"),
    ):
        with refused(errno.EROFS):
            act()
    assert sorted(os.listdir(mount.point)) == ["d", "f"]


def test_what_is_written_has_the_name_of_its_author(start: Start):
    mount = start("--bucket", "files", "--user", "ann")
    (mount.point / "f").write_bytes(b"first")
    (mount.point / "f").write_bytes(b"second")

    told = davstore("versions", "ls", "/files/f", "--json", "--data", mount.data)

    assert '"ann"' in told.stdout


def test_others_are_kept_out(start: Start):
    mount = start("--bucket", "files")
    mount.point.chmod(0o777)

    with pytest.raises((EOFError, BrokenPipeError)), Actor(mount.point, NOBODY, NOBODY) as nobody:
        nobody("listdir", ".")


def test_others_are_let_in_where_they_may(start: Start):
    mount = start("--bucket", "files", "--allow-other")

    with Actor(mount.point, NOBODY, NOBODY) as nobody:
        assert nobody("listdir", ".") == []


def test_two_mounts_of_one_tree_end_apart(start: Start):
    one, two = start("--bucket", "files"), start("--bucket", "files")
    (one.point / "f").write_bytes(b"data")

    one.unmount()

    assert (two.point / "f").read_bytes() == b"data"


def test_a_broken_mount_comes_back_by_mounting_again(start: Start):
    mount = start("--bucket", "files")
    (mount.point / "f").write_bytes(b"data")
    mount.kill9()
    with refused(errno.ENOTCONN):
        os.listdir(mount.point)

    again = Mount(mount.point, mount.data, "--bucket", "files")
    again.clears = False
    with again:
        assert (again.point / "f").read_bytes() == b"data"


def test_the_inodes_of_files_are_the_same_at_the_next_mount(start: Start):
    mount = start("--bucket", "files")
    create(mount.point / "f")
    (mount.point / "d").mkdir()
    before = {name: os.stat(mount.point / name).st_ino for name in os.listdir(mount.point)}
    mount.unmount()

    with Mount(mount.point, mount.data, "--bucket", "files") as again:
        assert {name: os.stat(again.point / name).st_ino for name in os.listdir(again.point)} == before


def test_attributes_of_files_are_the_same_at_the_next_mount(start: Start):
    mount = start("--bucket", "files")
    create(mount.point / "f", b"data")
    os.chown(mount.point / "f", 4242, 4300)
    os.chmod(mount.point / "f", 0o4751)
    os.utime(mount.point / "f", ns=(5, -7))
    os.mkfifo(mount.point / "fifo")
    os.symlink("f", mount.point / "link")
    mount.unmount()

    with Mount(mount.point, mount.data, "--bucket", "files") as again:
        status = os.stat(again.point / "f")
        assert (status.st_uid, status.st_gid, status.st_mtime_ns) == (4242, 4300, -7)
        assert stat.S_IMODE(status.st_mode) == 0o4751
        assert stat.S_ISFIFO(os.stat(again.point / "fifo").st_mode)
        assert os.readlink(again.point / "link") == "f"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("{tmp}/nowhere",), "nowhere"),
        (("{tmp}/file",), "file"),
        (("{tmp}/mnt", "--bucket", "missing"), "missing"),
        (("{tmp}/mnt", "--attr-timeout", "-1"), "attr-timeout"),
        (("{tmp}/mnt", "--attr-timeout", "soon"), "attr-timeout"),
        ((), "MOUNTPOINT"),
    ],
    ids=["no such directory", "a file", "no such bucket", "a negative time", "no time", "no mount point"],
)
def test_what_is_wrong_is_named(data: Path, tmp_path: Path, words: tuple[str, ...], named: str):
    (tmp_path / "mnt").mkdir()
    (tmp_path / "file").touch()

    told = davstore("mount", *(word.format(tmp=tmp_path) for word in words), "--data", data)

    assert told.returncode in {1, 2, 3}
    assert named in told.stderr.splitlines()[-1]
    assert "Traceback" not in told.stderr


def test_a_missing_device_is_named_with_the_remedy(data: Path, tmp_path: Path):
    """In a mount namespace of its own, /dev/fuse is missing."""
    (tmp_path / "mnt").mkdir()
    script = 'mount -t tmpfs none /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && exec "$@"'
    hidden = (tool("unshare", "util-linux"), "--mount", "sh", "-c", script, "sh")

    told = davstore("mount", tmp_path / "mnt", "--data", data, wrapper=hidden)

    assert told.returncode == 3
    assert "/dev/fuse" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_missing_library_is_named_with_the_remedy(data: Path, tmp_path: Path):
    (tmp_path / "mnt").mkdir()
    script = 'for file in /lib/*/libfuse3.so* /usr/lib/*/libfuse3.so*; do mount --bind /dev/null $file; done; exec "$@"'
    hidden = (tool("unshare", "util-linux"), "--mount", "sh", "-c", script, "sh")

    told = davstore("mount", tmp_path / "mnt", "--data", data, wrapper=hidden)

    assert told.returncode == 3
    assert "libfuse" in told.stderr
    assert "Traceback" not in told.stderr
