"""The schema's history (Alembic), and the way from any of its states to the one that this program knows."""

import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from ..database import Database, Transaction
from ..errors import Corrupt, StorageUnavailable, Unusable
from ..schema_services import metadata

HERE = Path(__file__).parent
HEAD = "0015"
"""The newest revision; a test compares it with the scripts'."""
PATIENCE, PAUSE = 60.0, 0.2
"""Seconds."""
LONGEST_WAIT = "300ms"
"""Less than PostgreSQL's deadlock_timeout, after which it would end somebody's transaction."""
LOCK_NOT_AVAILABLE = "55P03"
VERSIONS = "davstore_version"
"""The table of the revision: a host application in the same database may use Alembic too."""


def current(tx: Transaction) -> str | None:
    """The database's revision; None where it holds no schema of ours."""
    if not inspect(tx.connection).has_table(VERSIONS):
        return None
    return tx.scalar(text(f"SELECT version_num FROM {VERSIONS}"))


def upgrade(database: Database, target: str = HEAD, scripts: Path = HERE) -> None:
    """The database has the schema of that revision. Raises Unusable for one of a newer program, or that is damaged.

    Others may serve meanwhile. Raises StorageUnavailable where they never leave the tables alone.
    """
    limit = time.monotonic() + PATIENCE
    try:
        while not _is_done(database, target, scripts):
            if time.monotonic() > limit:
                raise StorageUnavailable("the database", "its tables are in use all the time; try again later")
            time.sleep(PAUSE)
    except Corrupt as error:
        raise Unusable(database.url.render_as_string(), error.reason) from error


def _is_done(database: Database, target: str, scripts: Path) -> bool:
    """Gives way rather than make all others wait with it for a table, or be in a deadlock with them."""
    with database.read() as tx:
        if current(tx) == target:
            return True
    with suppress(_InUse), database.write() as tx:
        if tx.dialect == "postgresql":
            tx.execute(text(f"SET LOCAL lock_timeout = '{LONGEST_WAIT}'"))
        try:
            _upgrade(tx.connection, current(tx), target, scripts)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                raise _InUse from error
            raise
        return True
    return False


class _InUse(Exception):
    """A table was not free for long enough."""


def _upgrade(connection: Connection, revision: str | None, target: str, scripts: Path) -> None:
    # Only who has an upgrade to make waits for Alembic to load.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    taken = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if taken and revision is None:
        raise Unusable("the database", f"has a table {taken[0]} of another program; give davstore one of its own")
    for newer in {revision, target} - known - {None}:
        raise Unusable("the database", f"is of revision {newer}, which a newer davstore made; install that one")
    config.attributes.update(connection=connection, version_table=VERSIONS)
    command.upgrade(config, target)
