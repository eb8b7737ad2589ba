"""Users of a store, a host application and those who keep it, each in a thread, in one process or in many.

    python -m tests.collector.actors URL DATA SECONDS SEED USERS

Every user has names of its own, so that its journal alone says what must be there, and contents that all share, so that
they meet in the objects. The journals are printed as JSON.
"""

import hashlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from unittest.mock import patch

from core import hosting, sweeping
from core.errors import Refusal
from core.model import SECOND, Caller, Path
from core.namespace import Namespace
from core.policy import BucketPolicy, Versions
from core.storage_settings import LocalStorage
from core.store import Store
from tests.collector import applications
from tests.collector.applications import Application
from tests.collector.hosts import WITH_PHOTOS, Host
from tests.collector.journals import Actor, Journal
from tests.collector.keepers import Collecting, Moving, Scrubbing, Sweeping, Verifying
from tests.parts import stores

CONTENTS = [
    random.Random(n).randbytes(size) for n, size in enumerate((3, 15, 16, 17, 100, 200, 400, 5000, 70_000, 300_000))
]
DRAFTS = "drafts"
"""The bucket that keeps versions, of each file the newest."""
BUCKETS = ("files", "media", DRAFTS)
CROWDED = 3
FORGETFUL = BucketPolicy(inline_below=stores.INLINE_BELOW, versions=Versions(keep=0))
"""Contents are let go, and come again, all the time."""
POLICIES = {
    "files": FORGETFUL,
    "media": FORGETFUL,
    DRAFTS: BucketPolicy(inline_below=stores.INLINE_BELOW, versions=Versions(keep=1)),
    applications.BUCKET: WITH_PHOTOS,
}
BRIEF = SECOND // 20
"""How long what a host has put waits for its row: so briefly that the row sometimes comes too late."""


def opened(url: str, data: FilePath) -> Store:
    """With a second storage, to which the blobs of the first are moved."""
    return stores.opened(url, data, "os", {"annex": LocalStorage(path=data / "annex")}, **POLICIES)


class User(Actor):
    def __init__(self, store: Store, name: str, seed: int, until: float) -> None:
        super().__init__(until)
        self._store = store
        self._name = name
        self._chance = random.Random(seed)
        self._caller = Caller(name)
        self._namespace = store.namespace(self._caller)
        self._guest = store.namespace(Caller(f"{name}'s guest"))
        self._files: dict[Path, str] = {}
        self._older: dict[Path, str] = {}
        self._guests: set[Path] = set()
        self._trash: dict[Path, str] = {}

    def work(self) -> None:
        super().work()
        self.journal.files = {"/".join(path): digest for path, digest in self._files.items()}
        self.journal.older = {"/".join(path): digest for path, digest in self._older.items() if path in self._files}

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
        if any(path in self._files for path in self._older):
            choices += [self._restore_version, self._restore_version]
        return choices

    def _put(self) -> None:
        self._write(self._namespace, self._fresh())

    def _put_over(self) -> None:
        """By another than the last time, so that it is no rewrite: what was there becomes a version."""
        path = self._any()
        before, by_guest = self._files[path], path not in self._guests
        self._write(self._guest if by_guest else self._namespace, path)
        if self._files[path] != before:
            self._supersede(path, before)
            (self._guests.add if by_guest else self._guests.discard)(path)

    def _write(self, namespace: Namespace, path: Path) -> None:
        content = self._chance.choice(CONTENTS)
        stores.put(namespace, path, content)
        self._files[path] = hashlib.sha256(content).hexdigest()

    def _restore_version(self) -> None:
        """The newest is never thinned. What is restored and what it replaces change places."""
        path = self._chance.choice([path for path in self._older if path in self._files])
        recovery = self._store.recovery(self._caller)
        newest = recovery.versions(path)[0]
        assert newest.digest == self._older[path], path
        recovery.restore_version(path, newest.uid)
        before, self._files[path] = self._files[path], newest.digest
        self._guests.discard(path)
        self._supersede(path, before)

    def _supersede(self, path: Path, before: str) -> None:
        if path[0] == DRAFTS:
            self._older[path] = before

    def _copy(self) -> None:
        source, target = self._any(), self._fresh()
        self._namespace.copy(source, target)
        self._files[target] = self._files[source]

    def _move(self) -> None:
        source, target = self._any(), self._fresh()
        self._namespace.move(source, target)
        self._files[target] = self._files.pop(source)
        if source in self._guests:
            self._guests.remove(source)
            self._guests.add(target)
        older = self._older.pop(source, None)
        if older is not None:
            self._supersede(target, older)

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
        self._older.pop(path, None)
        self._guests.discard(path)

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


@dataclass
class Journals:
    """Those of the users, of the host application, and of each kind of keeper."""

    users: list[Journal] = field(default_factory=list[Journal])
    applications: list[Journal] = field(default_factory=list[Journal])
    collecting: list[Journal] = field(default_factory=list[Journal])
    sweeping: list[Journal] = field(default_factory=list[Journal])
    scrubbing: list[Journal] = field(default_factory=list[Journal])
    verifying: list[Journal] = field(default_factory=list[Journal])
    moving: list[Journal] = field(default_factory=list[Journal])


def work(store: Store, url: str, seconds: float, seed: int, users: int) -> Journals:
    """Everybody works until the time is over: users, as many threads of a host, and one keeper of each kind."""
    until, host = time.monotonic() + seconds, Host(url)
    actors: dict[str, Sequence[Actor]] = {
        "users": [User(store, f"user {seed} {n}", seed + n, until) for n in range(users)],
        "applications": [Application(store, host, CONTENTS, seed + n, until) for n in range(2)],
        "collecting": [Collecting(store, until)],
        "sweeping": [Sweeping(store, until)],
        "scrubbing": [Scrubbing(store, until)],
        "verifying": [Verifying(store, until)],
        "moving": [Moving(store, until)],
    }
    threads = [threading.Thread(target=actor.work) for group in actors.values() for actor in group]
    with ExitStack() as hurried:
        for module, name, value in ((hosting, "HAND_OVER", BRIEF), (sweeping, "YOUNG", 0), (sweeping, "DUE", 0)):
            hurried.enter_context(patch.object(module, name, value))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Journals(**{name: [actor.journal for actor in group] for name, group in actors.items()})


def main() -> None:
    url, data, seconds, seed, users = sys.argv[1:]
    store = opened(url, FilePath(data))
    journals = work(store, url, float(seconds), int(seed), int(users))
    store.close()
    print(json.dumps({name: [vars(journal) for journal in group] for name, group in vars(journals).items()}))


if __name__ == "__main__":
    main()
