"""`davstore app-password`: passwords for one program each."""

from dataclasses import asdict
from typing import Annotated

import typer

from . import output
from .installation import Config, Data, Json, opened

app = typer.Typer(help="Passwords for one program each, that can be taken back at once.")

User = Annotated[str, typer.Argument(metavar="USER", help="Whose it is.", show_default=False)]


@app.command()
def create(
    user: User,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="What it is for.", show_default=False)],
    data: Data = None,
    config: Config = None,
) -> None:
    """Make one; its secret is printed this once."""
    with opened(data, config) as store:
        _, secret = store.app_passwords.create(user, label)
    typer.echo(secret)


@app.command()
def ls(user: User, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List a user's."""
    with opened(data, config) as store:
        found = store.app_passwords.of(user)
    if json:
        output.as_json(
            [asdict(each) | {"created": output.time(each.created), "used": output.time(each.used)} for each in found]
        )
    else:
        rows = (
            (each.uid, output.visible(each.label), output.time(each.created), output.time(each.used)) for each in found
        )
        output.as_table(("UID", "LABEL", "CREATED", "USED"), rows, none="There are none.")


@app.command()
def revoke(
    user: User,
    uid: Annotated[str, typer.Argument(metavar="UID", help="As `ls` shows it.", show_default=False)],
    data: Data = None,
    config: Config = None,
) -> None:
    """Take one back; it opens nothing any more."""
    with opened(data, config) as store:
        store.app_passwords.revoke(user, uid)
