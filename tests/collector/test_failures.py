"""Each step of all that makes or drops bytes fails once: nothing is broken, and a later run finishes the work."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from sqlalchemy.exc import OperationalError

from core.collector import Collector
from core.deliveries import deliver
from core.errors import Refusal
from core.expiry import expire
from core.schema import nodes, objects, trash, versions
from core.store import Store
from tests.collector import life
from tests.collector.failing import Faults, What
from tests.collector.life import PHOTO
from tests.parts import stores
from tests.parts.scale import soak

pytestmark = [pytest.mark.slow, pytest.mark.timeout(soak(300, 1800))]

A, B, THERE = ("files", "a.txt"), ("files", "b.txt"), ("media", "there.txt")
OTHER = PHOTO[::-1]


@dataclass(frozen=True)
class Deed:
    name: str
    prepare: Callable[[Store], object]
    do: Callable[[Store], object]
    after: dict[tuple[str, ...], bytes]
    """What is there once it is done, beside what was there before."""


def _nothing(store: Store) -> None: ...


def _lose(store: Store, verdict: str) -> None:
    life.put(store, "b.txt", OTHER)
    row = life.rows(store, objects)[-1]
    (store.settings.data / "blobs" / row.key).write_bytes(b"?" * row.size)
    life.change(store, objects, verdict=verdict)


def _trash(store: Store) -> None:
    life.as_ann(store).delete(life.put(store, "b.txt", OTHER))


def _outdate(store: Store) -> None:
    _trash(store)
    life.put(store, "c.txt", PHOTO * 3)
    life.put(store, "c.txt", PHOTO * 4)
    life.change(store, trash, until=0)
    life.change(store, versions, replaced=0)


def _restore(store: Store) -> None:
    recovery = store.recovery(life.ADMIN)
    recovery.restore(recovery.trashed()[0].uid)


def _condemn(store: Store) -> None:
    life.put_and_delete(store, "b.txt", OTHER)
    life.put_and_delete(store, "c.txt", b"inline")
    life.condemn(store)


def _purge(store: Store) -> None:
    _condemn(store)
    _collector(store).purge(0)


def _collector(store: Store) -> Collector:
    return Collector(store.database, store.registry)


def _replace_thrice(store: Store) -> None:
    life.put(store, data=PHOTO * 2)
    life.change(store, nodes, rewritten=None)


DEEDS = [
    Deed("PUT of new bytes", _nothing, lambda store: life.put(store, "b.txt", OTHER), {B: OTHER}),
    Deed("PUT of few bytes", _nothing, lambda store: life.put(store, "b.txt", b"few"), {B: b"few"}),
    Deed("PUT over a file", _nothing, lambda store: life.put(store, "a.txt", OTHER), {A: OTHER}),
    Deed("PUT of known bytes", _nothing, lambda store: life.put(store, "b.txt"), {B: PHOTO}),
    Deed("PUT of condemned bytes", _condemn, lambda store: life.put(store, "b.txt", OTHER), {B: OTHER}),
    Deed("PUT that repairs", lambda store: _lose(store, "corrupt"),
         lambda store: life.put(store, "b.txt", OTHER), {B: OTHER}),
    Deed("COPY", _nothing, lambda store: life.as_ann(store).copy(A, B), {B: PHOTO}),
    Deed("COPY over a file", lambda store: life.put(store, "b.txt", OTHER),
         lambda store: life.as_ann(store).copy(A, B), {B: PHOTO}),
    Deed("COPY to another bucket", _replace_thrice,
         lambda store: life.as_ann(store).copy(A, THERE), {THERE: PHOTO * 2}),
    Deed("MOVE", _nothing, lambda store: life.as_ann(store).move(A, B), {B: PHOTO}),
    Deed("MOVE over a file", lambda store: life.put(store, "b.txt", OTHER),
         lambda store: life.as_ann(store).move(A, B), {B: PHOTO}),
    Deed("MOVE to another bucket", _replace_thrice,
         lambda store: life.as_ann(store).move(A, THERE), {THERE: PHOTO * 2}),
    Deed("DELETE", _nothing, lambda store: life.as_ann(store).delete(A), {}),
    Deed("restore", _trash, _restore, {B: OTHER}),
    Deed("forget", _trash, lambda store: store.recovery(life.ADMIN).empty_trash(), {}),
    Deed("expire", _outdate, lambda store: expire(store.database), {}),
    Deed("collect", lambda store: life.put_and_delete(store, "b.txt", OTHER),
         lambda store: _collector(store).collect(0), {}),
    Deed("purge", _condemn, lambda store: _collector(store).purge(0), {}),
    Deed("deliver", _purge, lambda store: deliver(store.database, store.contents), {}),
    Deed("run", lambda store: life.put_and_delete(store, "b.txt", OTHER), life.run, {}),
]  # fmt: skip
WHATS: tuple[What, ...] = ("statement", "blob call", "blob call's answer")
EVERY = soak(3, 1)
"""The quick run fails every third statement, from any of the first three on."""


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
def test_a_failure_at_any_step_breaks_nothing_and_a_later_run_finishes(store: Store, deed: Deed):
    faults = Faults(store)
    failed = {what: _fail_each(store, faults, deed, what) for what in WHATS}

    assert failed["statement"] > 1


def _fail_each(store: Store, faults: Faults, deed: Deed, what: What) -> int:
    """Fails each step in turn until the deed gets through. The number of steps."""
    step = EVERY if what == "statement" else 1
    at = random.randrange(step) + 1
    print(f"{what}: {at} and every {step} from there")
    while True:
        life.put(store)
        deed.prepare(store)
        before = _contents(store)
        with faults.failing(what, at), suppress(Refusal, OperationalError):
            deed.do(store)
        _check(store, deed, before)
        _begin_again(store)
        if faults.count < at:
            return faults.count
        at += step


def _check(store: Store, deed: Deed, before: dict[tuple[str, ...], bytes]) -> None:
    """Nothing refers to what is not there; all of the deed is done or nothing of it; and it can be done again."""
    assert [
        problem for problem in store.verify().problems if problem.kind != "I2" or "scrub" not in problem.detail
    ] == []
    now = _contents(store)
    assert now == before or all(now.get(path) == content for path, content in deed.after.items())
    if deed.name.startswith(("PUT", "COPY")):
        deed.do(store)
        now = _contents(store)
        assert {path: now.get(path) for path in deed.after} == deed.after
    life.run(store)
    assert store.verify(deep=True).problems == () or deed.name == "PUT that repairs"


def _contents(store: Store) -> dict[tuple[str, ...], bytes]:
    namespace = life.as_ann(store)
    found = [node for bucket in store.buckets() for node in stores.members(namespace, (bucket.name,))]
    return {node.path: stores.content(namespace, node.path) for node in found}


def _begin_again(store: Store) -> None:
    life.empty_everything(store)
    assert life.is_empty(store, store.settings.data)
