"""Credentials are renewed in their file while the process runs, and the new ones are used without a restart."""

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from core.blobs.s3 import S3Blobs
from core.blobs.s3_connection import PAUSE
from core.errors import Refusal, StorageUnavailable
from core.storage_settings import S3Storage
from tests.parts.blobs import UID, publish, s3_blobs
from tests.parts.seaweedfs import ACCESS_KEY, SECRET_KEY

DATA = b"hello"
SOON = 10 * PAUSE
"""Far less than the time for which credentials are kept that nobody refuses."""
WRONG = [(ACCESS_KEY, "the secret of last year"), ("nobody", SECRET_KEY)]


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Writes the file in which the profile has its credentials."""
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def write(key: str, secret: str) -> None:
        file.write_text(f"[drive]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")

    return write


@pytest.fixture
def storage(s3_storage: S3Storage, monkeypatch: pytest.MonkeyPatch) -> S3Storage:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    return s3_storage.model_copy(update={"profile": "drive"})


def with_wrong_ones(storage: S3Storage, folder: Path) -> S3Blobs:
    store = S3Blobs("s3main", storage, folder)
    store.claim(UID, new=False)
    return store


def first_success(attempt: Callable[[], object]) -> float:
    """In how many seconds it succeeds."""
    since = time.monotonic()
    while True:
        try:
            attempt()
        except Refusal:
            assert time.monotonic() - since < SOON
            time.sleep(0.05)
        else:
            return time.monotonic() - since


@pytest.mark.expects_log("storage s3main cannot be used")
@pytest.mark.parametrize("wrong", WRONG, ids=["secret", "key"])
def test_what_the_server_takes_no_more_is_read_again(
    write: Callable[[str, str], None], storage: S3Storage, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    write(ACCESS_KEY, SECRET_KEY)
    key = publish(s3_blobs(storage, tmp_path), DATA)
    write(*wrong)
    store = with_wrong_ones(storage, tmp_path)
    with pytest.raises(StorageUnavailable, match="set AWS_ACCESS_KEY_ID"):
        store.open(key)

    write(ACCESS_KEY, SECRET_KEY)

    assert first_success(lambda: store.open(key)) < SOON
    assert store.open(key).read() == DATA
    assert publish(store, b"other") != key


@pytest.mark.expects_log("storage s3main cannot be used")
def test_a_file_that_was_not_there_is_found(
    write: Callable[[str, str], None], storage: S3Storage, tmp_path: Path
) -> None:
    write(ACCESS_KEY, SECRET_KEY)
    key = publish(s3_blobs(storage, tmp_path), DATA)
    (tmp_path / "credentials").unlink()
    store = with_wrong_ones(storage, tmp_path)

    write(ACCESS_KEY, SECRET_KEY)

    assert first_success(lambda: store.open(key)) < SOON


def test_a_url_is_signed_with_what_the_file_has(
    write: Callable[[str, str], None], storage: S3Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells us what the server said to whom we sent there."""
    write(ACCESS_KEY, SECRET_KEY)
    store = s3_blobs(storage, tmp_path)
    key = publish(store, DATA)
    write("last-year", SECRET_KEY)
    monkeypatch.setattr("core.blobs.s3_connection.KEPT", -PAUSE)
    monkeypatch.setattr("core.blobs.s3_connection.PAUSE", 0.0)

    def url() -> str:
        return store.presigned(key, seconds=60, signed_at=None, media_type="text/plain", disposition="inline")

    assert "last-year" in url()
    write(ACCESS_KEY, SECRET_KEY)
    with urllib.request.urlopen(url()) as answer:
        assert answer.read() == DATA


def test_a_file_that_is_being_written_changes_nothing(
    write: Callable[[str, str], None], storage: S3Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ACCESS_KEY, SECRET_KEY)
    store = s3_blobs(storage, tmp_path)
    key = publish(store, DATA)
    monkeypatch.setattr("core.blobs.s3_connection.PAUSE", 0.0)

    (tmp_path / "credentials").write_text(f"[drive]\naws_access_key_id = {ACCESS_KEY}\n")
    store._connection.credentials.renew()

    assert store.open(key).read() == DATA
