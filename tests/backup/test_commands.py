"""`davstore backup` and `davstore restore`, as typed."""

import re
from pathlib import Path

import pytest

from tests.parts.commands import Davstore, printed, refused
from tests.parts.stores import ANN, content, opened, put


@pytest.fixture
def davstore(tmp_path: Path) -> Davstore:
    data = tmp_path / "data"
    store = opened(f"sqlite:///{data / 'davstore.db'}", data)
    put(store.namespace(ANN), ("files", "a"), b"some bytes that are no small content")
    store.close()
    return Davstore(data)


def test_a_backup_says_what_it_copied_and_how_to_check_it(davstore: Davstore, tmp_path: Path):
    said = davstore("backup", str(tmp_path / "archive")).stdout

    assert re.search(r"1 contents of 36 B,\s+of which 1 of 36 B were new", said)
    assert f"cd {tmp_path / 'archive'} && sha256sum --quiet -c snapshots/" in said


def test_a_restore_takes_the_newest_snapshot_into_a_new_data_directory(davstore: Davstore, tmp_path: Path):
    printed(davstore("backup", str(tmp_path / "archive"), "--json"))

    again = Davstore(tmp_path / "again")
    result = again("restore", str(tmp_path / "archive"))

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Restored 3 nodes in 2 buckets, as of ")
    assert printed(again("fsck", "--deep", "--json"))["problems"] == []
    store = opened(f"sqlite:///{tmp_path / 'again' / 'davstore.db'}", tmp_path / "again")
    assert content(store.namespace(ANN), ("files", "a")) == b"some bytes that are no small content"
    store.close()


def test_snapshots_are_listed_without_touching_any_store(davstore: Davstore, tmp_path: Path):
    name = printed(davstore("backup", str(tmp_path / "archive"), "--json"))["snapshot"]["name"]
    nowhere = Davstore(tmp_path / "nowhere")

    [listed] = printed(nowhere("restore", str(tmp_path / "archive"), "--list", "--json"))

    assert (listed["name"], listed["contents"], listed["bytes"]) == (name, 1, 36)
    assert not (tmp_path / "nowhere").exists()


def test_a_mistyped_archive_is_named_with_the_remedy(davstore: Davstore, tmp_path: Path):
    assert "is no directory; name the one that a backup went to" in refused(
        Davstore(tmp_path / "new")("restore", str(tmp_path / "archvie")), 3
    )


def test_a_lost_content_is_named_and_the_exit_code_says_so(davstore: Davstore, tmp_path: Path):
    [blob] = [file for file in (tmp_path / "data" / "blobs").rglob("*") if file.is_file() and len(file.name) > 64]
    blob.unlink()

    result = davstore("backup", str(tmp_path / "archive"))

    assert result.exit_code == 1
    assert re.search(r"[0-9a-f]{64} is lost or corrupt in the store and not in the backup", result.stderr)
