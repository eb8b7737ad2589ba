"""Users of a store and its collector, each in a thread, in one process or in many.

    python -m tests.collector.actors URL DATA SECONDS SEED USERS COLLECTORS

Every user has names of its own, so that its journal alone says what must be there, and contents that all share, so that
they meet in the objects. The journals are printed as JSON.
"""

import hashlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from core.errors import Refusal
from core.model import Caller, Path
from core.policy import BucketPolicy, Versions
from core.store import Store
from tests.parts import stores

CONTENTS = [
    random.Random(n).randbytes(size) for n, size in enumerate((3, 15, 16, 17, 100, 200, 400, 5000, 70_000, 300_000))
]
BUCKETS = ("files", "media")
CROWDED = 2
FORGETFUL = BucketPolicy(inline_below=stores.INLINE_BELOW, versions=Versions(keep=0))
"""Contents are let go, and come again, all the time."""


@dataclass
class Journal:
    """What one user has been told is stored."""

    files: dict[str, str] = field(default_factory=dict[str, str])
    """Paths, `/`-separated, to digests."""
    acknowledged: int = 0
    refused: list[str] = field(default_factory=list[str])
    broken: str = ""


class User:
    def __init__(self, store: Store, name: str, seed: int, until: float) -> None:
        self.journal = Journal()
        self._store = store
        self._name = name
        self._chance = random.Random(seed)
        self._until = until
        self._caller = Caller(name)
        self._namespace = store.namespace(self._caller)
        self._files: dict[Path, str] = {}
        self._trash: dict[Path, str] = {}

    def work(self) -> None:
        try:
            while time.monotonic() < self._until:
                self._step()
        except BaseException as failure:
            self.journal.broken = repr(failure)
            raise
        finally:
            self.journal.files = {"/".join(path): digest for path, digest in self._files.items()}

    def _step(self) -> None:
        act = self._chance.choice(self._choices())
        try:
            act()
            self.journal.acknowledged += 1
        except Refusal as refusal:
            self.journal.refused.append(f"{act.__name__}: {refusal}")

    def _choices(self) -> list[Callable[[], None]]:
        if len(self._files) > CROWDED:
            return [self._delete, self._delete_for_good]
        choices: list[Callable[[], None]] = [self._put, self._put]
        if self._files:
            choices += [self._put_over, self._copy, self._move, self._delete, self._delete_for_good, self._read]
        if self._trash:
            choices += [self._restore, self._forget, self._forget]
        return choices

    def _put(self) -> None:
        self._write(self._fresh())

    def _put_over(self) -> None:
        self._write(self._any())

    def _write(self, path: Path) -> None:
        content = self._chance.choice(CONTENTS)
        stores.put(self._namespace, path, content)
        self._files[path] = hashlib.sha256(content).hexdigest()

    def _copy(self) -> None:
        source, target = self._any(), self._fresh()
        self._namespace.copy(source, target)
        self._files[target] = self._files[source]

    def _move(self) -> None:
        source, target = self._any(), self._fresh()
        self._namespace.move(source, target)
        self._files[target] = self._files.pop(source)

    def _delete(self) -> None:
        path = self._any()
        self._namespace.delete(path)
        self._trash[path] = self._files.pop(path)

    def _delete_for_good(self) -> None:
        self._delete()
        self._forget()

    def _restore(self) -> None:
        path = self._chance.choice(list(self._trash))
        self._store.recovery(self._caller).restore(self._entry(path))
        self._files[path] = self._trash.pop(path)

    def _forget(self) -> None:
        path = self._chance.choice(list(self._trash))
        self._store.recovery(self._caller).forget(self._entry(path))
        del self._trash[path]

    def _entry(self, path: Path) -> str:
        trashed = self._store.recovery(self._caller).trashed(path[0])
        return next(entry.uid for entry in trashed if entry.path == path)

    def _read(self) -> None:
        path = self._any()
        assert hashlib.sha256(stores.content(self._namespace, path)).hexdigest() == self._files[path], path

    def _any(self) -> Path:
        return self._chance.choice(list(self._files))

    def _fresh(self) -> Path:
        return (self._chance.choice(BUCKETS), f"{self._name} {self._chance.getrandbits(48):012x}")


class Collecting:
    """Lets go what it can without any grace, again and again."""

    def __init__(self, store: Store, until: float) -> None:
        self.journal = Journal()
        self._store = store
        self._until = until

    def work(self) -> None:
        try:
            while time.monotonic() < self._until:
                done = self._store.collect_garbage(grace=0, retention=0)
                self.journal.acknowledged += done.deleted
                self.journal.refused += done.refused
                time.sleep(0.005)
        except BaseException as failure:
            self.journal.broken = repr(failure)
            raise


def work(store: Store, seconds: float, seed: int, users: int, collectors: int) -> tuple[list[Journal], list[Journal]]:
    """Everybody works until the time is over. The journals of the users, and those of the collectors."""
    until = time.monotonic() + seconds
    people = [User(store, f"user {seed} {n}", seed + n, until) for n in range(users)]
    collecting = [Collecting(store, until) for _ in range(collectors)]
    threads = [threading.Thread(target=actor.work) for actor in (*people, *collecting)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [user.journal for user in people], [each.journal for each in collecting]


def main() -> None:
    url, data, seconds, seed, users, collectors = sys.argv[1:]
    store = stores.opened(url, FilePath(data))
    journals = work(store, float(seconds), int(seed), int(users), int(collectors))
    store.close()
    print(json.dumps([[vars(journal) for journal in group] for group in journals]))


if __name__ == "__main__":
    main()
