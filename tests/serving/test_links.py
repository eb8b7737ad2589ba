"""Kept links: the table `links` has a URL that works for each content of a bucket with `presign` "stored"."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from core import store as stores
from core.database import Database
from core.errors import StorageUnavailable
from core.links import MARGIN, renew
from core.model import SECOND, Node
from core.policy import BucketPolicy, Versions
from core.quantities import nanoseconds
from core.schema import objects
from core.schema_services import jobs, links
from core.settings import Database as DatabaseSettings
from core.settings import Settings
from core.storage_settings import LocalStorage, S3Storage
from core.store import Store
from tests.parts.stores import ANN, put
from tests.serving.drive import Drive, ask

NO_VERSIONS = Versions(keep=0)
STORED = BucketPolicy(storage="s3main", inline_below=0, trash=None, versions=NO_VERSIONS, presign="stored")
PHOTO = b"\x89PNG\r\n\x1a\n" + bytes(1000)
MINUTE = 60 * SECOND


@dataclass(frozen=True)
class Host:
    """A host application's view: what it stores, and the links that it finds."""

    store: Store

    def put(self, name: str, data: bytes = PHOTO, bucket: str = "media") -> Node:
        return put(self.store.namespace(ANN), (bucket, name), data).node

    def renew(self) -> None:
        """As the server does at its start."""
        self.store.start_jobs()
        self.store.run_due_jobs(lambda _: False)

    def links(self) -> dict[str, Any]:
        """Rows of links by the digest of the content."""
        with self.store.database.read() as tx:
            rows = tx.execute(select(objects.c.digest, links).join(links, links.c.object == objects.c.id))
            return {row.digest: row for row in rows}

    def link(self, data: bytes = PHOTO) -> Any:
        return self.links()[sha256(data).hexdigest()]

    def age(self, left: int) -> None:
        """Every link has so many nanoseconds left."""
        with self.store.database.write() as tx:
            tx.execute(update(links).values(expires=tx.now + left, url="old"))

    def error(self) -> str | None:
        return next(job.last_error for job in self.store.jobs() if job.name == "links")


@pytest.fixture
def host(database_url: str, s3_storage: S3Storage, tmp_path: Path) -> Iterator[Host]:
    settings = Settings(
        data=tmp_path / "data",
        database=DatabaseSettings.model_validate({"url": database_url, "durability": "os"}),
        storages={"local": LocalStorage(path=tmp_path / "data" / "blobs"), "s3main": s3_storage},
        buckets={"media": STORED, "plain": STORED.model_copy(update={"presign": "on-demand"})},
    )
    store = stores.open(settings)
    yield Host(store)
    findings = store.verify()
    store.close()
    assert not findings.problems


def test_every_content_has_a_link_that_opens_it_and_says_until_when(host: Host) -> None:
    host.put("photo.png")
    host.put("notes.html", b"<script>")
    host.put("photo.png", bucket="plain", data=b"elsewhere")

    host.renew()

    assert len(host.links()) == 2
    photo, page = ask(host.link().url), ask(host.link(b"<script>").url)
    assert (photo.status, photo.body, photo.headers["content-type"]) == (200, PHOTO, "image/png")
    assert (page.status, page.headers["content-type"]) == (200, "application/octet-stream")
    life = host.link().expires - host.link().signed
    ttl = nanoseconds(host.store.settings.links.ttl)
    assert ttl // 2 <= life <= ttl


def test_what_has_less_than_an_hour_left_is_renewed_and_no_other(host: Host) -> None:
    host.put("photo.png")
    host.renew()

    host.age(MARGIN + 5 * MINUTE)
    host.renew()
    assert host.link().url == "old"

    host.age(MARGIN - SECOND)
    host.renew()
    assert ask(host.link().url).body == PHOTO
    assert host.link().expires - host.link().signed >= MARGIN


