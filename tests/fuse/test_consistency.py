"""Several mounts and a server on one tree: who opens after another closed sees what that one wrote."""

import ctypes
import errno
import hashlib
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from core import store as stores
from core.model import Caller
from core.settings import Settings
from tests.fuse.calls import create, libc, opened
from tests.parts.mount import Mount
from tests.parts.scale import soak
from tests.parts.server import Answer, DavServer
from tests.parts.stores import put
from tests.survival.drive import fsck

PATIENCE = 30.0
"""Seconds: the kernel trusts what it knows for one, by default, and whoever it asks then may be busy."""
LARGE = bytes(range(256)) * 4096


@dataclass(frozen=True)
class Shared:
    """One collection, seen three ways."""

    here: Path
    there: Path
    server: DavServer
    url: str

    def ask(self, method: str, name: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.server.request(method, f"{self.url}/{name}", body, named)

    def put(self, name: str, content: bytes) -> None:
        assert self.ask("PUT", name, content).status in {201, 204}

    def get(self, name: str) -> bytes:
        answer = self.ask("GET", name)
        assert answer.status == 200
        return answer.body

    def etag(self, name: str) -> str | None:
        return self.ask("HEAD", name).headers["ETag"]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A server and two mounts with the default settings, for all tests of the module."""
    folder = tmp_path_factory.mktemp("everything")
    data = folder / "data"
    with (
        DavServer(data) as server,
        Mount(folder / "here", data, "--bucket", "files") as here,
        Mount(folder / "there", data, "--bucket", "files") as there,
    ):
        yield Shared(here.point, there.point, server, "/files")
    fsck(data, None, "--deep")


@pytest.fixture
def drive(everything: Shared) -> Shared:
    """A fresh collection that everybody sees."""
    home = f"home{len(os.listdir(everything.here))}"
    here, there = everything.here / home, everything.there / home
    here.mkdir()
    assert soon(there.is_dir)
    return Shared(here, there, everything.server, f"/files/{home}")


def soon(claim: Callable[[], bool]) -> bool:
    """Whether it becomes true once the kernel has forgotten what it knew."""
    limit = time.monotonic() + PATIENCE
    while not claim():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def resident(file: Path) -> float:
    """The share of a file's pages that the kernel has, after it was opened anew."""
    with opened(file) as fd, mmap.mmap(fd, 0) as memory:
        pages = -(-len(memory) // mmap.PAGESIZE)
        seen = (ctypes.c_ubyte * pages)()
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        assert libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(len(memory)), seen) == 0
        return sum(page & 1 for page in seen) / pages


def test_a_file_that_one_mount_closed_is_read_by_the_other(drive: Shared):
    for n in range(10):
        content = os.urandom(1000 * (n % 3 + 1) * (300 if n % 2 else 1))
        (drive.here / "f").write_bytes(content)

        assert (drive.there / "f").read_bytes() == content


def test_mounts_write_one_file_in_turn(drive: Shared):
    for n in range(10):
        with (drive.here, drive.there)[n % 2].joinpath("f").open("ab") as file:
            file.write(b"%d" % n)

    assert (drive.here / "f").read_bytes() == b"0123456789"


def test_what_a_client_put_is_read_by_the_mount(drive: Shared):
    for n in range(10):
        content = b"%d" % n * (1 + n * 30_000)
        drive.put("f", content)

        assert (drive.here / "f").read_bytes() == content


def test_what_the_mount_closed_is_given_to_clients(drive: Shared):
    etags = set()
    for n in range(5):
        content = b"%d" % n * (1 + n * 30_000)
        (drive.here / "f").write_bytes(content)

        assert drive.get("f") == content
        assert drive.etag("f") == f'"{hashlib.sha256(content).hexdigest()}"'
        etags.add(drive.etag("f"))

    assert len(etags) == 5


def test_what_is_not_closed_is_not_given_to_clients(drive: Shared):
    drive.put("f", b"old")

    with opened(drive.here / "f", os.O_WRONLY | os.O_TRUNC) as fd:
        os.write(fd, b"new")
        assert drive.get("f") == b"old"
        os.write(fd, b" and more")

    assert drive.get("f") == b"new and more"


def test_an_open_file_goes_on_with_what_it_was(drive: Shared):
    drive.put("f", LARGE)

    with opened(drive.here / "f", os.O_RDONLY) as fd:
        first = os.pread(fd, 1000, 0)
        drive.put("f", b"other")
        last = os.pread(fd, 1000, len(LARGE) - 1000)

    assert first + last == LARGE[:1000] + LARGE[-1000:]
    assert (drive.here / "f").read_bytes() == b"other"


def test_an_open_file_goes_on_when_a_client_deletes_it(drive: Shared):
    drive.put("f", LARGE)

    with opened(drive.here / "f", os.O_RDONLY) as fd:
        assert drive.ask("DELETE", "f").status == 204
        assert os.pread(fd, 1000, 500_000) == LARGE[500_000:501_000]


def test_names_of_others_come_and_go(drive: Shared):
    drive.put("f", b"data")
    assert soon(lambda: os.listdir(drive.here) == ["f"])
    assert drive.ask("MOVE", "f", Destination=f"{drive.url}/g").status == 201
    assert soon(lambda: os.listdir(drive.here) == ["g"] and not (drive.here / "f").exists())
    assert drive.ask("MKCOL", "d").status == 201
    assert soon((drive.here / "d").is_dir)
    os.rename(drive.here / "g", drive.here / "d" / "g")
    assert drive.get("d/g") == b"data"
    assert soon((drive.there / "d" / "g").exists)
    os.unlink(drive.there / "d" / "g")
    assert drive.ask("GET", "d/g").status == 404
    assert soon(lambda: not (drive.here / "d" / "g").exists())
    assert drive.ask("DELETE", "d").status == 204
    assert soon(lambda: os.listdir(drive.here) == [])


def test_a_name_that_was_missing_is_found_at_once_where_it_was_made_and_soon_elsewhere(drive: Shared):
    assert not (drive.there / "f").exists()

    (drive.here / "f").write_bytes(b"data")

    assert (drive.here / "f").read_bytes() == b"data"
    assert soon((drive.there / "f").exists)


def test_attributes_of_others_are_seen_soon(drive: Shared):
    drive.put("f", b"data")
    os.stat(drive.there / "f")

    os.chmod(drive.here / "f", 0o600)
    os.utime(drive.here / "f", ns=(5, 7_000_000_000))

    assert soon(lambda: os.stat(drive.there / "f").st_mode & 0o777 == 0o600)
    assert soon(lambda: os.stat(drive.there / "f").st_mtime_ns == 7_000_000_000)
    assert drive.ask("HEAD", "f").headers["Last-Modified"] == "Thu, 01 Jan 1970 00:00:07 GMT"


def test_the_kernel_keeps_what_did_not_change(drive: Shared):
    (drive.here / "f").write_bytes(LARGE)
    (drive.here / "f").read_bytes()

    assert resident(drive.here / "f") == 1.0


def test_the_kernel_drops_what_changed_elsewhere(drive: Shared):
    drive.put("f", LARGE)
    (drive.here / "f").read_bytes()
    changed = LARGE[:500_000] + b"changed" + LARGE[500_007:]

    drive.put("f", changed)

    assert (drive.here / "f").read_bytes() == changed
    assert hashlib.sha256(drive.get("f")).digest() == hashlib.sha256(changed).digest()


def test_the_kernel_keeps_what_was_rewritten_with_the_same_bytes(drive: Shared):
    drive.put("f", LARGE)
    (drive.here / "f").read_bytes()

    drive.put("f", LARGE)

    assert resident(drive.here / "f") == 1.0


def test_the_kernel_drops_what_another_took_the_place_and_the_ids_of(start: Callable[..., Mount]):
    """SQLite gives the highest id again once its row is gone: to the next node, and to the next object."""
    other = bytes(reversed(LARGE)) * 2
    mount = start("--bucket", "files", "--attr-timeout", "60")
    with closing(stores.open(Settings(data=mount.data))) as store:
        namespace = store.namespace(Caller("admin", admin=True))
        first = put(namespace, ("files", "f"), LARGE).node
        assert (mount.point / "f").read_bytes() == LARGE
        namespace.delete(("files", "f"))
        store.recovery(Caller("admin", admin=True)).empty_trash(None)
        store.collect_garbage(grace=0, retention=0)
        second = put(namespace, ("files", "f"), other).node
    assert (first.id, first.object) == (second.id, second.object)

    assert (mount.point / "f").read_bytes() == other
    assert os.stat(mount.point / "f").st_blocks * 512 >= len(other)


def test_one_of_many_makes_a_name(drive: Shared):
    """O_EXCL on two mounts, If-None-Match: * over HTTP."""

    def by_mount(top: Path, name: str) -> bool:
        try:
            create(top / name)
        except FileExistsError:
            return False
        return True

    def by_client(name: str) -> bool:
        return drive.ask("PUT", name, b"", If_None_Match="*").status == 201

    with ThreadPoolExecutor(3) as pool:
        for n in range(soak(8, 200)):
            name = f"lock{n}"
            tries = [pool.submit(by_mount, top, name) for top in (drive.here, drive.there)]
            tries.append(pool.submit(by_client, name))
            assert [done.result() for done in tries].count(True) == 1


def test_the_last_to_close_wins_and_nothing_is_mixed(drive: Shared):
    (drive.here / "f").write_bytes(b"first")

    with opened(drive.here / "f") as one, opened(drive.there / "f") as two:
        os.pwrite(one, b"1" * 300_000, 0)
        os.pwrite(two, b"2" * 200_000, 0)

    assert drive.get("f") == b"1" * 300_000


def _read(file: Path) -> bytes:
    """The kernel looks a name up once more that another mount has replaced, and then gives up, as with NFS."""
    try:
        return file.read_bytes() if file.exists() else b""
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return b""


def test_all_work_at_once_and_lose_nothing(drive: Shared):
    """Each writes files of its own, over and over, and reads those of the others, which are never half there."""
    end = time.monotonic() + soak(6, 300)
    wrong: list[str] = []

    def content(who: str, n: int) -> bytes:
        return f"{who}{n};".encode() * (10 + n % 5 * 20_000)

    def is_whole(data: bytes) -> bool:
        return data == b"" or data.replace(data[: data.index(b";") + 1], b"") == b""

    def check(data: bytes, who: str) -> None:
        if not is_whole(data):
            wrong.append(f"{who} saw {len(data)} bytes that begin with {data[:40]!r}")

    def by_mount(top: Path, who: str) -> int:
        n = 0
        while time.monotonic() < end:
            new = top / f"{who}.new"
            new.write_bytes(content(who, n))
            os.rename(new, top / who)
            for other in ("here", "there", "web"):
                check(_read(top / other), who)
            n += 1
        return n

    def by_client() -> int:
        n = 0
        while time.monotonic() < end:
            drive.put("web", content("web", n))
            for other in ("here", "there"):
                answer = drive.ask("GET", other)
                check(answer.body if answer.status == 200 else b"", "web")
            n += 1
        return n

    with ThreadPoolExecutor(3) as pool:
        here, there = (
            pool.submit(by_mount, top, top_name) for top, top_name in ((drive.here, "here"), (drive.there, "there"))
        )
        web = pool.submit(by_client)
        last = {"here": here.result(), "there": there.result(), "web": web.result()}

    assert not wrong
    for who, count in last.items():
        assert count > 0
        assert drive.get(who) == content(who, count - 1)


def test_locks_of_clients_bind_the_mount(drive: Shared):
    """Design, section 7: Locked is EBUSY; wherever it is told, the content stays."""
    drive.put("f", b"locked")
    body = b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype></lockinfo>'
    assert drive.ask("LOCK", "f", body).status == 200

    for act in (
        lambda: (drive.here / "f").write_bytes(b"changed"),
        lambda: os.unlink(drive.here / "f"),
        lambda: os.rename(drive.here / "f", drive.here / "g"),
    ):
        with pytest.raises(OSError, match="busy"):
            act()

    assert drive.get("f") == b"locked"


def test_names_that_are_equivalent_for_clients_are_exact_on_the_mount(drive: Shared):
    (drive.here / "caf\u00e9").write_bytes(b"composed")

    assert drive.get("cafe%CC%81") == b"composed"
    assert not (drive.here / "cafe\u0301").exists()


def test_a_second_name_is_a_file_of_its_own_to_clients(drive: Shared):
    (drive.here / "a").write_bytes(b"data")
    os.link(drive.here / "a", drive.here / "b")

    assert drive.ask("DELETE", "a").status == 204

    assert drive.get("b") == b"data"
    assert soon(lambda: os.stat(drive.here / "b").st_nlink == 1)


def test_rewrites_within_a_minute_are_one_version(drive: Shared):
    for n in range(5):
        (drive.here / "f").write_bytes(b"content %d" % n)

    with closing(stores.open(Settings(data=drive.server.data))) as store:
        kept = store.recovery(Caller("admin", admin=True)).versions(("files", drive.here.name, "f"))
    assert len(kept) == 1


def test_a_thread_that_writes_does_not_stop_one_that_reads(drive: Shared):
    """It writes on until the other has read so often, and no longer than who waits for it would."""
    (drive.here / "small").write_bytes(b"small")
    wanted, limit = soak(50, 1000), time.monotonic() + soak(60, 600)
    seen = list[bytes]()
    begun, done = threading.Event(), threading.Event()

    def write() -> None:
        with opened(drive.here / "large", os.O_WRONLY | os.O_CREAT) as fd:
            while len(seen) < wanted and time.monotonic() < limit:
                os.lseek(fd, 0, os.SEEK_SET)
                for _ in range(50):
                    os.write(fd, LARGE)
                    begun.set()
            done.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert begun.wait(PATIENCE)
    while not done.is_set():
        seen.append((drive.here / "small").read_bytes())
    writer.join()

    assert len(seen) >= wanted
    assert set(seen) == {b"small"}
