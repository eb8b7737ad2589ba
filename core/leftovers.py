"""Drafts that outlived their mount, or could not be published: listed, and published as soon as that is possible."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path as FilePath

from . import tree, unpublished
from .contents import Contents
from .database import Database
from .errors import NotFound, Refusal, StorageUnavailable
from .inodes import Inodes
from .model import Digest, Instant, Path
from .staging import Sealed, take_over, translated
from .unpublished import Unpublished


@dataclass(frozen=True, slots=True)
class KeptDraft:
    """A durable draft of the file at `path`, which is None where that is gone. `error` says what kept it back."""

    path: Path | None
    size: int
    created: Instant
    principal: str
    file: FilePath
    error: str | None


@dataclass(frozen=True, slots=True)
class Leftovers:
    database: Database
    contents: Contents

    def listed(self) -> list[KeptDraft]:
        """Oldest first; among them are those that a mount is writing."""
        with self.database.read() as tx:
            return [self._described(one, tree.path_of(tx, one.node)) for one in unpublished.every(tx)]

    def _described(self, one: Unpublished, path: Path | None) -> KeptDraft:
        file = self._file(one)
        try:
            size = file.stat().st_size
        except FileNotFoundError:
            size = 0
        return KeptDraft(path, size, one.created, one.principal, file, one.error)

    def publish(self, inodes: Inodes) -> list[Refusal]:
        """Those whose mounts are gone are the contents of their files. Returns why others are not."""
        with self.database.read() as tx:
            left = unpublished.every(tx)
        return [refusal for one in left if (refusal := self._publish_one(inodes, one))]

    def _publish_one(self, inodes: Inodes, one: Unpublished) -> Refusal | None:
        try:
            file = self._file(one)
            with translated(file.parent):
                descriptor = take_over(file)
        except StorageUnavailable as refusal:
            if isinstance(refusal.__cause__, FileNotFoundError):
                self._forget(one)
                return None
            return refusal
        if descriptor is None:
            return None
        try:
            self._publish_file(inodes, one, file, descriptor)
        except NotFound:
            self._forget(one)
        except Refusal as refusal:
            self._report(one, refusal)
            return refusal
        finally:
            os.close(descriptor)
        file.unlink(missing_ok=True)
        return None

    def _publish_file(self, inodes: Inodes, one: Unpublished, file: FilePath, descriptor: int) -> None:
        with open(file, "rb") as content:
            digest = Digest(hashlib.file_digest(content, "sha256").hexdigest())
        about = os.fstat(descriptor)
        data = file.read_bytes() if about.st_size < inodes.inline_below(one.node) else None
        content = Sealed(digest, about.st_size, data, None if data is not None else file, {"sha256": digest})
        inodes.publish(one.node, content, Instant(about.st_mtime_ns), durable=True, kept=one.file)

    def _file(self, one: Unpublished) -> FilePath:
        storage, _, name = one.file.partition("/")
        return self.contents.store(storage).staging / name

    def _forget(self, one: Unpublished) -> None:
        with self.database.write() as tx:
            unpublished.forget(tx, one.file)

    def _report(self, one: Unpublished, refusal: Refusal) -> None:
        with self.database.write() as tx:
            unpublished.record(tx, one.node, one.file, one.principal, str(refusal))
