"""One cache of compiled statements for every SQLite engine of this process.

A server compiles a statement once. A test opens a store of its own, and most of its time went into compiling anew
what the test before it had compiled.
"""

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

MOST = 2_000
_compiled: LRUCache[Any, Any] = LRUCache(MOST)


def share_compiled() -> None:
    """From now on engines for `sqlite:` URLs use what others compiled."""
    registry.register("sqlite", __name__, Dialect.__name__)


class Dialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's own. It is a part of the cache's keys, so each is equal to every other."""

    supports_statement_cache = True

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        engine.update_execution_options(compiled_cache=_compiled)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))
