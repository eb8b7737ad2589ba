"""Digests are those of the blocks in their order, whichever thread hashes them."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import hashing
from core.hashing import AHEAD, BEGINNING, WORTH, Hashing, Helper

CPUS = os.sched_getaffinity(0)


@pytest.fixture(autouse=True)
def two_cpus() -> Iterator[None]:
    """Whatever this machine has, blocks are handed over."""
    hashing.hash_on({*CPUS, 0, 1})
    yield
    hashing.hash_on(CPUS)


@pytest.fixture(autouse=True)
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "BEGINNING", 0)


@given(sizes=st.lists(st.sampled_from([0, 1, WORTH - 1, WORTH, 3 * WORTH]), max_size=12), mutable=st.booleans())
def test_digests_are_those_of_all_blocks_in_order(sizes: list[int], mutable: bool) -> None:
    blocks = [bytes([number]) * size for number, size in enumerate(sizes)]
    made = Hashing(["md5"])

    for block in blocks:
        made.update(bytearray(block) if mutable else block)

    whole = b"".join(blocks)
    assert made.hexdigests() == {
        "sha256": hashlib.sha256(whole).hexdigest(),
        "md5": hashlib.md5(whole, usedforsecurity=False).hexdigest(),
    }


def test_what_may_be_changed_afterwards_is_hashed_at_once() -> None:
    made, block = Hashing(), bytearray(b"a" * WORTH)

    made.update(b"b" * WORTH)
    made.update(block)
    block[:] = b"c" * WORTH

    assert made.hexdigests()["sha256"] == hashlib.sha256(b"b" * WORTH + b"a" * WORTH).hexdigest()


def test_contents_hashed_at_the_same_time_are_kept_apart() -> None:
    def digest(number: int) -> str:
        made = Hashing()
        for _ in range(50):
            made.update(bytes([number]) * WORTH)
        return made.hexdigests()["sha256"]

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(digest, range(16)))

    assert found == [hashlib.sha256(bytes([number]) * WORTH * 50).hexdigest() for number in range(16)]


@pytest.mark.parametrize(
    ("size", "is_handed_over"), [(BEGINNING - 1, False), (BEGINNING, False), (BEGINNING + 1, True)]
)
def test_a_small_content_waits_for_no_other_thread(
    monkeypatch: pytest.MonkeyPatch, size: int, is_handed_over: bool
) -> None:
    monkeypatch.setattr(hashing, "BEGINNING", BEGINNING)
    taken = list[object]()
    monkeypatch.setattr(Helper, "takes", lambda _, work: taken.append(work))

    Hashing().update(bytes(size))

    assert bool(taken) == is_handed_over


def test_a_helper_that_has_enough_to_do_takes_no_more() -> None:
    helper, go_on, done = Helper(), Event(), list[int]()
    helper.use({0, 1})

    taken = [helper.takes(lambda number=number: (go_on.wait(10), done.append(number))) for number in range(AHEAD + 2)]
    go_on.set()
    helper.catch_up()

    assert taken == [True] * AHEAD + [False] * 2
    assert done == list(range(AHEAD))
    assert helper.takes(lambda: None)


def test_with_one_cpu_nobody_else_hashes() -> None:
    helper = Helper()
    helper.use({0})

    assert not helper.takes(lambda: None)


def test_the_helper_may_run_where_the_thread_that_began_it_may_not() -> None:
    found = list[set[int]]()
    helper = Helper()
    helper.use({*CPUS, 0, 1})

    def pinned() -> None:
        os.sched_setaffinity(0, {min(CPUS)})
        helper.takes(lambda: found.append(os.sched_getaffinity(0)))
        helper.catch_up()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(pinned).result()

    assert found == [CPUS]


def test_a_forked_process_has_a_helper_of_its_own() -> None:
    Hashing().update(b"a" * WORTH)

    child = os.fork()
    if not child:
        status = 1
        try:
            hashing.hash_on({0, 1})
            made = Hashing()
            made.update(b"b" * WORTH)
            status = made.hexdigests()["sha256"] != hashlib.sha256(b"b" * WORTH).hexdigest()
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
