"""What is said again and again is said once in a while, with a count."""

from davstore.repeats import MOST, SECONDS, Repeats


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_reason_is_said_once_in_a_while_with_the_number_of_those_left_out() -> None:
    clock = Clock()
    repeats = Repeats(clock)

    assert [repeats.left_out("a") for _ in range(3)] == [0, None, None]
    assert repeats.left_out("b") == 0
    clock.now += SECONDS
    assert [repeats.left_out("a") for _ in range(2)] == [2, None]


def test_only_so_many_reasons_are_remembered() -> None:
    repeats = Repeats(Clock())

    for n in range(MOST + 1):
        repeats.left_out(f"reason {n}")

    assert repeats.left_out("reason 0") == 0
    assert repeats.left_out(f"reason {MOST}") is None
