"""The serving contract holds on every storage, however its bytes are delivered, with identical answers."""

import re
from itertools import product

import pytest

from tests.parts.scale import soak
from tests.parts.server import PASSWORD, USER, basic
from tests.serving.drive import HOST, Answer, Drive, ask
from tests.serving.routes import ROUTES
from tests.serving.rows import NOTHING, ROWS, VIDEO, Row

ALLOWED = {"Authorization": basic(USER, PASSWORD)}
"""The past is shown to those only who may write."""
TELLING = {
    "GET",
    "HEAD",
    "GET of what a browser could run",
    "HEAD of nothing",
    "If-None-Match with the tag",
    "If-Modified-Since then",
    "If-Modified-Since before",
    "If-Match with another tag",
    "If-Unmodified-Since before",
    "a range",
    "a suffix",
    "two ranges",
    "a range behind the end",
    "If-Range with the date",
    "If-Range with a later date",
    "Want-Repr-Digest of a part",
    "headers of our own proxy",
}
"""One of each kind, which other routes than paths are asked in every run; a soak asks everything."""
CELLS = [
    (route, row)
    for route in ROUTES
    for row in ROWS
    if (route == "path" or row.title in TELLING or soak(0, 1)) and not (route == "version" and row.file is NOTHING)
]
"""Nothing never becomes a version."""
TOLD = ("content-type", "content-disposition", "content-length", "content-range", "accept-ranges")
"""What a storage can say as we do. Its validators are its own, and it is never asked with a condition."""


@pytest.mark.parametrize(("route", "row"), CELLS, ids=str)
def test_the_answer_is_the_one_in_the_table(drive: Drive, route: str, row: Row) -> None:
    for bucket, mode in product(drive.buckets, ("stream", "x-accel")):
        print(f"bucket {bucket}, delivery {mode}")
        address = drive.address(route, bucket, row.file)
        due = address.row(row)
        check(due, ask(f"http://127.0.0.1:{drive.port(mode)}{address.href}", row.method, {**ALLOWED, **due.sent}))


@pytest.mark.parametrize(("route", "row"), CELLS, ids=str)
def test_the_answer_is_the_same_for_who_follows_redirects(drive: Drive, route: str, row: Row) -> None:
    address = drive.address(route, "s3", row.file)
    row = address.row(row)
    sent = {"User-Agent": "curl/7.88.1", **ALLOWED, **row.sent}
    url = f"http://127.0.0.1:{drive.server.port}{address.href}"

    answer = ask(url, row.method, sent, host=f"{HOST}:{drive.server.port}")

    assert (answer.status == 307) == row.may_redirect
    if row.may_redirect:
        followed = ask(answer.headers["location"], row.method, row.sent)
        assert (followed.status, followed.body) == (row.status, row.body)
        assert {name: followed.headers.get(name) for name in TOLD} == {name: row.headers.get(name) for name in TOLD}
    else:
        check(row, answer)


def check(row: Row, answer: Answer) -> None:
    assert answer.status == row.status
    if row.parts:
        check_parts(row, answer)
    elif row.status == 412:
        assert answer.headers["content-type"] == row.headers["content-type"]
        assert bool(answer.body) == (row.method == "GET")
    else:
        assert answer.body == row.body
        assert dict(answer.headers) == dict(row.headers)


def check_parts(row: Row, answer: Answer) -> None:
    """RFC 9110, section 14.6."""
    match = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.headers["content-type"])
    assert match
    due = {"content-type": match[0], "content-length": str(len(answer.body))}
    assert dict(answer.headers) == {**row.headers, **due}
    delimiter = f"\r\n--{match[1]}".encode()
    body = b""
    for start, stop in row.parts:
        span = f"bytes {start}-{stop - 1}/{len(VIDEO)}"
        head = f"\r\nContent-Type: {row.file.kind}\r\nContent-Range: {span}\r\n\r\n"
        body += delimiter + head.encode() + VIDEO[start:stop]
    assert answer.body == body + delimiter + b"--\r\n"
