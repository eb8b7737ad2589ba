"""The example of docs/host-application.md, run as it stands there."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, update

from core.policy import BucketPolicy, Reference
from core.schema import holds, objects
from core.settings import Settings
from core.store import Store
from tests.parts import stores

PAGE = Path(__file__).parents[2] / "docs" / "host-application.md"
FIRST, SECOND_PHOTO = (b"\x89PNG\r\n\x1a\n" + text * 9 for text in (b"the first photo ", b"the second photo "))
MOST_LINES = 60


def code() -> str:
    """The page's one example in Python."""
    [found] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return found


def sql() -> list[str]:
    [found] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [statement for line in found.splitlines() if (statement := line.partition("--")[0].strip())]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    profiles = BucketPolicy(
        visibility="public",
        types=("image/*",),
        inline_below=16,
        references=(Reference(table="profile", column="photo_uid"),),
    )
    return stores.settings(database_url, tmp_path / "data", profiles=profiles)


@pytest.fixture
def connect(database_url: str) -> Callable[[], Any]:
    url = make_url(database_url)

    def sqlite() -> sqlite3.Connection:
        connection = sqlite3.connect(url.database or "")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    if url.get_backend_name() == "sqlite":
        return sqlite
    return lambda: psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))


@pytest.fixture
def profiles(settings: Settings, connect: Callable[[], Any], database_url: str) -> Iterator[Any]:
    is_sqlite = database_url.startswith("sqlite")
    connection = connect()
    for statement in sql():
        connection.execute(statement.replace("uuid REFERENCES", "text REFERENCES") if is_sqlite else statement)
    connection.commit()
    connection.close()
    example = ModuleType("example")
    exec(compile(code(), str(PAGE), "exec"), example.__dict__)
    made = example.Profiles(settings, connect, "?" if is_sqlite else "%s")
    made.add("ann")
    yield made
    made.close()


def collect(store: Store) -> tuple[int, int]:
    """How many were condemned and purged."""
    run = store.collect_garbage(grace=0, retention=0)
    return run.condemned, run.purged


def let_an_hour_pass(store: Store) -> None:
    """Every hold has ended, just now."""
    with store.database.write() as tx:
        tx.execute(update(holds).values(until=tx.now))
        tx.execute(update(objects).values(touched=tx.now))


def test_the_example_is_no_longer_than_the_page_promises():
    assert len([line for line in code().splitlines() if line.strip()]) <= MOST_LINES


def test_a_photo_that_is_replaced_is_touched_condemned_and_purged(profiles: Any):
    profiles.set_photo("ann", FIRST, "image/png")
    first = profiles._photo_uid("ann")
    profiles.set_photo("ann", SECOND_PHOTO, "image/png")

    assert collect(profiles.store) == (0, 0), "held for an hour"
    let_an_hour_pass(profiles.store)
    assert collect(profiles.store) == (1, 1)
    assert profiles.store.objects.get_object(first) is None
    assert profiles.photo("ann") == SECOND_PHOTO
    assert profiles.store.verify(deep=True).problems == ()


def test_a_photo_whose_row_was_rolled_back_leaks_nothing(profiles: Any, connect: Callable[[], Any]):
    put = profiles.store.objects.put_object("profiles", FIRST, "image/png")
    connection = connect()
    connection.execute(f"UPDATE profile SET photo_uid = '{put.uid}' WHERE name = 'ann'")
    connection.rollback()
    connection.close()

    let_an_hour_pass(profiles.store)
    assert collect(profiles.store) == (1, 1)
    assert profiles.photo("ann") is None


def test_a_photo_that_two_profiles_show_stays_until_neither_does(profiles: Any):
    profiles.add("bob")
    for name in ("ann", "bob"):
        profiles.set_photo(name, FIRST, "image/png")
    profiles.set_photo("ann", SECOND_PHOTO, "image/png")

    let_an_hour_pass(profiles.store)
    assert collect(profiles.store) == (0, 0)
    assert profiles.photo("bob") == FIRST

    profiles.set_photo("bob", SECOND_PHOTO, "image/png")
    let_an_hour_pass(profiles.store)
    assert collect(profiles.store) == (1, 1)


def test_the_url_is_the_servers_where_the_storage_cannot_sign(profiles: Any):
    profiles.set_photo("ann", FIRST, "image/png")

    assert profiles.photo_url("ann") == f"/assets/by-id/{profiles._photo_uid('ann')}"
