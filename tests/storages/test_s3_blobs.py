"""What an S3 storage does besides the contract of core.blobs.store."""

import hashlib
import logging
import ssl
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from core.blobs.s3 import S3Blobs
from core.blobs.s3_listing import listed as paged
from core.blobs.streamed import FIRST
from core.errors import AlreadyExists, Corrupt, NotFound, Refusal, StorageUnavailable, Unusable
from core.storage_settings import S3Storage
from tests.parts.blobs import MIB, OTHER_UID, key_of, listed, publish, read, s3_blobs, sample
from tests.parts.faults import FaultyS3
from tests.parts.seaweedfs import ACCESS_KEY, SECRET_KEY, SeaweedFS
from tests.parts.tools import tool

MARKER = ".davstore-storage"


@pytest.fixture
def s3(s3_storage: S3Storage, tmp_path: Path) -> S3Blobs:
    return s3_blobs(s3_storage.model_copy(update={"prefix": "team/", "part_size": 5 * MIB}), tmp_path / "staging")


def test_a_large_content_goes_in_parts_each_with_its_checksum(s3: S3Blobs, seaweedfs: SeaweedFS) -> None:
    data = sample(12 * MIB)

    key = publish(s3, data)

    stored = seaweedfs.client.head_object(Bucket=s3._storage.bucket, Key=f"team/{key}", ChecksumMode="ENABLED")
    assert stored["ContentLength"] == len(data)
    assert stored["ChecksumType"] == "COMPOSITE"
    assert stored["ChecksumSHA256"].endswith("-3")
    assert read(s3, key) == data


def test_unfinished_uploads_go_with_their_key(s3: S3Blobs, seaweedfs: SeaweedFS) -> None:
    bucket, key, other = s3._storage.bucket, key_of(b"a"), key_of(b"b")
    for name in (key, other):
        seaweedfs.client.create_multipart_upload(Bucket=bucket, Key=f"team/{name}")

    s3.delete(key)

    uploads = seaweedfs.client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload.get("Key") for upload in uploads] == [f"team/{other}"]


def test_many_are_deleted_in_one_request(s3: S3Blobs) -> None:
    keys = [publish(s3, f"{n}".encode()) for n in range(30)]

    assert s3.delete_all([*keys[:20], key_of(b"never")]) == {}

    assert set(listed(s3)) == set(keys[20:])


