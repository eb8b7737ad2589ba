"""Programs that people use do on the mount what they do on a disk."""

import io
import os
import sqlite3
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.fuse.calls import opened
from tests.parts.scale import SOAKING, soak
from tests.parts.tools import tool

pytestmark = pytest.mark.timeout(soak(300, 7200))

MIB = 1 << 20
PACKAGES = (".",) if SOAKING else ("json", "email", "asyncio", "logging", "unittest")
FILES = soak(60, 1800)
WHEEL = {
    "worked/__init__.py": "from worked.inner import answer\n",
    "worked/inner/__init__.py": "from .deep import answer\n",
    "worked/inner/deep.py": "answer = 42\n",
    **{f"worked/data/{n:03}.txt": f"{n}\n" * n for n in range(20)},
    "worked-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: worked\nVersion: 1.0\n",
    "worked-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


def run(*words: str | Path, cwd: Path | None = None, **environ: str) -> str:
    """What a program that succeeds prints."""
    done = subprocess.run(words, cwd=cwd, env=os.environ | environ, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source files of Python's own library, with links, modes and times that are not today's."""
    top = tmp_path_factory.mktemp("sources") / "tree"
    library = Path(sysconfig.get_path("stdlib"))
    found = (path for name in PACKAGES for path in sorted((library / name).rglob("*.py")))
    for n, path in zip(range(FILES), found, strict=False):
        copy = top / path.relative_to(library)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        copy.chmod(0o755 if n % 7 == 0 else 0o640)
        os.utime(copy, ns=(n, 1_600_000_000_000_000_001 + n * 1_000_003))
    first = next(path for path in sorted(top.rglob("*.py")))
    os.link(first, top / "hard")
    os.symlink("hard", top / "soft")
    os.symlink("/nowhere/at all", top / "dangling")
    (top / "empty directory").mkdir()
    (top / "empty file").touch()
    os.setxattr(top / "hard", "user.origin", b"https://example.com/?a=b&c")
    return top


def differences(one: Path, two: Path) -> str:
    return run(tool("diff"), "-r", "--no-dereference", one, two)


def test_a_source_tree_is_packed_and_unpacked(mount: Path, sources: Path, tmp_path: Path):
    run(tool("tar"), "-cf", tmp_path / "in.tar", "-C", sources, ".")

    run(tool("tar"), "-xpf", tmp_path / "in.tar", "-C", mount)
    run(tool("tar"), "-cf", tmp_path / "out.tar", "-C", mount, ".")

    assert differences(sources, mount) == ""
    assert run(tool("tar"), "--compare", "-f", tmp_path / "in.tar", "-C", mount) == ""
    assert run(tool("tar"), "--compare", "-f", tmp_path / "out.tar", "-C", sources) == ""


def test_rsync_finds_no_differences_either_way(mount: Path, sources: Path, tmp_path: Path):
    rsync = (tool("rsync"), "-aHX", "--delete")

    run(*rsync, f"{sources}/", f"{mount}/")
    there = run(*rsync, "-n", "-i", "--checksum", f"{sources}/", f"{mount}/")
    run(*rsync, f"{mount}/", f"{tmp_path}/back/")
    back = run(*rsync, "-n", "-i", "--checksum", f"{sources}/", f"{tmp_path}/back/")

    assert (there, back) == ("", "")
    assert differences(sources, tmp_path / "back") == ""


def test_rsync_brings_a_copy_up_to_date(mount: Path, sources: Path, tmp_path: Path):
    work = tmp_path / "work"
    run(tool("rsync"), "-a", f"{sources}/", f"{work}/")
    run(tool("rsync"), "-a", f"{work}/", f"{mount}/")
    (work / "empty file").write_bytes(b"no more")
    (work / "hard").unlink()
    (work / "empty directory").rename(work / "renamed directory")

    run(tool("rsync"), "-a", "--delete", "--inplace", f"{work}/", f"{mount}/")

    assert differences(work, mount) == ""


def test_a_repository_is_cloned_and_worked_in(mount: Path, sources: Path, tmp_path: Path):
    environ = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": str(tmp_path)}
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main")

    def git(*words: str | Path, at: Path) -> str:
        return run(tool("git"), *identity, *words, cwd=at, **environ)

    run(tool("rsync"), "-a", f"{sources}/", f"{tmp_path}/origin/")
    git("init", "-q", at=tmp_path / "origin")
    git("add", "-A", at=tmp_path / "origin")
    git("commit", "-q", "-m", "first", at=tmp_path / "origin")

    git("clone", "-q", "--no-local", tmp_path / "origin", "clone", at=mount)
    clone = mount / "clone"
    for n in range(3):
        (clone / f"new {n}").write_text(f"{n}\n")
        (clone / "empty file").write_text(f"changed {n}\n")
        git("add", "-A", at=clone)
        git("commit", "-q", "-m", f"work {n}", at=clone)
    git("mv", "new 0", "moved", at=clone)
    git("stash", "-q", at=clone)
    git("stash", "pop", "-q", "--index", at=clone)
    git("commit", "-q", "-m", "moved", at=clone)
    git("checkout", "-q", "-b", "other", "HEAD~2", at=clone)
    git("checkout", "-q", "main", at=clone)
    git("gc", "-q", at=clone)
    git("fsck", "--strict", at=clone)

    assert git("status", "--porcelain", at=clone) == ""
    assert git("rev-list", "--count", "HEAD", at=clone) == "5\n"
    assert not list(clone.rglob("*.lock"))


@pytest.mark.parametrize("journal", ["delete", "truncate", "wal"])
def test_a_database_is_kept(mount: Path, journal: str):
    """In WAL mode its index is memory shared by those who have it open: on one mount of one machine."""
    file = mount / "data.db"
    with sqlite3.connect(file) as one, sqlite3.connect(file) as two:
        assert one.execute(f"PRAGMA journal_mode={journal}").fetchone() == (journal,)
        one.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
        one.commit()
        for n in range(soak(15, 1000)):
            writer = (one, two)[n % 2]
            writer.execute("INSERT INTO t VALUES (?, ?)", (n, os.urandom(n * 100 % 9000)))
            writer.commit()
        one.execute("DELETE FROM t WHERE n % 3 = 0")
        one.rollback()
        seen = two.execute("SELECT count(*) FROM t").fetchone()
    one.close()
    two.close()

    checked = run(tool("sqlite3"), file, "PRAGMA integrity_check; SELECT count(*) FROM t")
    assert seen == (soak(15, 1000),)
    assert checked == f"ok\n{soak(15, 1000)}\n"


def test_a_database_is_shared_by_processes(mount: Path):
    file = mount / "data.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE t (n INTEGER)")
    connection.close()
    insert = "PRAGMA busy_timeout=60000; " + "INSERT INTO t VALUES (1); " * 5

    writers = [subprocess.Popen([tool("sqlite3"), file, insert], stdout=subprocess.DEVNULL) for _ in range(3)]

    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert run(tool("sqlite3"), file, "SELECT count(*) FROM t") == "15\n"


def test_a_package_is_installed_and_imported(mount: Path, tmp_path: Path):
    wheel = tmp_path / "worked-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
        archive.writestr("worked-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in WHEEL))
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index")

    run(*pip, "--target", mount / "site", wheel)

    said = run(sys.executable, "-c", "import worked; print(worked.answer)", PYTHONPATH=str(mount / "site"))
    assert said == "42\n"
    assert len(list((mount / "site" / "worked" / "data").iterdir())) == 20


def test_an_archive_is_unpacked(mount: Path, sources: Path, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(sources.rglob("*.py")):
            archive.write(path, path.relative_to(sources))

    run(tool("unzip"), "-q", tmp_path / "a.zip", "-d", mount)

    unpacked = {path.relative_to(mount): path.read_bytes() for path in mount.rglob("*.py")}
    assert unpacked == {path.relative_to(sources): path.read_bytes() for path in sources.rglob("*.py")}


@pytest.mark.parametrize("how", ["always", "auto", "never"])
def test_a_file_with_holes_is_copied_in_and_out(mount: Path, tmp_path: Path, how: str):
    with opened(tmp_path / "in", os.O_RDWR | os.O_CREAT) as fd:
        os.pwrite(fd, b"first", 0)
        os.pwrite(fd, b"last", 20 * MIB)

    run(tool("cp"), f"--sparse={how}", tmp_path / "in", mount / "f")
    run(tool("cp"), f"--sparse={how}", mount / "f", mount / "g")
    run(tool("cp"), f"--sparse={how}", mount / "g", tmp_path / "out")

    run(tool("cmp"), tmp_path / "in", tmp_path / "out")


def test_a_copy_by_reference_is_a_copy(mount: Path):
    (mount / "a").write_bytes(os.urandom(3 * MIB))

    run(tool("cp"), "--reflink=auto", "-p", mount / "a", mount / "b")
    with opened(mount / "b") as fd:
        os.pwrite(fd, b"changed", MIB)

    changed = (mount / "b").read_bytes()
    assert changed[MIB : MIB + 7] == b"changed"
    assert (mount / "a").read_bytes() == changed[:MIB] + (mount / "a").read_bytes()[MIB : MIB + 7] + changed[MIB + 7 :]


@pytest.fixture
def document(mount: Path) -> Path:
    file = mount / "document.txt"
    file.write_text("first")
    return file


def _by_rename(file: Path, text: str) -> None:
    """GTK, Qt, LibreOffice, Visual Studio Code."""
    new = file.with_name(f".{file.name}.XK3F9A")
    with opened(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as fd:
        os.write(fd, text.encode())
        os.fchmod(fd, 0o644)
        os.fsync(fd)
    os.rename(new, file)


def _by_backup(file: Path, text: str) -> None:
    """vim: the old file takes another name and goes when the new one is safe."""
    probe = file.with_name("4913")
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    probe.unlink()
    backup = file.with_name(f"{file.name}~")
    os.rename(file, backup)
    with opened(file, os.O_WRONLY | os.O_CREAT) as fd:
        os.write(fd, text.encode())
        os.fsync(fd)
    backup.unlink()


def _in_place(file: Path, text: str) -> None:
    """nano."""
    with opened(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
        os.write(fd, text.encode())
        os.fsync(fd)


def _by_link(file: Path, text: str) -> None:
    """Emacs: a hard link is the backup."""
    backup = file.with_name(f"{file.name}~")
    backup.unlink(missing_ok=True)
    os.link(file, backup)
    _by_rename(file, text)
    backup.unlink()


@pytest.mark.parametrize("save", [_by_rename, _by_backup, _in_place, _by_link], ids=lambda save: save.__name__[1:])
def test_an_editor_saves(document: Path, save: Callable[[Path, str], None]):
    for n in range(5):
        save(document, f"saved {n}")
        assert document.read_text() == f"saved {n}"

    assert os.listdir(document.parent) == [document.name]
    assert document.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("size", [200, 40])
def test_pictures_are_opened(mount: Path, size: int):
    """Large ones have blobs of their own, small ones do not."""
    count = soak(20, 5000)
    for n in range(count):
        color = (n % 256, n // 256 % 256, size % 256)
        noise = Image.effect_noise((size, size), 80).convert("RGB")
        noise.putpixel((0, 0), color)
        noise.save(mount / f"{n:05}.png")

    for n in range(count):
        with Image.open(mount / f"{n:05}.png") as picture:
            assert picture.size == (size, size)
            assert picture.getpixel((0, 0)) == (n % 256, n // 256 % 256, size % 256)


def test_a_picture_is_saved_over_itself(mount: Path):
    Image.new("RGB", (400, 300), "red").save(mount / "p.png")

    with Image.open(mount / "p.png") as picture:
        picture.rotate(90, expand=True).save(mount / "p.png")

    with Image.open(io.BytesIO((mount / "p.png").read_bytes())) as turned:
        turned.load()
        assert turned.size == (300, 400)


def test_a_tree_is_measured_changed_and_removed(mount: Path, sources: Path):
    run(tool("cp"), "-a", sources, mount / "tree")

    run(tool("chmod"), "-R", "g+w", mount / "tree")
    found = run(tool("find"), mount / "tree", "-name", "*.py", "-perm", "-g+w").splitlines()
    bytes_told = int(run(tool("du"), "-s", "--apparent-size", "-B1", mount / "tree").split()[0])
    run(tool("rm"), "-r", mount / "tree")

    assert len(found) == len(list(sources.rglob("*.py")))
    assert bytes_told >= sum(path.stat().st_size for path in sources.rglob("*.py"))
    assert os.listdir(mount) == []


def test_a_log_is_followed(mount: Path):
    log = mount / "log"
    log.write_text("")
    follower = subprocess.Popen(
        [tool("tail"), "-n", "+1", "-s", "0.1", "--pid", str(os.getpid()), "-f", log], stdout=subprocess.PIPE, text=True
    )
    assert follower.stdout
    try:
        with log.open("a") as writer:
            for n in range(5):
                print(f"line {n}", file=writer, flush=True)
            seen = [follower.stdout.readline() for _ in range(5)]
    finally:
        follower.terminate()
        follower.communicate()

    assert seen == [f"line {n}\n" for n in range(5)]
