"""The store: a tree of files on content-addressed blobs. Knows neither HTTP nor FUSE."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .settings import Settings
    from .store import Store


def open(settings: "Settings") -> "Store":  # noqa: A001 - callers write core.open, as they write dbm.open
    """The store of these settings, made where there is none. Raises Unusable with what to do about it."""
    from .store import open as opened

    return opened(settings)
