"""Blob stores: places that keep immutable bytes by key, behind one protocol."""

from .store import Blob, BlobStore, Presigner

__all__ = ["Blob", "BlobStore", "Presigner"]
