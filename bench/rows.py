"""What `python -m bench` measures on a server, each row checked: statuses, lengths, and what is there afterwards."""

import hashlib
import os
import re
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from bench.load import Told, Wrk
from bench.servers import PASSWORD, Running
from bench.wire import DONE, Connection, Wrong

MIB = 1 << 20
LOCK = (
    b"<?xml version='1.0'?><lockinfo xmlns='DAV:'><lockscope><exclusive/></lockscope>"
    b"<locktype><write/></locktype><owner>bench</owner></lockinfo>"
)
WRITERS = 4
"""Connections that prepare; no figure is taken of it."""


@dataclass(frozen=True)
class Sizes:
    seconds: float
    """How long each rate is taken."""
    large: int
    """Bytes of the large file."""
    children: tuple[int, ...]
    """Members of the collections that are listed."""
    copies: int
    copied: int
    """Bytes of the file that is copied so often."""


FULL = Sizes(3.0, 1024 * MIB, (10, 1000, 10_000), 20, 50 * MIB)
QUICK = Sizes(1.0, 64 * MIB, (10, 1000), 4, 8 * MIB)


@dataclass(frozen=True)
class Figure:
    """`value` in the row's unit; of many requests also how long one took (ms), and how many there were."""

    value: float
    p50: float | None = None
    p99: float | None = None
    requests: int = 1


