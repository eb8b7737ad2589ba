"""`davstore serve`: the socket first, then the installation, then the workers."""

import errno
import logging
import os
import signal
import socket
import sys
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core.errors import InvalidSetting

from . import welcome
from .installation import Config, Data, load, loading, open_store, unusable

if TYPE_CHECKING:
    from core.settings import Settings

ADMIN_PASSWORD = "DAVSTORE_ADMIN_PASSWORD"
REMEDIES = {
    errno.EADDRINUSE: "choose another port with --port (0 takes a free one), or end what listens there",
    errno.EACCES: "choose another port with --port; those below 1024 take an administrator's rights",
}

Host = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Listen on this address, else on 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(metavar="N", help="Listen on this port, else on 8080; 0 takes a free one.")]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Answer in so many processes, else in one.")]
Anonymous = Annotated[
    Literal["none", "read", "write"] | None,
    typer.Option(help="Let people without a password do this, else nothing."),
]
IKnow = Annotated[
    bool,
    typer.Option("--i-know", help="Allow an address that others reach (put TLS in front), or writing for everybody."),
]


def serve(
    data: Data = None,
    config: Config = None,
    host: Host = None,
    port: Port = None,
    workers: Workers = None,
    anonymous: Anonymous = None,
    i_know: IKnow = False,
) -> None:
    """Serve the drive, until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z")
    with unusable():
        settings = load(data, config, host=host, port=port, workers=workers, anonymous=anonymous)
    with _listening(settings) as sock:
        if not i_know:
            _refuse_exposure(settings, sock)
        raise typer.Exit(_serve(settings, sock))


def _listening(settings: "Settings") -> socket.socket:
    with loading():
        from davstore import workers

    try:
        return workers.listen(settings.server.host, settings.server.port)
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "--host takes an address of this machine")
        raise InvalidSetting(reason=f"{error.strerror or error}; {remedy}") from error


def _refuse_exposure(settings: "Settings", sock: socket.socket) -> None:
    if not ip_address(sock.getsockname()[0]).is_loopback:
        remedy = "put TLS in front and give --i-know, or listen on 127.0.0.1"
        raise InvalidSetting(settings.server.host, f"passwords would cross the network in clear text; {remedy}")
    if settings.server.anonymous == "write":
        remedy = "give --i-know if that is meant, or --anonymous read"
        raise InvalidSetting("anonymous write", f"whoever reaches the address could change and delete all; {remedy}")


def _serve(settings: "Settings", sock: socket.socket) -> int:
    # Loaded before the fork, so that the processes share it.
    with loading():
        from davstore import app, background, workers
        from davstore.limits import Limits

    has_jobs = settings.collector.enabled or settings.renditions.enabled
    url = welcome.url(*sock.getsockname()[:2])
    password = _prepare(settings)
    if password:
        welcome.password(password, is_told=bool(os.environ.get(ADMIN_PASSWORD)))
    return workers.run(
        # Each worker opens its own store: database connections must not be shared across a fork.
        lambda: app.application(open_store(settings), settings),
        sock,
        settings.server.workers,
        ready=lambda: welcome.ready(url, settings, is_first=bool(password)),
        limits=Limits(
            progress_seconds=settings.server.progress_timeout.total_seconds(),
            idle_seconds=settings.server.idle_timeout.total_seconds(),
        ),
        grace=settings.server.drain_grace.total_seconds(),
        beside=(lambda: background.run(lambda: open_store(settings))) if has_jobs else None,
    )


def _prepare(settings: "Settings") -> str | None:
    """The installation is there and of this version. On the first start, the password that `admin` was given."""
    with unusable():
        store = open_store(settings)
        try:
            return store.accounts.first_admin(os.environ.get(ADMIN_PASSWORD))
        finally:
            store.close()
