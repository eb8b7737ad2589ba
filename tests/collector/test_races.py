"""Everybody at once, with neither grace nor retention: nothing acknowledged is lost, and everything goes in the end."""

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.store import Store
from tests.collector import life
from tests.collector.actors import FORGETFUL, Journal, work
from tests.collector.conftest import OpenStore
from tests.parts import stores
from tests.parts.scale import soak
from tests.parts.server import ROOT

SECONDS = soak(8, 180)
RARELY = 0.02
"""Of the operations may be refused because bytes went away again and again."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS * 4 + 240)]


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store(files=FORGETFUL, media=FORGETFUL)


@pytest.fixture
def seed() -> int:
    chosen = random.SystemRandom().randrange(1 << 30)
    print(f"seed {chosen}")
    return chosen


def test_threads_and_a_collector_without_grace_lose_nothing(store: Store, seed: int):
    users, collectors = work(store, SECONDS, seed, users=5, collectors=1)

    _nothing_is_lost(store, users, collectors)


def test_processes_and_collectors_without_grace_lose_nothing(
    store: Store, database_url: str, tmp_path: Path, seed: int
):
    command = [sys.executable, "-m", "tests.collector.actors", database_url, str(tmp_path / "data"), str(SECONDS)]
    running = [
        subprocess.Popen([*command, str(seed + 100 * n), "2", "1"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    told = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]

    users, collectors = ([Journal(**each) for groups in told for each in groups[which]] for which in (0, 1))
    _nothing_is_lost(store, users, collectors)


def _nothing_is_lost(store: Store, users: Sequence[Journal], collectors: Sequence[Journal]) -> None:
    assert [journal.broken for journal in (*users, *collectors)] == [""] * len((*users, *collectors))
    done, deleted = sum(journal.acknowledged for journal in users), sum(each.acknowledged for each in collectors)
    refused = [refusal for journal in users for refusal in journal.refused]
    print(f"{done} operations acknowledged, {len(refused)} refused, {deleted} blobs deleted meanwhile")
    assert len(refused) <= done * RARELY + 1, refused
    assert all("again and again" in refusal for refusal in refused), refused
    assert [each.refused for each in collectors] == [[]] * len(collectors)
    assert min(done, deleted) > 0

    namespace = life.as_ann(store)
    journal = {path: digest for each in users for path, digest in each.files.items()}
    there = [node.path for bucket in store.buckets() for node in stores.members(namespace, (bucket.name,))]
    assert {"/".join(path): hashlib.sha256(stores.content(namespace, path)).hexdigest() for path in there} == journal
    findings = store.verify(deep=True)
    assert findings.problems == ()
    assert {each.kind for each in findings.reclaimable} <= {"due"}

    life.empty_everything(store)
    assert life.is_empty(store, store.settings.data)
