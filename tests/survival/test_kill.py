"""I7: what was acknowledged survives `kill -9` of every process of the server; what was not is there wholly or not."""

import random
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import pytest

from tests.parts.scale import soak
from tests.parts.server import DavServer
from tests.survival.drive import Drive, drafts, fsck
from tests.survival.journal import Client, Journal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(soak(600, 3600))]

CLIENTS = 8
IN_FLIGHT = {"due"}
"""Kinds of blobs that a kill may leave behind: an intent names each of them."""


def test_kill_9_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path):
    rounds = _killed_again_and_again(tmp_path / "data", {}, at_least=soak(5, 24), seconds=soak(30, 0))

    assert rounds >= soak(5, 24)


def test_kill_9_under_load_loses_nothing_on_postgresql(tmp_path: Path, postgres_url: str):
    environ = {"DAVSTORE_DATABASE__URL": postgres_url}

    rounds = _killed_again_and_again(tmp_path / "data", environ, at_least=soak(2, 12), seconds=0)

    assert rounds == soak(2, 12)


def _killed_again_and_again(data: Path, environ: Mapping[str, str], at_least: int, seconds: float) -> int:
    """Each round ends with a kill and begins with a look at what the last one left. The number of kills."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    journals = [Journal(f"/files/client{n}") for n in range(CLIENTS)]
    end = time.monotonic() + seconds
    for number in count():
        with DavServer(data, "--workers", str(1 + number % 2), environ=environ) as server:
            _see(server, journals, environ, number)
            if number >= at_least and time.monotonic() > end:
                print(f"{number} kills, {_acknowledged(journals)} acknowledged operations")
                return number
            _kill_under_load(server, journals, chance)
    raise AssertionError


def _see(server: DavServer, journals: Sequence[Journal], environ: Mapping[str, str], kills: int) -> None:
    assert not drafts(server.data), "litter in staging"
    with Drive(server.port) as drive:
        seen = drive.tree("/")
    assert seen.pop("/files") is None
    for journal in journals:
        home = {path: seen.pop(path) for path in list(seen) if (path + "/").startswith(journal.home + "/")}
        journal.settle(home)
    assert not seen, "nobody put that there"
    left = fsck(server.data, environ, *(["--deep"] if kills % 4 == 3 else []))["reclaimable"]
    assert {blob["kind"] for blob in left} <= IN_FLIGHT
    assert len(left) <= kills * CLIENTS


def _kill_under_load(server: DavServer, journals: Sequence[Journal], chance: random.Random) -> None:
    wanted = _acknowledged(journals) + chance.randrange(30, 150)
    clients = [Client(server.port, journal, chance.getrandbits(32)) for journal in journals]
    for client in clients:
        client.thread.start()
    while _acknowledged(journals) < wanted and all(client.thread.is_alive() for client in clients):
        time.sleep(chance.uniform(0.001, 0.02))
    refused = [client.refused for client in clients if not client.thread.is_alive()]
    server.kill9()
    for client in clients:
        client.thread.join()
    assert not refused


def _acknowledged(journals: Sequence[Journal]) -> int:
    return sum(journal.acknowledged for journal in journals)
