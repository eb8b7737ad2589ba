"""A host application beside the store: its tables lie in the same database, and it has connections of its own."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Protocol, Self, cast

import psycopg
from sqlalchemy import make_url

from core.policy import BucketPolicy, Reference
from tests.parts.stores import INLINE_BELOW

PHOTOS = Reference(table="profile", column="photo_uid")
WITH_PHOTOS = BucketPolicy(inline_below=INLINE_BELOW, references=(PHOTOS,))
UNCHECKED = ""
COLUMN = "REFERENCES objects (uid)"


class Connection(Protocol):
    def execute(self, statement: str, parameters: tuple[object, ...] = ()) -> "Rows": ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


class Rows(Protocol):
    def fetchall(self) -> list[tuple[object, ...]]: ...


class Host:
    """An application with profiles, each of which may show a photo."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"

    def make_table(self, foreign_key: str = COLUMN, *, indexed: bool = True) -> Self:
        uid = "TEXT" if self.is_sqlite else "UUID"
        with self.connected() as connection:
            connection.execute(f"CREATE TABLE profile (id INTEGER PRIMARY KEY, photo_uid {uid} {foreign_key})")
            if indexed:
                connection.execute("CREATE INDEX profile_photo_uid ON profile (photo_uid)")
        return self

    def show(self, uid: str, profile: int = 1) -> None:
        with self.connected() as connection:
            insert_profile(self, connection, uid, profile)

    def forget(self, profile: int = 1) -> None:
        with self.connected() as connection:
            connection.execute(f"DELETE FROM profile WHERE id = {profile:d}")

    def shown(self) -> list[str]:
        with self.connected() as connection:
            return [str(uid) for (uid,) in connection.execute("SELECT photo_uid FROM profile ORDER BY id").fetchall()]

    def forget_all(self) -> None:
        with self.connected() as connection:
            connection.execute("DELETE FROM profile")

    def profiles(self) -> dict[int, str]:
        """The uids that profiles show, by their ids."""
        with self.connected() as connection:
            rows = connection.execute("SELECT id, photo_uid FROM profile").fetchall()
        return {int(str(profile)): str(uid) for profile, uid in rows}

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A transaction of the host's own, committed at the end."""
        with closing(self._connect()) as connection:
            yield connection
            connection.commit()

    def _connect(self) -> Connection:
        if self.is_sqlite:
            connection = sqlite3.connect(self._url.database or "", timeout=30, check_same_thread=False)
            connection.execute("PRAGMA foreign_keys = ON")
            return cast("Connection", connection)
        return cast("Connection", psycopg.connect(self._url.set(drivername="postgresql").render_as_string(False)))


def insert_profile(host: Host, connection: Connection, uid: str, profile: int = 1) -> None:
    mark = "?" if host.is_sqlite else "%s"
    connection.execute(f"INSERT INTO profile (id, photo_uid) VALUES ({profile:d}, {mark})", (uid,))
