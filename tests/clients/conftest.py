"""One server for the clients of a module, which each test finds empty."""

from collections.abc import Iterator

import pytest
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs

from tests.parts.server import DavServer

D = "{DAV:}"


@pytest.fixture(scope="module")
def lasting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DavServer]:
    with DavServer(tmp_path_factory.mktemp("served") / "data") as server:
        yield server


@pytest.fixture
def server(lasting_server: DavServer) -> Iterator[DavServer]:
    """A server whose bucket `files` is empty, for what one test alone looks at."""
    yield lasting_server
    unexpected = lasting_server.unexpected_lines()
    _empty(lasting_server)
    assert not unexpected


def _empty(server: DavServer) -> None:
    """Without the locks that a test left, too."""
    listed = server.request("PROPFIND", "/files/", headers={"Depth": "1"})
    for response in etree.fromstring(listed.body).findall(f"{D}response")[1:]:
        tokens = [element.text for element in response.findall(f".//{D}locktoken/{D}href")]
        headers = {"If": "".join(f"(<{token}>)" for token in tokens)} if tokens else {}
        removed = server.request("DELETE", response.findtext(f"{D}href"), headers=headers)
        assert removed.status == 204, removed
