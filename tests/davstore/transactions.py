"""A watch over the transactions that a store's requests begin."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import event

from core.store import Store


@contextmanager
def transactions(store: Store) -> Iterator[list[object]]:
    begun: list[object] = []

    def note(connection: object) -> None:
        begun.append(connection)

    event.listen(store.database.engine, "begin", note)
    try:
        yield begun
    finally:
        event.remove(store.database.engine, "begin", note)
