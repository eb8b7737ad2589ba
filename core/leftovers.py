"""Drafts that outlived their mount, or could not be published: listed, and published as soon as that is possible."""

import os
from dataclasses import dataclass
from pathlib import Path as FilePath

from . import kept_drafts, tree, unpublished
from .contents import Contents
from .database import Database
from .drafts import digest_of
from .errors import NotFound, Refusal, StorageUnavailable
from .inodes import Inodes
from .model import Instant, NodeId, Path
from .staging import Sealed, translated
from .unpublished import Unpublished


@dataclass(frozen=True, slots=True)
class KeptDraft:
    """A durable draft of the file at `path`, which is None where that is gone. `error` says what kept it back, and
    `is_final` that it is not tried again by itself."""

    path: Path | None
    size: int
    created: Instant
    principal: str
    file: FilePath
    error: str | None
    is_final: bool


@dataclass(frozen=True, slots=True)
class Leftovers:
    database: Database
    contents: Contents

    def listed(self) -> list[KeptDraft]:
        """Oldest first; among them are those that a mount is writing."""
        with self.database.read() as tx:
            return [self._described(one, tree.path_of(tx, one.node)) for one in unpublished.every(tx)]

    def _described(self, one: Unpublished, path: Path | None) -> KeptDraft:
        file = kept_drafts.file_of(self.contents, one)
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            size = 0
        return KeptDraft(path, size, one.created, one.principal, file, one.error, one.is_final)

    def publish(self, inodes: Inodes, *, final: bool = False) -> list[Refusal]:
        """Those whose mounts are gone are the contents of their files; older versions where a file was written since
        by others, or where a newer draft of it is left. Returns why others are not.

        `final`: those too that were refused for their type or size.
        """
        with self.database.read() as tx:
            left = unpublished.every(tx)
            gone = {one.file for one in left if one.is_final and tree.path_of(tx, one.node) is None}
        newest: dict[NodeId, str] = {one.node: one.file for one in left}
        tried = [one for one in reversed(left) if final or not one.is_final or one.file in gone]
        told = (self._publish_one(inodes, one, is_newest=newest[one.node] == one.file) for one in tried)
        return [refusal for refusal in told if refusal]

    def _publish_one(self, inodes: Inodes, one: Unpublished, *, is_newest: bool) -> Refusal | None:
        try:
            file = kept_drafts.file_of(self.contents, one)
            with kept_drafts.held(file) as descriptor:
                if descriptor is None:
                    return None
                return self._publish_file(inodes, one, file, descriptor, is_newest=is_newest)
        except StorageUnavailable as refusal:
            if isinstance(refusal.__cause__, FileNotFoundError):
                self._forget(one)
                return None
            return refusal

    def _publish_file(
        self, inodes: Inodes, one: Unpublished, file: FilePath, descriptor: int, *, is_newest: bool
    ) -> Refusal | None:
        try:
            content, modified = self._sealed(inodes, one, file, descriptor)
            inodes.recover(one, content, modified, is_newest=is_newest)
        except NotFound:
            self._forget(one)
        except Refusal as refusal:
            self._report(one, refusal)
            return refusal
        file.unlink(missing_ok=True)
        return None

    def _sealed(self, inodes: Inodes, one: Unpublished, file: FilePath, descriptor: int) -> tuple[Sealed, Instant]:
        about = os.fstat(descriptor)
        with translated(file.parent):
            digest = digest_of(descriptor, about.st_size)
        data = file.read_bytes() if about.st_size < inodes.inline_below(one.node) else None
        sealed = Sealed(digest, about.st_size, data, None if data is not None else file, {"sha256": digest})
        return sealed, Instant(about.st_mtime_ns)

    def _forget(self, one: Unpublished) -> None:
        with self.database.write() as tx:
            unpublished.forget(tx, one.file)

    def _report(self, one: Unpublished, refusal: Refusal) -> None:
        with self.database.write() as tx:
            unpublished.record(tx, one.node, one.file, one.principal, one.base, refusal)
