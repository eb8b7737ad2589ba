"""A large draft that is written in order passes the system's cache, and is what a memory image says all the same."""

import errno
import hashlib
import os
import random
from pathlib import Path

import pytest

from core import appending
from core.drafts import RandomDraft
from core.errors import StorageFull

KIB = 1 << 10
CACHED = 256 * KIB
BLOCK = 128 * KIB


def blocks(count: int) -> list[bytes]:
    return [random.Random(n).randbytes(BLOCK) for n in range(count)]


def draft_in(directory: Path) -> RandomDraft:
    return RandomDraft(directory, 64 * KIB, None, CACHED)


def appended(draft: RandomDraft, parts: list[bytes]) -> bytes:
    for part in parts:
        assert draft.write(part, draft.size) == len(part)
    return b"".join(parts)


def test_a_large_draft_holds_what_was_appended(tmp_path: Path) -> None:
    draft = draft_in(tmp_path)
    whole = appended(draft, [*blocks(40), b"the end, which is no whole page"])
    sealed = draft.seal()
    assert (sealed.size, sealed.digest) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert sealed.file
    assert sealed.file.read_bytes() == whole
    draft.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_whatever_comes_between_appends_finds_their_bytes(tmp_path: Path, seed: int) -> None:
    chance, draft, image = random.Random(seed), draft_in(tmp_path), bytearray()
    for n in range(60):
        block = chance.randbytes(chance.choice((BLOCK, 4 * BLOCK, 12 * BLOCK, 64 * KIB, 5000)))
        draft.write(block, len(image))
        image += block
        match chance.randrange(40) if n > 10 else None:
            case 0:
                at = chance.randrange(len(image))
                assert draft.read(10_000, at) == image[at : at + 10_000]
            case 1:
                size = chance.randrange(len(image))
                draft.truncate(size)
                del image[size:]
            case 2:
                at = chance.randrange(len(image) - 5000)
                draft.write(b"x" * 5000, at)
                image[at : at + 5000] = b"x" * 5000
            case 3:
                at = chance.randrange(len(image) - 5000)
                draft.punch(at, 5000)
                image[at : at + 5000] = bytes(5000)
            case _:
                pass
    sealed = draft.seal()
    assert sealed.digest == hashlib.sha256(image).hexdigest()
    assert draft.read(len(image), 0) == image
    draft.discard()


@pytest.mark.timeout(60)
def test_what_a_full_disk_did_not_take_is_kept_until_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = draft_in(tmp_path)
    whole = appended(draft, blocks(4))
    write, is_full = os.pwrite, True

    def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data, offset)

    monkeypatch.setattr(appending.os, "pwrite", pwrite)
    taken, refusal, more = 0, None, blocks(60)[4:]
    while refusal is None:
        try:
            draft.write(more[taken], draft.size)
            taken += 1
        except StorageFull as error:
            refusal = error
    assert draft.size == len(whole) + taken * BLOCK
    for _ in range(3 * appending.PIECES):
        with pytest.raises(StorageFull):
            draft.write(more[taken], draft.size)
    for settles in (draft.seal, lambda: draft.keep(None)):
        with pytest.raises(StorageFull):
            settles()
    is_full = False
    whole += b"".join(more[:taken])
    sealed = draft.seal()
    assert (sealed.size, sealed.digest) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert sealed.file
    assert sealed.file.read_bytes() == whole
    draft.discard()


def test_a_draft_that_is_discarded_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    draft = draft_in(tmp_path)
    appended(draft, blocks(20))
    draft.discard()
    assert list(tmp_path.iterdir()) == []


def test_more_drafts_than_may_append_at_once_are_written_all_the_same(tmp_path: Path) -> None:
    drafts = [draft_in(tmp_path) for _ in range(appending.AT_ONCE + 2)]
    for block in blocks(12):
        for draft in drafts:
            draft.write(block, draft.size)
    expected = hashlib.sha256(b"".join(blocks(12))).hexdigest()
    assert {draft.seal().digest for draft in drafts} == {expected}
    for draft in drafts:
        draft.discard()
