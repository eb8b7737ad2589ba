"""Blobs that go from an S3 server, many in one request where it takes that."""

from collections.abc import Iterator, Sequence

from ..errors import Refusal, StorageUnavailable
from .s3_errors import refusal
from .s3_place import Place

BATCH = 1000
"""Keys in one request."""
UNABLE = {"NotImplemented", "MethodNotAllowed", "MissingContentMD5", "MalformedXML", "InvalidRequest", "501", "405"}
GONE = {"NoSuchKey", "NoSuchUpload"}


def deleted(place: Place, keys: Sequence[str]) -> dict[str, Refusal]:
    """Nothing is at these keys, no unfinished upload either, but at those for which a refusal is given."""
    failed: dict[str, Refusal] = {}
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        failed |= together(place, batch) if len(batch) > 1 else one_by_one(place, batch)
    _end_uploads(place, keys)
    return failed


def together(place: Place, keys: Sequence[str]) -> dict[str, Refusal]:
    """In one request; one by one where the server cannot do that."""
    names = {place.name(key): key for key in keys}
    try:
        with place.words(""):
            answer = place.client.delete_objects(
                Bucket=place.bucket, Delete={"Objects": [{"Key": name} for name in names], "Quiet": True}
            )
    except StorageUnavailable as refused:
        if place.code(refused) in UNABLE:
            return one_by_one(place, keys)
        raise
    errors = {error.get("Key", ""): error.get("Code", "an error") for error in answer.get("Errors", [])}
    return {names[name]: _failed(place, name, code) for name, code in errors.items() if code not in GONE}


def one_by_one(place: Place, keys: Sequence[str]) -> dict[str, Refusal]:
    failed: dict[str, Refusal] = {}
    for key in keys:
        try:
            with place.words(key):
                place.client.delete_object(Bucket=place.bucket, Key=place.name(key))
        except Refusal as refused:
            failed[key] = refused
    return failed


def _end_uploads(place: Place, keys: Sequence[str]) -> None:
    """Parts of an upload that was never finished take room, and no listing of objects shows them."""
    names = {place.name(key) for key in keys}
    with place.words(""):
        for name, upload in _unfinished(place, place.name(keys[0] if len(keys) == 1 else "")):
            if name in names:
                place.client.abort_multipart_upload(Bucket=place.bucket, Key=name, UploadId=upload)


def _unfinished(place: Place, prefix: str) -> Iterator[tuple[str, str]]:
    pages = place.client.get_paginator("list_multipart_uploads").paginate(Bucket=place.bucket, Prefix=prefix)
    for page in pages:
        for upload in page.get("Uploads", []):
            yield upload.get("Key", ""), upload.get("UploadId", "")


def _failed(place: Place, name: str, code: str) -> Refusal:
    found = refusal(place.storage, name, code)
    return found if isinstance(found, Refusal) else StorageUnavailable(place.storage, f"the server answered {code}")
