"""The listing that a browser gets: row G04 of the compatibility checklist, and what HTML asks for."""

from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from core.model import Caller
from core.store import Store
from tests.davstore.client import Dav


class Page(HTMLParser):
    """What a browser makes of a page: its links with their texts, and the tags that occur."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.charset = self.title = ""
        self._open: list[str] = []
        self.feed(body.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        self._open.append(tag)
        self.charset = given.get("charset") or self.charset
        if tag == "a":
            self.links.append((given["href"] or "", ""))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "a" in self._open:
            href, text = self.links[-1]
            self.links[-1] = (href, text + data)
        if "title" in self._open:
            self.title += data


def page(dav: Dav, target: str) -> Page:
    answer = dav("GET", target)
    assert answer.status == 200
    return Page(answer.body)


def test_g04_a_browser_gets_a_page_of_links_collections_first(dav: Dav) -> None:
    dav.make("/files/d")
    for name in ("a.txt", "e.txt", "d/inner"):
        dav.put(f"/files/{name}")
    dav.make("/files/z")

    shown = page(dav, "/files/")

    assert shown.links == [
        ("/", "../"),
        ("/files/d/", "d/"),
        ("/files/z/", "z/"),
        ("/files/a.txt", "a.txt"),
        ("/files/e.txt", "e.txt"),
    ]
    assert shown.charset == "utf-8"
    assert shown.title == "/files/"


@pytest.mark.parametrize("target", ["/files/d", "/files/d/"])
def test_g04_links_are_right_with_and_without_a_slash(dav: Dav, target: str) -> None:
    dav.make("/files/d")
    dav.put("/files/d/a")

    assert page(dav, target).links == [("/files/", "../"), ("/files/d/a", "a")]


def test_the_top_lists_the_buckets_and_has_no_parent(dav: Dav) -> None:
    assert page(dav, "/").links == [("/files/", "files/")]


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>".replace("/", "|"),
        "\"onmouseover='x'",
        "&amp;",
        "%41",
        "a?b#c",
        " two  blanks ",
        "ü€𝄞",
        "\u202egnp.exe",
        "javascript:alert(1)",
        "שלום",
    ],
)
def test_every_name_is_shown_and_linked_as_it_is(dav: Dav, name: str) -> None:
    dav.put("/files/" + quote(name, safe=""), b"it")

    shown = page(dav, "/files/")

    assert [text for _, text in shown.links] == ["../", name]
    assert dav("GET", shown.links[1][0]).body == b"it"
    assert "script" not in shown.tags


def test_control_characters_are_shown_by_their_pictures(dav: Dav, opened: Store) -> None:
    opened.namespace(Caller()).make_collection(("files", "a\nb\x1bc\x7f"))

    assert page(dav, "/files/").links[1] == ("/files/a%0Ab%1Bc%7F/", "a␊b␛c␡/")


@pytest.mark.parametrize(
    ("size", "told"), [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB")]
)
def test_sizes_and_times_are_told(dav: Dav, size: int, told: str) -> None:
    dav.put("/files/a", b"x" * size, x_oc_mtime="784111777")

    body = dav("GET", "/files/").body.decode()

    assert f"<td>{told}</td>" in body
    assert '<time datetime="1994-11-06T08:49:37Z">1994-11-06 08:49</time>' in body


def test_a_page_runs_nothing_and_is_asked_for_again(dav: Dav) -> None:
    answer = dav("GET", "/files/")

    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    assert answer.header("Cache-Control") == "no-cache"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    directives = {each.strip() for each in (answer.header("Content-Security-Policy") or "").split(";")}
    assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= directives
    assert not any(each.startswith("script-src") for each in directives)


def test_a_page_is_fresh_after_a_change_of_a_member(dav: Dav) -> None:
    dav.put("/files/a", b"1")
    etag = dav("GET", "/files/").header("ETag") or ""
    dav.put("/files/a", b"x" * 2048)

    answer = dav("GET", "/files/", if_none_match=etag)

    assert (answer.status, b"2.0 KiB" in answer.body) == (200, True)


def test_head_has_the_headers_of_the_page(dav: Dav) -> None:
    get, head = dav("GET", "/files/"), dav("HEAD", "/files/")

    assert (head.status, head.body) == (200, b"")
    assert head.header("ETag") == get.header("ETag")
    assert head.header("Content-Type") == get.header("Content-Type")


@pytest.mark.slow
def test_a_long_page_is_streamed(dav: Dav, opened: Store) -> None:
    names = [f"{number:03} {'long ' * 40}" for number in range(250)]
    for name in names:
        opened.namespace(Caller()).make_collection(("files", name))

    _, _, body = dav.start("GET", "/files/")
    blocks = list(body)

    assert not isinstance(body, (tuple, list))
    assert len(blocks) > 1
    assert [text.rstrip("/") for _, text in Page(b"".join(blocks)).links[1:]] == names
