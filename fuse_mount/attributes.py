"""A node's attributes as the kernel takes and gives them."""

import stat
import struct
from typing import Any

from core.inode_rows import Inode
from core.model import SECOND, Kind

TYPES: dict[str, int] = {Kind.COLLECTION: stat.S_IFDIR, Kind.FILE: stat.S_IFREG, Kind.SYMLINK: stat.S_IFLNK}
PERMISSIONS = 0o7777
BLOCK, PREFERRED = 512, 1 << 17
DEVICE = 0xFFFFFFFF
ATTR = struct.Struct("=QQQqqq10I")
"""struct fuse_attr (linux/fuse.h)."""


def mode_of(inode: Inode) -> int:
    return mode_as(inode.kind, inode.mode)


def mode_as(kind: str, mode: int) -> int:
    """A special file's row says itself of which type it is."""
    return mode if kind == Kind.SPECIAL else TYPES[kind] | mode & PERMISSIONS


def without_rights(mode: int) -> int:
    """Permissions without those to run as the owner or the group; of a file that no group runs that bit says something
    else, and stays."""
    return mode & ~(stat.S_ISUID | (stat.S_ISGID if mode & stat.S_IXGRP else 0))


def packed(inode: Inode, number: int) -> bytes:
    accessed = inode.modified if inode.accessed is None else inode.accessed
    return ATTR.pack(
        *(number, inode.size, -(-inode.size // BLOCK) if inode.blocks is None else inode.blocks),
        *(accessed // SECOND, inode.modified // SECOND, inode.changed // SECOND),
        *(accessed % SECOND, inode.modified % SECOND, inode.changed % SECOND),
        *(mode_of(inode), _links(inode), inode.uid_number, inode.gid_number, inode.rdev & DEVICE, PREFERRED, 0),
    )


def _links(inode: Inode) -> int:
    """A collection has a link from its name, one from itself, and one from each collection in it; 1 tells programs
    that they were not counted, as on btrfs."""
    if not inode.is_collection:
        return inode.links
    if inode.is_removed:
        return 0
    return 1 if inode.subcollections is None else 2 + inode.subcollections


def instant(time: Any) -> int:
    return time.tv_sec * SECOND + time.tv_nsec
