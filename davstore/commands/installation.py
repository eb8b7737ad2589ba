"""The installation that a command works on: its settings, and its store for as long as the command runs."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import Refusal, Unusable

if TYPE_CHECKING:
    from core.settings import Settings
    from core.store import Store

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        readable=False,
        help="Work on this data directory; without it on that of the configuration, or ./var.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Read this TOML configuration; without it that of DAVSTORE_CONFIG, if any."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def load(data: Path | None, config: Path | None, **flags: str | int | None) -> "Settings":
    """The settings in force. Raises SettingsError."""
    with loading():
        from core.settings import Settings

    return Settings.load(config, os.environ, data=data and str(data), **flags)


@contextmanager
def opened(data: Path | None, config: Path | None, *, may_be_new: bool = False) -> Iterator["Store"]:
    """The store, which a server may be using at the same time. Raises Unusable with the remedy."""
    with unusable():
        settings = load(data, config)
        if not may_be_new:
            _is_there(settings)
        store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def open_store(settings: "Settings") -> "Store":
    with loading():
        from core import store

    return store.open(settings)


@contextmanager
def loading() -> Iterator[None]:
    """Nobody looks for garbage while modules are loaded inside, nor in them later: there is hardly any."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def unusable() -> Iterator[None]:
    """Whatever is refused inside means that the installation cannot be opened."""
    try:
        yield
    except Unusable:
        raise
    except Refusal as refusal:
        raise Unusable(refusal.subject, refusal.reason) from refusal


def _is_there(settings: "Settings") -> None:
    """A mistyped directory must not become a new installation."""
    url = settings.database.url
    file = Path(url.removeprefix("sqlite:///").partition("?")[0])
    try:
        if file.exists() or not url.startswith("sqlite:///"):
            return
    except OSError as error:
        raise Unusable(file, f"cannot be read ({error.strerror}); run this as the user who runs the server") from error
    remedy = "name another with --data, or start one with `davstore serve`"
    raise Unusable(settings.data, f"holds no davstore ({file} is missing); {remedy}")
