"""Statements that run thousands of times a second: compiled once, and given to the driver as they are.

SQLAlchemy's own way to run a statement costs more than SQLite takes to answer it. Values come back as the driver has
them, so that only plain columns belong here: numbers, texts and bytes.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement

from .database import Transaction


class Prepared:
    """One statement with named values. Raises what `Transaction.execute` does."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._texts: dict[str, tuple[str, Sequence[str] | None, dict[str, Any]]] = {}

    def all(self, tx: Transaction, **values: Any) -> list[tuple[Any, ...]]:
        return self._run(tx, values).fetchall()

    def first(self, tx: Transaction, **values: Any) -> tuple[Any, ...] | None:
        """The first row, if any. A statement that changes rows must give at most one."""
        cursor = self._run(tx, values)
        row = cursor.fetchone()
        cursor.close()
        return row

    def run(self, tx: Transaction, **values: Any) -> int:
        """How many rows it changed."""
        return self._run(tx, values).rowcount

    def _run(self, tx: Transaction, values: dict[str, Any]) -> Any:
        dialect = tx.connection.dialect
        text, order, constants = self._texts.get(dialect.name) or self._compiled(dialect)
        given = constants | values if constants else values
        cursor = tx.connection.connection.cursor()
        try:
            cursor.execute(text, given if order is None else [given[name] for name in order])
        except dialect.loaded_dbapi.Error as error:
            raise DBAPIError.instance(text, values, error, dialect.loaded_dbapi.Error, dialect=dialect) from error
        return cursor

    def _compiled(self, dialect: Dialect) -> tuple[str, Sequence[str] | None, dict[str, Any]]:
        assert isinstance(self._statement, ClauseElement)
        compiled = self._statement.compile(dialect=dialect)
        constants = {name: value for name, value in (compiled.params or {}).items() if value is not None}
        order = getattr(compiled, "positiontup", None)
        self._texts[dialect.name] = found = str(compiled), order, constants
        return found
