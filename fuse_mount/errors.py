"""The only table of errno: how each refusal of the store reads to a program."""

import errno
import logging

from core.errors import (
    AlreadyExists,
    Corrupt,
    Forbidden,
    InvalidMove,
    InvalidPath,
    IsACollection,
    Locked,
    NameTooLong,
    NoParent,
    NotACollection,
    NotEmpty,
    NotFound,
    PreconditionFailed,
    QuotaExceeded,
    Refusal,
    StorageFull,
    StorageUnavailable,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)

log = logging.getLogger(__name__)

ERRNO: dict[type[Refusal], int] = {
    AlreadyExists: errno.EEXIST,
    Corrupt: errno.EIO,
    Forbidden: errno.EPERM,
    InvalidMove: errno.EXDEV,
    InvalidPath: errno.EINVAL,
    IsACollection: errno.EISDIR,
    Locked: errno.EBUSY,
    NameTooLong: errno.ENAMETOOLONG,
    NoParent: errno.ENOENT,
    NotACollection: errno.ENOTDIR,
    NotEmpty: errno.ENOTEMPTY,
    NotFound: errno.ENOENT,
    PreconditionFailed: errno.ESTALE,
    QuotaExceeded: errno.EDQUOT,
    StorageFull: errno.ENOSPC,
    StorageUnavailable: errno.EIO,
    TooLarge: errno.EFBIG,
    Unauthenticated: errno.EACCES,
    UnsupportedMediaType: errno.EINVAL,
}
REPORTED = (Corrupt, StorageUnavailable)
"""What an administrator must hear of, whatever the program makes of it."""


def errno_of(error: BaseException, operation: str) -> int:
    """What is not expected is EIO, and logged with its trace."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if isinstance(error, UnicodeDecodeError):
        return errno.EILSEQ
    if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EOPNOTSUPP:
        return errno.EOPNOTSUPP
    for kind in type(error).__mro__:
        if kind in ERRNO:
            if isinstance(error, REPORTED):
                log.error("%s: %s", operation, error)
            return ERRNO[kind]
    log.error("%s failed", operation, exc_info=error)
    return errno.EIO
