"""`davstore import`: a folder copied into a store, or to a server, without the bytes that are there already."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from core.model import Caller, Instant
from davstore.importing import Remote, Source
from tests.parts import processes
from tests.parts.commands import Davstore, printed
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.stores import content, opened
from tests.parts.tools import tool

LARGE = bytes(range(256)) * 1000
MODIFIED = 1_700_000_000
FILES = {("a.txt",): b"a", ("empty",): b"", ("d", "large"): LARGE, ("d", "Überraschung #1?.bin"): LARGE + b"!"}
BYTES = sum(map(len, FILES.values()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "photos"
    for path, data in FILES.items():
        file = top.joinpath(*path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (MODIFIED, MODIFIED))
    (top / "empty folder").mkdir()
    return top


@pytest.fixture
def davstore(tmp_path: Path) -> Davstore:
    data = tmp_path / "data"
    opened(f"sqlite:///{data / 'davstore.db'}", data).close()
    return Davstore(data)


def stored(data: Path, top: tuple[str, ...]) -> dict[tuple[str, ...], tuple[bytes, int]]:
    """Every file below, its content and the second of its time."""
    store = opened(f"sqlite:///{data / 'davstore.db'}", data)
    tree = store.namespace(Caller("admin", admin=True))
    found: dict[tuple[str, ...], tuple[bytes, int]] = {}

    def collect(path: tuple[str, ...]) -> None:
        for node in chain.from_iterable(tree.children(path)):
            if node.is_collection:
                collect(node.path)
            else:
                found[node.path[len(top) :]] = (content(tree, node.path), node.modified // 10**9)

    collect(top)
    store.close()
    return found


EXPECTED = {path: (data, MODIFIED) for path, data in FILES.items()}


def test_a_folder_is_copied_with_its_times(davstore: Davstore, folder: Path):
    done = printed(davstore("import", str(folder), "/files/photos", "--json"))

    assert (done["files"], done["bytes"], done["left"]) == (len(FILES), BYTES, [])
    assert davstore.data
    assert stored(davstore.data, ("files", "photos")) == EXPECTED


def test_contents_that_are_there_are_not_copied_again(davstore: Davstore, folder: Path):
    first = printed(davstore("import", str(folder), "/files/photos", "--json"))
    second = printed(davstore("import", str(folder), "/files/again", "--json"))

    assert (first["sent_bytes"], second["sent_bytes"]) == (BYTES, 0)
    assert davstore.data
    assert stored(davstore.data, ("files", "again")) == EXPECTED


def test_one_file_is_copied_into_the_collection(davstore: Davstore, folder: Path):
    assert davstore("import", str(folder / "a.txt"), "/files").stdout.startswith("Copied: 1 files of 1 B")
    assert davstore.data
    assert stored(davstore.data, ("files",)) == {("a.txt",): (b"a", MODIFIED)}


def test_what_cannot_be_copied_is_named_and_stops_nothing_else(davstore: Davstore, folder: Path):
    (folder / "link").symlink_to("a.txt")
    (folder / "d" / "folder link").symlink_to("..")
    os.mkfifo(folder / "pipe")
    (folder / "b").mkdir()
    (folder / "b" / "c").write_bytes(b"c")
    printed(davstore("import", str(folder / "a.txt"), "/files", "--json"))
    opened_as = davstore("import", str(folder), "/files/a.txt")
    assert opened_as.exit_code == 1
    assert "/files/a.txt: is a file" in opened_as.stderr

    result = davstore("import", str(folder), "/files/photos")

    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert sorted(line.rpartition("/")[2] for line in lines) == [
        "folder link: is no regular file",
        "link: is no regular file",
        "pipe: is no regular file",
    ]
    assert result.stdout.startswith(f"Copied: {len(FILES) + 1} files")


def test_to_a_server_known_bodies_are_not_sent(server: DavServer, folder: Path):
    url = f"http://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{server.port}/files"
    first = printed(Davstore()("import", str(folder), f"{url}/photos", "--json"))
    (folder / "new").write_bytes(LARGE + b"?")

    second = printed(Davstore()("import", str(folder), f"{url}/again/", "--json"))

    assert (first["files"], first["sent_bytes"], first["left"]) == (len(FILES), BYTES, [])
    small = sum(len(data) for data in FILES.values() if len(data) < len(LARGE))
    assert (second["files"], second["sent_bytes"]) == (len(FILES) + 1, small + len(LARGE) + 1)
    server.terminate()
    assert stored(server.data, ("files", "photos")) == EXPECTED
    assert stored(server.data, ("files", "again")).items() >= EXPECTED.items()


def test_a_connection_that_the_server_closed_meanwhile_costs_nothing(serve: Callable[..., DavServer], folder: Path):
    server = serve(environ={"DAVSTORE_SERVER__IDLE_TIMEOUT": "1s"})
    source = Source(folder / "a.txt", ("a.txt",), 1, Instant(MODIFIED * 10**9))
    with closing(Remote(f"http://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{server.port}/files")) as remote:
        remote.put(source, source.digest())
        time.sleep(2.5)

        assert remote.put(source, source.digest())


def test_a_server_that_refuses_is_told_of_in_one_line_for_each_file(server: DavServer, folder: Path):
    wrong = Davstore()("import", str(folder), f"http://{USER}:wrong@127.0.0.1:{server.port}/files/photos")
    nowhere = Davstore()("import", str(folder / "a.txt"), f"http://127.0.0.1:{processes.free_port()}/files")
    missing = Davstore()("import", str(folder / "a.txt"), f"{server.url.replace('//', f'//{USER}:correct%20horse@')}/x")

    assert (wrong.exit_code, nowhere.exit_code, missing.exit_code) == (1, 1, 1)
    assert "name and password belong into the URL" in wrong.stderr
    assert "does not answer" in nowhere.stderr
    assert "409 Conflict" in missing.stderr
    assert {result.stderr.count("\n") for result in (wrong, nowhere, missing)} == {1}


def test_what_is_no_target_is_refused(folder: Path):
    result = Davstore()("import", str(folder), "files/photos")

    assert result.exit_code == 1
    assert result.stderr == "davstore: files/photos: is no URL of a drive; it begins with http:// or https://\n"


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def rclone(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A WebDAV server that knows no digests and sends `100 Continue` when it likes."""
    port, top = processes.free_port(), tmp_path / "rclone"
    top.mkdir()
    command = [tool("rclone"), "serve", "webdav", str(top), "--addr", f"127.0.0.1:{port}", "--config", "/dev/null"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 20
        while not answers(port):
            assert time.monotonic() < limit
            time.sleep(0.05)
        yield port, top
    finally:
        running.terminate()
        running.wait(10)


@pytest.mark.slow
def test_any_other_server_gets_all_bodies(rclone: tuple[int, Path], folder: Path):
    port, top = rclone
    for name in ("photos", "again"):
        done = printed(Davstore()("import", str(folder), f"http://127.0.0.1:{port}/{name}", "--json"))

        assert (done["files"], done["sent_bytes"], done["left"]) == (len(FILES), BYTES, [])
        assert {path: (top / name).joinpath(*path).read_bytes() for path in FILES} == FILES
