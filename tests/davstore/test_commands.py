"""The commands, on the data directory of a store that is open beside them, as under a server."""

import json
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from base64 import b64decode
from contextlib import closing
from pathlib import Path

import pytest

from core.model import Caller, LockRequest
from core.namespace import Namespace
from core.store import Store
from tests.parts.commands import Davstore, printed, refused
from tests.parts.server import ROOT
from tests.parts.stores import content, put

LARGE = b"x" * 100_000
"""More than is kept inline."""


@pytest.fixture
def ann(opened: Store) -> Namespace:
    return opened.namespace(Caller("ann"))


def test_the_users_are_listed(davstore: Davstore):
    users = printed(davstore("user", "ls", "--json"))

    assert [(user["name"], user["admin"]) for user in users] == [("admin", True), ("bob", False)]
    assert "admin" in davstore("user", "ls").stdout


def test_a_password_comes_from_the_environment_or_from_standard_input(davstore: Davstore, opened: Store):
    assert davstore("user", "add", "carl", env={"DAVSTORE_PASSWORD": "from env"}).exit_code == 0
    assert davstore("user", "add", "dora", "--admin", "--password-stdin", input="from stdin\n").exit_code == 0
    assert davstore("user", "passwd", "bob", "--password-stdin", input="another").exit_code == 0

    assert opened.accounts.verify("carl", "from env") == Caller("carl")
    assert opened.accounts.verify("dora", "from stdin") == Caller("dora", admin=True)
    assert opened.accounts.verify("bob", "another") == Caller("bob")


