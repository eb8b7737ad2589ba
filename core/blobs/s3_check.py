"""What an S3 server can do, tried on it with objects of our own that lie where no blob does."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Protocol

from ..errors import Refusal, StorageUnavailable
from ..model import Digest
from ..staging import Sealed
from ..uids import fresh
from .s3_deletions import deleted, one_by_one
from .s3_errors import Taken
from .s3_listing import listed
from .s3_place import Place
from .s3_uploads import Uploads
from .store import Capability, checked

FOLDER = ".davstore-check/"
DATA = b"davstore tries what this server can do"
PART = 5 << 20
TYPE, DISPOSITION = "image/x-davstore", "inline; filename*=UTF-8''%C3%BC.png"
Fetched = Callable[[str], tuple[int, dict[str, str], bytes]]


class Presigned(Protocol):
    def __call__(self, key: str, *, media_type: str, disposition: str) -> str: ...


class Missing(Refusal):
    """It cannot do that; says what davstore wants, or does instead."""

    def __init__(self, reason: str) -> None:
        super().__init__("", reason)


class Check:
    """One round of attempts; its objects are gone when it ends."""

    def __init__(self, place: Place, presigned: Presigned, fetched: Fetched) -> None:
        self._place = place
        self._presigned = presigned
        self._fetched = fetched
        self._folder = f"{FOLDER}{fresh()}/"

    def all(self) -> Iterator[Capability]:
        """Ends early where the server cannot even be written to."""
        try:
            yield (first := checked("answers and takes the credentials", self._answers))
            if first.missing:
                return
            yield (second := checked("takes objects", self._takes))
            if second.missing:
                return
            yield checked("refuses bytes that are not those of their SHA-256", self._verifies)
            yield checked("gives ranges", self._gives_ranges)
            yield checked("takes uploads in parts", self._takes_parts)
            yield checked("lists page by page, completely", self._lists)
            yield checked("writes only where nothing is (If-None-Match)", self._is_conditional, needed=False)
            yield checked("gives presigned URLs their type and disposition", self._redirects, needed=False)
            yield checked("deletes", self._deletes)
            yield checked("deletes many at once", self._deletes_many, needed=False)
            yield checked("forgets what is deleted", self._forgets, needed=False)
        finally:
            with suppress(Refusal):
                deleted(self._place, [self._key(n) for n in range(4)])

    def _key(self, n: int) -> str:
        return f"{self._folder}{n}"

    def _put(self, n: int, data: bytes = DATA, **options: str) -> None:
        place = self._place
        with place.words(self._key(n)):
            # The stubs know each option's type, and not a dictionary of them.
            place.client.put_object(Bucket=place.bucket, Key=place.name(self._key(n)), Body=data, **options)  # pyright: ignore

    def _get(self, n: int, span: str) -> bytes:
        place = self._place
        with place.words(self._key(n)):
            answer = place.client.get_object(Bucket=place.bucket, Key=place.name(self._key(n)), Range=span)
            return answer["Body"].read()

    def _answers(self) -> None:
        next(listed(self._place, page_size=1), None)

    def _takes(self) -> None:
        self._put(0, ChecksumSHA256=_checksum(DATA))

    def _verifies(self) -> None:
        try:
            self._put(1, ChecksumSHA256=_checksum(b"other bytes"))
        except StorageUnavailable:
            return
        raise Missing("it stores them; use a server that checks x-amz-checksum-sha256, or TLS all the way to it")

    def _gives_ranges(self) -> None:
        if self._get(0, "bytes=9-14") != DATA[9:15]:
            raise Missing("it gives other bytes than were asked for; nothing can be read from such a server")

    def _takes_parts(self) -> None:
        data = bytes(PART) + DATA
        content = Sealed(Digest(sha256(data).hexdigest()), len(data), data, None, {})
        Uploads(self._place, PART, (self._key(0), DATA)).put(self._key(2), content)
        if self._get(2, f"bytes={PART}-{PART + len(DATA) - 1}") != DATA:
            raise Missing("it gives other bytes than the parts had; large files cannot be kept there")

    def _lists(self) -> None:
        self._put(3)
        found = {item.get("Key") for item in listed(self._place, self._folder, page_size=1)}
        if not found >= {self._place.name(self._key(n)) for n in (0, 3)}:
            raise Missing("its listing leaves objects out; `davstore sweep` and `fsck` cannot be trusted there")

    def _is_conditional(self) -> None:
        try:
            self._put(0, IfNoneMatch="*")
        except Taken:
            return
        except StorageUnavailable:
            pass
        raise Missing("davstore looks before it writes instead")

    def _redirects(self) -> None:
        url = self._presigned(self._key(0), media_type=TYPE, disposition=DISPOSITION)
        status, headers, data = self._fetched(url)
        answer = {name.lower(): value for name, value in headers.items()}
        said = answer.get("content-type"), answer.get("content-disposition")
        if status != 200 or data != DATA or said != (TYPE, DISPOSITION):
            raise Missing(f'it answers {status}, as {said[0]}; set redirect = "never"')

    def _deletes(self) -> None:
        failed = one_by_one(self._place, [self._key(0)])
        for refused in failed.values():
            raise refused
        if any(item.get("Key") == self._place.name(self._key(0)) for item in listed(self._place, self._folder)):
            raise Missing("what was deleted is still listed; bytes would never be freed there")

    def _deletes_many(self) -> None:
        place = self._place
        names = [place.name(self._key(n)) for n in (2, 3)]
        with place.words(""):
            answer = place.client.delete_objects(
                Bucket=place.bucket, Delete={"Objects": [{"Key": name} for name in names]}
            )
        if answer.get("Errors"):
            raise Missing("davstore deletes one by one instead")

    def _forgets(self) -> None:
        place = self._place
        with place.words(""):
            status = place.client.get_bucket_versioning(Bucket=place.bucket).get("Status")
        if status == "Enabled":
            raise Missing("the bucket keeps old versions, which take room; add a lifecycle rule that ends them")


def _checksum(data: bytes) -> str:
    return b64encode(sha256(data).digest()).decode()
