"""The suites that others wrote against RFC 4918, over a socket."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.programs import run
from tests.parts.scale import SOAKING
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.tools import tool

LITMUS = {"basic": 16, "copymove": 13, "props": 30, "locks": 41, "http": 4}
"""The tests in each suite of litmus 0.13."""
DAV_TCK = 67
LARGE_FILE = {} if SOAKING else {"WEBDAV_TCK_TEST_MODE": "1"}
"""dav-tck's large file has 2 GiB, which take it a minute; else 8 MiB."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    return {"DAVSTORE_DATABASE__URL": str(request.getfixturevalue("postgres_url"))}


@pytest.fixture(params=["1", "2"], ids=["one worker", "two workers"])
def served(database: dict[str, str], serve: Callable[..., DavServer], request: pytest.FixtureRequest) -> DavServer:
    """It ends before its database."""
    return serve("--workers", request.param, environ=database)


def test_litmus_passes_without_a_warning(served: DavServer, tmp_path: Path) -> None:
    text = run(tool("litmus"), "-k", f"{served.url}/files/", USER, PASSWORD, folder=tmp_path)

    summaries = re.findall(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed", text)
    assert summaries == [(suite, str(count), str(count), "0") for suite, count in LITMUS.items()]
    assert not re.findall(r".*(?:WARNING|warning|SKIP|FAIL).*", text)


@pytest.mark.timeout(600)
def test_dav_tck_passes(served: DavServer, tmp_path: Path) -> None:
    program = tool("dav-tck", "webdav-tck of PyPI")

    text = run(
        program,
        "--no-colour",
        f"{served.url}/files/",
        USER,
        PASSWORD,
        environ=LARGE_FILE,
        folder=tmp_path,
        patience=590,
    )

    assert re.findall(r"^  (test_\w+): (?!PASS)", text, re.MULTILINE) == []
    assert len(re.findall(r"^  test_\w+: PASS$", text, re.MULTILINE)) == DAV_TCK
