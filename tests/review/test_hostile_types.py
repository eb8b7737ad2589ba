"""What uploaders say of their files never makes a browser run them in our origin."""

import pytest

from tests.davstore.client import Dav

UNKNOWN = "application/octet-stream"


@pytest.mark.parametrize(
    "declared",
    [
        "image/png,text/html",
        "text/html,image/png",
        "text/html image/png",
        "*/*",
        "a/",
        "/b",
        "a/b/c",
        "text/html\xe9",
        "a/" + "b" * 128,
        "(text)/html",
    ],
)
def test_what_is_no_media_type_is_served_as_unknown_bytes(dav: Dav, declared: str) -> None:
    dav.put("/files/page", b"<script>alert(1)</script>", content_type=declared)

    served = dav("GET", "/files/page")

    assert served.header("Content-Type") == UNKNOWN


@pytest.mark.parametrize("declared", ["text/html", "Text/HTML; charset=x", "image/svg+xml", "application/xhtml+xml"])
def test_what_a_browser_would_run_is_sandboxed(dav: Dav, declared: str) -> None:
    dav.put("/files/page", b"<script>alert(1)</script>", content_type=declared)

    served = dav("GET", "/files/page")

    assert served.header("Content-Type") == declared.partition(";")[0].lower()
    assert (served.header("Content-Security-Policy") or "").startswith("sandbox;")
    assert served.header("X-Content-Type-Options") == "nosniff"
