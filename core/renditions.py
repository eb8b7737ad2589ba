"""Renditions: objects derived from pictures, made once for each content and look in a bucket, and kept like any other.

A bucket's own are made as pictures come, by a background job; others when they are first asked for. Either way a claim
in the database sees to it that one process makes them, in a process apart (`renderer`). That there is none is kept too,
with the reason, so that a broken picture costs its decoding once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from sqlalchemy import delete, insert, select

from . import buckets, objects, pictures
from .contents import Contents
from .crossing import with_bytes
from .database import Database, Transaction
from .errors import InvalidSetting, NotFound, Refusal, StorageUnavailable
from .model import SECOND, Bucket, BucketId, Descriptor, Node, NodeId, ObjectId
from .orders import Answer, Wanted
from .pictures import Picture
from .presets import MEDIA_TYPES, Fit, Format, Preset, negotiated
from .renderer import Crashed, Renderer
from .schema import objects as object_rows
from .schema import renditions
from .staging import Sealed
from .tempo import FLAT_OUT, Tempo

LEASE = 30 * SECOND
"""Nanoseconds after which a claim whose owner died is anybody's; one who works renews it."""
PATIENCE = 45.0
"""Seconds that a caller waits for a turn, and for a rendition that somebody else is making."""
ATTEMPTS = 2
"""A picture that ended the process so many times is left alone."""
BATCH = 4
"""Pictures whose renditions are stored in one transaction."""
LARGEST_SOURCE = 512 << 20
"""Bytes of a picture that is looked at at all."""
PAGE = 1000
THUMBNAIL = "thumbnail"
"""The preset of a bucket's `thumbnails`."""
CUSTOM_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Rendition:
    """`node` is the file as if it had the rendition's bytes: open and serve it like any other."""

    node: Node
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class NoRendition:
    reason: str


