"""The composition root: `open(settings)` gives the whole store, ready to serve.

What no request needs, but the operator, the background jobs or a mount, is loaded by the method that has it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from . import buckets, documents, jobs, locks, migrations, storages
from .access import Accounts
from .app_passwords import AppPasswords
from .assets import Assets
from .attachments import Attachments
from .blobs import BlobStore
from .blobs.store import Capability
from .contents import Contents
from .database import Database
from .errors import InvalidSetting, NoSuchLock, NotFound
from .jobs import JobState, Wait
from .model import INLINE, Bucket, BucketId, Caller, Findings, Lock, LockLimits, Node, StorageUsage, Usage
from .namespace import Namespace
from .orders import Limits
from .policy import BucketPolicy
from .presets import Preset
from .quantities import nanoseconds
from .recovery import Recovery
from .references import Registry, Rule, forget, register
from .renderer import Renderer
from .renditions import Renditions
from .settings import Settings
from .staging import Staging
from .storage_settings import S3Storage, place
from .tokens import Tokens
from .uploads import Uploads
from .usage import stored, usage

if TYPE_CHECKING:
    from .archives import Archive
    from .attachment_lists import Filter, Key, Order, Page
    from .background import Background
    from .backup import Progress, Saved
    from .blobs.cache import Cache
    from .explain import Explanation
    from .garbage import Run, State
    from .hosting import HostObjects
    from .inodes import Inodes
    from .leftovers import Leftovers
    from .moving import Moved
    from .repair import Plan
    from .scrubbing import Scrubbed
    from .sweeping import Swept

NICE = 19
"""How nice the process is that makes what nobody waits for."""
AT_LEAST = timedelta(hours=1)
"""How long a blob that moved stays for downloads that are under way."""
GLANCE, IDLE = 1.0, 3600.0
"""Seconds until it is worth another look whether renditions are wanted; and where there is no job at all."""


@dataclass(frozen=True, slots=True)
class Store:
    settings: Settings
    database: Database
    contents: Contents
    registry: Registry
    renditions: Renditions
    lock_limits: LockLimits

    def cached(self, cache: "Cache") -> "Store":
        """The same store, which reads through the cache whatever is not in files of this machine, nor inline."""
        from .blobs.cached import Cached

        def wrap(blobs: BlobStore) -> BlobStore:
            return blobs if blobs.type == "local" or blobs.name == INLINE else Cached(blobs, cache)

        return replace(self, contents=self.contents.wrapped(wrap))

    @property
    def accounts(self) -> Accounts:
        return Accounts(self.database)

    @property
    def objects(self) -> "HostObjects":
        """For a host application in this process."""
        from .hosting import HostObjects

        return HostObjects(self.database, self.contents, self.registry)

    def uploads(self, caller: Caller) -> Uploads:
        """The caller's uploads that can be resumed."""
        chosen = self.settings.uploads
        lifetime = nanoseconds(chosen.lifetime)
        return Uploads(self.database, self.contents, caller, lifetime, chosen.most, chosen.staged)

    def namespace(self, caller: Caller) -> Namespace:
        return Namespace(self.database, self.contents, self.lock_limits, caller)

    def inodes(self, caller: Caller) -> "Inodes":
        from .inodes import Inodes

        return Inodes(self.database, self.contents, caller)

    def assets(self, caller: Caller) -> Assets:
        return Assets(self.database, self.contents, self.registry, caller)

    def attachments(self, caller: Caller) -> Attachments:
        return Attachments(self.namespace(caller), self.assets(caller))

    def list_attachments(self, caller: Caller, of: "Filter", order: "Order", after: "Key | None", limit: int) -> "Page":
        """See `attachment_lists.page`."""
        from .attachment_lists import page

        with self.database.read() as tx:
            return page(tx, caller, of, order, after, limit)

    def documents(self) -> list[Node]:
        """All documents and libraries, for the operator."""
        with self.database.read() as tx:
            return documents.every(tx)

    @property
    def app_passwords(self) -> AppPasswords:
        return AppPasswords(self.database)

    @property
    def tokens(self) -> Tokens:
        lifetime = self.settings.server.token_lifetime
        return Tokens(self.database, self.accounts, lifetime)

    @property
    def leftovers(self) -> "Leftovers":
        """Drafts of mounts that are gone."""
        from .leftovers import Leftovers

        return Leftovers(self.database, self.contents)

    def recovery(self, caller: Caller) -> Recovery:
        return Recovery(self.database, caller)

    def locks(self) -> list[Lock]:
        """Every live lock."""
        with self.database.read() as tx:
            return locks.every(tx)

    def break_lock(self, token: str) -> None:
        """The lock is gone, whoever holds it. Raises NoSuchLock."""
        with self.database.write() as tx:
            if not locks.remove(tx, [token]):
                raise NoSuchLock(token, "there is no such lock; `davstore lock ls` lists them")

    def buckets(self) -> list[Bucket]:
        with self.database.read() as tx:
            return buckets.every(tx)

    def create_bucket(self, name: str, policy: BucketPolicy) -> Bucket:
        """Raises AlreadyExists, InvalidSetting."""
        self._check_policy(policy)
        with self.database.write() as tx:
            return buckets.create(tx, name, policy)

    def change_bucket(self, name: str, policy: BucketPolicy) -> Bucket:
        """Contents that are there stay where they are. Raises NotFound, InvalidSetting."""
        self._check_policy(policy)
        with self.database.read() as tx:
            bucket = buckets.get(tx, name)
        with self.database.write(bucket.id) as tx:
            return buckets.change(tx, name, policy)

    def _check_policy(self, policy: BucketPolicy) -> None:
        if policy.storage not in self.contents.stores:
            raise InvalidSetting("storage", f"{policy.storage} is not configured; add it under [storages]")
        for preset in policy.presets:
            if preset not in self.settings.renditions.presets:
                raise InvalidSetting("presets", f"{preset} is not configured; add it under [renditions.presets]")

    def usage(self) -> list[Usage]:
        with self.database.read() as tx:
            return [usage(tx, bucket) for bucket in buckets.every(tx)]

    def verify(self, *, deep: bool = False) -> Findings:
        """Every invariant that can be read off the rows and the storages; with `deep`, digests too."""
        from .verify import verify

        return verify(self.database, self.contents, deep=deep)

    def plan_repair(self, findings: Findings) -> "Plan":
        """What `repair` would do about them."""
        from .repair import plan

        return plan(self.database, self.contents, findings)

    def repair(self, steps: "Plan") -> None:
        """Done as planned, where it is still called for; no name and no blob goes."""
        from .repair import repair

        repair(self.database, self.contents, steps)

    def collect_garbage(
        self, *, grace: int, retention: int | None = None, dry_run: bool = False, force: bool = False
    ) -> "Run":
        """One run of the collector; nanoseconds. See `garbage.run`."""
        from .garbage import run

        log = self.settings.collector.log
        return run(
            self.database,
            self.contents,
            self.registry,
            grace=grace,
            retention=retention,
            dry_run=dry_run,
            force=force,
            breaker=self.settings.collector.breaker,
            remember=None if log is None else _nanoseconds(log),
        )

    def garbage(self) -> "State":
        """What the collector will look at, and the deletions that fail."""
        from .garbage import state

        with self.database.read() as tx:
            return state(tx)

    def explain(self, about: str) -> "list[Explanation]":
        """Why a path's content, an object's uid or a digest is alive, or what let it go. Raises NotFound."""
        from .explain import explain

        with self.database.read() as tx:
            return explain(tx, self.registry, about)

    def back_up(self, archive: "Archive", progress: "Progress") -> "Saved":
        """The archive has one more snapshot. See `backup.back_up`; `restoring.restore` is the way back."""
        from .backup import back_up

        return back_up(self.database, self.contents, archive, progress)

    def sweep(self, *, dry_run: bool = False) -> "Swept":
        """Blobs that no row names are due for deletion in a week."""
        from .sweeping import sweep

        return sweep(self.database, self.contents, dry_run=dry_run)

    def scrub(self, older_than: int = 0) -> "Scrubbed":
        """Blobs whose last verdict is older than so many nanoseconds are read and hashed."""
        from .scrubbing import scrub

        return scrub(self.database, self.contents, older_than)

    def start_jobs(self) -> None:
        """The jobs that run at each start of a server are due."""
        jobs.start(self.database, self._background().jobs())

    def storages(self) -> list[StorageUsage]:
        """Those that are configured, by name."""
        with self.database.read() as tx:
            used = stored(tx)
        return [
            StorageUsage(name, storage.type, place(storage), *used.get(name, (0, 0)))
            for name, storage in sorted(self.settings.storages.items())
        ]

    def check_storage(self, name: str) -> Iterator[Capability]:
        """What the storage needs is tried on it, step by step. Raises NotFound."""
        if name not in self.settings.storages:
            raise NotFound(name, "there is no such storage; `davstore storage ls` lists them")
        return self.contents.stores[name].check()

    def move_blobs(self, source: str, target: str, tell: "Callable[[Moved], None]", keep: int | None = None) -> "Moved":
        """See `moving.move`; `tell` hears how far it is. Without `keep` old blobs stay as long as URLs to them live."""
        from .moving import move

        for name in (source, target):
            if name not in self.contents.stores:
                raise InvalidSetting(name, "is not configured; add it under [storages]")
        kept = self._links_end(source) if keep is None else keep
        return move(self.database, self.contents, source, target, kept, tell)

    def _links_end(self, name: str) -> int:
        storage = self.settings.storages.get(name)
        if isinstance(storage, S3Storage):
            return _nanoseconds(max(AT_LEAST, storage.presign_ttl, self.settings.links.ttl))
        return _nanoseconds(AT_LEAST)

    def run_due_jobs(self, wait: Wait) -> float:
        """Background jobs that were due and free have run. Returns in how many seconds one will be."""
        every = list(self._background().collecting())
        jobs.run_due(self.database, every, wait)
        return jobs.seconds_until_due(self.database, every) if every else IDLE

    def run_due_renditions(self, wait: Wait) -> float:
        """What buckets want of the pictures that came is made. Returns in how many seconds to look again."""
        every = list(self._background().drawing())
        jobs.run_due(self.database, every, wait)
        return GLANCE if every else IDLE

    def forget_rule(self, name: str, rule: str) -> None:
        """A host's `table.column` keeps nothing alive in the bucket any more. Raises NotFound, InvalidSetting."""
        with self.database.read() as tx:
            bucket = buckets.get(tx, name)
        table, _, column = rule.rpartition(".")
        if any(known.name == rule for known in self.registry.hosts.get(bucket.id, ())):
            raise InvalidSetting(rule, f"take it out of [[buckets.{name}.references]] first")
        with self.database.write(bucket.id) as tx:
            if not forget(tx, bucket, table, column):
                raise NotFound(rule, f"is no rule of bucket {name}")

    def jobs(self) -> list[JobState]:
        """The background jobs that are switched on, and how they fare."""
        with self.database.read() as tx:
            return jobs.states(tx, self._background().jobs())

    def _background(self) -> "Background":
        from .background import Background

        return Background(self.database, self.contents, self.registry, self.renditions, self.settings)

    def ready(self) -> None:
        """Raises StorageUnavailable where the database does not answer."""
        with self.database.read() as tx:
            buckets.every(tx)

    def close(self) -> None:
        self.renditions.close()
        self.database.close()


