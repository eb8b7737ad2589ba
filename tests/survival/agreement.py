"""What clients that ask at the same moment, wherever their requests end up, may rely on."""

import threading
from collections.abc import Callable, Sequence

from tests.parts.scale import soak
from tests.survival.drive import Drive, digest

ROUNDS = soak(12, 100)
LARGE = bytes(range(256)) * 1000
LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


def assert_agreement(drives: Sequence[Drive]) -> None:
    for number in range(ROUNDS):
        _assert_one_creates(drives, f"/files/raced{number}")
    _assert_one_replaces(drives, "/files/raced0")
    _assert_all_heed_a_lock(drives, "/files/locked")


def _assert_one_creates(drives: Sequence[Drive], path: str) -> None:
    """RFC 9110, section 13.1.2."""
    statuses = all_at_once(
        drives, lambda drive, n: drive.ask("PUT", path, _content(path, n), {"If-None-Match": "*"}).status
    )

    assert sorted(statuses) == [201] + [412] * (len(drives) - 1)
    assert {drive.digest(path) for drive in drives} == {digest(_content(path, statuses.index(201)))}


def _assert_one_replaces(drives: Sequence[Drive], path: str) -> None:
    """RFC 9110, section 13.1.1: the lost update does not happen."""
    etag = drives[0].ask("HEAD", path).headers["ETag"]

    statuses = all_at_once(
        drives, lambda drive, n: drive.ask("PUT", path, _content("again", n), {"If-Match": etag}).status
    )

    assert sorted(statuses) == [204] + [412] * (len(drives) - 1)


def _assert_all_heed_a_lock(drives: Sequence[Drive], path: str) -> None:
    """RFC 4918, section 7: whoever does not submit the token is refused."""
    granted = all_at_once(drives, lambda drive, _: drive.ask("LOCK", path, LOCK, {"Depth": "0"}).status)
    assert sorted(granted) == [201] + [423] * (len(drives) - 1)
    assert set(all_at_once(drives, lambda drive, n: drive.ask("PUT", path, b"no").status)) == {423}
    assert set(all_at_once(drives, lambda drive, n: drive.ask("DELETE", path).status)) == {423}


def _content(path: str, n: int) -> bytes:
    """Small ones and large ones, each its own."""
    return f"{path} {n}".encode() + (LARGE if n % 2 else b"")


def all_at_once(drives: Sequence[Drive], act: Callable[[Drive, int], int]) -> list[int]:
    answers = [0] * len(drives)
    together = threading.Barrier(len(drives))

    def work(n: int) -> None:
        together.wait()
        answers[n] = act(drives[n], n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(drives))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
