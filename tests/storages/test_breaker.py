"""Nobody waits for a server that does not answer, but one at a time who finds out whether it is back."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from core.blobs.breaker import AT_ONCE, FAILURES, PAUSE, Breaker
from core.errors import StorageUnavailable


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("s3main", clock)


@pytest.fixture
def broken(breaker: Breaker) -> Breaker:
    for _ in range(FAILURES):
        fail(breaker)
    return breaker


@pytest.fixture
def crowded(breaker: Breaker) -> Iterator[Breaker]:
    with ExitStack() as waiting:
        for _ in range(AT_ONCE):
            waiting.enter_context(breaker.passing())
        yield breaker


def fail(breaker: Breaker) -> None:
    with breaker.passing():
        breaker.failed()


def answer(breaker: Breaker) -> None:
    with breaker.passing():
        breaker.answered()


def refuses(breaker: Breaker) -> bool:
    try:
        with breaker.passing():
            return False
    except StorageUnavailable:
        return True


def test_failures_that_are_not_in_a_row_refuse_nobody(breaker: Breaker) -> None:
    for _ in range(FAILURES):
        fail(breaker)
        answer(breaker)

    assert not refuses(breaker)


def test_after_failures_in_a_row_everybody_is_refused_for_a_while(broken: Breaker, clock: Clock) -> None:
    assert refuses(broken)
    clock.now += PAUSE - 0.1
    assert refuses(broken)


def test_one_at_a_time_finds_out_and_its_failure_lets_others_wait_again(broken: Breaker, clock: Clock) -> None:
    clock.now += PAUSE
    with broken.passing():
        assert refuses(broken)
        broken.failed()

    assert refuses(broken)
    clock.now += PAUSE
    assert not refuses(broken)


def test_the_first_answer_lets_all_pass(broken: Breaker, clock: Clock) -> None:
    clock.now += PAUSE
    with broken.passing():
        broken.answered()
        assert not refuses(broken)


def test_an_answer_to_who_waited_before_lets_all_pass(breaker: Breaker) -> None:
    with breaker.passing():
        for _ in range(FAILURES):
            fail(breaker)
        assert refuses(breaker)
        breaker.answered()

    assert not refuses(breaker)


def test_only_so_many_wait_at_the_same_time(crowded: Breaker) -> None:
    with pytest.raises(StorageUnavailable, match=f"{AT_ONCE} requests wait"), crowded.passing():
        pass


def test_what_was_let_in_goes_on_however_many_wait(crowded: Breaker) -> None:
    with crowded.passing(goes_on=True):
        assert refuses(crowded)


def test_what_was_let_in_goes_on_while_the_server_is_away(broken: Breaker) -> None:
    with broken.passing(goes_on=True):
        broken.answered()

    assert not refuses(broken)