@dataclass(frozen=True, slots=True)
class Renditions:
    """`prompt` makes what somebody waits for, `patient` what nobody does."""

    database: Database
    contents: Contents
    prompt: Renderer
    patient: Renderer
    presets: Mapping[str, Preset]
    steps: Sequence[int]
    formats: Sequence[Format]

    def get(self, node: Node, preset: str | Preset = THUMBNAIL, accept: str = "") -> Rendition | NoRendition:
        """The file's rendition in the best format that the Accept header names, made now where it is not there.

        Waits for it, or for whoever makes it. Raises InvalidSetting for an unknown preset, NotFound where the content
        was removed meanwhile, Corrupt, StorageUnavailable.
        """
        wanted = Wanted(self._named(preset) if isinstance(preset, str) else preset, negotiated(accept, self.formats))
        if node.object is None or not node.size or not node.media_type.startswith("image/"):
            return NoRendition("is no picture")
        end = time.monotonic() + PATIENCE
        while True:
            with self.database.read() as tx:
                found = _found(tx, node, wanted)
            found = found or self._made(node, node.object, wanted, end - time.monotonic())
            if found:
                return found
            if time.monotonic() > end:
                raise StorageUnavailable(node.path, "its rendition is being made; ask again")
            time.sleep(0.1)

    def sized(self, width: int, height: int, fit: Fit = "contain") -> Preset:
        """The preset of a box whose sides are configured steps; 0 leaves a side open. Raises InvalidSetting."""
        if not (width or height) or (fit == "cover" and not (width and height)):
            raise InvalidSetting("w, h", "give a width or a height; cover takes both")
        for name, side in (("w", width), ("h", height)):
            if side and side not in self.steps:
                raise InvalidSetting(f"{name}={side}", f"is made in {', '.join(map(str, self.steps))} pixels only")
        return Preset(fit, width, height, CUSTOM_QUALITY)

    def are_wanted(self) -> bool:
        """Whether there is work for `work`."""
        with self.database.read() as tx:
            return pictures.next_bucket(tx) is not None

    def work(self, tempo: Tempo = FLAT_OUT) -> list[str]:
        """What buckets want of the pictures that came is made. Returns what could not be done now."""
        failed: list[str] = []
        while True:
            with self.database.read() as tx:
                bucket = pictures.next_bucket(tx)
            if bucket is None:
                return failed
            failed += self._work_on(bucket, tempo)
            tempo.between()

    def want_missing(self, tempo: Tempo = FLAT_OUT) -> list[str]:
        """Pictures are wanted that came before their bucket's policy, or in another way than as an upload."""
        with self.database.read() as tx:
            every = [bucket for bucket in buckets.every(tx) if bucket.thumbnails or bucket.presets]
        for bucket in every:
            after: NodeId | None = NodeId(0)
            while after is not None:
                with self.database.write(bucket.id) as tx:
                    after = pictures.want_missing(tx, bucket, after, PAGE)
                tempo.between()
        return []

    def close(self) -> None:
        self.prompt.close()
        self.patient.close()

    def _named(self, preset: str) -> Preset:
        if preset not in self.presets:
            raise InvalidSetting(preset, f"is no preset; there are {', '.join(sorted(self.presets))}")
        return self.presets[preset]

    def _made(self, node: Node, content: ObjectId, wanted: Wanted, patience: float) -> Rendition | NoRendition | None:
        """What there is once it was our turn; None where somebody else makes it.

        It is claimed in our turn, not before: what waits would lose its claim.
        """
        with self.prompt.turn(patience):
            with self.database.write(node.bucket) as tx:
                found = _found(tx, node, wanted)
                if found or not _claimed(tx, content):
                    return found
                bucket = buckets.by_id(tx, node.bucket)
            claims = _Claims(self.database, bucket.id, [content])
            answer = self._rendered(bucket, content, node.size, [wanted], self.prompt, claims.keep)
        if answer is None:
            return None
        self._keep(bucket, [(content, [wanted], answer)], everything=False)
        with self.database.read() as tx:
            return _found(tx, node, wanted)

    def _work_on(self, bucket_id: BucketId, tempo: Tempo) -> list[str]:
        with self.database.write(bucket_id) as tx:
            bucket = buckets.by_id(tx, bucket_id)
            waiting = pictures.claim_wanted(tx, bucket_id, BATCH, LEASE)
        claims, wanted = _Claims(self.database, bucket_id, waiting), self._wanted_by(bucket)
        done: list[tuple[ObjectId, Sequence[Wanted], Answer]] = []
        failed: list[str] = []

        def between() -> None:
            claims.keep()
            tempo.between()

        try:
            for content in waiting:
                try:
                    with self.database.read() as tx:
                        where = objects.located(tx, content)
                    answer = where and self._rendered(bucket, content, where.size, wanted, self.patient, between)
                except Refusal as refusal:
                    failed.append(f"no rendition for now: {refusal}")
                else:
                    done += [(content, wanted, answer)] if answer else []
        finally:
            self._keep(bucket, done, everything=True)
        return failed

    def _wanted_by(self, bucket: Bucket) -> list[Wanted]:
        names = [*([THUMBNAIL] if bucket.thumbnails else []), *bucket.presets]
        looks = dict.fromkeys(self.presets[name] for name in names if name in self.presets)
        formats = dict.fromkeys((*self.formats, "jpeg"))
        return [Wanted(look, each) for look in looks for each in formats]

    def _rendered(
        self,
        bucket: Bucket,
        content: ObjectId,
        size: int,
        wanted: Sequence[Wanted],
        renderer: Renderer,
        waiting: Callable[[], None],
    ) -> Answer | None:
        """None: nobody knows yet, and somebody may try again. The claim outlives a storage that does not answer."""
        if size > LARGEST_SOURCE:
            return Answer(None, None, reason=f"{size} bytes are more than the {LARGEST_SOURCE} that are decoded")
        try:
            with self.contents.open_object(content) as picture:
                return renderer.render(picture, wanted, waiting)
        except Crashed:
            with self.database.write(bucket.id) as tx:
                pictures.give_back(tx, content, failed=True)
                if pictures.attempts(tx, content) < ATTEMPTS:
                    return None
            return Answer(None, None, reason=f"the process that decodes it ended {ATTEMPTS} times")
        except Refusal:
            raise
        except BaseException:
            with self.database.write(bucket.id) as tx:
                pictures.give_back(tx, content, failed=False)
            raise

    def _keep(
        self, bucket: Bucket, done: Sequence[tuple[ObjectId, Sequence[Wanted], Answer]], *, everything: bool
    ) -> None:
        """The renditions are objects of the bucket, and what is known of the pictures is known.

        `everything`: nothing is wanted of them any more.
        """
        unlimited = replace(bucket, max_size=None)
        with ExitStack() as drafts:
            sealed: list[list[Sealed]] = []
            for _, _, answer in done:
                sealed.append([])
                for made in answer.made:
                    draft = drafts.enter_context(self.contents.draft(unlimited))
                    draft.write(made.data)
                    sealed[-1].append(draft.seal())

            def attempt() -> None:
                blobs = [[self.contents.publish(bucket, each) for each in row] for row in sealed]
                with self.database.write(bucket.id) as tx:
                    for (source, wanted, answer), row, places in zip(done, sealed, blobs, strict=True):
                        _keep(tx, bucket, source, wanted, answer, list(zip(row, places, strict=True)), everything)

            if done:
                with_bytes(attempt)


