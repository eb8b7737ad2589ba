"""The same people as of the assets, and short ways to call the API."""

import json
from collections.abc import Mapping
from typing import Any

from tests.assets.conftest import (  # noqa: F401 - fixtures
    admin,
    alice,
    bob,
    nobody,
    opened,
    people,
    secrets,
    to_readers,
    to_users,
)
from tests.davstore.client import Answer, Dav

API = "/api/v1"


def call(dav: Dav, method: str, address: str, given: Any = None, **headers: str) -> Answer:
    """A call with a JSON body."""
    if given is None:
        return dav(method, API + address, **headers)
    return dav(method, API + address, json.dumps(given), content_type="application/json", **headers)


def told(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer
    return json.loads(answer.body)


def attach(dav: Dav, content: bytes = b"text", **query: str) -> dict[str, Any]:
    """A new attachment."""
    named = "&".join(f"{name}={value}" for name, value in ({"filename": "a.txt"} | query).items())
    return told(dav("POST", f"{API}/attachments?{named}", content, content_type="application/octet-stream"), 201)


def document(dav: Dav, name: str = "doc", visibility: str = "private") -> str:
    """A new document's uid."""
    return str(told(call(dav, "POST", "/documents", {"name": name, "visibility": visibility}), 201)["uid"])


def code(answer: Answer) -> tuple[int, str]:
    """The status and the code of a problem."""
    assert answer.header("Content-Type") == "application/problem+json"
    problem: Mapping[str, Any] = json.loads(answer.body)
    assert problem["status"] == answer.status
    return answer.status, problem["code"]
