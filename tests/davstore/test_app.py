"""What the application does when a step fails, in all its routes."""

import logging

import pytest

from core.errors import Corrupt, StorageUnavailable
from core.namespace import Namespace
from core.store import Store
from tests.davstore.client import Dav

EVERY = ["GET", "HEAD", "PUT", "DELETE", "PROPFIND", "MKCOL", "COPY", "MOVE"]


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Every transaction fails."""

    def failing(*_: object, **__: object) -> None:
        raise error

    for name in ("find", "node", "check_put", "make_collection", "delete", "copy", "move"):
        monkeypatch.setattr(Namespace, name, failing)


@pytest.mark.expects_log("failed$")
@pytest.mark.parametrize("method", EVERY)
def test_what_nobody_foresaw_is_logged_once_and_told_to_nobody(
    dav: Dav, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
):
    fail(monkeypatch, RuntimeError("/srv/secret"))

    answer = dav(method, "/files/a", destination="/files/b")

    assert answer.status == 500
    assert b"secret" not in answer.body
    (logged,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert logged.exc_info
    assert isinstance(logged.exc_info[1], RuntimeError)


@pytest.mark.expects_log("no answer")
@pytest.mark.parametrize("method", EVERY)
def test_n18_an_outage_is_503_and_never_an_absence(dav: Dav, monkeypatch: pytest.MonkeyPatch, method: str):
    fail(monkeypatch, StorageUnavailable("/srv/blobs", "no answer"))

    answer = dav(method, "/files/a", destination="/files/b")

    assert answer.status == 503
    assert int(answer.header("Retry-After") or 0) > 0
    assert b"srv" not in answer.body


@pytest.mark.expects_log("lost")
def test_lost_bytes_are_500_and_logged(dav: Dav, monkeypatch: pytest.MonkeyPatch):
    fail(monkeypatch, Corrupt(("files", "a"), "its blob is lost"))

    assert dav("GET", "/files/a").status == 500


def test_a_client_that_goes_away_is_no_failure_of_ours(dav: Dav):
    class Gone:
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError

    dav.environ["wsgi.input"] = Gone()

    with pytest.raises(ConnectionResetError):
        dav("PUT", "/files/a", content_length="5")
    del dav.environ["wsgi.input"]
    assert dav("GET", "/files/a").status == 404


@pytest.mark.expects_log("no answer")
def test_a_store_that_does_not_answer_is_alive_and_not_ready(
    alone: Dav, opened: Store, monkeypatch: pytest.MonkeyPatch
):
    def failing(_: Store) -> None:
        raise StorageUnavailable("db", "no answer")

    monkeypatch.setattr(Store, "ready", failing)

    assert alone("GET", "/healthz").status == 200
    assert alone("GET", "/-/ready").status == 503