@dataclass
class System:
    """A running server, and what is known of it."""

    running: Running
    started: float
    """Milliseconds from its start to its first answer."""
    figures: dict[str, list[tuple[Figure, float]]] = field(default_factory=dict[str, list[tuple[Figure, float]]])
    """Row -> figures and the CPU seconds of the server's processes, one for each turn."""
    wrong: dict[str, str] = field(default_factory=dict[str, str])
    """Row -> why there is no figure."""

    @property
    def name(self) -> str:
        return self.running.server.name

    @property
    def root(self) -> str:
        return self.running.server.root

    @property
    def authorization(self) -> dict[str, str]:
        user = self.running.server.user
        return {"Authorization": f"Basic {b64encode(f'{user}:{PASSWORD}'.encode()).decode()}"} if user else {}

    def connection(self) -> Connection:
        return Connection(self.running.port, self.running.server.user, PASSWORD)

    def ask(self, method: str, path: str, status: int | range, body: bytes = b"", **headers: str) -> int:
        """On a connection of its own; `Depth="1"` is a header."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        connection = self.connection()
        try:
            return connection.ask(method, self.root + path, status, body, lines)
        finally:
            connection.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.running.port}{self.root}{path}"

    def wrk(self, sizes: Sizes, **headers: str) -> Wrk:
        return Wrk(self.running.port, sizes.seconds, {**self.authorization, **headers})

    def is_up(self) -> bool:
        request = Request(self.url(""), method="OPTIONS", headers=self.authorization)
        try:
            urlopen(request).close()
        except HTTPError as error:
            return error.code < 500
        except OSError:
            return False
        return True


Measure = Callable[[System, Sizes, int], Figure]
"""The system, how much, and which turn it is."""


@dataclass(frozen=True)
class Row:
    name: str
    unit: str
    run: Measure
    more_is_better: bool = True


def prepare(system: System, sizes: Sizes) -> None:
    """A small file, and collections with members."""
    system.ask("PUT", "small", 201, os.urandom(1024))
    for count in sizes.children:
        system.ask("MKCOL", f"with{count}/", 201)
        _fill(system, f"with{count}", count)


@lru_cache(maxsize=1)
def _large(size: int, turn: int) -> bytes:
    """All systems get the same in a turn."""
    return os.urandom(size)


def _fill(system: System, folder: str, count: int) -> None:
    def some(first: int) -> None:
        connection = system.connection()
        for n in range(first, count, WRITERS):
            connection.ask("PUT", f"{system.root}{folder}/file%20number%20{n}.txt", 201, b"%d" % n)
        connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(some, range(WRITERS)))


def rows(sizes: Sizes) -> list[Row]:
    many = [
        Row(f"PROPFIND of {count:,} members", "req/s", _listing(count, slow=count > 1000)) for count in sizes.children
    ]
    return [
        Row("start-up to the first answer", "ms", lambda system, _, __: Figure(system.started), False),
        Row("memory when nobody asks", "MiB", lambda system, _, __: Figure(system.running.memory()), False),
        Row("GET 1 KiB, 1 connection", "req/s", _same("GET", "small", 1, 1024)),
        Row("GET 1 KiB, 16 connections", "req/s", _same("GET", "small", 16, 1024)),
        Row("GET of 1,000 small files in turn, 16 connections", "req/s", get_in_turn),
        Row("HEAD, 1 connection", "req/s", head),
        Row("PROPFIND depth 0, 1 connection", "req/s", _same("PROPFIND", "small", 1, 300, Depth="0")),
        Row("PROPFIND depth 0, 8 connections", "req/s", _same("PROPFIND", "small", 8, 300, Depth="0")),
        *many,
        Row("PUT 4 KiB new, 1 connection", "req/s", _new(1, 4096)),
        Row("PUT 4 KiB new, 8 connections", "req/s", _new(8, 4096)),
        Row("PUT 1 MiB new, 1 connection", "req/s", _new(1, MIB)),
        Row("PUT of a large file until on disk", "MB/s", put_large),
        Row("PUT of stored content", "MB/s", put_again),
        Row("PUT of stored content, with its digest", "MB/s", put_by_digest),
        Row("GET of it, the first time", "MB/s", get_large),
        Row("GET of it, again", "MB/s", get_large),
        Row("1 MiB ranges at random places of it", "req/s", get_ranges),
        Row("COPY of it", "ms", copy_large, False),
        Row("COPY of a tree of 1,000", "ms", copy_tree, False),
        Row("MOVE of it, 1,000 members", "ms", move_tree, False),
        Row("DELETE of it", "ms", delete_tree, False),
        Row("LOCK and UNLOCK", "pairs/s", locks),
        Row("disk of many copies of one file", "MiB", disk_of_copies, False),
        Row("most memory of all this", "MiB", lambda system, _, __: Figure(system.running.peak()), False),
    ]


def _figure(told: Told) -> Figure:
    return Figure(told.rate, told.p50, told.p99, told.requests)


def _same(method: str, path: str, clients: int, at_least: int, **headers: str) -> Measure:
    def run(system: System, sizes: Sizes, turn: int) -> Figure:
        return _figure(system.wrk(sizes, **headers).plain(method, system.root + path, clients, at_least=at_least))

    return run


def get_in_turn(system: System, sizes: Sizes, turn: int) -> Figure:
    return _figure(system.wrk(sizes).in_turn(f"{system.root}with1000/", 16, 1000))


def _listing(count: int, *, slow: bool) -> Measure:
    """Every answer is counted once, before the rate is taken: it has all members. A slow one is only timed."""

    def run(system: System, sizes: Sizes, turn: int) -> Figure:
        path = f"with{count}/"
        begin = time.perf_counter()
        length = system.ask("PROPFIND", path, 207, Depth="1")
        taken = time.perf_counter() - begin
        found = _responses(system, path) if turn == 0 else count + 1
        if found != count + 1:
            raise Wrong(f"{found} responses, not {count + 1}")
        if slow:
            return Figure(1 / taken)
        return _figure(system.wrk(sizes, Depth="1").plain("PROPFIND", system.root + path, 1, at_least=length // 2))

    return run


def _responses(system: System, path: str) -> int:
    request = Request(system.url(path), method="PROPFIND", headers={**system.authorization, "Depth": "1"})
    with urlopen(request) as answer:
        text = answer.read().lower()
    return len(re.findall(rb"</(?:\w+:)?response>", text))


def _new(clients: int, size: int) -> Measure:
    def run(system: System, sizes: Sizes, turn: int) -> Figure:
        path = f"{system.root}new-{size}-{clients}-{turn}"
        told = system.wrk(sizes).new_files(path, clients, size)
        if system.ask("GET", f"new-{size}-{clients}-{turn}-2", 200) != size:
            raise Wrong("what was written came back short")
        return _figure(told)

    return run


def put_large(system: System, sizes: Sizes, turn: int) -> Figure:
    content = _large(sizes.large, turn)
    os.sync()
    begin = time.perf_counter()
    system.ask("PUT", f"large-{turn}", 201, content)
    os.sync()
    return Figure(sizes.large / (time.perf_counter() - begin) / 1e6)


def put_again(system: System, sizes: Sizes, turn: int) -> Figure:
    """It has to be there: the row above has put it there in this turn, unless that row was left out."""
    content = _large(sizes.large, turn)
    os.sync()
    begin = time.perf_counter()
    system.ask("PUT", f"again-{turn}", 201, content)
    return Figure(sizes.large / (time.perf_counter() - begin) / 1e6)


def put_by_digest(system: System, sizes: Sizes, turn: int) -> Figure:
    """Only who answers before the body comes gains by it; all others get the body."""
    content = _large(sizes.large, turn)
    digest = b64encode(hashlib.sha256(content).digest()).decode()
    begin = time.perf_counter()
    connection = system.connection()
    field = f"Repr-Digest: sha-256=:{digest}:\r\nExpect: 100-continue\r\n"
    connection.ask("PUT", f"{system.root}known-{turn}", 201, content, field, waits=True)
    connection.close()
    taken = time.perf_counter() - begin
    if system.ask("HEAD", f"known-{turn}", 200) != 0:
        raise Wrong("HEAD had a body")
    return Figure(sizes.large / taken / 1e6)


def get_large(system: System, sizes: Sizes, turn: int) -> Figure:
    begin = time.perf_counter()
    length = system.ask("GET", f"large-{turn}", 200)
    taken = time.perf_counter() - begin
    if length != sizes.large:
        raise Wrong(f"{length} bytes came")
    return Figure(sizes.large / taken / 1e6)


def get_ranges(system: System, sizes: Sizes, turn: int) -> Figure:
    return _figure(system.wrk(sizes).ranges(f"{system.root}large-{turn}", 1, sizes.large, MIB))


def _timed(system: System, method: str, path: str, **headers: str) -> Figure:
    connection = system.connection()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    begin = time.perf_counter()
    connection.ask(method, system.root + path, DONE, b"", lines)
    taken = time.perf_counter() - begin
    connection.close()
    return Figure(1000 * taken)


def copy_large(system: System, sizes: Sizes, turn: int) -> Figure:
    taken = _timed(system, "COPY", f"large-{turn}", Destination=system.url(f"second-{turn}"))
    system.ask("DELETE", f"second-{turn}", DONE)
    return taken


def copy_tree(system: System, sizes: Sizes, turn: int) -> Figure:
    taken = _timed(system, "COPY", "with1000/", Destination=system.url(f"copied-{turn}/"))
    system.ask("GET", f"copied-{turn}/file%20number%20999.txt", 200)
    return taken


def move_tree(system: System, sizes: Sizes, turn: int) -> Figure:
    taken = _timed(system, "MOVE", f"copied-{turn}/", Destination=system.url(f"moved-{turn}/"))
    system.ask("GET", f"moved-{turn}/file%20number%20999.txt", 200)
    system.ask("GET", f"copied-{turn}/file%20number%20999.txt", 404)
    return taken


def delete_tree(system: System, sizes: Sizes, turn: int) -> Figure:
    taken = _timed(system, "DELETE", f"moved-{turn}/")
    system.ask("GET", f"moved-{turn}/file%20number%20999.txt", 404)
    return taken


def head(system: System, sizes: Sizes, turn: int) -> Figure:
    """wrk waits for a body, so this client is our own; it takes some of the time that is measured."""
    return _over_and_over(system, sizes, lambda connection, path: connection.ask("HEAD", path, 200))


def locks(system: System, sizes: Sizes, turn: int) -> Figure:
    def lock_and_unlock(connection: Connection, path: str) -> None:
        connection.ask("LOCK", path, 200, LOCK, "Timeout: Second-60\r\n")
        connection.ask("UNLOCK", path, 204, headers=f"Lock-Token: {connection.header('Lock-Token')}\r\n")

    return _over_and_over(system, sizes, lock_and_unlock)


def _over_and_over(system: System, sizes: Sizes, act: Callable[[Connection, str], object]) -> Figure:
    connection, path, times = system.connection(), f"{system.root}small", list[float]()
    end = time.perf_counter() + sizes.seconds
    while (begin := time.perf_counter()) < end:
        act(connection, path)
        times.append(time.perf_counter() - begin)
    connection.close()
    ordered = sorted(1000 * each for each in times)
    return Figure(len(times) / sum(times), ordered[len(times) // 2], ordered[len(times) * 99 // 100], len(times))


def disk_of_copies(system: System, sizes: Sizes, turn: int) -> Figure:
    """They are uploaded one by one, as people do."""
    content, before = os.urandom(sizes.copied), system.running.disk()
    for n in range(sizes.copies):
        system.ask("PUT", f"copy-{turn}-{n}", 201, content)
    os.sync()
    return Figure(system.running.disk() - before)
