"""Files of drafts that outlive their owners: found by the names in their rows, and held by one process at a time."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from . import unpublished
from .contents import Contents
from .database import Database
from .errors import StorageUnavailable
from .staging import take_over, translated
from .unpublished import Unpublished


def file_of(contents: Contents, one: Unpublished) -> Path:
    """Raises StorageUnavailable."""
    storage, _, name = one.file.partition("/")
    return contents.store(storage).staging / name


@contextmanager
def held(file: Path) -> Generator[int | None]:
    """A descriptor of the file while it is this process's; None while somebody else has it.

    Raises StorageUnavailable, from FileNotFoundError where the file is gone.
    """
    with translated(file.parent):
        descriptor = take_over(file)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def drop(database: Database, contents: Contents, one: Unpublished) -> None:
    """The draft is gone, unless somebody has it open."""
    try:
        with held(file := file_of(contents, one)) as descriptor:
            if descriptor is None:
                return
            file.unlink(missing_ok=True)
    except StorageUnavailable as refusal:
        if not isinstance(refusal.__cause__, FileNotFoundError):
            raise
    with database.write() as tx:
        unpublished.forget(tx, one.file)
