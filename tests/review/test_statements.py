"""How often the database is asked. Each question costs more than all else that a small request needs."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import event

from core import places
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


@pytest.mark.parametrize("length", [1, 2, 5])
def test_no_path_is_looked_up_by_reading_all_nodes(opened: Store, length: int) -> None:
    statement = places._lookup(length).statement.compile(opened.database.engine)
    with opened.database.read() as tx:
        names = {f"name{n}": "files" for n in range(length)}
        asked = [names[name] for name in statement.positiontup or ()]
        plan = tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(asked)).all()

    steps = [str(row[-1]) for row in plan]
    assert [step for step in steps if step.startswith("SCAN") and "locks" not in step] == []
    assert any(step.startswith("SEARCH root") for step in steps)
