"""The collector's commits wait for no disk, but no blob is deleted before all that let it go is on it (I2)."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import event

from core.blobs import BlobStore
from core.collector import Collector
from core.deliveries import deliver
from core.store import Store
from tests.collector import life
from tests.parts import stores
from tests.parts.strikes import PausingBlobs


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    store = stores.opened(database_url, tmp_path / "data", "fsync")
    yield store
    assert store.verify(deep=True).problems == ()
    store.close()


def test_no_blob_is_deleted_before_its_claim_is_on_disk(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for n in range(3):
        life.put_and_delete(store, f"{n}.txt", life.PHOTO * (n + 1))
    flushed: list[int] = []
    settings: dict[str, str] = {}
    seen: list[bool] = []
    log = Path(f"{store.database.url.database}-wal")
    really = os.fdatasync

    def flush(file: int) -> None:
        really(file)
        flushed.append(os.fstat(file).st_size)

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        for name in ("DELETE FROM objects", "UPDATE purges SET claimed"):
            if statement.startswith(name) and store.database.engine.dialect.name == "postgresql":
                own = cursor.connection.cursor()  # pyright: ignore[reportAttributeAccessIssue]
                settings[name] = own.execute("SHOW synchronous_commit").fetchone()[0]

    def look(point: str) -> None:
        if point == "delete" and store.database.engine.dialect.name == "sqlite":
            seen.append(flushed[-1:] == [log.stat().st_size])
        elif point == "delete":
            seen.append(settings["UPDATE purges SET claimed"] == "on")

    known = cast("dict[str, BlobStore]", store.contents.stores)
    known["local"] = PausingBlobs(known["local"], look)
    event.listen(store.database.engine, "before_cursor_execute", note)
    monkeypatch.setattr(os, "fdatasync", flush)

    life.run(store)

    assert seen == [True] * 3
    assert settings.get("DELETE FROM objects", "off") == "off"


@pytest.mark.parametrize("data", [life.PHOTO, b"few"])
def test_the_deletion_of_inline_blobs_waits_for_no_disk_but_the_claim(
    store: Store, monkeypatch: pytest.MonkeyPatch, data: bytes
):
    life.put_and_delete(store, data=data)
    store.collect_garbage(grace=0, retention=life.DAY)
    Collector(store.database, store.registry).purge(0)
    flushes: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushes.append)

    done = deliver(store.database, store.contents)

    claims = 2 if store.database.engine.dialect.name == "sqlite" else 0
    assert (done.deleted, len(flushes)) == (1, claims)


def test_a_verdict_waits_for_no_disk(store: Store, monkeypatch: pytest.MonkeyPatch):
    life.put_and_delete(store)
    flushes: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushes.append)

    done = Collector(store.database, store.registry).collect(0)

    assert (done.condemned, flushes) == (1, [])
