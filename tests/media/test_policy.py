"""What a choosy bucket takes: by name, by declaration, and by the bytes."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import media
from core.errors import TooLarge, UnsupportedMediaType
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.store import Store
from tests.media.conftest import OpenStore
from tests.parts import images, stores
from tests.parts.server import DavServer

PNG, JPEG, WEBP, GIF = (images.picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF"))
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
PDF = b"%PDF-1.7\n" + b"0 0 obj" * 50
TAR = b"a.txt".ljust(257, b"\0") + b"ustar\x0000" + b"0" * 300
MEMOS = {
    "a.png": PNG,
    "a.jpg": JPEG,
    "a.gif": GIF,
    "a.webp": WEBP,
    "a.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"0" * 60,
    "a.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + b"0" * 60,
    "a.webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm" + b"0" * 60,
    "a.mp3": b"ID3\x04" + b"\0" * 100,
    "a.ogg": b"OggS\0\x02" + b"\0" * 100,
    "a.wav": b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 60,
    "a.pdf": PDF,
    "a.txt": b"plain text",
    "a.md": b"# plain",
    "a.zip": b"PK\x03\x04\x14\0" + b"\0" * 60,
    "a.tar": TAR,
    "a.tar.gz": b"\x1f\x8b\x08\0" + b"\0" * 60,
    "empty.exe": b"",
}
"""Every type of Memos' list."""


@pytest.fixture
def choosy(open_store: OpenStore) -> Namespace:
    policies = {
        "memos": BucketPolicy(types=("memos",)),  # pyright: ignore[reportArgumentType]
        "images": BucketPolicy(types=("penpot-images",), max_size=100_000),
        "fonts": BucketPolicy(types=("penpot-fonts",)),
        "text": BucketPolicy(types=("text/*",)),
    }
    return open_store(**policies).namespace(stores.ANN)


def put(namespace: Namespace, path: tuple[str, ...], data: bytes, declared: str = "") -> str:
    with namespace.stage(path) as draft:
        draft.write(data)
        return namespace.put(path, draft, media_type=declared).node.media_type


@pytest.mark.parametrize("name", MEMOS)
def test_the_list_of_memos_is_taken(choosy: Namespace, name: str):
    put(choosy, ("memos", name), MEMOS[name])


def test_M18_what_the_list_does_not_name_is_unsupported_and_leaves_no_bytes(choosy: Namespace):  # noqa: N802
    refused = {"a.exe": b"MZ" + b"\0" * 90, "a.html": HTML, "a.js": b"alert(1)", "a.psd": b"8BPS\0\x01" + b"\0" * 60}

    for name, data in refused.items():
        with pytest.raises(UnsupportedMediaType, match="the bucket takes image/png, image/jpeg, "):
            put(choosy, ("memos", name), data)

    assert stores.members(choosy, ("memos",)) == []


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.png", HTML, "is image/png by its name or declaration, and its bytes are not"),
        ("a.jpg", PDF, "is image/jpeg by its name or declaration, and application/pdf by its bytes"),
        ("a.svg", b"MZ" + b"\0" * 90, "is image/svg[+]xml by its name or declaration, and application/x-msdownload"),
        ("a.gif", b"#!/bin/sh\n", "its bytes are not"),
        ("a.webp", b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 60, "and audio/wav by its bytes"),
    ],
)
def test_a_mismatch_that_matters_is_refused(choosy: Namespace, name: str, data: bytes, said: str):
    with pytest.raises(UnsupportedMediaType, match=said):
        put(choosy, ("images", name), data)


def test_a_picture_with_another_pictures_name_does_no_harm(choosy: Namespace):
    """Telephones name HEIC and JPEG alike, and browsers look at the bytes: what counts is that both are taken."""
    assert put(choosy, ("images", "a.png"), JPEG) == "image/png"
    with pytest.raises(UnsupportedMediaType, match="image/heic by its bytes"):
        put(choosy, ("images", "a.jpg"), images.HEIC)


def test_a_picture_in_a_bucket_of_texts_is_refused_whatever_its_name(choosy: Namespace):
    with pytest.raises(UnsupportedMediaType, match="is text/plain by its name or declaration, and image/png"):
        put(choosy, ("text", "notes.txt"), PNG)


