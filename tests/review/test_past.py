"""What was deleted or replaced is not for passers-by."""

import pytest

from core.settings import Server
from core.store import Store
from davstore.app import application
from tests.davstore.client import Dav


@pytest.fixture
def stranger(opened: Store) -> Dav:
    """Somebody without credentials, where anonymous callers may read."""
    return Dav(application(opened, opened.settings.model_copy(update={"server": Server(anonymous="read")})))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PROPFIND"])
@pytest.mark.parametrize("path", ["/-/trash/", "/-/trash/files/", "/-/versions/files/", "/-/versions/files/kept.txt/"])
def test_strangers_who_may_read_see_neither_trash_nor_versions(
    admin: Dav, stranger: Dav, method: str, path: str
) -> None:
    for content in (b"first", b"second"):
        admin("PUT", "/files/kept.txt", content)
        admin("PUT", "/files/gone.txt", content)
    admin("DELETE", "/files/gone.txt")

    assert stranger("PROPFIND", "/files/kept.txt", depth="0").status == 207
    assert admin("PROPFIND", path, depth="0").status == 207
    assert stranger(method, path, depth="0").status == 401
