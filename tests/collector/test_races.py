"""Everybody at once, with neither grace nor retention: nothing acknowledged is lost, and everything goes in the end."""

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from core.store import Store
from tests.collector import life
from tests.collector.actors import Journals, opened, work
from tests.collector.hosts import Host
from tests.collector.journals import Journal
from tests.parts import stores
from tests.parts.scale import soak
from tests.parts.server import ROOT

SECONDS = soak(8, 180)
RARELY = 0.02
"""Of the operations may be refused because bytes went away again and again."""
TOO_LATE = ("FOREIGN KEY", "foreign key", "expired while it was put", "again and again")
"""What a host may hear that refers to an object too late."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS * 4 + 240)]


@pytest.fixture
def host(database_url: str) -> Host:
    return Host(database_url).make_table()


@pytest.fixture
def store(database_url: str, tmp_path: Path, host: Host) -> Iterator[Store]:
    store = opened(database_url, tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
def seed() -> int:
    chosen = random.SystemRandom().randrange(1 << 30)
    print(f"seed {chosen}")
    return chosen


def test_threads_without_grace_lose_nothing(store: Store, host: Host, database_url: str, seed: int):
    told = work(store, database_url, SECONDS, seed, users=4)

    _nothing_is_lost(store, host, told)


def test_processes_without_grace_lose_nothing(store: Store, host: Host, database_url: str, tmp_path: Path, seed: int):
    command = [sys.executable, "-m", "tests.collector.actors", database_url, str(tmp_path / "data"), str(SECONDS)]
    running = [
        subprocess.Popen([*command, str(seed + 100 * n), "2"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    told = Journals()
    for process in running:
        for name, group in json.loads(process.communicate()[0]).items():
            getattr(told, name).extend(Journal(**each) for each in group)
    assert [process.returncode for process in running] == [0, 0, 0]

    _nothing_is_lost(store, host, told)


def _nothing_is_lost(store: Store, host: Host, told: Journals) -> None:
    groups: dict[str, list[Journal]] = vars(told)
    assert {repr(each.broken) for group in groups.values() for each in group} == {"''"}
    for name, group in groups.items():
        rounds = sum(each.rounds for each in group)
        print(f"{name}: {_done(group)} done in {rounds} rounds, {len(_refusals(group))} refused")
        assert _done(group), name
    _is_rarely_refused(told)
    keepers = (*told.collecting, *told.sweeping, *told.scrubbing, *told.verifying, *told.moving)
    assert [each.refused for each in keepers] == [[]] * len(keepers)

    _files_are_there(store, told.users)
    _profiles_are_readable(store, host, told.applications)
    findings = store.verify(deep=True)
    assert findings.problems == ()
    assert {each.kind for each in findings.reclaimable} <= {"due"}
    _versions_come_back(store, told.users)

    host.forget_all()
    life.change(store, life.objects, touched=0)
    life.empty_everything(store)
    assert life.is_empty(store, store.settings.data)
    assert life.blobs(store) == []


def _is_rarely_refused(told: Journals) -> None:
    users, applications = _refusals(told.users), _refusals(told.applications)
    assert len(users) <= _done(told.users) * RARELY + 1, users
    assert all("again and again" in refusal for refusal in users), users
    assert all(any(why in refusal for why in TOO_LATE) for refusal in applications), applications


def _files_are_there(store: Store, users: Sequence[Journal]) -> None:
    namespace = life.as_ann(store)
    journal = {path: digest for each in users for path, digest in each.files.items()}
    there = [node.path for bucket in store.buckets() for node in stores.members(namespace, (bucket.name,))]
    assert {"/".join(path): hashlib.sha256(stores.content(namespace, path)).hexdigest() for path in there} == journal


def _profiles_are_readable(store: Store, host: Host, applications: Sequence[Journal]) -> None:
    journal = {int(profile): digest for each in applications for profile, digest in each.profiles.items()}
    there = {profile: store.objects.get_object_bytes(uid) for profile, uid in host.profiles().items()}
    assert {profile: hashlib.sha256(data).hexdigest() for profile, data in there.items()} == journal


def _versions_come_back(store: Store, users: Sequence[Journal]) -> None:
    namespace, recovery = life.as_ann(store), store.recovery(life.ADMIN)
    for path, digest in ((tuple(path.split("/")), digest) for each in users for path, digest in each.older.items()):
        recovery.restore_version(path, recovery.versions(path)[0].uid)
        assert hashlib.sha256(stores.content(namespace, path)).hexdigest() == digest, path


def _done(group: Sequence[Journal]) -> int:
    return sum(each.acknowledged for each in group)


def _refusals(group: Sequence[Journal]) -> list[str]:
    return [refusal for each in group for refusal in each.refused]
