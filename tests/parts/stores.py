"""Stores on a database and a directory of a test's own, and short ways to use them."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from types import MappingProxyType

from core import store as stores
from core.database import Database
from core.migrations import upgrade
from core.model import ANYTHING, Caller, Expect, Node, Outcome, Path
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.settings import Database as DatabaseSettings
from core.settings import Settings
from core.storage_settings import Storage
from core.store import Store

ANN, BOB, READER = Caller("ann"), Caller("bob"), Caller("carol", may_write=False)
INLINE_BELOW = 16
SMALL = BucketPolicy(inline_below=INLINE_BELOW)
"""Contents of 16 bytes and more have blobs, shorter ones are inline."""


def migrated(url: str) -> None:
    database = Database(url, "os")
    upgrade(database)
    database.close()


def settings(
    url: str,
    data: FilePath,
    durability: str = "os",
    storages: Mapping[str, Storage] = MappingProxyType({}),
    **buckets: BucketPolicy,
) -> Settings:
    """Buckets `files` and `media` that keep nearly everything as blobs, unless others are given."""
    policies: Mapping[str, BucketPolicy] = {"files": SMALL, "media": SMALL, **buckets}
    database = DatabaseSettings.model_validate({"url": url, "durability": durability})
    return Settings(data=data, database=database, storages=dict(storages), buckets=dict(policies))


def opened(
    url: str,
    data: FilePath,
    durability: str = "os",
    storages: Mapping[str, Storage] = MappingProxyType({}),
    **buckets: BucketPolicy,
) -> Store:
    return stores.open(settings(url, data, durability, storages, **buckets))


def installed(data: FilePath) -> None:
    """A data directory as the first start of `davstore serve` leaves it."""
    store = stores.open(Settings(data=data))
    store.accounts.first_admin("correct horse")
    store.close()


def put(namespace: Namespace, path: Path, data: bytes = b"", expect: Expect = ANYTHING) -> Outcome:
    with namespace.stage(path) as draft:
        draft.write(data)
        return namespace.put(path, draft, expect=expect)


def content(namespace: Namespace, path: Path) -> bytes:
    with namespace.open(namespace.node(path)) as file:
        return file.read()


def members(namespace: Namespace, path: Path) -> list[Node]:
    return [node for page in namespace.children(path, page=3) for node in page]


def below(namespace: Namespace, path: Path) -> list[Node]:
    """Everything below a collection, parents first."""
    found: list[Node] = []
    for node in members(namespace, path):
        found += [node, *(below(namespace, node.path) if node.is_collection else ())]
    return found
