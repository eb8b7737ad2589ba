"""`davstore user`: who may sign in."""

import os
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from core.errors import InvalidSetting

from . import output
from .installation import Config, Data, Json, Yes, opened

PASSWORD = "DAVSTORE_PASSWORD"

app = typer.Typer(help="Who may sign in.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help=f"Read the password from standard input, not from {PASSWORD}.")
]


@app.command()
def add(
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="Make an administrator.")] = False,
    password_stdin: PasswordStdin = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Make a user."""
    with opened(data, config, may_be_new=True) as store:
        store.accounts.add(name, _password(name, password_stdin), admin=admin)


@app.command()
def passwd(
    name: Name,
    password_stdin: PasswordStdin = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Give a user another password."""
    with opened(data, config) as store:
        store.accounts.set_password(name, _password(name, password_stdin))


@app.command()
def ls(json: Json = False, data: Data = None, config: Config = None) -> None:
    """List the users."""
    with opened(data, config) as store:
        users = [asdict(user) | {"created": output.time(user.created)} for user in store.accounts.every()]
    if json:
        output.as_json(users)
    else:
        rows = ((user["name"], "admin" if user["admin"] else "user", user["created"]) for user in users)
        output.as_table(("NAME", "ROLE", "CREATED"), rows, none="There are no users; `davstore user add` makes one.")


@app.command()
def rm(name: Name, yes: Yes = False, data: Data = None, config: Config = None) -> None:
    """Remove a user; the files stay."""
    with opened(data, config) as store:
        if not yes and sys.stdin.isatty():
            typer.confirm(f"Remove user {name}?", abort=True, err=True)
        store.accounts.remove(name)


def _password(name: str, from_stdin: bool) -> str:
    """From standard input, the environment, or the terminal, where it is asked for twice."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    if not sys.stdin.isatty():
        raise InvalidSetting(
            name, f"no password was given; set {PASSWORD}, or give --password-stdin and write it there"
        )
    return str(typer.prompt(f"Password of {name}", hide_input=True, confirmation_prompt="The same again", err=True))
