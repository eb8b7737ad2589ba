"""What one reader of a collection is shown, whether it asks for names alone or for nodes as well, and changes between.

The kernel asks for the nodes of the first members, and of the others only while programs look at each of them.
"""

import stat
from collections.abc import Callable
from itertools import cycle

import pytest

from core.inode_rows import Inode
from core.model import BucketId, Instant, Kind, NodeId
from fuse_mount.listings import FIRST, LENGTH, Listing, Named

NODES, NAMES = True, False
Members = list[Named]


def member(n: int) -> Named:
    at = Instant(0)
    inode = Inode(
        *(NodeId(n), BucketId(1), Kind.FILE.value, 0o644, 1, 0, 0, 0, 0, None),
        *(at, at, at, None, False, None, None, None, None, 0),
    )
    return Named(f"{n:05}".encode(), n, stat.S_IFREG | 0o644, inode)


def collection(members: Members) -> Listing:
    def page(after: str, limit: int, nodes: bool) -> list[Named]:
        following = [each for each in members if each.name.decode() > after][:limit]
        return following if nodes else [each._replace(inode=None) for each in following]

    return Listing(page, 1, 2)


def read(listing: Listing, count: int, asks: Callable[[], bool]) -> list[Named]:
    """All that is listed, `count` entries at a time as a full buffer has them."""
    seen: list[Named] = []
    while found := listing.after(len(seen), nodes=(asked := asks()))[:count]:
        assert all(each.inode for each in found if each.name not in {b".", b".."}) or not asked
        seen += found
    return seen


@pytest.mark.parametrize("size", [0, 1, FIRST - 1, FIRST, FIRST + 1, LENGTH, LENGTH + FIRST + 7])
@pytest.mark.parametrize("count", [1, 24, 10_000])
@pytest.mark.parametrize("pattern", [[NODES], [NAMES], [NODES, NAMES], [NAMES, NAMES, NODES]])
def test_each_member_is_shown_once_whatever_is_asked_of_it(size: int, count: int, pattern: list[bool]):
    members = [member(n) for n in range(10, 10 + size)]
    asked = cycle(pattern)

    seen = read(collection(members), count, lambda: next(asked))

    assert [each.name for each in seen] == [b".", b"..", *(each.name for each in members)]
    assert [each[1:3] for each in seen[2:]] == [each[1:3] for each in members]


def test_offsets_stay_while_members_go():
    size = LENGTH + 50
    members = [member(n) for n in range(size)]
    listing = collection(members)
    seen = listing.after(0, nodes=NAMES)
    seen += listing.after(len(seen), nodes=NAMES)
    del members[: size // 2]

    rest = listing.after(len(seen), nodes=NAMES)

    assert [each.name for each in rest] == [each.name for each in members[-50:]]


def test_offset_0_begins_anew():
    members = [member(n) for n in range(5)]
    listing = collection(members)
    read(listing, 3, lambda: NAMES)
    members.append(member(7))

    again = read(listing, 3, lambda: NODES)

    assert [each.name for each in again[2:]] == [each.name for each in members]
