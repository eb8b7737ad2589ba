"""A host application whose profiles show photos that it puts, and that are let go when no profile shows them."""

import hashlib
import random
import sqlite3
import time
from collections.abc import Callable, Sequence

import psycopg

from core.errors import Refusal
from core.store import Store
from tests.collector.hosts import Host, insert_profile
from tests.collector.journals import Actor

BUCKET = "profiles"
CROWDED = 3
OPEN = 0.004
"""Seconds that a transaction of the host's stays open at most."""
GONE = (sqlite3.IntegrityError, psycopg.errors.ForeignKeyViolation)
"""What the database says to a row that refers to no object."""


class Application(Actor):
    """The rows of one user, whose ids nobody else has. `refused` are rows that came after their object had gone."""

    def __init__(self, store: Store, host: Host, contents: Sequence[bytes], seed: int, until: float) -> None:
        super().__init__(until)
        self._objects = store.objects
        self._host = host
        self._contents = contents
        self._chance = random.Random(seed)
        self._shown: dict[int, tuple[str, str]] = {}
        self._let_go: list[tuple[str, str]] = []

    def work(self) -> None:
        super().work()
        self.journal.profiles = {str(profile): digest for profile, (_, digest) in self._shown.items()}

    def _step(self) -> None:
        act = self._chance.choice(self._choices())
        try:
            act()
            self.journal.acknowledged += 1
        except (Refusal, *GONE) as refusal:
            self.journal.refused.append(f"{act.__name__}: {refusal}")

    def _choices(self) -> list[Callable[[], None]]:
        if len(self._shown) > CROWDED:
            return [self._forget]
        choices = [self._show, self._show, self._roll_back]
        if self._let_go:
            choices.append(self._show_again)
        if self._shown:
            choices += [self._read, self._read, self._forget, self._delete]
        return choices

    def _show(self) -> None:
        self._insert(*self._put())

    def _roll_back(self) -> None:
        uid, _ = self._put()
        with self._host.connected() as connection:
            insert_profile(self._host, connection, uid, self._fresh())
            self._wait()
            connection.rollback()

    def _show_again(self) -> None:
        """The object may be live, condemned, or gone."""
        self._insert(*self._let_go.pop())

    def _read(self) -> None:
        uid, digest = self._shown[self._any()]
        assert hashlib.sha256(self._objects.get_object_bytes(uid)).hexdigest() == digest, uid

    def _forget(self) -> None:
        assert self._objects.touch_object(self._remove())

    def _delete(self) -> None:
        self._objects.del_object(self._remove())

    def _put(self) -> tuple[str, str]:
        content = self._chance.choice(self._contents)
        put = self._objects.put_object(BUCKET, content, "application/x-photo")
        return put.uid, hashlib.sha256(content).hexdigest()

    def _insert(self, uid: str, digest: str) -> None:
        profile = self._fresh()
        with self._host.connected() as connection:
            insert_profile(self._host, connection, uid, profile)
            self._wait()
        self._shown[profile] = uid, digest

    def _remove(self) -> str:
        """A row goes. Returns the uid that it had."""
        profile = self._any()
        self._host.forget(profile)
        content = self._shown.pop(profile)
        self._let_go.append(content)
        return content[0]

    def _any(self) -> int:
        return self._chance.choice(list(self._shown))

    def _fresh(self) -> int:
        return self._chance.getrandbits(31)

    def _wait(self) -> None:
        time.sleep(self._chance.random() * OPEN)
