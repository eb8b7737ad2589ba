"""The API is what it says of itself: schemathesis calls it by its description, rightly and wrongly."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import missing_required_header, negative_data_rejection

from core.settings import Settings
from core.store import Store
from core.store import open as open_store
from davstore import uploads
from davstore.api.openapi import document as description
from davstore.api.router import ROUTES
from davstore.app import application
from tests.api.conftest import attach, document
from tests.davstore.client import Dav
from tests.parts.scale import soak

CALLS = [
    (method.upper(), path)
    for path, methods in description()["paths"].items()
    for method in methods
    if method != "parameters"
]


UPLOAD = {
    "Tus-Resumable": "1.0.0",
    "Upload-Length": "1000000",
    "Upload-Metadata": f"filename {b64encode(b'a.txt').decode()}",
}
"""A length for which there is room, and a name that a file can have: more than a schema says."""
schemathesis.openapi.media_type(uploads.OFFSETS, hypothesis.strategies.binary(max_size=1000))
BY_TUS = [negative_data_rejection, missing_required_header]
"""Checks that want 400 where tus wants 412: without its version nothing else is looked at. All others are on, there and
everywhere else; tests/uploads/test_tus.py sees to what these two would."""
MODES = [GenerationMode.POSITIVE, pytest.param(GenerationMode.NEGATIVE, marks=pytest.mark.slow)]
SLOWNESS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Dav]]:
    """A store that lives through all calls, and a client who signed in with a token."""
    store = open_store(Settings(data=tmp_path_factory.mktemp("api") / "data"))
    store.accounts.first_admin("secret")
    yield store, Dav(application(store, store.settings)).signed_in("admin", "secret")
    assert not store.verify(deep=True).problems
    store.close()


def test_the_description_names_every_call_and_no_other() -> None:
    described = {(method, path) for method, path in CALLS}
    every = [*((method, path) for method, path, _ in ROUTES), *uploads.ROUTES]
    served = {(method, path.replace("<", "{").replace(">", "}")) for method, path in every}

    assert described == served - {("GET", "/openapi.json")}


@pytest.mark.timeout(soak(120, 1800))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.filterwarnings("ignore::Warning")
def test_every_call_does_what_its_description_says(
    api: tuple[Store, Dav], method: str, path: str, mode: GenerationMode
) -> None:
    store, dav = api
    headers = {"Authorization": "Basic YWRtaW46c2VjcmV0"}
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", dav.application, headers=headers)
    there = {"id": attach(dav)["id"], "uid": document(dav, f"doc{store.usage()[0].files}")}
    operation = schema[path][method]

    def begun() -> str:
        given = {name.replace("-", "_"): value for name, value in UPLOAD.items()}
        return dav("POST", "/api/v1/uploads", **given).headers["location"].rpartition("/")[2]

    upload_headers = UPLOAD if method == "POST" else {}

    @hypothesis.settings(max_examples=soak(6, 200), deadline=None, database=None, suppress_health_check=SLOWNESS)
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), is_there=hypothesis.strategies.booleans())
    def called(case: Any, is_there: bool) -> None:
        if is_there and mode is GenerationMode.POSITIVE and case.path_parameters:
            case.path_parameters = {name: there[name] for name in case.path_parameters}
        if mode is GenerationMode.POSITIVE and path.startswith("/uploads"):
            case.headers.update(upload_headers)
            if is_there and case.path_parameters:
                case.path_parameters = {"uid": begun()}
        case.call_and_validate(headers=headers, excluded_checks=BY_TUS if path.startswith("/uploads") else [])

    called()
