"""`davstore mount`: the store opens, the tree is mounted, and both end together."""

import errno
import logging
import resource
import signal
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.blobs.cache import Cache
from core.errors import NotFound, Refusal, Unusable
from core.inode_rows import TOP
from core.inodes import Inodes
from core.model import Caller, NodeId
from core.store import Store
from core.trash_tree import TrashTree
from core.version_tree import VersionTree
from core.views import View

from .operations import Operations
from .past import PastTree
from .replies import Replies
from .session import Session, detach

DEVICE = Path("/dev/fuse")
RETRY, SOON = 30.0, 3.0
"""Seconds between attempts to publish what could not be, and while drafts wait that could not even be kept."""
TRASH, VERSIONS = ".trash", ".versions"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    mountpoint: Path
    bucket: str | None = None
    user: str = "admin"
    read_only: bool = False
    allow_other: bool = False
    attr_timeout: float = 1.0
    restrictions: tuple[str, ...] = ()
    """The kernel's own: noexec, nosuid, nodev."""


def run(store: Store, options: Options) -> None:
    """Serves the mount until it is unmounted, or the process is told to end. Raises Unusable."""
    _check_place(options.mountpoint)
    _raise_limits()
    with closing(Cache(store.settings.data / "cache", store.settings.mount.cache)) as cache:
        _serve(store.cached(cache), options)


def _serve(store: Store, options: Options) -> None:
    caller = Caller(options.user, admin=True, may_write=not options.read_only, unbound=True)
    inodes = store.inodes(caller)
    past = PastTree(_views(store, caller), inodes, options.bucket)
    session = Session(options.mountpoint, _words(options))
    top = _top(store, options)
    operations = Operations(inodes, top, past, session.forget_attributes)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: session.ended.set())
    _publish_leftovers(store, inodes, options)
    inodes.warm_up(top)
    session.start(Replies(operations, options.attr_timeout).callbacks())
    pause = RETRY
    while not session.ended.wait(pause):
        pause = RETRY if operations.files.settle() else SOON
        _publish_leftovers(store, inodes, options)
    try:
        session.stop()
    finally:
        operations.files.close_for_good()
    inodes.sync()


def _check_place(mountpoint: Path) -> None:
    """Raises Unusable; what a killed mount has left there goes."""
    if not DEVICE.exists():
        raise Unusable(DEVICE, "is missing; load the kernel's module with `modprobe fuse`, or give it to the container")
    try:
        is_directory = mountpoint.is_dir()
        mountpoint.stat()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise Unusable(mountpoint, f"cannot be mounted on: {error.strerror}") from error
        detach(mountpoint)
        is_directory = mountpoint.is_dir()
    if not is_directory:
        raise Unusable(mountpoint, "is no directory; give an empty one")


def _publish_leftovers(store: Store, inodes: Inodes, options: Options) -> None:
    """Drafts that a mount before this one, or a storage that was down, left unpublished."""
    if options.read_only:
        return
    try:
        refusals = store.leftovers.publish(inodes)
    except Refusal as refusal:
        refusals = [refusal]
    for refusal in refusals:
        log.warning("a draft is still kept, see `davstore drafts`: %s", refusal)


def _views(store: Store, caller: Caller) -> dict[str, View]:
    namespace = store.namespace(caller)
    return {TRASH: View(namespace, TrashTree(), (TRASH,)), VERSIONS: View(namespace, VersionTree(), (VERSIONS,))}


def _top(store: Store, options: Options) -> NodeId:
    if options.bucket is None:
        return TOP
    found = next((bucket.root for bucket in store.buckets() if bucket.name == options.bucket), None)
    if found is None:
        raise NotFound((options.bucket,), "there is no such bucket; `davstore bucket ls` lists them")
    return found


def _words(options: Options) -> list[str]:
    words = ["fsname=davstore", "subtype=davstore", "default_permissions", *options.restrictions]
    return words + ["ro"] * options.read_only + ["allow_other"] * options.allow_other


def _raise_limits() -> None:
    """Every open file may take two descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
