"""`davstore mount`: the store opens, the tree is mounted, and both end together."""

import resource
import signal
from dataclasses import dataclass
from pathlib import Path

from core.errors import NotFound
from core.inodes import TOP
from core.model import Caller, NodeId
from core.store import Store

from .operations import Operations
from .replies import Replies
from .session import Session


@dataclass(frozen=True, slots=True)
class Options:
    mountpoint: Path
    bucket: str | None = None
    user: str = "admin"
    read_only: bool = False
    allow_other: bool = False
    attr_timeout: float = 1.0


def run(store: Store, options: Options) -> None:
    """Serves the mount until it is unmounted, or the process is told to end. Raises Unusable."""
    _raise_limits()
    inodes = store.inodes(Caller(options.user, admin=True, may_write=not options.read_only, unbound=True))
    operations = Operations(inodes, _top(store, options))
    session = Session(options.mountpoint, Replies(operations, options.attr_timeout).callbacks(), _words(options))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: session.ended.set())
    session.start()
    while not session.ended.wait(3600):
        pass
    session.stop()
    for file in operations.files.all():
        operations.files.publish(file, durable=True)


def _top(store: Store, options: Options) -> NodeId:
    if options.bucket is None:
        return TOP
    found = next((bucket.root for bucket in store.buckets() if bucket.name == options.bucket), None)
    if found is None:
        raise NotFound((options.bucket,), "there is no such bucket; `davstore bucket ls` lists them")
    return found


def _words(options: Options) -> list[str]:
    words = ["fsname=davstore", "subtype=davstore", "default_permissions"]
    return words + ["ro"] * options.read_only + ["allow_other"] * options.allow_other


def _raise_limits() -> None:
    """Every open file may take two descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
