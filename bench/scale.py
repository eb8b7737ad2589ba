"""`python -m bench scale`: davstore alone with a million files: start-up, long listings, large trees,
memory.

Each with its default settings, every write on disk before it is answered.
"""

import argparse
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from sqlalchemy import text

from bench.collector import SIZE, each_thousand
from bench.load import Wrk
from bench.rows import System
from bench.servers import Running, found, wait
from bench.wire import Wrong
from core.policy import BucketPolicy
from core.store import Store
from tests.parts import stores

MIB = 1 << 20
FOLDER = 1000
"""Files in each collection of the tree and of the rest."""
LISTED = (1000, 10_000, 100_000)
TREES = (1000, 100_000)
UPLOADS, UPLOADED = 200, 4 * MIB
REST = "rest"
BASE = 10_000_000
"""Files' ids are above, collections' below."""

OBJECTS = f"""INSERT INTO objects (id, uid, bucket, digest, dedup_key, size, storage, key, state, created, touched)
    {{numbers}} SELECT n, {{uid}}, 1, {{digest}}, {{digest}}, {SIZE}, 'inline', 'files/' || {{digest}}, 'live',
    1, 1 FROM s"""
BLOBS = "INSERT INTO blob_data (key, n, data) {numbers} SELECT 'inline/files/' || {digest}, 0, {data} FROM s"
NODES = f"""INSERT INTO nodes
    (id, uid, bucket, is_root, kind, object, size, media_type, created, modified, changed, mode, links, seq)
    {{numbers}} SELECT {BASE} + n, {{uid}}, 1, false, 'file', n, {SIZE}, 'text/plain', 1, 1, 1, 420, 1, 1 FROM s"""
NAMES = f"""INSERT INTO names (parent, name, key, node)
    {{numbers}} SELECT PARENT, 'file number ' || n || '.txt', 'file number ' || n || '.txt', {BASE} + n FROM s"""
COUNTERS = "UPDATE buckets SET files = files + :count, bytes = bytes + :count * :size"


def main(given: Sequence[str]) -> None:
    options = _options(given)
    with tempfile.TemporaryDirectory(prefix="davstore-bench-", dir=options.directory) as folder:
        data = Path(folder) / "server" / "data"
        data.mkdir(parents=True)
        _fill(data, int(float(options.files)))
        server = next(each for each in found() if each.name == "davstore")
        times = list[float]()
        for _ in range(3):
            begin = time.perf_counter()
            system = System(Running(server, data.parent), 0.0)
            try:
                wait(system.running, system.is_up)
                times.append(1000 * (time.perf_counter() - begin))
                if len(times) == 3:
                    _say("start-up to the first answer, ms", median(times))
                    _measure(system)
            finally:
                system.running.stop()


