"""Clients that change the drive without pause, and write down what was acknowledged.

Each works in a collection of its own, so that its journal alone says what must be there: all that was acknowledged,
and of the one operation in flight all or nothing. Some contents are the same for all, so that they meet in the store.
"""

import http.client
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.survival.drive import Drive, Tree, digest

KIB = 1 << 10
LARGEST = 2 << 20
CROWDED = 14
SHARED = [random.Random(n).randbytes(size) for n, size in enumerate((0, 17, 70 * KIB, 300 * KIB, LARGEST))]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    after: Tree
    """What is there once it is done."""
    content: bytes | None = None
    destination: str = ""
    in_chunks: bool = False

    def perform(self, drive: Drive) -> int:
        headers = {"Destination": self.destination} if self.destination else {}
        body = self.content
        return drive.ask(self.method, self.path, _pieces(body) if body and self.in_chunks else body, headers).status


@dataclass
class Journal:
    home: str
    tree: Tree = field(default_factory=dict[str, str | None])
    in_flight: Operation | None = None
    acknowledged: int = 0

    def settle(self, seen: Tree) -> None:
        """What is seen after a restart is what must be there, and what the next round begins with."""
        wanted = [self.tree, *([self.in_flight.after] if self.in_flight else [])]
        assert seen in wanted, f"{self.in_flight and self.in_flight.method}: {_difference(self.tree, seen)}"
        self.tree, self.in_flight = seen, None


class Client:
    """Goes on until the server is gone or refuses; `refused` says what it should not have."""

    def __init__(self, port: int, journal: Journal, seed: int) -> None:
        self.refused = ""
        self.thread = threading.Thread(target=self._work)
        self._port = port
        self._journal = journal
        self._random = random.Random(seed)

    def _work(self) -> None:
        journal = self._journal
        with Drive(self._port) as drive:
            while not self.refused:
                journal.in_flight = operation = self._operation()
                try:
                    status = operation.perform(drive)
                except (OSError, http.client.HTTPException):
                    return
                if 200 <= status < 300:
                    journal.tree, journal.in_flight = operation.after, None
                    journal.acknowledged += 1
                else:
                    self.refused = f"{operation.method} {operation.path}: {status}"

    def _operation(self) -> Operation:
        tree = self._journal.tree
        if self._journal.home not in tree:
            return Operation("MKCOL", self._journal.home, {self._journal.home: None})
        names = [path for path in tree if path != self._journal.home]
        files = [path for path in names if tree[path] is not None]
        if len(names) > CROWDED:
            return self._delete(names)
        choices: list[tuple[int, Callable[[], Operation]]] = [(9, lambda: self._put(self._fresh()))]
        if files:
            choices.append((4, lambda: self._put(self._random.choice(files))))
        if names:
            choices += [(2, self._make), (2, lambda: self._move(names)), (2, lambda: self._copy(names))]
            choices.append((1, lambda: self._delete(names)))
        weights = [weight for weight, _ in choices]
        return self._random.choices([choice for _, choice in choices], weights)[0]()

    def _put(self, path: str) -> Operation:
        content = self._content()
        after = {**self._journal.tree, path: digest(content)}
        return Operation("PUT", path, after, content, in_chunks=self._random.random() < 0.25)

    def _make(self) -> Operation:
        path = self._fresh()
        return Operation("MKCOL", path, {**self._journal.tree, path: None})

    def _move(self, names: list[str]) -> Operation:
        source, destination = self._random.choice(names), self._fresh(top=True)
        moved = {_rebased(path, source, destination): value for path, value in self._journal.tree.items()}
        return Operation("MOVE", source, moved, destination=destination)

    def _copy(self, names: list[str]) -> Operation:
        source, destination = self._random.choice(names), self._fresh(top=True)
        tree = self._journal.tree
        copied = {_rebased(path, source, destination): value for path, value in tree.items() if _is_below(path, source)}
        return Operation("COPY", source, {**tree, **copied}, destination=destination)

    def _delete(self, names: list[str]) -> Operation:
        gone = self._random.choice(names)
        left = {path: value for path, value in self._journal.tree.items() if not _is_below(path, gone)}
        return Operation("DELETE", gone, left)

    def _fresh(self, *, top: bool = False) -> str:
        home = self._journal.home
        collections = [path for path, value in self._journal.tree.items() if value is None]
        return f"{home if top else self._random.choice(collections)}/{self._random.getrandbits(48):012x}"

    def _content(self) -> bytes:
        if self._random.random() < 0.2:
            return self._random.choice(SHARED)
        limit = self._random.choice([100, 64 * KIB, 64 * KIB, 300 * KIB, LARGEST])
        return self._random.randbytes(self._random.randrange(limit + 1))


def _is_below(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")


def _rebased(path: str, source: str, destination: str) -> str:
    return destination + path.removeprefix(source) if _is_below(path, source) else path


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 100 * KIB):
        yield content[start : start + 100 * KIB]


def _difference(wanted: Tree, seen: Tree) -> str:
    missing, extra = wanted.keys() - seen.keys(), seen.keys() - wanted.keys()
    other = [path for path in wanted.keys() & seen.keys() if wanted[path] != seen[path]]
    return f"missing {sorted(missing)}, extra {sorted(extra)}, other content {sorted(other)}"