class _Claims:
    """Claims on contents, which last while their owner works."""

    def __init__(self, database: Database, bucket: BucketId, contents: Sequence[ObjectId]) -> None:
        self._database = database
        self._bucket = bucket
        self._contents = contents
        self._renewed = time.monotonic()

    def keep(self) -> None:
        if time.monotonic() - self._renewed < LEASE / SECOND / 3:
            return
        with self._database.write(self._bucket, durable=False) as tx:
            pictures.renew(tx, self._contents, LEASE)
        self._renewed = time.monotonic()


def _claimed(tx: Transaction, content: ObjectId) -> bool:
    if objects.located(tx, content) is None:
        raise NotFound("the content", "was removed meanwhile")
    return pictures.claim(tx, content, LEASE)


def _found(tx: Transaction, node: Node, wanted: Wanted) -> Rendition | NoRendition | None:
    """What is there. A rendition whose bytes were found lost or corrupt is not."""
    its = (renditions.c.source == node.object) & (renditions.c.preset == wanted.key)
    columns = [object_rows.c[name] for name in ("id", "uid", "digest", "size", "storage", "key")]
    made = (
        select(*columns, renditions.c.width, renditions.c.height)
        .join(renditions, renditions.c.object == object_rows.c.id)
        .where(its, objects.is_sound(object_rows))
    )
    row = tx.execute(made).first()
    if row:
        content = Descriptor(row.digest, row.size, row.storage, row.key)
        as_rendition = {"object": row.id, "object_uid": row.uid, "content": content, "size": row.size}
        return Rendition(replace(node, media_type=MEDIA_TYPES[wanted.format], **as_rendition), row.width, row.height)
    assert node.object is not None
    picture = pictures.get(tx, node.object)
    return NoRendition(picture.reason) if picture and picture.reason else None


def _keep(
    tx: Transaction,
    bucket: Bucket,
    source: ObjectId,
    wanted: Sequence[Wanted],
    answer: Answer,
    contents: Sequence[tuple[Sealed, Descriptor | None]],
    everything: bool,
) -> None:
    if objects.located(tx, source) is None:
        return
    for each, made, (content, blob) in zip(wanted, answer.made, contents, strict=False):
        its = (renditions.c.source == source) & (renditions.c.preset == each.key)
        before = tx.scalar(delete(renditions).where(its).returning(renditions.c.object))
        if before is not None:
            objects.touch(tx, before)
        made_id = objects.adopt(tx, bucket, content, blob).id
        row = {"source": source, "preset": each.key, "object": made_id, "width": made.width, "height": made.height}
        tx.execute(insert(renditions).values(**row))
    pictures.finish(tx, source, Picture(answer.width, answer.height, answer.reason), everything=everything)
