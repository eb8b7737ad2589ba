"""Where contents go and come from: drafts on their way in, blobs under an intent, readers that survive a move."""

from collections.abc import Mapping, Sequence
from typing import BinaryIO

from . import objects, outbox
from .blobs import BlobStore
from .database import Database
from .errors import Corrupt, NotFound, StorageUnavailable
from .model import Bucket, Descriptor, Node, ObjectId
from .staging import Draft, Sealed, Staging


class Contents:
    """The blob stores of an open store, by the names that object rows use; `inline` is among them."""

    def __init__(self, database: Database, stores: Mapping[str, BlobStore], stagings: Mapping[str, Staging]) -> None:
        self._database = database
        self.stores = stores
        self._stagings = stagings

    def draft(self, bucket: Bucket, also: Sequence[str] = ()) -> Draft:
        """Bytes bound for the bucket: in memory below its `inline_below`, else beside the blobs of its storage."""
        self.store(bucket.storage)
        return self._stagings[bucket.storage].draft(bucket.inline_below, bucket.max_size, also)

    def publish(self, bucket: Bucket, content: Sealed) -> Descriptor | None:
        """The content has a blob, and an intent until an object vouches for it. None: it needs none (known, or inline).

        Raises StorageUnavailable, StorageFull.
        """
        if objects.is_inline(bucket, content) and content.data is not None:
            return None
        store = self.store(bucket.storage)
        blob = Descriptor(content.digest, content.size, store.name, objects.blob_key(bucket, content.digest))
        with self._database.read() as tx:
            if objects.known(tx, bucket, content.digest):
                return None
        with self._database.write(bucket.id) as tx:
            outbox.intend(tx, blob.storage, blob.key)
        store.publish(blob.key, content)
        return blob

    def open(self, node: Node) -> BinaryIO:
        """A seekable reader of a file's bytes. Raises Corrupt, StorageUnavailable.

        A blob that is gone may have moved or been repaired: the row is read once more.
        """
        if node.content is None or node.object is None:
            raise NotFound(node.path, "has no content")
        try:
            return self.store(node.content.storage).open(node.content.key)
        except NotFound:
            return self._open_again(node, node.object)

    def read(self, content: Descriptor) -> BinaryIO:
        """A seekable reader of a blob. Raises Corrupt, StorageUnavailable."""
        try:
            return self.store(content.storage).open(content.key)
        except NotFound:
            raise Corrupt(content.digest, "its blob is missing") from None

    def _open_again(self, node: Node, vouching: ObjectId) -> BinaryIO:
        with self._database.read() as tx:
            now = objects.located(tx, vouching)
        if now is None:
            raise NotFound(node.path, "was removed meanwhile")
        return self.read(now)

    def store(self, name: str) -> BlobStore:
        if name not in self.stores:
            raise StorageUnavailable(name, "is not configured here; add it under [storages]")
        return self.stores[name]
