"""Every way in which the store refuses, as one family.

Refusal
├── NotFound                  nothing is there, or nothing the caller may see
├── NoParent                  the collection that should hold the name is missing
├── AlreadyExists             the name is taken
├── NotACollection            a member was asked of something that has none
├── IsACollection             bytes were asked of, or given to, a collection
├── NotEmpty                  the collection has members
├── InvalidPath               no such name can exist
│   └── NameTooLong
├── InvalidMove               onto itself, into its own inside, or onto its own ancestor
├── PreconditionFailed        what the caller expected does not hold
├── Locked                    a lock covers it whose token was not submitted
│   └── LockConflict          a lock was asked for that another lock excludes
├── InUse                     another request is at work on it
├── NoSuchLock                the token names no lock there
├── Unauthenticated           nobody, or nobody we know
├── Forbidden                 known, and not permitted
├── InvalidContent            the bytes are not what was announced
│   ├── IncompleteContent     fewer bytes came than were announced
│   └── DigestMismatch        they hash to something else
├── InvalidSetting            a policy or argument that cannot be
├── TooLarge
├── UnsupportedMediaType
├── TooMany                   the caller has as many at a time as one may have
├── QuotaExceeded
├── StorageUnavailable        the database or a blob store does not answer now
│   └── StorageFull           … because it has no room
├── Unusable                  the installation cannot be opened at all (says what to do)
└── Corrupt                   bytes are missing or do not hash to their digest
"""

from collections.abc import Sequence
from pathlib import Path


class Refusal(Exception):
    """Says what was refused (`subject`) and, where it is not plain from the kind, why (`reason`)."""

    def __init__(self, subject: str | Path | tuple[str, ...] = "", reason: str = "") -> None:
        super().__init__(subject, reason)
        self.subject = subject
        self.reason = reason

    def __str__(self) -> str:
        subject = "/" + "/".join(self.subject) if isinstance(self.subject, tuple) else str(self.subject)
        return ": ".join(part for part in (subject, self.reason) if part) or type(self).__name__


class NotFound(Refusal): ...


class NoParent(Refusal): ...


class AlreadyExists(Refusal): ...


class NotACollection(Refusal): ...


class IsACollection(Refusal): ...


class NotEmpty(Refusal): ...


class InvalidPath(Refusal): ...


class NameTooLong(InvalidPath): ...


class InvalidMove(Refusal): ...


class PreconditionFailed(Refusal): ...


class Locked(Refusal):
    """`roots` are the paths of the locks that stand in the way."""

    def __init__(self, roots: Sequence[tuple[str, ...]], reason: str = "a lock covers it") -> None:
        super().__init__(roots[0] if roots else "", reason)
        self.roots = tuple(roots)


class LockConflict(Locked): ...


class InUse(Refusal): ...


class NoSuchLock(Refusal): ...


class Unauthenticated(Refusal): ...


class Forbidden(Refusal): ...


class InvalidContent(Refusal): ...


class IncompleteContent(InvalidContent): ...


class DigestMismatch(InvalidContent): ...


class InvalidSetting(Refusal): ...


class TooLarge(Refusal): ...


class UnsupportedMediaType(Refusal): ...


class TooMany(Refusal): ...


class QuotaExceeded(Refusal): ...


class StorageUnavailable(Refusal): ...


class StorageFull(StorageUnavailable): ...


class Unusable(Refusal): ...


class Corrupt(Refusal): ...
