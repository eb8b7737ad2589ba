"""The serving contract holds on every storage, however its bytes are delivered, with identical answers."""

import re
from itertools import product

import pytest

from tests.serving.drive import HOST, Answer, Drive, ask
from tests.serving.rows import ROWS, VIDEO, Row

TOLD = ("content-type", "content-disposition", "content-length", "content-range", "accept-ranges")
"""What a storage can say as we do. Its validators are its own, and it is never asked with a condition."""


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_answer_is_the_one_in_the_table(drive: Drive, row: Row) -> None:
    for bucket, mode in product(drive.buckets, ("stream", "x-accel")):
        print(f"bucket {bucket}, delivery {mode}")
        check(row, ask(f"http://127.0.0.1:{drive.port(mode)}/{bucket}/{row.file.url}", row.method, row.sent))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_answer_is_the_same_for_who_follows_redirects(drive: Drive, row: Row) -> None:
    sent = {"User-Agent": "curl/7.88.1", **row.sent}
    url = f"http://127.0.0.1:{drive.server.port}/s3/{row.file.url}"

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
