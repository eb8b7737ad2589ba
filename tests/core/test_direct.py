"""Large drafts of a durable storage go past the page cache, and are the same bytes in the end."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core import staging
from core.direct import AT_ONCE, PAGE, PIECE
from core.errors import StorageFull
from core.staging import PORTION, Draft, Staging

CACHED = 2 * PORTION
SIZES = [CACHED - 1, CACHED, CACHED + 1, CACHED + PIECE, CACHED + 2 * PIECE + 12_345]


@pytest.fixture
def final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staging:
    monkeypatch.setattr(staging, "CACHED", CACHED)
    return Staging(tmp_path / "staging", durable=True, final=True)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each write to a place was past the cache."""
    found: list[bool] = []
    pwrite = os.pwrite

    def noted(descriptor: int, data: memoryview, offset: int) -> int:
        found.append(bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", noted)
    return found


def filled(draft: Draft, data: bytes, step: int) -> str:
    """The content as it can be read of the sealed draft, by its digest, which is the one that it says."""
    for start in range(0, len(data), step):
        draft.write(data[start : start + step])
    sealed = draft.seal()
    with sealed.open() as file:
        found = hashlib.sha256(file.read()).hexdigest()
    assert sealed.digest == found
    assert sealed.head == data[:4096]
    return found


@pytest.mark.parametrize("step", [1000, PAGE, 100_000, 1 << 20])
@pytest.mark.parametrize("size", SIZES)
def test_the_bytes_are_the_same_whatever_way_they_went(final: Staging, size: int, step: int) -> None:
    data = os.urandom(size)

    with final.draft(0, None) as draft:
        assert filled(draft, data, step) == hashlib.sha256(data).hexdigest()


def test_only_the_beginning_and_the_end_go_through_the_cache(final: Staging, writes: list[bool]) -> None:
    with final.draft(0, None) as draft:
        filled(draft, bytes(CACHED + 2 * PIECE + 1), 100_000)

    assert writes == [True, True, False]


@pytest.mark.parametrize(("durable", "is_final"), [(False, True), (True, False)])
def test_what_need_not_be_on_disk_there_goes_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[bool], durable: bool, is_final: bool
) -> None:
    monkeypatch.setattr(staging, "CACHED", CACHED)

    with Staging(tmp_path / "staging", durable, final=is_final).draft(0, None) as draft:
        filled(draft, bytes(CACHED + 2 * PIECE), 100_000)

    assert writes == []


def _no_flag(descriptor: int, command: int, flags: int = 0) -> int:
    if command == fcntl.F_SETFL:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return os.O_RDWR


def _no_write(descriptor: int, data: memoryview, offset: int) -> int:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return os.write(descriptor, data)


@pytest.mark.parametrize(("module", "name", "refusing"), [(fcntl, "fcntl", _no_flag), (os, "pwrite", _no_write)])
def test_a_file_system_without_direct_writes_gets_ordinary_ones(
    final: Staging, monkeypatch: pytest.MonkeyPatch, module: object, name: str, refusing: Callable[..., int]
) -> None:
    data = os.urandom(CACHED + PIECE + 5)
    monkeypatch.setattr(module, name, refusing)

    with final.draft(0, None) as draft:
        assert filled(draft, data, 100_000) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("failing", ["on the way", "at the end"])
def test_a_disk_that_fills_up_refuses_the_draft_and_leaves_no_trace(
    final: Staging, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(descriptor: int, data: memoryview, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    draft = final.draft(0, None)
    draft.write(bytes(CACHED + 1))

    with pytest.raises(StorageFull):
        _ = draft.write(bytes(PIECE)) if failing == "on the way" else draft.seal()

    assert list(final.directory.iterdir()) == []
    with pytest.raises(ValueError, match="discarded"):
        draft.seal()


def test_only_so_many_drafts_have_a_buffer_and_each_gives_it_back(final: Staging, writes: list[bool]) -> None:
    drafts = [final.draft(0, None) for _ in range(AT_ONCE + 1)]

    for draft in drafts:
        draft.write(bytes(CACHED + PIECE))

    assert writes == [True] * AT_ONCE
    for draft in drafts:
        draft.discard()
        draft.discard()
    for _ in range(2 * AT_ONCE):
        with final.draft(0, None) as draft:
            filled(draft, bytes(CACHED + PIECE), PIECE)
    assert writes == [True] * 3 * AT_ONCE
