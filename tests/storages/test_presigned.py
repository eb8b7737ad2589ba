"""URLs that give one blob to whoever has them, until their time is over."""

import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.auth
import pytest
from botocore.config import Config

from core.blobs.s3 import S3Blobs
from core.model import SECOND, Instant, moment
from core.storage_settings import S3Storage
from tests.parts.blobs import publish, s3_blobs, sample
from tests.parts.seaweedfs import SECRET_KEY

DISPOSITION = "attachment; filename*=UTF-8''%C3%BCber%20uns.pdf"


@pytest.fixture
def s3(s3_storage: S3Storage, tmp_path: Path) -> S3Blobs:
    return s3_blobs(s3_storage, tmp_path / "staging")


def now(ago: int = 0) -> Instant:
    return Instant((int(time.time()) - ago) * SECOND)


def signed(s3: S3Blobs, key: str, at: Instant | None, seconds: int = 60) -> str:
    return s3.presigned(key, seconds=seconds, signed_at=at, media_type="application/pdf", disposition=DISPOSITION)


@pytest.mark.parametrize("ago", [None, 0, 30])
def test_a_url_gives_the_bytes_with_the_type_and_disposition_it_carries(s3: S3Blobs, ago: int | None) -> None:
    data = sample(100_000)
    url = signed(s3, publish(s3, data), None if ago is None else now(ago))

    with urllib.request.urlopen(url) as answer:
        assert answer.read() == data
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["Content-Disposition"] == DISPOSITION
    assert SECRET_KEY not in url


def test_a_url_gives_ranges(s3: S3Blobs) -> None:
    data = sample(100_000)
    url = signed(s3, publish(s3, data), now())

    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=10-19"})) as answer:
        assert (answer.status, answer.read()) == (206, data[10:20])


def test_a_url_dies_at_its_time(s3: S3Blobs) -> None:
    url = signed(s3, publish(s3, b"hello"), now(ago=61))

    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url)


def test_a_url_opens_nothing_else(s3: S3Blobs) -> None:
    mine, other = publish(s3, b"mine"), publish(s3, b"other")
    url = signed(s3, mine, now())

    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url.replace(mine, other))


def test_every_process_makes_the_same_url_of_the_same_time(s3: S3Blobs, s3_storage: S3Storage, tmp_path: Path) -> None:
    other, key, at = s3_blobs(s3_storage, tmp_path / "staging", new=False), publish(s3, b"hello"), now(ago=40)

    assert signed(s3, key, at) == signed(other, key, at)
    assert signed(s3, key, at) != signed(s3, key, Instant(at - SECOND))


@pytest.mark.parametrize("addressing", ["path", "virtual"])
def test_urls_are_those_that_boto_signs_itself(
    s3_storage: S3Storage,
    monkeypatch: pytest.MonkeyPatch,
    addressing: Literal["path", "virtual"],
    tmp_path: Path,
) -> None:
    storage = s3_storage.model_copy(update={"addressing": addressing, "prefix": "a b/", "endpoint": "http://s3.test:9"})
    at, key = now(ago=1000), "files/00/00/key"
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: moment(at).replace(tzinfo=None))
    config = Config(signature_version="s3v4", s3={"addressing_style": addressing})
    client = boto3.client("s3", endpoint_url=storage.endpoint, region_name=storage.region, config=config)
    named = {"Bucket": storage.bucket, "Key": f"a b/{key}"}
    carried = {"ResponseContentType": "application/pdf", "ResponseContentDisposition": DISPOSITION}

    url = signed(S3Blobs("s3main", storage, tmp_path), key, at)

    expected = client.generate_presigned_url("get_object", Params=named | carried, ExpiresIn=60)
    assert urlsplit(url)._replace(query="") == urlsplit(expected)._replace(query="")
    assert parse_qs(urlsplit(url).query) == parse_qs(urlsplit(expected).query)
