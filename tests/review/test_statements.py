"""How often the database is asked. Each question costs more than all else that a small request needs."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event

from core.store import Store
from tests.davstore.client import Dav

Count = Callable[[], int]


@pytest.fixture
def transactions(opened: Store) -> Iterator[Count]:
    begun: list[object] = []

    def count(connection: object) -> None:
        begun.append(connection)

    event.listen(opened.database.engine, "begin", count)
    yield lambda: len(begun)
    event.remove(opened.database.engine, "begin", count)


def test_a_small_file_is_read_in_two_transactions(dav: Dav, transactions: Count) -> None:
    dav.put("/files/small", b"x" * 1024)
    before = transactions()

    assert dav("GET", "/files/small").body == b"x" * 1024

    assert transactions() - before == 2


def test_named_live_properties_are_told_in_one_transaction(dav: Dav, transactions: Count) -> None:
    dav.put("/files/small")
    before = transactions()

    assert dav.propfind("/files/small", "{DAV:}getetag", "{DAV:}getcontentlength").status == 207

    assert transactions() - before == 1
