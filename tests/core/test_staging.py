"""Drafts: hashed as they pass, in memory or in a file, and gone without a trace unless they are published."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StorageFull, StorageUnavailable, TooLarge, Unusable
from core.staging import Sealed, Staging
from tests.parts.server import ROOT
from tests.parts.small_disk import small_disk

SPILL = 16
MIB = 1 << 20

ABC = {
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",  # FIPS 180-2, appendix B.1
    "sha1": "a9993e364706816aba3e25717850c26c9cd0d89d",  # RFC 3174, section 7.3
    "md5": "900150983cd24fb0d6963f7d28e17f72",  # RFC 1321, appendix A.5
    "adler32": "024d0127",  # RFC 1950, section 8.2: s1 = 1 + 97 + 98 + 99, s2 = 98 + 196 + 295
}
DIES_WITH_A_DRAFT = """
import os, sys
from pathlib import Path
from core.staging import Staging

draft = Staging(Path(sys.argv[1]), durable=False).draft(0, None)
draft.write(b"half of it")
print("ready", flush=True)
sys.stdin.read()
"""
STAGES_MUCH = """
import resource, sys
from pathlib import Path
from core.staging import Staging

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

block = b"0123456789abcdef" * (1 << 14)
staging = Staging(Path(sys.argv[1]), durable=False)
with staging.draft(1 << 16, None) as draft:
    draft.write(block)
    before = peak()
    for _ in range((1 << 30) // len(block) - 1):
        draft.write(block)
    assert draft.seal().size == 1 << 30
print(peak() - before)
"""


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "staging", durable=True)


@pytest.fixture
def other_process(staging: Staging) -> Iterator[subprocess.Popen[str]]:
    """Has a draft of ten bytes in the staging directory."""
    command = [sys.executable, "-c", DIES_WITH_A_DRAFT, str(staging.directory)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def files(staging: Staging) -> list[Path]:
    return sorted(staging.directory.iterdir())


def content(sealed: Sealed) -> bytes:
    with sealed.open() as file:
        return file.read()


@pytest.mark.parametrize("spill_above", [0, SPILL])
def test_a_draft_makes_the_digests_asked_for(staging: Staging, spill_above: int) -> None:
    with staging.draft(spill_above, None, ["sha1", "md5", "adler32"]) as draft:
        for block in (b"a", bytearray(b"b"), memoryview(b"c"), b""):
            draft.write(block)
        sealed = draft.seal()

    assert sealed.digest == ABC["sha256"]
    assert sealed.digests == ABC
    assert sealed.size == 3


def test_a_digest_that_nobody_knows_is_refused_at_once(staging: Staging) -> None:
    with pytest.raises(ValueError, match="crc7"):
        staging.draft(SPILL, None, ["crc7"])


def test_a_small_draft_stays_in_memory(staging: Staging) -> None:
    with staging.draft(SPILL, None) as draft:
        draft.write(b"x" * SPILL)
        sealed = draft.seal()

        assert sealed.data == b"x" * SPILL
        assert sealed.file is None
        assert content(sealed) == b"x" * SPILL
        assert files(staging) == []


def test_one_byte_more_spills_to_a_file_for_this_user_only(staging: Staging) -> None:
    with staging.draft(SPILL, None) as draft:
        draft.write(b"x" * SPILL)
        draft.write(b"y")
        sealed = draft.seal()

        assert sealed.data is None
        assert files(staging) == [sealed.file]
        assert content(sealed) == b"x" * SPILL + b"y"
        assert sealed.file
        assert sealed.file.stat().st_mode & 0o777 == 0o600
        assert staging.directory.stat().st_mode & 0o777 == 0o700


@given(blocks=st.lists(st.binary(max_size=12), max_size=8), spill_above=st.integers(0, 40))
def test_a_sealed_draft_reads_as_its_blocks_were_written(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], spill_above: int
) -> None:
    staging = Staging(tmp_path_factory.getbasetemp() / "blocks", durable=False)

    with staging.draft(spill_above, None) as draft:
        taken = [draft.write(block) for block in blocks]
        sealed = draft.seal()

        assert taken == [len(block) for block in blocks]
        assert content(sealed) == b"".join(blocks)
        assert draft.size == sealed.size == sum(taken)
        assert (sealed.file is None) == (sealed.size <= spill_above)


def test_a_block_may_be_changed_after_it_was_written(staging: Staging) -> None:
    block = bytearray(b"abc")

    with staging.draft(SPILL, None) as draft:
        draft.write(block)
        block[:] = b"xyz"

        assert content(draft.seal()) == b"abc"


def test_as_many_bytes_as_the_limit_are_taken(staging: Staging) -> None:
    with staging.draft(SPILL, limit=100) as draft:
        draft.write(b"x" * 99)
        draft.write(b"x")

        assert draft.seal().size == 100


@pytest.mark.parametrize("before", [0, SPILL, 100])
def test_one_byte_above_the_limit_refuses_the_draft_and_leaves_no_trace(staging: Staging, before: int) -> None:
    draft = staging.draft(SPILL, limit=100)
    draft.write(b"x" * before)

    with pytest.raises(TooLarge, match="100 bytes"):
        draft.write(b"x" * (101 - before))

    assert files(staging) == []
    with pytest.raises(ValueError, match="discarded"):
        draft.seal()


def test_sealing_again_gives_the_same_and_nothing_can_be_written_any_more(staging: Staging) -> None:
    with staging.draft(SPILL, None) as draft:
        draft.write(b"hello")

        assert draft.seal() is draft.seal()
        with pytest.raises(ValueError, match="sealed"):
            draft.write(b"more")


@pytest.mark.parametrize("size", [SPILL, SPILL + 1])
def test_discarding_twice_leaves_nothing_and_does_no_harm(staging: Staging, size: int) -> None:
    with staging.draft(SPILL, None) as draft:
        draft.write(b"x" * size)
        draft.discard()

        assert files(staging) == []
        with pytest.raises(ValueError, match="discarded"):
            draft.write(b"x")


def test_a_failure_inside_discards_the_draft(staging: Staging) -> None:
    def fail_half_way() -> None:
        with staging.draft(0, None) as draft:
            draft.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()

    assert files(staging) == []


def test_what_was_linked_elsewhere_outlives_the_draft(staging: Staging, tmp_path: Path) -> None:
    with staging.draft(0, None) as draft:
        draft.write(b"hello")
        sealed = draft.seal()
        assert sealed.file
        os.link(sealed.file, tmp_path / "kept")

    assert (tmp_path / "kept").read_bytes() == b"hello"
    assert files(staging) == []


def test_short_writes_are_completed(staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))

    with staging.draft(0, None) as draft:
        draft.write(bytes(range(100)))

        assert content(draft.seal()) == bytes(range(100))


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EIO, StorageUnavailable),
        (errno.EROFS, StorageUnavailable),
    ],
)
def test_a_disk_that_refuses_refuses_the_draft_in_our_words(
    staging: Staging, monkeypatch: pytest.MonkeyPatch, code: int, refusal: type[Exception]
) -> None:
    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    draft = staging.draft(0, None)
    monkeypatch.setattr(os, "write", fail)

    with pytest.raises(StorageUnavailable) as caught:
        draft.write(b"hello")

    assert type(caught.value) is refusal
    assert str(staging.directory) in str(caught.value)
    assert files(staging) == []
    with pytest.raises(ValueError, match="discarded"):
        draft.seal()


@pytest.mark.slow
def test_a_full_disk_refuses_the_draft_and_gives_its_room_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", MIB) as disk:
        staging = Staging(disk / "staging", durable=True)
        draft = staging.draft(0, None)
        draft.write(b"x" * (MIB // 2))

        with pytest.raises(StorageFull, match=r"staging: there is no room left; free some"):
            draft.write(b"x" * MIB)

        assert files(staging) == []
        with staging.draft(0, None) as smaller:
            smaller.write(b"x" * (MIB // 2))
            assert smaller.seal().size == MIB // 2


@pytest.mark.slow
def test_a_staging_directory_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", MIB, "ro") as disk, pytest.raises(Unusable, match="choose another directory"):
        Staging(disk, durable=True)


def test_a_file_in_place_of_the_staging_directory_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "staging").write_text("a file")

    with pytest.raises(Unusable, match="choose another directory"):
        Staging(tmp_path / "staging", durable=True)


@pytest.mark.slow
def test_opening_removes_the_drafts_of_a_killed_process(staging: Staging, other_process: subprocess.Popen[str]) -> None:
    assert len(files(staging)) == 1
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()

    Staging(staging.directory, durable=True)

    assert files(staging) == []


@pytest.mark.slow
def test_opening_leaves_the_drafts_of_a_living_process(staging: Staging, other_process: subprocess.Popen[str]) -> None:
    before = files(staging)

    Staging(staging.directory, durable=True)

    assert files(staging) == before != []


def test_opening_leaves_this_process_own_drafts(staging: Staging) -> None:
    with staging.draft(0, None) as draft:
        draft.write(b"hello")

        Staging(staging.directory, durable=True)

        assert content(draft.seal()) == b"hello"


def test_opening_touches_only_what_is_named_like_a_draft(staging: Staging, tmp_path: Path) -> None:
    directory, named = staging.directory, f"draft.{'0' * 32}"
    (tmp_path / "precious").write_text("mine")
    (directory / named).symlink_to(tmp_path / "precious")
    (directory / f"draft.{'1' * 32}").mkdir()
    for name in ("notes.txt", named + ".bak", "draft.1", f"a{named}"):
        (directory / name).write_text("mine")
    before = files(staging)

    Staging(directory, durable=True)

    assert files(staging) == before
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_draft_survives_an_opening_between_its_making_and_its_lock(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, opened = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not opened:
            opened.append(Staging(staging.directory, durable=True))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with staging.draft(0, None) as draft:
        draft.write(b"hello")

        assert opened
        assert content(draft.seal()) == b"hello"


def test_a_sealed_content_whose_file_is_gone_is_refused(staging: Staging) -> None:
    with staging.draft(0, None) as draft:
        draft.write(b"hello")
        sealed = draft.seal()

    with pytest.raises(StorageUnavailable):
        sealed.open()


@pytest.mark.slow
def test_a_gigabyte_is_staged_in_little_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STAGES_MUCH, str(tmp_path)]

    grown = int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)

    assert grown < 4 * MIB