def test_a_link_follows_its_blob_to_another_place(host: Host) -> None:
    node = host.put("photo.png")
    host.renew()
    before = host.link()
    assert node.content
    store = host.store.contents.store("s3main")
    moved = f"{node.content.key.rpartition('.')[0]}.moved"
    with host.store.contents.open(node) as source, host.store.contents.draft(host.store.buckets()[1]) as draft:
        draft.write(source.read())
        store.publish(moved, draft.seal())
    with host.store.database.write() as tx:
        tx.execute(update(objects).values(key=moved))
    store.delete(node.content.key)

    host.renew()

    assert ask(before.url).status == 404
    assert ask(host.link().url).body == PHOTO


def test_links_go_with_the_wish_for_them_and_with_their_content(host: Host) -> None:
    other = b"other"
    for name, data in {"photo.png": PHOTO, "other.png": other, "third.png": b"third"}.items():
        host.put(name, data)
    host.renew()

    host.store.namespace(ANN).delete(("media", "photo.png"))
    assert host.store.collect_garbage(grace=0).condemned == 1
    host.renew()
    assert host.links().keys() == {sha256(other).hexdigest(), sha256(b"third").hexdigest()}

    host.store.namespace(ANN).delete(("media", "third.png"))
    assert host.store.collect_garbage(grace=0, retention=0).purged == 2
    assert host.links().keys() == {sha256(other).hexdigest()}

    host.store.change_bucket("media", STORED.model_copy(update={"presign": "on-demand"}))
    host.renew()
    assert host.links() == {}


def test_a_content_that_comes_back_has_a_link_again(host: Host) -> None:
    host.put("photo.png")
    host.store.namespace(ANN).delete(("media", "photo.png"))
    host.store.collect_garbage(grace=0)
    host.renew()
    assert host.links() == {}

    host.put("again.png")
    host.renew()

    assert ask(host.link().url).body == PHOTO


@pytest.mark.expects_log("job links: a blob: the storage is on strike")
def test_an_error_of_the_storage_is_told_and_stops_no_other_link(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = host.put("photo.png").content
    host.put("other.png", b"other")
    store = host.store.contents.presigners["s3main"]
    presigned = store.presigned

    def failing(key: str, **given: Any) -> str:
        if refused and key == refused.key:
            raise StorageUnavailable("a blob", "the storage is on strike")
        return presigned(key, **given)

    monkeypatch.setattr(store, "presigned", failing)
    host.renew()
    assert host.links().keys() == {sha256(b"other").hexdigest()}
    assert host.error() == "a blob: the storage is on strike"

    monkeypatch.undo()
    host.renew()
    assert len(host.links()) == 2
    assert host.error() is None


def test_links_are_signed_at_start_and_every_ten_minutes(host: Host) -> None:
    host.renew()
    host.put("photo.png")

    host.store.run_due_jobs(lambda _: False)
    assert host.links() == {}, "it ran a moment ago"
    with host.store.database.write() as tx:
        tx.execute(update(jobs).where(jobs.c.name == "links").values(last_run=tx.now - 10 * MINUTE))
    host.store.run_due_jobs(lambda _: False)
    assert len(host.links()) == 1

    host.put("other.png", b"other")
    host.renew()
    assert len(host.links()) == 2


def test_two_servers_may_sign_at_once(host: Host) -> None:
    for number in range(20):
        host.put(f"{number}.png", PHOTO + bytes(number))
    ttl = nanoseconds(host.store.settings.links.ttl)

    with ThreadPoolExecutor() as threads:
        done = [threads.submit(renew, host.store.database, host.store.contents, ttl) for _ in range(4)]
        assert not any(one.result().failed for one in done)

    assert len(host.links()) == 20


def test_a_server_signs_soon_after_its_start(drive: Drive) -> None:
    """The whole of it, in the process beside the workers."""
    ran, limit = None, time.monotonic() + 30
    with closing(Database(f"sqlite:///{drive.server.data}/davstore.db", "os")) as database:
        while ran is None and time.monotonic() < limit:
            time.sleep(0.05)
            with database.read() as tx:
                ran = tx.scalar(select(jobs.c.last_run).where(jobs.c.name == "links"))

    assert ran, "the job has not run"
