"""Where contents go and come from: drafts on their way in, blobs under an intent, readers that survive a move."""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from . import objects, outbox, verdicts
from .blobs import BlobStore, Presigner
from .database import Database
from .drafts import RandomDraft
from .errors import Corrupt, NotFound, StorageUnavailable
from .model import Bucket, Descriptor, Digest, Node, ObjectId
from .staging import Draft, Sealed, Staging
from .verdicts import Verdict, Word

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

    def wrapped(self, wrap: Callable[[BlobStore], BlobStore]) -> "Contents":
        """The same contents, in stores that are wrapped."""
        return Contents(self._database, {name: wrap(store) for name, store in self.stores.items()}, self._stagings)

    def draft(self, bucket: Bucket, also: Sequence[str] = ()) -> Draft:
        """Bytes bound for the bucket: in memory below its `inline_below`, else beside the blobs of its storage."""
        self.store(bucket.storage)
        return self._stagings[bucket.storage].draft(bucket.inline_below, bucket.max_size, also)

    def random_draft(self, bucket: Bucket) -> RandomDraft:
        """A draft that is written anywhere, bound for the bucket."""
        staging, cached = self.store(bucket.storage).staging, self._stagings[bucket.storage].cached
        return RandomDraft(staging, bucket.inline_below, bucket.max_size, cached)

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
        if self.has(bucket, content.digest, content.size):
            return None
        blob = Descriptor(content.digest, content.size, store.name, objects.blob_key(bucket, content.digest))
        with self._database.write(bucket.id) as tx:
            outbox.intend(tx, blob.storage, blob.key)
        store.publish(blob.key, content)
        return blob

    def has(self, bucket: Bucket, digest: Digest, size: int) -> bool:
        """Whether an upload of this content needs no bytes: an object is believed healthy, and has its whole blob.

        One that has not is noted as lost or corrupt: the upload's own bytes repair it. Raises StorageUnavailable.
        """
        with self._database.read() as tx:
            known = objects.known(tx, bucket, digest)
        if known is None:
            return False
        wrong = self._missed(Descriptor(digest, size, known.storage, known.key))
        if wrong:
            verdicts.note(self._database, [Verdict(bucket.id, known.id, known.storage, known.key, wrong)])
        return wrong is None

    def _missed(self, blob: Descriptor) -> Word | None:
        """What a look at the blob's size says against it."""
        found = self.store(blob.storage).size(blob.key)
        return None if found == blob.size else "lost" if found is None else "corrupt"

    def open(self, node: Node) -> BinaryIO:
        """A seekable reader of a file's bytes. Raises NotFound, Corrupt, StorageUnavailable."""
        if node.content is None or node.object is None:
            raise NotFound(node.path, "has no content")
        try:
            return self._opened(node.content)
        except NotFound:
            return self.open_object(node.object)

    def open_object(self, wanted: ObjectId) -> BinaryIO:
        """A seekable reader of an object's bytes, wherever they have moved or been repaired to meanwhile.

        Raises NotFound where the object is gone, Corrupt where it is not and its blob is, or has another size: that is
        noted, for `fsck` and the next upload to repair. Raises StorageUnavailable.
        """
        seen: Descriptor | None = None
        while True:
            with self._database.read() as tx:
                now = objects.located(tx, wanted)
            if now is None:
                raise NotFound("the content", "was removed meanwhile")
            if now == seen:
                raise Corrupt(now.digest, self._judged(wanted, now))
            try:
                return self._opened(now)
            except NotFound:
                seen = now

    def _opened(self, blob: Descriptor) -> BinaryIO:
        """Raises NotFound also where the blob has another size: its object's bytes are not there."""
        reader = self.store(blob.storage).open(blob.key)
        if reader.seek(0, os.SEEK_END) != blob.size:
            reader.close()
            raise NotFound(blob.key, "has another size")
        reader.seek(0)
        return reader

    def _judged(self, wanted: ObjectId, blob: Descriptor) -> str:
        """What is wrong with the object's blob, which could not be opened. It is noted, once."""
        word = self._missed(blob)
        with self._database.read() as tx:
            known = objects.judged(tx, wanted)
        if word and known and known.verdict != word:
            verdicts.note(self._database, [Verdict(known.bucket, wanted, blob.storage, blob.key, word)])
        return "its blob has another size" if word == "corrupt" else "its blob is missing"

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
