"""Backups that go to an S3 server, and come back from it."""

import os
import subprocess
from pathlib import Path

import pytest

from core import snapshots
from core.errors import StorageUnavailable, Unusable
from core.s3_archive import S3Archive
from core.store import Store
from tests.backup.conftest import Restore
from tests.backup.test_backup import LARGE, digest, fill, taken, without_locks
from tests.parts.commands import Davstore, printed
from tests.parts.seaweedfs import REGION, SeaweedFS
from tests.parts.stores import ANN, opened, put
from tests.parts.tools import tool


@pytest.fixture
def environ(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    given = {**seaweedfs.environ, "AWS_S3_ENDPOINT": seaweedfs.endpoint, "AWS_S3_REGION": REGION}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def s3_archive(environ: dict[str, str], seaweedfs: SeaweedFS) -> S3Archive:
    return S3Archive(f"s3://{seaweedfs.bucket()}/backups/davstore", environ)


def test_a_store_comes_back_from_s3_as_it_was(store: Store, s3_archive: S3Archive, restored: Restore):
    fill(store)
    saved = taken(store, s3_archive)

    again, result = restored(s3_archive)

    assert without_locks(again) == without_locks(store)
    assert again.verify(deep=True).problems == ()
    assert result.snapshot == saved.snapshot


def test_a_second_backup_to_s3_copies_only_what_is_new(store: Store, s3_archive: S3Archive):
    fill(store)
    taken(store, s3_archive)
    put(store.namespace(ANN), ("files", "new"), b"new" * 50)

    assert taken(store, s3_archive).copied == 1
    assert len(snapshots.names(s3_archive)) == 2


def test_a_content_that_is_corrupt_does_not_get_into_the_archive(store: Store, s3_archive: S3Archive, tmp_path: Path):
    fill(store)
    [blob] = (tmp_path / "data" / "blobs").rglob(f"files/**/{digest(LARGE)}.*")
    [other] = (tmp_path / "data" / "blobs").rglob(f"media/**/{digest(LARGE)}.*")
    for file in (blob, other):
        file.write_bytes(b"other bytes")

    assert taken(store, s3_archive).snapshot.missing == [digest(LARGE)]
    assert not any(digest(LARGE) in name for name, _ in s3_archive.files("blobs/"))


def test_the_commands_take_an_s3_address(environ: dict[str, str], seaweedfs: SeaweedFS, tmp_path: Path):
    where = f"s3://{seaweedfs.bucket()}/backups"
    store = opened(f"sqlite:///{tmp_path / 'data' / 'davstore.db'}", tmp_path / "data")
    put(store.namespace(ANN), ("files", "a"), LARGE)
    store.close()

    saved = printed(Davstore(tmp_path / "data")("backup", where, "--json"))
    restored = printed(Davstore(tmp_path / "again")("restore", where, "--json"))

    assert restored["snapshot"] == saved["snapshot"]
    assert printed(Davstore(tmp_path / "again")("fsck", "--deep", "--json"))["problems"] == []


def test_the_command_that_is_told_checks_the_archive(environ: dict[str, str], seaweedfs: SeaweedFS, tmp_path: Path):
    rclone, where = tool("rclone"), f"s3://{seaweedfs.bucket()}/backups"
    store = opened(f"sqlite:///{tmp_path / 'data' / 'davstore.db'}", tmp_path / "data")
    put(store.namespace(ANN), ("files", "a"), LARGE)
    store.close()

    told = Davstore(tmp_path / "data")("backup", where).stdout
    command = told[told.index("rclone copy") :].replace("\n", " ")
    shell = os.environ | {"PATH": f"{Path(rclone).parent}:/usr/bin:/bin", "RCLONE_CONFIG": ""}
    checked = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=shell, capture_output=True, text=True)

    assert checked.returncode == 0, checked.stderr
    assert len(list((tmp_path / "davstore-archive" / "blobs").rglob("*"))) > 0
    for blob in (tmp_path / "davstore-archive" / "blobs").glob("*/*/*"):
        blob.write_bytes(b"other bytes")
    damaged = subprocess.run(["sh", "-c", command[command.index("cd ") :]], cwd=tmp_path, capture_output=True)
    assert damaged.returncode != 0


def test_credentials_that_are_wrong_are_refused_with_the_remedy(
    store: Store, environ: dict[str, str], seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")

    with pytest.raises(StorageUnavailable, match="the secret key is not that of the access key"):
        taken(store, S3Archive(f"s3://{seaweedfs.bucket()}", environ))


@pytest.mark.parametrize("where", ["s3://", "s3:///x", "s3://bucket/../x"])
def test_an_address_that_is_none_is_refused_with_the_form(where: str, environ: dict[str, str]):
    with pytest.raises(Unusable, match="write s3://BUCKET/PREFIX"):
        S3Archive(where, environ)
