"""The command line, and the one edge at which a refusal becomes a line on stderr and an exit code."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from core.errors import Refusal, Unusable

from .commands import app_password, bucket, config, document, gc, lock, storage, trash, user, versions
from .commands.backup import backup, restore
from .commands.copying import import_
from .commands.drafts import drafts
from .commands.explain import explain
from .commands.fsck import fsck
from .commands.installation import Config, Data
from .commands.mount import mount
from .commands.serve import serve
from .commands.upkeep import scrub, sweep
from .commands.usage import du

REFUSED, UNUSABLE = 1, 3


class Edge(TyperGroup):
    """Exit codes: 0 done, 1 refused or problems found, 2 wrong usage, 3 the installation cannot be opened."""

    def main(self, *args: Any, standalone_mode: bool = True, **given: Any) -> Any:
        try:
            code = super().main(*args, standalone_mode=False, **given) or 0
        except Refusal as refusal:
            code = _refused(refusal)
        except typer.TyperException as error:
            code = _misused(error)
        except typer.Abort:
            code = _said("nothing was done", REFUSED)
        sys.exit(code)


app = typer.Typer(
    cls=Edge,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(mount)
app.command()(drafts)
app.add_typer(user.app, name="user")
app.add_typer(app_password.app, name="app-password")
app.add_typer(bucket.app, name="bucket")
app.add_typer(document.app, name="document")
app.add_typer(storage.app, name="storage")
app.add_typer(trash.app, name="trash")
app.add_typer(versions.app, name="versions")
app.add_typer(lock.app, name="lock")
app.add_typer(gc.app, name="gc")
app.command()(du)
app.command()(explain)
app.command()(fsck)
app.command()(scrub)
app.command()(sweep)
app.command()(storage.move_blobs)
app.command("import")(import_)
app.command()(backup)
app.command()(restore)
app.add_typer(config.app, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        from .commands.version import version

        typer.echo(f"davstore {version()}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 done, 1 refused or problems found, 2 wrong usage, 3 davstore cannot be opened.")
def everywhere(
    context: typer.Context,
    data: Data = None,
    config: Config = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A content-addressed WebDAV drive: every content is stored once, and nothing is lost by mistake."""
    context.default_map = _defaults(context.command, {"data": data, "config": config})


def _defaults(command: object, values: dict[str, Any]) -> dict[str, Any]:
    """`davstore --data DIR user ls` means `davstore user ls --data DIR`."""
    if isinstance(command, TyperGroup):
        return {name: _defaults(member, values) for name, member in command.commands.items()}
    return values


def main() -> None:
    app(prog_name="davstore")


def _refused(refusal: Refusal) -> int:
    return _said(str(refusal), UNUSABLE if isinstance(refusal, Unusable) else REFUSED)


def _misused(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    remedy = f"; see `{context.command_path} --help`" if context else ""
    return _said(error.format_message().rstrip(".") + remedy, error.exit_code)


def _said(text: str, code: int) -> int:
    for line in text.splitlines():
        typer.echo(f"davstore: {line}", err=True)
    return code