def test_a_password_is_kept_as_rfc_9106_recommends_where_memory_is_dear(tmp_path: Path):
    """Section 4, the second option. In a process of its own, since this one's passwords are made cheap."""
    script = "import sys, pathlib; from tests.parts.stores import installed; installed(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "data")], cwd=ROOT, check=True)

    with closing(sqlite3.connect(tmp_path / "data" / "davstore.db")) as database:
        [(kept,)] = database.execute("SELECT password FROM users")

    _, variant, version, costs, salt, tag = kept.split("$")
    assert (variant, version, costs) == ("argon2id", "v=19", "m=65536,t=3,p=4")
    assert (len(b64decode(salt + "==")), len(b64decode(tag + "="))) == (16, 32)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["user", "add", "carl"], "DAVSTORE_PASSWORD"),
        (["user", "add", "carl", "--password-stdin"], "must not be empty"),
        (["user", "passwd", "nobody", "--password-stdin"], "password"),
        (["user", "rm", "nobody"], "no such user"),
        (["user", "rm", "admin"], "last administrator"),
        (["bucket", "create", "files"], "there is a bucket of that name"),
        (["bucket", "create", "assets"], "reserved"),
        (["bucket", "create", "a/b"], "letters"),
        (["bucket", "create", "media", "storage=tape"], "tape is not configured"),
        (["bucket", "create", "media", "presets=huge"], "huge is not configured"),
        (["bucket", "set", "nope", "quota=1"], "no such bucket"),
        (["bucket", "set", "files", "quota"], "KEY=VALUE"),
        (["bucket", "set", "files", "qouta=1"], "did you mean quota?"),
        (["bucket", "set", "files", "quota=lots"], "64 KiB"),
        (["bucket", "set", "files", "references=a.b"], "configuration file"),
        (["trash", "ls", "nope"], "no such bucket"),
        (["trash", "empty", "nope"], "no such bucket"),
        (["trash", "restore", "nope"], "davstore trash ls"),
        (["trash", "restore", "nope", "--to", "/"], "/BUCKET/NAME"),
        (["trash", "restore", "nope", "--to", "/files/.."], "cannot be a name"),
        (["lock", "rm", "nope"], "davstore lock ls"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_says_why(davstore: Davstore, words: list[str], line: str):
    assert line in refused(davstore(*words, input=""))


def test_a_user_of_the_same_name_is_refused(davstore: Davstore):
    line = refused(davstore("user", "add", "bob", "--password-stdin", input="pw\n"))

    assert line == "davstore: bob: there is a user of that name\n"


def test_a_removed_user_is_gone(davstore: Davstore, opened: Store):
    assert davstore("user", "rm", "bob").exit_code == 0

    assert [user.name for user in opened.accounts.every()] == ["admin"]


def test_a_bucket_is_listed_with_the_policy_it_was_given(davstore: Davstore):
    words = 'inline_below=0 quota="10 GiB" types=image/*,video/* versions=5 trash=off dedup=false'.replace('"', "")
    policy = [f"{key}={value}" for key, value in (word.split("=") for word in words.replace(" GiB", "_GiB").split())]

    made = davstore("bucket", "create", "media", *(item.replace("_GiB", " GiB") for item in policy))
    changed = davstore("bucket", "set", "media", "max_size=1 MiB", "visibility=public")

    assert (made.exit_code, changed.exit_code) == (0, 0)
    media = next(bucket for bucket in printed(davstore("bucket", "ls", "--json")) if bucket["name"] == "media")
    assert media | {"uid": ""} == {
        "name": "media",
        "uid": "",
        "files": 0,
        "bytes": 0,
        "storage": "local",
        "inline_below": "0 B",
        "types": ["image/*", "video/*"],
        "max_size": "1 MiB",
        "quota": "10 GiB",
        "dedup": False,
        "versions": {"keep": 5, "age": "90d"},
        "trash": None,
        "retention": "7d",
        "expire_after": None,
        "visibility": "public",
        "presign": "on-demand",
        "thumbnails": False,
        "presets": [],
        "documents": [],
        "media_grace": "2d",
        "references": [],
    }


def test_buckets_are_listed_with_the_keys_of_the_configuration_file(davstore: Davstore):
    [files] = printed(davstore("bucket", "ls", "--json"))
    configured = tomllib.loads((ROOT / "config/davstore.toml").read_text())["buckets"]["files"]

    assert configured.keys() <= files.keys()


def test_a_refused_policy_changes_nothing(davstore: Davstore, opened: Store):
    before = opened.buckets()

    refused(davstore("bucket", "set", "files", "trash=1d", "storage=tape"))

    assert opened.buckets() == before


def test_what_is_in_the_trash_is_listed_and_restored(davstore: Davstore, ann: Namespace):
    put(ann, ("files", "a.txt"), b"hello")
    ann.delete(("files", "a.txt"))

    [entry] = printed(davstore("trash", "ls", "--json"))
    table = davstore("trash", "ls", "files").stdout
    restored = davstore("trash", "restore", entry["uid"])

    assert (entry["path"], entry["kind"], entry["size"], entry["by"]) == ("/files/a.txt", "file", 5, "ann")
    assert entry["uid"] in table
    assert (restored.exit_code, restored.stdout) == (0, "/files/a.txt\n")
    assert content(ann, ("files", "a.txt")) == b"hello"
    assert printed(davstore("trash", "ls", "--json")) == []


def test_what_is_restored_to_another_path_leaves_the_old_one_alone(davstore: Davstore, ann: Namespace):
    put(ann, ("files", "a.txt"), b"old")
    ann.delete(("files", "a.txt"))
    put(ann, ("files", "a.txt"), b"new")
    [entry] = printed(davstore("trash", "ls", "--json"))

    in_the_way = refused(davstore("trash", "restore", entry["uid"]))
    elsewhere = davstore("trash", "restore", entry["uid"], "--to", "/files/back/a.txt")

    assert "--to" in in_the_way
    assert elsewhere.stdout == "/files/back/a.txt\n"
    assert content(ann, ("files", "a.txt")) == b"new"
    assert content(ann, ("files", "back", "a.txt")) == b"old"


def test_the_trash_is_emptied_only_after_a_yes(davstore: Davstore, ann: Namespace, opened: Store):
    put(ann, ("files", "a.txt"), b"hello")
    ann.delete(("files", "a.txt"))

    for answer in "", "n\n":
        asked = davstore("trash", "empty", input=answer)
        assert asked.exit_code == 1
        assert "deleted" not in asked.stdout
        assert "--yes" in asked.stderr
    assert len(opened.recovery(Caller("admin", admin=True)).trashed()) == 1

    assert davstore("trash", "empty", "files", "--yes").stdout == "1 entry deleted.\n"
    assert printed(davstore("trash", "ls", "--json")) == []


def test_a_name_cannot_command_the_terminal(davstore: Davstore, ann: Namespace):
    put(ann, ("files", "\x1b[31m\nred\u202e"), b"hello")
    ann.delete(("files", "\x1b[31m\nred\u202e"))

    table = davstore("trash", "ls").stdout

    assert r"/files/\x1b[31m\nred\u202e" in table
    assert len(table.splitlines()) == 2


def test_a_lock_is_listed_and_broken(davstore: Davstore, ann: Namespace):
    put(ann, ("files", "a.txt"), b"hello")
    lock, *_ = ann.lock(("files", "a.txt"), LockRequest(infinite=False))

    [listed] = printed(davstore("lock", "ls", "--json"))
    table = davstore("lock", "ls").stdout
    broken = davstore("lock", "rm", lock.token)

    assert {name: listed[name] for name in ("token", "path", "depth", "scope", "principal")} == {
        "token": lock.token,
        "path": "/files/a.txt",
        "depth": "0",
        "scope": "exclusive",
        "principal": "ann",
    }
    assert lock.token in table
    assert broken.exit_code == 0
    assert printed(davstore("lock", "ls", "--json")) == []


def test_du_tells_what_is_stored_once(davstore: Davstore, ann: Namespace):
    for name in "abc":
        put(ann, ("files", name), LARGE)
    put(ann, ("files", "d"), b"hello")
    ann.delete(("files", "c"))

    assert printed(davstore("du", "--json")) == [
        {
            "bucket": "files",
            "files": 4,
            "logical_bytes": 300_005,
            "unique_bytes": 100_005,
            "condemned_bytes": 0,
            "objects": 2,
            "trashed_bytes": 100_000,
            "quota": None,
        }
    ]
    assert davstore("du").stdout.splitlines()[1].split()[:4] == ["files", "4", "293.0", "KiB"]


def test_fsck_finds_nothing_wrong_with_a_store_that_is_right(davstore: Davstore, ann: Namespace):
    put(ann, ("files", "a"), LARGE)

    for options in [], ["--deep"]:
        found = printed(davstore("fsck", "--json", *options))
        assert (found["problems"], found["reclaimable"]) == ([], [])
        assert davstore("fsck", *options).exit_code == 0


def test_fsck_tells_a_lost_blob_from_an_orphan(
    davstore: Davstore, anywhere: Davstore, ann: Namespace, opened: Store, tmp_path: Path
):
    put(ann, ("files", "a"), LARGE)
    data = tmp_path / "copy"
    shutil.copytree(opened.settings.data, data)
    [blob] = data.glob("blobs/files/*/*/*")
    orphan = blob.with_name(f"{blob.name}0")

    shutil.copyfile(blob, orphan)
    waste = printed(anywhere("fsck", "--json", "--data", str(data)))
    blob.unlink()
    harm = anywhere("fsck", "--json", "--data", str(data))
    told = anywhere("fsck", "--data", str(data))

    assert [found["subject"] for found in waste["reclaimable"]] == [str(orphan.relative_to(data / "blobs"))]
    assert waste["problems"] == []
    assert (harm.exit_code, told.exit_code) == (1, 1)
    assert [found["kind"] for found in json.loads(harm.stdout)["problems"]] == ["I2"]
    assert blob.name in told.stdout


def test_fsck_deep_reads_the_bytes(anywhere: Davstore, ann: Namespace, opened: Store, tmp_path: Path):
    put(ann, ("files", "a"), LARGE)
    data = tmp_path / "copy"
    shutil.copytree(opened.settings.data, data)
    [blob] = data.glob("blobs/files/*/*/*")
    blob.write_bytes(b"y" * len(LARGE))

    shallow = anywhere("fsck", "--data", str(data))
    deep = anywhere("fsck", "--deep", "--json", "--data", str(data))

    assert shallow.exit_code == 0
    assert deep.exit_code == 1
    assert [found["kind"] for found in json.loads(deep.stdout)["problems"]] == ["I1"]