def _fill(data: Path, count: int) -> None:
    """Trees to be copied, collections to be listed, and so many files beside them."""
    settings = stores.settings(f"sqlite:///{data}/davstore.db", data, "fsync", files=BucketPolicy())
    store = stores.stores.open(settings)
    folders = [(f"listed-{size}", size) for size in LISTED]
    rest = max(count - sum(LISTED) - sum(TREES), FOLDER)
    for top, size in [*((f"tree-{size}", size) for size in TREES), (REST, rest)]:
        folders += [(top, 0), *((f"{top}/{n}", FOLDER) for n in range(size // FOLDER))]
    made = [(_made(store, path), size) for path, size in folders]
    first = 1
    for parent, size in made:
        _members(store, parent, first, size)
        first += size
    with store.database.write() as tx:
        tx.execute(text("ANALYZE"))
    store.close()


def _made(store: Store, path: str) -> int:
    """A new collection's id. All of them are made before the first file."""
    store.namespace(stores.ANN).make_collection(("files", *path.split("/")))
    with store.database.read() as tx:
        return int(tx.scalar(text("SELECT max(id) FROM nodes")))


def _members(store: Store, parent: int, first: int, size: int) -> None:
    """Files whose contents nobody else has, numbered from `first`."""
    with store.database.write() as tx:
        for statement in (OBJECTS, BLOBS, NODES, NAMES):
            each_thousand(tx, statement.replace("PARENT", str(parent)), first + size - 1, first)
        tx.execute(text(COUNTERS), {"count": size, "size": SIZE})


def _measure(system: System) -> None:
    _say("memory when nobody asks, MiB", system.running.memory())
    for size in LISTED:
        _listing(system, size)
    for size in TREES:
        _trees(system, size)
    wrk = Wrk(system.running.port, 3.0, {})
    path = f"{system.root}{REST}/0/file%20number%20"
    first = sum(LISTED) + sum(TREES) + 1
    _say("GET of one of them, req/s", wrk.plain("GET", f"{path}{first}.txt", 1, at_least=SIZE).rate)
    _say("PUT 4 KiB new, 8 connections, req/s", wrk.new_files(f"{system.root}new", 8, 4096).rate)
    _uploads(system)


def _listing(system: System, size: int) -> None:
    before, path = system.running.peak(), f"{system.root}listed-{size}/"
    begin = time.perf_counter()
    with socket.create_connection(("127.0.0.1", system.running.port)) as client:
        head = f"PROPFIND {path} HTTP/1.1\r\nHost: h\r\nDepth: 1\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode())
        received, first = 0, 0.0
        while data := client.recv(MIB):
            first = first or time.perf_counter() - begin
            received += len(data)
    taken = time.perf_counter() - begin
    if received < 300 * size:
        raise Wrong(f"a listing of {size} has {received} bytes")
    _say(f"PROPFIND of {size:,} members, ms", 1000 * taken)
    _say("    first byte, ms", 1000 * first)
    _say("    more memory at its peak, MiB", system.running.peak() - before)


def _trees(system: System, size: int) -> None:
    source, copied, moved = f"tree-{size}/", f"copied-{size}/", f"moved-{size}/"

    def act(method: str, path: str, status: int, **headers: str) -> Callable[[], object]:
        return lambda: system.ask(method, path, status, b"", **headers)

    _timed(f"COPY of a tree of {size:,}, ms", act("COPY", source, 201, Destination=system.url(copied)))
    _timed("    MOVE of it, ms", act("MOVE", copied, 201, Destination=system.url(moved)))
    _timed("    DELETE of it, ms", act("DELETE", moved, 204))
    system.ask("PROPFIND", moved, 404, Depth="0")


def _uploads(system: System) -> None:
    """Half of each body is there when memory is looked at."""
    half = os.urandom(UPLOADED // 2)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", system.running.port))) for _ in range(UPLOADS)
        ]
        for n, client in enumerate(clients):
            head = f"PUT {system.root}upload-{n} HTTP/1.1\r\nHost: h\r\nContent-Length: {UPLOADED}\r\n\r\n"
            client.sendall(head.encode() + n.to_bytes(8, "big") + half[8:])
        _say(f"memory of {UPLOADS} uploads at once, MiB", system.running.memory())
        for client in clients:
            client.sendall(half)
        for client in clients:
            if not client.recv(4096).startswith(b"HTTP/1.1 201"):
                raise Wrong("an upload was not taken")
    _say("    and when they are done, MiB", system.running.memory())


def _timed(what: str, act: Callable[[], object]) -> None:
    begin = time.perf_counter()
    act()
    _say(what, 1000 * (time.perf_counter() - begin))


def _say(what: str, figure: float) -> None:
    print(f"{what:50}{figure:12,.1f}", flush=True)


def _options(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench scale", description=__doc__)
    parser.add_argument("--files", default="1e6", help="how many are stored in all")
    parser.add_argument("--directory", type=Path, help="on the disk to be measured; default: the system's for files")
    return parser.parse_args(given)
