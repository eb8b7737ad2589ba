"""The schema's history leads to the schema, from any state and by any number of processes."""

import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from core import migrations
from core.database import Database
from core.errors import Unusable
from core.schema_services import metadata
from tests.parts.server import ROOT

UPGRADE = "import sys; from tests.parts.stores import migrated; sys.stdin.readline(); migrated(sys.argv[1])"


def test_the_newest_revision_is_the_one_that_the_program_expects():
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))

    assert scripts.get_heads() == [migrations.HEAD]


def test_the_history_leads_to_the_very_schema(database_url: str):
    database = Database(database_url)
    with database.read() as tx:
        options = {"version_table": migrations.VERSIONS, "compare_server_default": _default_differs}
        found = MigrationContext.configure(tx.connection, opts=options)
        assert compare_metadata(found, metadata) == []
        assert migrations.current(tx) == migrations.HEAD
    database.close()


def test_an_index_of_a_part_of_a_table_has_the_part_that_the_schema_says(database_url: str):
    said = {
        index.name: _plain(str(index.dialect_options["sqlite"]["where"]))
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }

    database = Database(database_url)
    with database.read() as tx:
        inspector = inspect(tx.connection)
        indexes = [index for name in metadata.tables for index in inspector.get_indexes(name)]
    database.close()

    assert said
    assert {index["name"]: _plain(part) for index in indexes if (part := _part(index))} == said


@pytest.mark.slow
def test_two_processes_upgrade_at_once(empty_database_url: str):
    command = [sys.executable, "-c", UPGRADE, empty_database_url]
    both = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]

    told = list(ThreadPoolExecutor().map(lambda process: process.communicate("go\n")[1], both))

    assert told == ["", ""]
    assert [process.returncode for process in both] == [0, 0]
    test_the_history_leads_to_the_very_schema(empty_database_url)


def test_an_upgrade_that_fails_leaves_no_table(empty_database_url: str, monkeypatch: pytest.MonkeyPatch):
    database = Database(empty_database_url)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MigrationContext, "run_migrations", _after(MigrationContext.run_migrations, fail))
    with pytest.raises(ZeroDivisionError):
        migrations.upgrade(database)
    monkeypatch.undo()

    with database.read() as tx:
        assert migrations.current(tx) is None
    migrations.upgrade(database)
    database.close()


def test_a_newer_programs_database_is_left_alone(database_url: str):
    database = Database(database_url)
    with database.write() as tx:
        tx.execute(text(f"UPDATE {migrations.VERSIONS} SET version_num = '9999'"))

    with pytest.raises(Unusable, match="revision 9999, which a newer davstore made; install that one"):
        migrations.upgrade(database)
    with database.read() as tx:
        assert migrations.current(tx) == "9999"
    database.close()


def test_a_database_of_another_program_is_left_alone(empty_database_url: str):
    database = Database(empty_database_url)
    with database.write() as tx:
        tx.execute(text("CREATE TABLE users (id INTEGER)"))

    with pytest.raises(Unusable, match="another program; give davstore one of its own"):
        migrations.upgrade(database)
    database.close()


def a_text(file: Path) -> None:
    file.write_text("This is a text of more than one page of a database.\n" * 200)


def a_directory(file: Path) -> None:
    file.mkdir()


def a_damaged_one(file: Path) -> None:
    migrated = Database(f"sqlite:///{file}")
    migrations.upgrade(migrated)
    migrated.close()
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\xff" * 4000 + content[4100:])


def below_a_file(file: Path) -> None:
    file.parent.rmdir()
    file.parent.write_text("a file")


@pytest.mark.parametrize("what", [a_text, a_directory, a_damaged_one, below_a_file])
def test_what_is_no_database_is_named_and_left_as_it_is(tmp_path: Path, what: Callable[[Path], None]):
    file = tmp_path / "data" / "davstore.db"
    file.parent.mkdir()
    what(file)
    content = file.read_bytes() if file.is_file() else b""

    with pytest.raises(Unusable) as told:
        migrations.upgrade(Database(f"sqlite:///{file}"))

    assert str(tmp_path / "data") in str(told.value)
    assert not content or file.read_bytes() == content


def _default_differs(_context: object, _found: object, _column: object, found: str | None, *wanted: Any) -> bool:
    """Alembic's own comparison takes the empty string for no default."""
    if found is None or found.startswith("nextval("):
        return wanted[0] is not None
    text = re.sub(r"::\w+$", "", found).strip("()'")
    return wanted[0] is None or text != str(getattr(wanted[0].arg, "text", wanted[0].arg))


def _part(index: Any) -> str | None:
    """The condition of a reflected index."""
    options = index.get("dialect_options", {})
    found = options.get("sqlite_where", options.get("postgresql_where"))
    return None if found is None else str(found)


def _plain(condition: str) -> str:
    """A condition as both databases would write it."""
    return re.sub(r"::\w+|[()]| = 1$", "", condition).replace("<>", "!=")


def _after(first: Callable[..., object], then: Callable[..., object]) -> Callable[..., object]:
    def both(*arguments: object, **named: object) -> None:
        first(*arguments, **named)
        then()

    return both
