"""People, documents of theirs, and a client for each."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from core import store
from core.settings import Server, Settings
from core.store import Store
from davstore.app import Application, application
from tests.davstore.client import Dav, set_property

PASSWORDS = {"admin": "correct horse", "alice": "wonder land", "bob": "battery staple"}
OWN = "{urn:davstore:}"


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an administrator and two users; beside it app passwords, which take no time to check."""
    data = tmp_path_factory.mktemp("people") / "data"
    made = store.open(Settings(data=data))
    made.accounts.first_admin(PASSWORDS["admin"])
    for name in ("alice", "bob"):
        made.accounts.add(name, PASSWORDS[name])
    secrets = {name: made.app_passwords.create(name, "tests")[1] for name in PASSWORDS}
    data.with_suffix(".json").write_text(json.dumps(secrets))
    made.close()
    return data


@pytest.fixture(scope="session")
def secrets(people: Path) -> dict[str, str]:
    return json.loads(people.with_suffix(".json").read_text())


@pytest.fixture
def opened(people: Path, tmp_path: Path) -> Iterator[Store]:
    """A fresh store; after the test its invariants hold and no draft is left."""
    data = tmp_path / "data"
    shutil.copytree(people, data)
    opened = store.open(Settings(data=data))
    yield opened
    findings = opened.verify(deep=True)
    opened.close()
    assert not findings.problems
    assert not list(data.rglob("draft.*"))


def everybody(server: Application, secrets: Mapping[str, str]) -> dict[str, Dav]:
    """A client for each, and one for nobody."""
    nobody = Dav(server)
    return {"nobody": nobody} | {name: nobody.signed_in(name, secret) for name, secret in secrets.items()}


@pytest.fixture
def to_readers(opened: Store, secrets: Mapping[str, str]) -> Mapping[str, Dav]:
    """Everybody's clients, of a server that lets nobody in particular read."""
    open_to_all = opened.settings.model_copy(update={"server": Server(anonymous="read")})
    return everybody(application(opened, open_to_all), secrets)


@pytest.fixture
def to_users(opened: Store, secrets: Mapping[str, str]) -> Mapping[str, Dav]:
    """Everybody's clients, of a server that lets users in only."""
    return everybody(application(opened, opened.settings), secrets)


@pytest.fixture
def alice(to_readers: Mapping[str, Dav]) -> Dav:
    return to_readers["alice"]


@pytest.fixture
def bob(to_readers: Mapping[str, Dav]) -> Dav:
    return to_readers["bob"]


@pytest.fixture
def admin(to_readers: Mapping[str, Dav]) -> Dav:
    return to_readers["admin"]


@pytest.fixture
def nobody(to_readers: Mapping[str, Dav]) -> Dav:
    return to_readers["nobody"]


def ruled(dav: Dav, target: str, visibility: str) -> int:
    """The status that setting a visibility has."""
    answer = dav(
        "PROPPATCH", target, set_property(f"<S:visibility xmlns:S='urn:davstore:'>{visibility}</S:visibility>")
    )
    assert answer.status in {207, 403, 404, 409}, answer
    return answer.status if answer.status != 207 else int(answer.xml.find(".//{DAV:}status").text.split()[1])


def document(dav: Dav, target: str, visibility: str = "private") -> str:
    """A new document."""
    dav.make(target)
    assert ruled(dav, target, visibility) == 200
    return target


def told(dav: Dav, target: str, name: str) -> str | None:
    """A live property of ours."""
    answer = dav.propfind(target, f"{OWN}{name}")
    assert answer.status == 207, answer
    element = answer.properties(answer.hrefs[0]).get(f"{OWN}{name}")
    return None if element is None else element.text
