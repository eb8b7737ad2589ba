"""A node as `struct stat` shows it."""

import stat
from typing import Any

from core.inode_rows import Inode
from core.model import SECOND, Kind

TYPES: dict[str, int] = {Kind.COLLECTION: stat.S_IFDIR, Kind.FILE: stat.S_IFREG, Kind.SYMLINK: stat.S_IFLNK}
PERMISSIONS = 0o7777
BLOCK, PREFERRED = 512, 1 << 17


def mode_of(inode: Inode) -> int:
    return mode_as(inode.kind, inode.mode)


def mode_as(kind: str, mode: int) -> int:
    """A special file's row says itself of which type it is."""
    return mode if kind == Kind.SPECIAL else TYPES[kind] | mode & PERMISSIONS


def without_rights(mode: int) -> int:
    """Permissions without those to run as the owner or the group; of a file that no group runs that bit says something
    else, and stays."""
    return mode & ~(stat.S_ISUID | (stat.S_ISGID if mode & stat.S_IXGRP else 0))


def fill(into: Any, inode: Inode, number: int) -> None:
    into.st_ino = number
    into.st_mode = mode_of(inode)
    into.st_nlink = _links(inode)
    into.st_uid = inode.uid_number
    into.st_gid = inode.gid_number
    into.st_rdev = inode.rdev
    into.st_size = inode.size
    into.st_blocks = -(-inode.size // BLOCK) if inode.blocks is None else inode.blocks
    into.st_blksize = PREFERRED
    _set_time(into.st_atimespec, inode.modified if inode.accessed is None else inode.accessed)
    _set_time(into.st_mtimespec, inode.modified)
    _set_time(into.st_ctimespec, inode.changed)


def _links(inode: Inode) -> int:
    """A collection has a link from its name, one from itself, and one from each collection in it; 1 tells programs
    that they were not counted, as on btrfs."""
    if not inode.is_collection:
        return inode.links
    if inode.is_removed:
        return 0
    return 1 if inode.subcollections is None else 2 + inode.subcollections


def _set_time(into: Any, at: int) -> None:
    into.tv_sec, into.tv_nsec = divmod(at, SECOND)


def instant(time: Any) -> int:
    return time.tv_sec * SECOND + time.tv_nsec
