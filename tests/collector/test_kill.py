"""`kill -9` of a process that lets go what it can: what is kept is whole, and the next process finishes the work."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.model import Path as StorePath
from core.store import Store
from tests.collector import life
from tests.parts import stores
from tests.parts.scale import soak
from tests.parts.server import ROOT

ROUNDS = soak(5, 20)
FILES = soak(60, 200)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(soak(300, 1200))]


def test_kill_9_of_a_process_that_purges_breaks_nothing(store: Store, database_url: str, tmp_path: Path):
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    kept: dict[StorePath, bytes] = {}
    for number in range(ROUNDS):
        kept |= _work(store, chance, number)
        _killed_while_it_purges(database_url, tmp_path / "data", chance)

        assert store.verify(deep=True).problems == ()
        for path, content in kept.items():
            assert stores.content(life.as_ann(store), path) == content

    life.change(store, life.purges, claimed=None)
    life.run(store)
    assert len(life.rows(store, life.objects)) == len(life.blobs(store)) == len(kept)
    life.empty_everything(store)
    assert life.is_empty(store, tmp_path / "data")


def _work(store: Store, chance: random.Random, number: int) -> dict[StorePath, bytes]:
    """Many files, of which some stay and the others are deleted for good."""
    files = {f"{number} {n}.txt": chance.randbytes(chance.choice((3, 40, 3000))) + b"%d %d" % (number, n)
             for n in range(FILES)}  # fmt: skip
    paths = {name: life.put(store, name, content) for name, content in files.items()}
    stays = set(chance.sample(sorted(files), 10))
    for name in files.keys() - stays:
        life.as_ann(store).delete(paths[name])
    store.recovery(life.ADMIN).empty_trash()
    return {paths[name]: files[name] for name in stays}


def _killed_while_it_purges(url: str, data: Path, chance: random.Random) -> None:
    command = [sys.executable, "-m", "tests.collector.purging", url, str(data)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
