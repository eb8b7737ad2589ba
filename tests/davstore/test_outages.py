"""What is said again and again is said once in a while, with a count."""

from davstore.outages import MOST, SECONDS, Outages


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_reason_is_said_once_in_a_while_with_the_number_of_those_left_out() -> None:
    clock = Clock()
    outages = Outages(clock)

    assert [outages.left_out("a") for _ in range(3)] == [0, None, None]
    assert outages.left_out("b") == 0
    clock.now += SECONDS
    assert [outages.left_out("a") for _ in range(2)] == [2, None]


def test_only_so_many_reasons_are_remembered() -> None:
    outages = Outages(Clock())

    for n in range(MOST + 1):
        outages.left_out(f"reason {n}")

    assert outages.left_out("reason 0") == 0
    assert outages.left_out(f"reason {MOST}") is None
