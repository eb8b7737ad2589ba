"""`davstore lock`: locks that clients hold."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.model import Lock

app = typer.Typer(help="Locks that clients hold.")

Tokens = Annotated[
    list[str], typer.Argument(metavar="TOKEN...", help="As `davstore lock ls` names them.", show_default=False)
]


@app.command()
def ls(json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the locks that are in force."""
    with opened(data, config) as store:
        locks = store.locks()
    if json:
        output.as_json([_described(lock) for lock in locks])
    else:
        heads = ("TOKEN", "BY", "SCOPE", "DEPTH", "SECONDS LEFT", "PATH")
        output.as_table(heads, map(_row, locks), none="Nothing is locked.")


@app.command()
def rm(tokens: Tokens, data: Data = None, config: Config = None) -> None:
    """Break locks, whoever holds them."""
    with opened(data, config) as store:
        for token in tokens:
            store.break_lock(token)


def _described(lock: "Lock") -> dict[str, object]:
    from core import paths

    return {
        "token": lock.token,
        "path": paths.text(lock.root),
        "depth": "infinity" if lock.infinite else "0",
        "scope": lock.scope.value,
        "principal": lock.principal,
        "owner": lock.owner,
        "expires": output.time(lock.expires),
    }


def _row(lock: "Lock") -> tuple[str, ...]:
    from core import paths
    from core.model import SECOND

    depth = "infinity" if lock.infinite else "0"
    return lock.token, lock.principal, lock.scope, depth, str(lock.remaining // SECOND), paths.text(lock.root)
