"""`davstore storage`: what is configured, and whether it can do what davstore needs."""

from pathlib import Path

import pytest

from core.storage_settings import S3Storage
from tests.parts.commands import Davstore, printed
from tests.parts.seaweedfs import SeaweedFS

NEEDED = [
    "answers and takes the credentials",
    "takes objects",
    "refuses bytes that are not those of their SHA-256",
    "gives ranges",
    "takes uploads in parts",
    "lists page by page, completely",
    "writes only where nothing is (If-None-Match)",
    "gives presigned URLs their type and disposition",
    "deletes",
    "deletes many at once",
    "forgets what is deleted",
]


@pytest.fixture
def configured(tmp_path: Path, s3_storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> Davstore:
    """A configuration, and nothing else, whose second storage is the S3 server's."""
    config = tmp_path / "davstore.toml"
    config.write_text(
        f'[storages.s3main]\ntype = "s3"\nbucket = "{s3_storage.bucket}"\nendpoint = "{s3_storage.endpoint}"\n'
    )
    monkeypatch.setenv("DAVSTORE_CONFIG", str(config))
    return Davstore(tmp_path / "data")


@pytest.fixture
def davstore(configured: Davstore) -> Davstore:
    """An installation of it."""
    assert configured("bucket", "create", "media", "storage=s3main").exit_code == 0
    return configured


def test_the_storages_are_listed_with_what_they_hold(davstore: Davstore, s3_storage: S3Storage) -> None:
    assert printed(davstore("storage", "ls", "--json")) == [
        {"name": "local", "type": "local", "place": str(davstore.data) + "/blobs", "objects": 0, "bytes": 0},
        {
            "name": "s3main",
            "type": "s3",
            "place": f"s3://{s3_storage.bucket}/ at {s3_storage.endpoint}",
            "objects": 0,
            "bytes": 0,
        },
    ]
    assert s3_storage.bucket in davstore("storage", "ls").stdout


def test_a_server_that_can_do_everything_is_told_so_line_by_line(davstore: Davstore) -> None:
    result = davstore("storage", "check", "s3main")

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [f"yes      {name}" for name in NEEDED]


def test_a_check_leaves_nothing_behind(davstore: Davstore, seaweedfs: SeaweedFS, s3_storage: S3Storage) -> None:
    before = seaweedfs.client.list_objects_v2(Bucket=s3_storage.bucket)["KeyCount"]

    found = printed(davstore("storage", "check", "s3main", "--json"))

    assert [each["name"] for each in found] == NEEDED
    assert seaweedfs.client.list_objects_v2(Bucket=s3_storage.bucket)["KeyCount"] == before
    assert "Uploads" not in seaweedfs.client.list_multipart_uploads(Bucket=s3_storage.bucket)


def test_a_bucket_that_keeps_old_versions_is_told(
    davstore: Davstore, seaweedfs: SeaweedFS, s3_storage: S3Storage
) -> None:
    versioning = {"Status": "Enabled"}
    seaweedfs.client.put_bucket_versioning(Bucket=s3_storage.bucket, VersioningConfiguration=versioning)  # pyright: ignore

    result = davstore("storage", "check", "s3main")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("no       forgets what is deleted: the bucket keeps old versions")


def test_credentials_that_the_server_does_not_know_are_told(
    davstore: Davstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")

    result = davstore("storage", "check", "s3main")

    assert result.exit_code == 3
    assert "does not know the access key; set AWS_ACCESS_KEY_ID" in result.stderr


@pytest.mark.parametrize("storage", ["local"])
def test_other_storages_are_checked_too(davstore: Davstore, storage: str) -> None:
    result = davstore("storage", "check", storage)

    assert result.exit_code == 0
    assert {line[:9] for line in result.stdout.splitlines()} == {"yes      "}


@pytest.mark.parametrize("storage", ["local", "s3main"])
def test_storages_are_checked_before_the_first_start(configured: Davstore, storage: str) -> None:
    result = configured("storage", "check", storage)

    assert result.exit_code == 0, result.output
    assert {line[:9] for line in result.stdout.splitlines()} == {"yes      "}


def test_a_storage_that_is_not_there_is_refused(davstore: Davstore) -> None:
    assert "`davstore storage ls` lists them" in davstore("storage", "check", "tape").stderr
