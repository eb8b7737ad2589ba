"""Calls that change a disk: told one by one, failing at the n-th, or the last that a process makes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CHANGES = ("open", "write", "fsync", "mkdir", "link", "rename", "unlink")


@dataclass(frozen=True)
class Call:
    number: int
    """From 1."""
    name: str
    path: Path
    """What it changes; of a link or a rename, the new name."""


@contextmanager
def told(listen: Callable[[Call], None]) -> Iterator[None]:
    """Tells of each call before it is made."""
    count = 0

    def listened(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal count
            count += 1
            listen(Call(count, name, _path(arguments)))
            return real(*arguments, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, listened(name, getattr(os, name)))
        yield


def calls(do: Callable[[], object]) -> list[Call]:
    made: list[Call] = []
    with told(made.append):
        do()
    return made


@contextmanager
def failing(at: int, code: int) -> Iterator[None]:
    """The n-th call fails with this errno."""

    def fail(call: Call) -> None:
        if call.number == at:
            raise OSError(code, os.strerror(code))

    with told(fail):
        yield


def died(at: int, do: Callable[[], object]) -> bool:
    """Does it in another process that dies before its n-th call; False where it ended before that."""
    child = os.fork()
    if child == 0:
        with told(lambda call: os._exit(9) if call.number == at else None):
            do()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, 9}
    return status == 9


def _path(arguments: tuple[object, ...]) -> Path:
    if isinstance(arguments[0], int):
        return Path(os.readlink(f"/proc/self/fd/{arguments[0]}"))
    return Path(str([argument for argument in arguments if isinstance(argument, str | Path)][-1]))
