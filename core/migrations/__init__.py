"""The schema's history (Alembic), and the way from any of its states to the one that this program knows."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from ..database import Database, Transaction
from ..errors import Corrupt, Unusable
from ..schema_services import metadata

HEAD = "0006"
"""The newest revision; a test compares it with the scripts'."""
VERSIONS = "davstore_version"
"""The table of the revision: a host application in the same database may use Alembic too."""


def current(tx: Transaction) -> str | None:
    """The database's revision; None where it holds no schema of ours."""
    if not inspect(tx.connection).has_table(VERSIONS):
        return None
    return tx.scalar(text(f"SELECT version_num FROM {VERSIONS}"))


def upgrade(database: Database, target: str = HEAD) -> None:
    """The database has the schema of that revision. Raises Unusable for one of a newer program, or that is damaged."""
    try:
        with database.read() as tx:
            if current(tx) == target:
                return
        with database.write() as tx:
            _upgrade(tx.connection, current(tx), target)
    except Corrupt as error:
        raise Unusable(database.url.render_as_string(), error.reason) from error


def _upgrade(connection: Connection, revision: str | None, target: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    taken = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if taken and revision is None:
        raise Unusable("the database", f"has a table {taken[0]} of another program; give davstore one of its own")
    for newer in {revision, target} - known - {None}:
        raise Unusable("the database", f"is of revision {newer}, which a newer davstore made; install that one")
    config.attributes.update(connection=connection, version_table=VERSIONS)
    command.upgrade(config, target)
