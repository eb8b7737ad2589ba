"""Nodes as the programs of this mount see them: with what they wrote and did not publish yet, and as long as they hold
them, whatever became of their names."""

import errno
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from core.inode_rows import Inode
from core.inodes import Inodes
from core.model import Instant

from .attributes import PERMISSIONS, mode_of, without_rights
from .handles import OpenFile, OpenFiles
from .listings import Member, Named
from .numbers import Numbers, Removed

TIMES = frozenset({"modified", "accessed"})
LARGE, MEASURED = 1 << 20, 1 << 14
"""Bytes from which on a file is looked at for holes, and for how many contents the answer is remembered."""


class Nodes:
    """`forget` makes the kernel ask again for a node's attributes."""

    def __init__(self, inodes: Inodes, numbers: Numbers, files: OpenFiles, forget: Callable[[int], None]) -> None:
        self._inodes = inodes
        self._numbers = numbers
        self._files = files
        self._forget = forget
        self.removed = Removed(numbers)
        self._blocks: OrderedDict[str, int | None] = OrderedDict()

    def get(self, number: int) -> Inode:
        """Raises ESTALE."""
        file = self._files.find(number)
        if file and file.removed:
            return file.shown
        if ended := self.removed.ended(number):
            return ended
        found = self._inodes.find(self._numbers.node(number))
        if found is None:
            return self._gone(number, file)
        return self._seen(found, file)

    def there(self, number: int) -> Inode:
        """The node's row. Raises ESTALE."""
        found = self._inodes.find(self._numbers.node(number))
        if found is None:
            raise stale()
        return found

    def member(self, inode: Inode) -> Member:
        """The node with its number."""
        number = self._numbers.of(inode.id)
        return number, self._seen(inode, self._files.find(number))

    def named(self, name: str, inode: Inode) -> Named:
        number, seen = self.member(inode)
        return Named(name.encode(), number, mode_of(seen), seen)

    def change(self, number: int, **values: int) -> Inode:
        """Sets some of `core.inodes.SETTABLE`."""
        file = self._files.find(number)
        if file and file.removed:
            file.inode = file.inode._replace(**values)
            return file.shown
        if file and values.keys() <= TIMES and self._dated(file, values):
            return self.get(number)
        changed = self._inodes.change(self._numbers.node(number), **values)
        if file:
            with file.lock:
                old = file.inode
                file.inode = changed._replace(object=old.object, size=old.size, storage=old.storage, key=old.key)
                if "modified" in values and file.dirty:
                    file.modified = Instant(values["modified"])
        return self._seen(changed, file)

    def _dated(self, file: OpenFile, values: dict[str, int]) -> bool:
        """Whether the times will be stored with what is written."""
        modified, accessed = (Instant(values[name]) if name in values else None for name in ("modified", "accessed"))
        return self._files.date(file, modified, accessed)

    def take_rights(self, file: OpenFile, who: Any) -> None:
        """A program that `who` is about to write runs as nobody but who starts it. Root may write it as it is."""
        left = without_rights(file.inode.mode)
        if left != file.inode.mode and who.uid:
            self.change(file.number, mode=left)
            self._forget(file.number)

    def rights_of_new_owner(self, number: int) -> dict[str, int]:
        """What else changes with the owner or the group: the mode of what is no collection."""
        inode = self.get(number)
        left = without_rights(inode.mode)
        return {} if inode.is_collection or left == inode.mode else {"mode": left & PERMISSIONS}

    def _seen(self, inode: Inode, file: OpenFile | None) -> Inode:
        return _merged(inode, file) if file and file.dirty else self._measured(inode)

    def _measured(self, inode: Inode) -> Inode:
        """With the blocks that a large file takes, which may have holes."""
        if inode.size < LARGE or inode.key is None:
            return inode
        if inode.key not in self._blocks:
            self._blocks[inode.key] = self._inodes.blocks(inode)
            if len(self._blocks) > MEASURED:
                self._blocks.popitem(last=False)
        return inode._replace(blocks=self._blocks[inode.key])

    def _gone(self, number: int, file: OpenFile | None) -> Inode:
        """What others removed lives on for those who have it open."""
        if file:
            file.removed = True
            return file.shown
        if gone := self.removed.get(number):
            return gone
        raise stale()


def _merged(inode: Inode, file: OpenFile) -> Inode:
    """The row's node, with the size and times of the draft."""
    shown = file.shown
    changed = max(shown.changed, inode.changed)
    accessed = inode.accessed if file.accessed is None else file.accessed
    return inode._replace(
        size=shown.size, modified=shown.modified, changed=changed, accessed=accessed, blocks=shown.blocks
    )


def stale() -> OSError:
    """The node is gone since the kernel looked up its name: it looks again."""
    return OSError(errno.ESTALE, os.strerror(errno.ESTALE))
