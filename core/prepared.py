"""Statements that are asked again and again: compiled once for each kind of database, then given to its driver.

SQLAlchemy's own way from a statement to its rows takes several times as long as SQLite takes to answer.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

from sqlalchemy import JSON, Delete, Insert, Select, Update
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete
Parameters = Mapping[str, Any]
Convert = Callable[[Any], Any]


class Prepared:
    """A statement of tables and named parameters, all of which each execution gives."""

    _every: ClassVar[WeakSet["Prepared"]] = WeakSet()

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self._compiled: dict[str, _Compiled] = {}
        self._every.add(self)

    @classmethod
    def compile_all(cls, dialect: Dialect) -> None:
        """Those that there are so far, before somebody waits for them: some 0.3 ms each."""
        for each in list(cls._every):
            each._on(dialect)

    def rows(self, driver: Any, dialect: Dialect, parameters: Parameters) -> Sequence[Sequence[Any]]:
        """What it gives: of a SELECT, or by RETURNING. `driver` is the driver's own connection."""
        compiled = self._on(dialect)
        rows = compiled.execute(driver, parameters).fetchall()
        return compiled.converted(rows) if compiled.conversions else rows

    def count(self, driver: Any, dialect: Dialect, parameters: Parameters) -> int:
        """How many rows it changed."""
        return self._on(dialect).execute(driver, parameters).rowcount

    def _on(self, dialect: Dialect) -> "_Compiled":
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = _Compiled(self.statement, dialect)
        return compiled


class Asked(Protocol):
    """Who answers a statement: a transaction, or the database itself with a snapshot for each."""

    def rows(self, statement: Prepared, parameters: Parameters) -> Sequence[Sequence[Any]]: ...

    def first(self, statement: Prepared, parameters: Parameters) -> Sequence[Any] | None: ...


class _Compiled:
    """A statement as one driver takes it."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        self._dialect = dialect
        self._arguments = _arguments(compiled, dialect)
        columns = statement.exported_columns
        both = ((n, _from_driver(column.type, dialect)) for n, column in enumerate(columns))
        self.conversions = [(n, convert) for n, convert in both if convert]

    def execute(self, driver: Any, parameters: Parameters) -> Any:
        arguments = self._arguments(parameters)
        try:
            return driver.execute(self._sql, arguments)
        except self._dialect.loaded_dbapi.Error as error:
            raise refusal(self._sql, arguments, error, self._dialect) from error

    def converted(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        return [self._converted(row) for row in rows]

    def _converted(self, row: Sequence[Any]) -> Sequence[Any]:
        values = list(row)
        for n, convert in self.conversions:
            values[n] = convert(values[n])
        return values


def refusal(sql: str, arguments: Any, error: Exception, dialect: Dialect) -> BaseException:
    """The driver's error as SQLAlchemy raises it."""
    return DBAPIError.instance(sql, arguments, error, dialect.loaded_dbapi.Error, dialect=dialect)


def _arguments(compiled: Any, dialect: Dialect) -> Callable[[Parameters], Any]:
    """From named parameters to what the driver takes: values in order for SQLite, a mapping for PostgreSQL."""
    to_driver = {name: _to_driver(bind.type, dialect) for name, bind in compiled.binds.items()}
    converts = {name: convert for name, convert in to_driver.items() if convert}
    required = {name for name, bind in compiled.binds.items() if bind.required}
    constants = {name: value for name, value in compiled.params.items() if name not in required}
    fixed = {name: converts[name](value) if name in converts else value for name, value in constants.items()}
    variable = {name: convert for name, convert in converts.items() if name in required}
    order: Sequence[str] | None = compiled.positiontup

    def whole(parameters: Parameters) -> Parameters:
        given = {**fixed, **parameters}
        for name, convert in variable.items():
            given[name] = convert(given[name])
        return given

    if order is None:
        return whole
    in_order = _in_order(order)
    return (lambda given: in_order(whole(given))) if fixed or variable else in_order


def _in_order(names: Sequence[str]) -> Callable[[Parameters], Sequence[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda given: [given[name] for name in names]


def _from_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    """What JSON says is the same few things again and again; nobody may change what it gives."""
    convert = kind.dialect_impl(dialect).result_processor(dialect, None)
    return lru_cache(convert) if convert and isinstance(kind, JSON) else convert


def _to_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)
