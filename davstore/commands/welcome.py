"""What `davstore serve` says: where the drive is, and on the first start how each system mounts it."""

import sys
from socket import gethostname
from typing import TYPE_CHECKING

import typer

from davstore.commands.version import version

if TYPE_CHECKING:
    from core.settings import Settings

PARAMETERS = r"HKLM\SYSTEM\CurrentControlSet\Services\WebClient\Parameters"
WINDOWS = f"reg add {PARAMETERS} /v BasicAuthLevel /t REG_DWORD /d 2 /f & net stop webclient & net start webclient"
WILDCARDS = {"0.0.0.0", "::"}


def url(host: str, port: int) -> str:
    name = gethostname() if host in WILDCARDS else host
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def password(chosen: str, *, is_told: bool) -> None:
    """The first administrator's; one that was made up is told now and never again."""
    _line("User admin is made, with the password of DAVSTORE_ADMIN_PASSWORD." if is_told else "User admin is made.")
    if not is_told:
        _line(f"    password: {chosen}", "bold")
        _line("It is shown this once; `davstore user passwd admin` sets another.")
    _line("")


def ready(url: str, settings: "Settings", *, is_first: bool) -> None:
    count = settings.server.workers
    where = f"davstore {version()} serves {settings.data} at {url}"
    _line(f"{where} with {count} workers" if count > 1 else where, "bold")
    if is_first:
        _line("")
        for system, command in mounting(url):
            _line(system)
            _line(f"    {command}", "cyan")
        _line("")
    _line("Ctrl-C ends it.")


def mounting(url: str) -> list[tuple[str, str]]:
    """Systems and clients, each with a command line that mounts or uses the drive."""
    dav, kde = (url.replace("http://", scheme, 1) for scheme in ("dav://", "webdav://admin@"))
    rclone = f"--webdav-url {url} --webdav-vendor rclone --webdav-user admin"
    return [
        ("Browser", url),
        ("GNOME: Files, Other Locations, Connect to Server; or", f"gio mount {dav}"),
        ("KDE", f"dolphin {kde}"),
        ("macOS: Finder, Go, Connect to Server; or", f"mkdir -p ~/davstore && mount_webdav -i {url} ~/davstore"),
        ("Windows", f"net use Z: {url} * /user:admin"),
        ("Windows, once before, as administrator: it sends passwords to https only, unless told so", WINDOWS),
        ("davfs2", f"sudo mount -t davfs {url} /mnt"),
        ("rclone", f'rclone copy FOLDER :webdav:files/FOLDER {rclone} --webdav-pass "$(rclone obscure PASSWORD)"'),
        ("curl", f"curl --user admin --upload-file FILE {url}files/"),
    ]


def _line(text: str, style: str = "") -> None:
    """A whole line, however narrow the terminal: command lines are to be copied."""
    if not sys.stdout.isatty():
        typer.echo(text)
        return
    # Only people see a style, and only for them the server loads what makes it.
    from rich.console import Console
    from rich.text import Text

    Console(soft_wrap=True, highlight=False).print(Text(text, style))
