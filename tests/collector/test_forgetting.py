"""A large subtree of the trash goes batch by batch: out of sight at once, counted exactly, finished by anybody."""

import random
import subprocess
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from core import forgetting
from core.errors import NotFound, Refusal
from core.expiry import expire
from core.policy import BucketPolicy
from core.schema import nodes, trash
from core.store import Store
from core.tempo import Tempo
from core.trash_tree import TrashTree
from core.views import View
from tests.collector import life
from tests.collector.conftest import OpenStore
from tests.collector.failing import Faults
from tests.parts import stores
from tests.parts.scale import soak
from tests.parts.server import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(soak(300, 1200))]

WIDE, DEEP = soak(20, 200), soak(15, 150)
TREE, STAYS = ("files", "tree"), ("files", "stays")
SHORT = Tempo(longest=0.001)
BATCH = 20
"""Nodes that go in a batch of a short tempo."""
EMPTIES = """import sys
from pathlib import Path
from core.tempo import Tempo
from tests.collector import life
from tests.parts import stores
store = stores.opened(sys.argv[1], Path(sys.argv[2]))
recovery = store.recovery(life.ADMIN)
recovery.forget(recovery.trashed()[0].uid, Tempo(0.001, lambda: (print("a batch", flush=True), input())))
"""


def _plant(store: Store) -> None:
    """A wide collection and a deep one, with a hard link within the tree and one to a file outside of it."""
    ann, inodes = life.as_ann(store), store.inodes(stores.ANN)
    ann.make_collection(TREE)
    ann.make_collection((*TREE, "flat"))
    for n in range(WIDE):
        ann.make_collection((*TREE, f"{n}"))
        stores.put(ann, (*TREE, f"{n}", "a"), b"a%d" % n)
        stores.put(ann, (*TREE, "flat", f"{n}"), life.PHOTO + b"%d" % n)
    deep = (*TREE, "deep")
    for n in range(DEEP):
        ann.make_collection(deep)
        stores.put(ann, (*deep, "file"), b"d%d" % n)
        deep = (*deep, "deeper")
    stores.put(ann, STAYS, b"what stays")
    inodes.link(ann.node(STAYS).id, ann.node((*TREE, "flat")).id, "stays")
    inodes.link(ann.node((*TREE, "0", "a")).id, ann.node((*TREE, "deep")).id, "twice")


def _is_gone(store: Store) -> bool:
    """Nothing is left but the roots of the two buckets and the file that has another name."""
    (files, _) = sorted(store.usage(), key=lambda usage: usage.bucket)
    left = (len(life.rows(store, trash)), len(life.rows(store, nodes)), files.files, files.logical_bytes)
    return left == (0, 3, 1, len(b"what stays")) and stores.content(life.as_ann(store), STAYS) == b"what stays"


def test_every_batch_is_small_and_leaves_a_sound_store_from_which_nothing_can_be_restored(store: Store):
    _plant(store)
    life.as_ann(store).delete(TREE)
    recovery = store.recovery(life.ADMIN)
    (entry,) = recovery.trashed()
    left = [len(life.rows(store, nodes))]

    def look() -> None:
        assert store.verify().problems == ()
        assert recovery.trashed() == []
        with pytest.raises(NotFound):
            recovery.restore(entry.uid)
        left.append(len(life.rows(store, nodes)))

    assert recovery.forget(entry.uid, Tempo(SHORT.longest, look))

    went = [before - after for before, after in pairwise(left)]
    assert max(went) <= BATCH
    assert len(went) < left[0] / 2
    assert _is_gone(store)
    assert not recovery.forget(entry.uid)


def test_whatever_step_fails_the_tree_goes_with_the_next_run(store: Store):
    _plant(store)
    life.as_ann(store).delete(TREE)
    recovery, faults = store.recovery(life.ADMIN), Faults(store)
    whole = len(life.rows(store, nodes))

    at = 0
    while life.rows(store, trash):
        at += 1
        entries = recovery.trashed()
        with faults.failing("statement", at), suppress(Refusal, OperationalError):
            if entries:
                recovery.forget(entries[0].uid, SHORT)
            else:
                expire(store.database, SHORT)
        assert store.verify().problems == ()
        if recovery.trashed():
            assert len(life.rows(store, nodes)) == whole

    assert at > BATCH
    assert _is_gone(store)


def test_what_a_killed_process_left_goes_with_the_next_run(store: Store, database_url: str, tmp_path: Path):
    _plant(store)
    life.as_ann(store).delete(TREE)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", EMPTIES, database_url, str(tmp_path / "data")]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(random.randrange(1, 4)):
            assert process.stdout.readline() == "a batch\n"
            process.stdin.write("\n")
            process.stdin.flush()
        process.kill()

    assert store.verify().problems == ()
    assert store.recovery(life.ADMIN).trashed() == []
    assert not _is_gone(store)
    life.run(store)
    assert _is_gone(store)


def test_a_large_entry_that_a_client_deletes_from_the_trash_is_gone_when_it_is_answered(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(forgetting, "RATE", 200)
    _plant(store)
    life.as_ann(store).delete(TREE)
    view = View(life.as_ann(store), TrashTree(), ("gone",))
    ((entry,),) = view.children_of(view.node(("gone", "files")))

    view.delete((*entry.path, "flat"))
    assert store.verify().problems == ()
    assert view.find((*entry.path, "flat")) is None
    assert len(life.rows(store, trash)) == 1
    view.delete(entry.path)

    assert _is_gone(store)


def test_a_large_tree_that_is_deleted_where_no_trash_is_kept_goes_with_the_next_run(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(forgetting, "RATE", 200)
    store = open_store(files=BucketPolicy(inline_below=stores.INLINE_BELOW, trash=None))
    _plant(store)

    life.as_ann(store).delete(TREE)

    assert life.as_ann(store).find(TREE) is None
    assert store.recovery(life.ADMIN).trashed() == []
    assert store.verify().problems == ()
    life.run(store)
    assert _is_gone(store)
