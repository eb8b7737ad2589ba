"""The namespace through mounts, one for each user; what a file system has no call for goes another way there."""

import errno
import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path as FilePath

from tests.fuse.calls import NOREPLACE, renameat2
from tests.machines.drivers import Driver, Tree, wipe
from tests.parts.model import Model, Path, Refused
from tests.parts.mount import Mount

ERRORS = {
    "NotFound": {"ENOENT", "ENOTDIR"},
    "NoParent": {"ENOENT", "ENOTDIR"},
    "AlreadyExists": {"EEXIST"},
    "IsACollection": {"EISDIR"},
    "InvalidMove": {"EINVAL"},
    "PreconditionFailed": {"EEXIST"},
    "Locked": {"EBUSY"},
    "Forbidden": {"EPERM", "EACCES"},
}


class MountDriver:
    """Those of `users` work on a mount of their own, wherever a call of a file system means what the verb means:

    names that are there exactly, no tokens, no change of the kind of what a name means. All else `rest` does.
    """

    def __init__(self, rest: Driver, folder: FilePath, data: FilePath, users: tuple[str, ...]) -> None:
        self.store = rest.store
        self._rest = rest
        options = ("--attr-timeout", "0")
        self._mounts = {user: Mount(folder / user, data, "--user", user, *options) for user in users}
        self._mounted = ExitStack()
        self.calls = 0

    def close(self) -> None:
        self._mounted.close()

    def renew(self) -> None:
        """The kernel must not know nodes whose numbers are given again."""
        self._mounted.close()
        wipe(self.store)
        for mount in self._mounts.values():
            self._mounted.enter_context(mount)

    def words(self, verb: str, reasons: set[str]) -> set[str]:
        return self._rest.words(verb, reasons) | {word for reason in reasons for word in ERRORS.get(reason, ())}

    def put(self, by: str, path: Path, content: bytes, tokens: frozenset[str], only_new: bool) -> bool:
        if tokens or not self._names(by, path):
            return self._rest.put(by, path, content, tokens, only_new)
        file = self._at(by, path)
        created = not os.path.lexists(file)
        with self._call():
            fd = os.open(file, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if only_new else os.O_TRUNC), 0o644)
            try:
                os.write(fd, content)
            finally:
                os.close(fd)
        return created

    def make_collection(self, by: str, path: Path, tokens: frozenset[str]) -> None:
        if tokens or not self._names(by, path):
            return self._rest.make_collection(by, path, tokens)
        with self._call():
            os.mkdir(self._at(by, path))
        return None

    def set_properties(
        self, by: str, path: Path, changes: list[tuple[str, str | None]], tokens: frozenset[str]
    ) -> None:
        self._rest.set_properties(by, path, changes, tokens)

    def delete(self, by: str, path: Path, tokens: frozenset[str]) -> None:
        there = self._at(by, path)
        remove: Callable[[FilePath], None] = os.rmdir if there.is_dir() else os.unlink
        if tokens or not self._names(by, path) or (there.is_dir() and any(there.iterdir())):
            return self._rest.delete(by, path, tokens)
        with self._call():
            remove(there)
        return None

    def copy(self, by: str, source: Path, target: Path, tokens: frozenset[str], *, deep: bool, overwrite: bool) -> bool:
        return self._rest.copy(by, source, target, tokens, deep=deep, overwrite=overwrite)

    def move(self, by: str, source: Path, target: Path, tokens: frozenset[str], *, overwrite: bool) -> bool:
        if tokens or not self._means_rename(by, source, target):
            return self._rest.move(by, source, target, tokens, overwrite=overwrite)
        here, there = self._at(by, source), self._at(by, target)
        created = not os.path.lexists(there)
        with self._call():
            renameat2(here, there, 0 if overwrite else NOREPLACE)
        return created

    def _means_rename(self, by: str, source: Path, target: Path) -> bool:
        """A collection that takes a place, or loses it, is not what rename(2) does; nor is a change of case or form."""
        if not (self._names(by, source) and self._names(by, target)) or source == target or source[0] != target[0]:
            return False
        here, there = self._at(by, source), self._at(by, target)
        return not os.path.lexists(there) or (here.is_file() and there.is_file())

    def lock(self, by: str, path: Path, tokens: frozenset[str], *, infinite: bool, exclusive: bool) -> tuple[bool, str]:
        return self._rest.lock(by, path, tokens, infinite=infinite, exclusive=exclusive)

    def unlock(self, by: str, path: Path, token: str) -> None:
        self._rest.unlock(by, path, token)

    def refresh(self, by: str, path: Path, token: str) -> None:
        self._rest.refresh(by, path, token)

    def tree(self, model: Model) -> Tree:
        """As the rest sees it; every mount sees the same names and contents."""
        found = self._rest.tree(model)
        contents = {path: entry[0] for path, entry in found.items()}  # type: ignore[index]
        for by in self._mounts:
            assert self._seen(by) == contents
        return found

    def _seen(self, by: str) -> Mapping[object, bytes | None]:
        top = self._mounts[by].point
        seen: dict[object, bytes | None] = {}
        for folder, folders, files in os.walk(top):
            above = FilePath(folder).relative_to(top).parts
            seen |= {(*above, name): None for name in folders}
            seen |= {(*above, name): FilePath(folder, name).read_bytes() for name in files}
        return seen

    def _names(self, by: str, path: Path) -> bool:
        """Whether the mount means what the model means by the path: its names are exact, only the last may be new."""
        if by not in self._mounts or len(path) < 2 or not self._at(by, path[:-1]).is_dir():
            return False
        members = os.listdir(self._at(by, path[:-1]))
        return path[-1] in members or _nfc(path[-1]) not in map(_nfc, members)

    def _at(self, by: str, path: Path) -> FilePath:
        """A path that is nowhere for those who have no mount."""
        return self._mounts[by].point.joinpath(*path) if by in self._mounts else FilePath(os.devnull, *path)

    @contextmanager
    def _call(self) -> Iterator[None]:
        self.calls += 1
        try:
            yield
        except OSError as error:
            raise Refused({errno.errorcode[error.errno or 0]}) from error


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)
