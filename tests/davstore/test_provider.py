"""The reading contract of WsgiDAV's providers, over our tree."""

from hashlib import sha256

import pytest
from wsgidav.dav_error import DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection

from core.model import Caller
from core.store import Store
from davstore.provider import NAMESPACE, Provider
from davstore.request import Environ
from tests.davstore.client import Dav


@pytest.fixture
def environ(opened: Store) -> Environ:
    return {NAMESPACE: opened.namespace(Caller("alice"))}


def test_a_file_is_a_resource_with_its_content_and_validators(dav: Dav, environ: Environ):
    dav.put("/files/a.txt", b"hello", x_oc_mtime="784111777")

    found = Provider().get_resource_inst("/files/a.txt", environ)

    assert isinstance(found, DAVNonCollection)
    assert found.get_content().read() == b"hello"
    assert found.get_content_length() == 5
    assert found.get_content_type() == "text/plain"
    assert found.get_last_modified() == 784111777
    assert (found.get_creation_date() or 0) > 784111777
    assert found.get_etag() == sha256(b"hello").hexdigest()
    assert found.support_etag()
    assert found.support_ranges()


def test_a_collection_gives_its_members(dav: Dav, environ: Environ):
    dav.make("/files/d")
    dav.put("/files/d/a")
    dav.make("/files/d/e")

    found = Provider().get_resource_inst("/files/d", environ)

    assert isinstance(found, DAVCollection)
    assert found.get_member_names() == ["a", "e"]
    assert [member.path for member in found.get_member_list()] == ["/files/d/a", "/files/d/e"]
    assert found.get_member("missing") is None
    assert found.get_used_bytes() == 5
    assert (found.get_available_bytes() or 0) > 0


def test_the_root_gives_the_buckets(environ: Environ):
    root = Provider().get_resource_inst("/", environ)

    assert isinstance(root, DAVCollection)
    assert root.get_member_names() == ["files"]


def test_what_is_not_there_is_none(environ: Environ):
    assert Provider().get_resource_inst("/files/missing", environ) is None
    assert not Provider().exists("/files/missing", environ)


def test_nothing_is_written_past_our_own_handlers(dav: Dav, environ: Environ):
    dav.put("/files/a", b"kept")
    file = Provider().get_resource_inst("/files/a", environ)
    bucket = Provider().get_resource_inst("/files", environ)

    assert isinstance(file, DAVNonCollection)
    assert isinstance(bucket, DAVCollection)
    assert Provider().is_readonly()
    for attempt in (file.begin_write, lambda: bucket.create_collection("d"), lambda: bucket.create_empty_resource("f")):
        with pytest.raises(DAVError):
            attempt()
    assert dav("GET", "/files/a").body == b"kept"
