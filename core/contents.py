"""Where contents go and come from: drafts on their way in, blobs under an intent, readers that survive a move."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from . import objects, outbox
from .blobs import BlobStore, Presigner
from .database import Database
from .drafts import RandomDraft
from .errors import Corrupt, NotFound, StorageUnavailable
from .model import Bucket, Descriptor, Node, ObjectId
from .staging import Draft, Sealed, Staging

REMEMBERED = 50_000
"""Blobs that were found whole: some 10 MiB in each process."""
TRANSIT = 1 << 20
"""What is held in memory of a blob that moves."""


class Contents:
    """The blob stores of an open store, by the names that object rows use; `inline` is among them.

    `presigners` are those to which clients can be sent.
    """

    def __init__(self, database: Database, stores: Mapping[str, BlobStore], stagings: Mapping[str, Staging]) -> None:
        self._database = database
        self.stores = stores
        self.presigners = {name: store for name, store in stores.items() if isinstance(store, Presigner)}
        self._stagings = stagings
        self._whole: OrderedDict[str, None] = OrderedDict()

    def draft(self, bucket: Bucket, also: Sequence[str] = ()) -> Draft:
        """Bytes bound for the bucket: in memory below its `inline_below`, else beside the blobs of its storage."""
        self.store(bucket.storage)
        return self._stagings[bucket.storage].draft(bucket.inline_below, bucket.max_size, also)

    def random_draft(self, bucket: Bucket) -> RandomDraft:
        """A draft that is written anywhere, bound for the bucket."""
        return RandomDraft(self.store(bucket.storage).staging, bucket.inline_below, bucket.max_size)

    def transit(self, storage: str) -> Draft:
        """Bytes on their way from one storage to another."""
        self.store(storage)
        return self._stagings[storage].draft(TRANSIT, None)

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
        """A seekable reader of a file's bytes. Raises NotFound, Corrupt, StorageUnavailable."""
        if node.content is None or node.object is None:
            raise NotFound(node.path, "has no content")
        try:
            return self.store(node.content.storage).open(node.content.key)
        except NotFound:
            return self.open_object(node.object)

    def open_object(self, wanted: ObjectId) -> BinaryIO:
        """A seekable reader of an object's bytes, wherever they have moved or been repaired to meanwhile.

        Raises NotFound where the object is gone, Corrupt where it is not and its blob is, StorageUnavailable.
        """
        seen: Descriptor | None = None
        while True:
            with self._database.read() as tx:
                now = objects.located(tx, wanted)
            if now is None:
                raise NotFound("the content", "was removed meanwhile")
            if now == seen:
                raise Corrupt(now.digest, "its blob is missing")
            try:
                return self.store(now.storage).open(now.key)
            except NotFound:
                seen = now

    def is_whole(self, blob: Descriptor) -> bool:
        """Whether the blob is there and as long as its row says: what must be so before another server sends it.

        A file is looked at each time. A blob on S3 is asked for once: it is never written again (I1), and who asks
        for one that has gone since gets an error.
        """
        store = self.store(blob.storage)
        if blob.key in self._whole:
            return True
        try:
            is_whole = store.size(blob.key) == blob.size
        except StorageUnavailable:
            return False
        if is_whole and blob.storage in self.presigners:
            self._whole[blob.key] = None
            if len(self._whole) > REMEMBERED:
                self._whole.popitem(last=False)
        return is_whole

    def store(self, name: str) -> BlobStore:
        if name not in self.stores:
            raise StorageUnavailable(name, "is not configured here; add it under [storages]")
        return self.stores[name]