def open(settings: Settings) -> Store:  # noqa: A001 - callers write core.store.open, as they write dbm.open
    """The store of these settings, made where there is none. Raises Unusable with what to do about it."""
    database = Database(settings.database.url, settings.database.durability)
    try:
        return _opened(settings, database)
    except BaseException:
        database.close()
        raise


def _opened(settings: Settings, database: Database) -> Store:
    migrations.upgrade(database)
    stores = storages.opened(database, settings)
    durable = settings.database.durability == "fsync"
    final = {store.staging for store in stores.values() if store.type == "local"}
    directories = {store.staging for store in stores.values()}
    stagings = {directory: Staging(directory, durable, final=directory in final) for directory in directories}
    contents = Contents(database, stores, {name: stagings[store.staging] for name, store in stores.items()})
    _make_buckets(database, settings)
    renditions = _renditions(database, contents, settings)
    chosen = settings.locks
    limits = LockLimits(_nanoseconds(chosen.default_timeout), _nanoseconds(chosen.max_timeout))
    return Store(settings, database, contents, _registry(database, settings), renditions, limits)


def _make_buckets(database: Database, settings: Settings) -> None:
    """Configured buckets exist; a later change of their policy is `davstore bucket set`."""
    with database.read() as tx:
        missing = [name for name in settings.buckets if buckets.find(tx, name) is None]
    for name in missing:
        with database.write() as tx:
            if buckets.find(tx, name) is None:
                buckets.create(tx, name, settings.buckets[name])


def _renditions(database: Database, contents: Contents, settings: Settings) -> Renditions:
    chosen = settings.renditions
    limits = Limits(chosen.memory, math.ceil(chosen.timeout.total_seconds()), chosen.max_pixels)
    directory = contents.store("local").staging
    return Renditions(
        database,
        contents,
        prompt=Renderer(limits, directory),
        patient=Renderer(replace(limits, niceness=NICE), directory),
        presets={
            name: Preset(each.fit, each.width, each.height, each.quality) for name, each in chosen.presets.items()
        },
        steps=chosen.steps,
        formats=chosen.formats,
    )


def _registry(database: Database, settings: Settings) -> Registry:
    """The host applications' rules of this configuration, checked and remembered."""
    hosts: dict[BucketId, tuple[Rule, ...]] = {}
    for name, policy in settings.buckets.items():
        if policy.references:
            with database.write() as tx:
                bucket = buckets.get(tx, name)
                hosts[bucket.id] = register(tx, bucket, policy.references)
    return Registry(hosts)


def _nanoseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1) * 1000