@pytest.mark.parametrize("verb", ["copy", "move"])
def test_what_comes_from_another_bucket_is_looked_at_as_well(choosy: Namespace, verb: str):
    choosy.make_collection(("files", "trip"))
    put(choosy, ("files", "trip", "good.png"), PNG)
    put(choosy, ("files", "trip", "page.png"), HTML)

    with pytest.raises(UnsupportedMediaType, match="its bytes are not"):
        getattr(choosy, verb)(("files", "trip"), ("images", "trip"))
    getattr(choosy, verb)(("files", "trip", "good.png"), ("images", "good.png"))

    assert [node.name for node in stores.members(choosy, ("images",))] == ["good.png"]
    assert choosy.find(("files", "trip", "page.png"))


def test_a_bucket_that_takes_all_asks_nothing_of_the_bytes(store: Store, ann: Namespace):
    assert put(ann, ("files", "a.png"), HTML) == "image/png"


def test_penpots_fonts_are_taken_and_pictures_are_not(choosy: Namespace):
    put(choosy, ("fonts", "a.ttf"), b"\0\x01\0\0\0\x10" + b"\0" * 90)
    put(choosy, ("fonts", "a.otf"), b"OTTO\0\x10" + b"\0" * 90)
    put(choosy, ("fonts", "a.woff"), b"wOFF\0\x01\0\0" + b"\0" * 90)
    put(choosy, ("fonts", "a.woff2"), b"wOF2\0\x01\0\0" + b"\0" * 90)

    with pytest.raises(UnsupportedMediaType, match="font/ttf, font/otf, font/woff, font/woff2"):
        put(choosy, ("fonts", "a.png"), PNG)


def test_where_nobody_says_a_type_the_bytes_do(choosy: Namespace):
    assert put(choosy, ("images", "picture"), PNG) == "image/png"
    assert put(choosy, ("images", "photo"), JPEG, "application/octet-stream") == "image/jpeg"
    with pytest.raises(UnsupportedMediaType, match="is application/octet-stream"):
        put(choosy, ("images", "letter"), b"Dear all")


def test_what_is_too_large_is_refused_with_the_limit(choosy: Namespace):
    with pytest.raises(TooLarge, match="100001 bytes are more than the 100000 that the bucket takes"):
        choosy.check_put(("images", "a.png"), size=100_001)
    with pytest.raises(TooLarge, match="larger than 100000 bytes"):
        put(choosy, ("images", "a.png"), PNG + b"\0" * 100_000)


@given(st.binary(max_size=400))
def test_any_bytes_can_be_looked_at(head: bytes):
    assert media.sniffed(head) is None or "/" in str(media.sniffed(head))


def test_a_look_at_the_bytes_costs_little():
    """Fifty microseconds were allowed; half a millisecond here, since other programs run beside the tests."""
    heads = [data[:4096] for data in MEMOS.values()]
    started = time.process_time()
    for _ in range(50):
        for head in heads:
            media.sniffed(head)

    assert (time.process_time() - started) / (50 * len(heads)) < 0.0005


@pytest.mark.parametrize(
    ("name", "declared", "media_type"),
    [
        ("a.tar.gz", "", "application/gzip"),
        ("a.txt.bz2", "text/plain", "application/x-bzip2"),
        ("a.wav", "", "audio/wav"),
        ("a.MD", "", "text/markdown"),
        ("a.js", "", "text/javascript"),
        ("a", "image/jpg", "image/jpeg"),
        ("a", "Text/Plain; charset=utf-8", "text/plain"),
        ("a", "binary/octet-stream", "application/octet-stream"),
        ("a", "nonsense", "application/octet-stream"),
    ],
)
def test_types_have_one_name_on_every_machine(name: str, declared: str, media_type: str):
    assert media.type_of(name, declared) == media_type


def test_over_dav_what_is_allowed_stands_in_the_answer(serve: Callable[..., DavServer]):
    server = serve(
        environ={
            "DAVSTORE_BUCKETS__IMAGES__TYPES": "penpot-images",
            "DAVSTORE_BUCKETS__IMAGES__MAX_SIZE": "1 KiB",
        }
    )

    by_name = server.request("PUT", "/images/a.exe", b"MZ")
    by_bytes = server.request("PUT", "/images/a.png", HTML)
    too_large = server.request("PUT", "/images/a.png", PNG + b"\0" * 2000)

    assert (by_name.status, by_bytes.status, too_large.status) == (415, 415, 413)
    for answer in (by_name, by_bytes):
        assert b"the bucket takes image/jpeg, image/png, image/webp, image/gif, image/svg+xml" in answer.body
    assert b"1024" in too_large.body
    assert server.request("PUT", "/images/a.png", PNG).status == 201
