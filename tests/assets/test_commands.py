"""Documents and app passwords on the command line."""

import json

import pytest

from core.store import Store
from tests.assets.conftest import document
from tests.davstore.client import Dav
from tests.parts.commands import Davstore


@pytest.fixture
def davstore(opened: Store, monkeypatch: pytest.MonkeyPatch) -> Davstore:
    for name in ("DAVSTORE_CONFIG", "DAVSTORE_DATA"):
        monkeypatch.delenv(name, raising=False)
    return Davstore(opened.settings.data)


def test_documents_are_made_listed_and_dissolved(davstore: Davstore, alice: Dav, bob: Dav) -> None:
    bob.make("/files/bobs")
    document(alice, "/files/doc", "protected")

    assert davstore("document", "set", "/files/bobs", "--owner", "alice", "--visibility", "private").exit_code == 0
    assert davstore("document", "set", "/files/doc", "--library").exit_code == 0

    listed = json.loads(davstore("document", "ls", "--json").stdout)
    assert [(each["path"], each["owner"], each["visibility"], each["library"]) for each in listed] == [
        ("/files/bobs", "alice", "private", False),
        ("/files/doc", "alice", "protected", True),
    ]
    assert bob("GET", "/files/bobs/").status == 404
    assert davstore("document", "set", "/files/bobs", "--owner", "", "--visibility", "inherit").exit_code == 0
    assert bob("GET", "/files/bobs/").status == 200
    assert "/files/doc" in davstore("document", "ls").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("/files/none", "--visibility", "public"), "/files/none"),
        (("/files", "--owner", "alice"), "davstore bucket set"),
        (("/files/a", "--visibility", "public"), "say whose document"),
        (("/files/a", "--owner", "carol"), "there is no such user"),
        (("/files/a",), "say what to set"),
    ],
)
def test_what_cannot_be_set_is_refused_with_the_reason(
    davstore: Davstore, alice: Dav, arguments: tuple[str, ...], said: str
) -> None:
    alice.make("/files/a")

    answer = davstore("document", "set", *arguments)

    assert answer.exit_code == 1
    assert said in answer.stderr


def test_app_passwords_are_made_listed_and_taken_back(davstore: Davstore, nobody: Dav) -> None:
    secret = davstore("app-password", "create", "alice", "phone").stdout.strip()
    assert nobody.signed_in("alice", secret)("GET", "/files/").status == 200
    made, _ = json.loads(davstore("app-password", "ls", "alice", "--json").stdout)
    assert made["label"] == "phone"
    assert secret not in davstore("app-password", "ls", "alice").stdout

    assert davstore("app-password", "revoke", "alice", made["uid"]).exit_code == 0

    assert nobody.signed_in("alice", secret)("GET", "/files/").status == 401
    assert davstore("app-password", "revoke", "alice", made["uid"]).exit_code == 1
    assert davstore("app-password", "create", "carol", "phone").exit_code == 1


@pytest.mark.parametrize("name", [".", "..", "", "a:b", "a\tb"])
def test_a_user_has_a_name_that_a_collection_can_have(davstore: Davstore, name: str) -> None:
    answer = davstore("user", "add", name, "--password-stdin", input="secret\n")

    assert answer.exit_code == 1
    assert "a user name has 1 to 128 printable characters" in answer.stderr