@pytest.mark.parametrize("call", ["delete_object", "delete_objects", "list_multipart_uploads"])
def test_a_deletion_that_meets_others_at_work_on_the_key_is_refused_like_any_other(
    s3: S3Blobs, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    keys = [publish(s3, f"{n}".encode()) for n in range(1 if call == "delete_object" else 2)]
    answer: Any = {"Error": {"Code": "OperationAborted"}}
    real = s3._at.client._make_api_call  # pyright: ignore

    def busy(operation: str, options: object) -> object:
        if operation == "".join(map(str.capitalize, call.split("_"))):
            raise ClientError(answer, operation)
        return real(operation, options)

    monkeypatch.setattr(s3._at.client, "_make_api_call", busy)
    try:
        refusals = s3.delete_all(keys)
    except Refusal as refused:
        refusals = dict.fromkeys(keys, refused)

    assert refusals.keys() == set(keys)
    assert all(isinstance(refused, StorageUnavailable) for refused in refusals.values())


@pytest.mark.parametrize("page_size", [1, 2, 7, 1000])
def test_a_listing_is_complete_whatever_the_size_of_its_pages(s3: S3Blobs, page_size: int) -> None:
    names = ["a", "A", "a.b", "a-b", "a_b", "Übung", "a b+%20&?"]
    keys = {publish(s3, name.encode(), key_of(name.encode(), name)) for name in names}

    found = [item.get("Key", "").removeprefix("team/") for item in paged(s3._at, page_size=page_size)]

    assert sorted(found) == sorted({*keys, MARKER})


def test_what_is_no_blob_of_ours_is_not_listed(s3: S3Blobs, seaweedfs: SeaweedFS) -> None:
    for name in ("other/file", "team/readme", "team/files/00/11/short.x", f"team/{key_of(b'x')}/below"):
        seaweedfs.client.put_object(Bucket=s3._storage.bucket, Key=name, Body=b"x")
    key = publish(s3, b"hello")

    assert listed(s3) == {key: 5}


def test_a_bucket_whose_marker_is_gone_is_refused_and_not_taken_for_lost_blobs(
    s3: S3Blobs, seaweedfs: SeaweedFS
) -> None:
    key = publish(s3, b"hello")
    for name in (MARKER, key):
        seaweedfs.client.delete_object(Bucket=s3._storage.bucket, Key=f"team/{name}")

    for ask in (lambda: s3.open(key), lambda: s3.size(key), lambda: list(s3.blobs())):
        with pytest.raises(StorageUnavailable, match=r"marker|lacks"):
            ask()


def test_a_place_that_is_not_empty_or_belongs_to_another_is_refused(
    s3: S3Blobs, seaweedfs: SeaweedFS, tmp_path: Path
) -> None:
    taken, used = s3._storage, s3._storage.model_copy(update={"prefix": "used/"})
    seaweedfs.client.put_object(Bucket=taken.bucket, Key="used/file", Body=b"x")
    absent = taken.model_copy(update={"prefix": "absent/"})

    for storage, new, words in (
        (taken, True, "belongs to another storage .*; choose another prefix"),
        (taken, False, "belongs to another storage .*; correct the bucket or prefix"),
        (used, True, "is not empty; a new storage needs a bucket or a prefix of its own"),
        (absent, False, "holds no storage"),
        (taken.model_copy(update={"bucket": "no-such-bucket"}), True, "there is no such bucket; create it"),
    ):
        with pytest.raises(Unusable, match=words):
            s3_blobs(storage, tmp_path, new=new, uid=OTHER_UID)


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_other_bytes_at_a_key_are_never_given_to_the_end(s3: S3Blobs, seaweedfs: SeaweedFS, size: int) -> None:
    data = sample(size)
    key = publish(s3, data)
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    seaweedfs.client.put_object(Bucket=s3._storage.bucket, Key=f"team/{key}", Body=wrong)

    given: list[bytes] = []
    if size < FIRST:
        with pytest.raises(Corrupt):
            s3.open(key)
    with pytest.raises(Corrupt), s3.open(key) as file:
        given.extend(iter(lambda: file.read(64 << 10), b""))

    assert sum(map(len, given)) < size


def test_a_shorter_object_than_was_published_is_never_given_to_the_end(s3: S3Blobs, seaweedfs: SeaweedFS) -> None:
    data = sample(3 * MIB)
    key = publish(s3, data)
    with s3.open(key) as file:
        given = file.read(10)
        seaweedfs.client.put_object(Bucket=s3._storage.bucket, Key=f"team/{key}", Body=data[: 2 * MIB])
        with pytest.raises(StorageUnavailable, match="another part"):
            given += file.read()

    with pytest.raises(Corrupt), s3.open(key) as file:
        file.read()


def test_a_reader_holds_little_of_a_large_blob(s3: S3Blobs) -> None:
    data = sample(24 * MIB)
    key = publish(s3, data)
    found = hashlib.sha256()

    tracemalloc.start()
    with s3.open(key) as file:
        while block := file.read(256 << 10):
            found.update(block)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found.digest() == hashlib.sha256(data).digest()
    assert peak < 4 * MIB


def test_a_server_that_ignores_conditions_is_not_trusted_with_them(
    s3: S3Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = s3._at.client.put_object

    def careless(**options: object) -> object:
        options.pop("IfNoneMatch", None)
        return real(**options)  # pyright: ignore

    monkeypatch.setattr(s3._at.client, "put_object", careless)
    data = sample(100)
    key = publish(s3, data)

    assert not s3._uploads.are_conditional
    publish(s3, data, key)
    with pytest.raises(AlreadyExists):
        publish(s3, b"other bytes", key)
    assert read(s3, key) == data


def test_nothing_secret_is_said(
    s3: S3Blobs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    key = publish(s3, sample(MIB))
    read(s3, key)
    url = s3.presigned(key, seconds=60, signed_at=None, media_type="text/plain", disposition="inline")
    signature = url.rpartition("=")[2]
    said = [repr(s3), repr(s3._storage), repr(s3._at)]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{SECRET_KEY} wrong")
    for ask in (lambda: s3_blobs(s3._storage, tmp_path), lambda: s3.open(key_of(b"never"))):
        with pytest.raises((Unusable, NotFound)) as refused:
            ask()
        error: BaseException | None = refused.value
        while error is not None:
            said += [str(error), repr(error)]
            error = error.__cause__ or error.__context__

    said += [record.getMessage() for record in caplog.records]
    assert not [text for text in said if SECRET_KEY in text or signature in text]


def test_a_profile_has_the_credentials(s3_storage: S3Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[drive]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = s3_blobs(s3_storage.model_copy(update={"profile": "drive"}), tmp_path)

    assert read(store, publish(store, b"hello")) == b"hello"
    for profile, words in ((None, "no credentials; set AWS_ACCESS_KEY_ID"), ("other", "no such profile")):
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(Unusable, match=words):
            s3_blobs(s3_storage.model_copy(update={"profile": profile, "prefix": "other/"}), tmp_path)


def test_a_server_is_trusted_by_its_own_authority(
    seaweedfs: SeaweedFS, s3_storage: S3Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    authority, key = tmp_path / "authority.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(authority)]
    certify = [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(certify, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority, key)
    with FaultyS3(seaweedfs.endpoint, tls) as server:
        trusting = s3_storage.model_copy(update={"endpoint": server.endpoint, "ca": authority})
        store = s3_blobs(trusting, tmp_path)

        assert read(store, publish(store, sample(MIB))) == sample(MIB)
        with pytest.raises(Unusable, match="its certificate is not trusted; set the storage's ca"):
            s3_blobs(trusting.model_copy(update={"ca": None}), tmp_path)


@pytest.mark.parametrize("size", [2_000, 3 * MIB])
def test_a_beginning_that_comes_short_is_asked_for_once_more(
    seaweedfs: SeaweedFS, s3_storage: S3Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    with FaultyS3(seaweedfs.endpoint) as proxy:
        store = s3_blobs(s3_storage.model_copy(update={"endpoint": proxy.endpoint}), tmp_path)
        key = publish(store, sample(size))
        real = store._beginning
        faults = iter(["truncated", ""])

        def beginning(key: str) -> tuple[int, bytes]:
            proxy.fault = next(faults)
            return real(key)

        monkeypatch.setattr(store, "_beginning", beginning)

        assert read(store, key) == sample(size)
        assert (proxy.struck, list(faults)) == (1, [])
