"""The root and the buckets are collections that HTTP neither makes nor fills."""

import pytest

from core.errors import Forbidden, IsACollection
from core.model import Caller, Path
from core.store import Store
from tests.davstore.client import Dav


@pytest.mark.parametrize(
    ("target", "status"), [("/", 405), ("/files", 405), ("/files/", 405), ("/new", 403), ("/new/", 405)]
)
def test_what_is_a_collection_takes_no_bytes(dav: Dav, target: str, status: int) -> None:
    assert dav("PUT", target, b"x").status == status


@pytest.mark.parametrize(("target", "status"), [("/", 405), ("/files", 405), ("/new", 403), ("/new/inside", 409)])
def test_the_root_and_buckets_are_not_made(dav: Dav, target: str, status: int) -> None:
    assert dav("MKCOL", target).status == status


@pytest.mark.parametrize(("path", "refusal"), [((), IsACollection), (("files",), IsACollection), (("new",), Forbidden)])
def test_core_refuses_bytes_for_them_at_every_step(opened: Store, path: Path, refusal: type[Exception]) -> None:
    namespace = opened.namespace(Caller())

    with pytest.raises(refusal):
        namespace.check_put(path, size=1)
    with pytest.raises(refusal):
        namespace.stage(path)
    with namespace.stage(("files", "a")) as draft, pytest.raises(refusal):
        namespace.put(path, draft)


@pytest.mark.parametrize("header", ["if_match", "if"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_listing_is_refused_where_the_condition_does_not_hold(dav: Dav, method: str, header: str) -> None:
    value = '(["other"])' if header == "if" else '"other"'

    assert dav(method, "/files/", **{header: value}).status == 412


def test_a_listing_is_given_where_the_condition_holds(dav: Dav) -> None:
    etag = dav("HEAD", "/files/").header("ETag") or ""

    assert dav("GET", "/files/", if_match=etag).status == 200
    assert dav("GET", "/files/", **{"if": f"([{etag}])"}).status == 200
