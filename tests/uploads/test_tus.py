"""tus 1.0.0 (https://tus.io/protocols/resumable-upload), line by line."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping

import pytest
from sqlalchemy import select, update

from core import uploads
from core.policy import BucketPolicy
from core.schema_services import uploads as rows
from core.settings import Uploads as UploadSettings
from core.store import Store
from davstore.app import application
from tests.davstore.client import Answer, Dav
from tests.uploads.client import OFFSETS, metadata

TUS = {"Tus-Resumable": "1.0.0"}
HELLO = b"hello, world"
TOP = "/api/v1/uploads"


def ask(dav: Dav, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] = {}) -> Answer:
    return dav(method, url, body, **{name.replace("-", "_"): value for name, value in headers.items()})


def create(dav: Dav, length: int | str = len(HELLO), about: dict[str, str] | None = None, **headers: str) -> Answer:
    said = metadata({"path": "/files/a.txt"} if about is None else about)
    given = {"Upload-Length": str(length), "Upload-Metadata": said}
    return ask(dav, "POST", TOP, headers=TUS | given | {key.replace("_", "-"): value for key, value in headers.items()})


def where(answer: Answer) -> str:
    assert answer.status == 201, answer.body
    return answer.headers["location"]


def patch(dav: Dav, url: str, offset: int | str, data: bytes, **headers: str) -> Answer:
    given = {"Upload-Offset": str(offset), "Content-Type": OFFSETS}
    sent = TUS | given | {key.replace("_", "-"): value for key, value in headers.items()}
    return ask(dav, "PATCH", url, data, sent)


def offset(dav: Dav, url: str) -> str | None:
    return ask(dav, "HEAD", url, headers=TUS).header("Upload-Offset")


def test_options_tells_what_the_server_can_do(admin: Dav):
    answer = ask(admin, "OPTIONS", TOP)

    assert answer.status == 204
    assert answer.header("Tus-Version") == "1.0.0"
    assert set((answer.header("Tus-Extension") or "").split(",")) == {
        *("creation", "creation-with-upload", "termination", "expiration", "checksum")
    }
    assert {"sha1", "sha256"} <= set((answer.header("Tus-Checksum-Algorithm") or "").split(","))


def test_an_upload_in_two_parts_becomes_the_file(admin: Dav):
    url = where(create(admin))

    first = patch(admin, url, 0, HELLO[:5])
    second = patch(admin, url, 5, HELLO[5:])

    assert (first.status, first.header("Upload-Offset"), first.header("Tus-Resumable")) == (204, "5", "1.0.0")
    assert (second.status, second.header("Upload-Offset")) == (204, "12")
    assert ask(admin, "GET", "/files/a.txt").body == HELLO
    assert ask(admin, "GET", second.headers["content-location"]).body == HELLO


def test_head_tells_the_offset_the_length_and_the_metadata_and_is_not_kept(admin: Dav):
    url = where(create(admin, about={"path": "/files/a.txt", "filetype": "text/x-own"}))
    patch(admin, url, 0, HELLO[:5])

    answer = ask(admin, "HEAD", url, headers=TUS)

    assert (answer.status, answer.header("Upload-Offset"), answer.header("Upload-Length")) == (200, "5", "12")
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Upload-Metadata") == metadata({"path": "/files/a.txt", "filetype": "text/x-own"})
    assert (answer.header("Upload-Expires") or "").endswith("GMT")


def test_nothing_is_visible_before_the_last_byte(admin: Dav):
    url = where(create(admin))
    patch(admin, url, 0, HELLO[:-1])

    assert ask(admin, "GET", "/files/a.txt").status == 404


def test_a_wrong_offset_is_409_and_changes_nothing(admin: Dav):
    url = where(create(admin))
    patch(admin, url, 0, HELLO[:5])

    assert [patch(admin, url, wrong, b"xx").status for wrong in (0, 4, 6, 12)] == [409] * 4
    assert offset(admin, url) == "5"


def test_every_refusal_tells_the_protocols_version(admin: Dav):
    """As the protocol demands: "in every request and response"."""
    url = where(create(admin, 5))

    refused = [
        create(admin, "x"),
        create(admin, about={}),
        create(admin, about={"path": "/nowhere/a.txt"}),
        patch(admin, url, 0, b"123456"),
        patch(admin, url, 1, b"1"),
        patch(admin, url, 0, b"1", Content_Type="text/plain"),
        patch(admin, url, 0, b"1", Upload_Checksum=f"md5 {b64encode(bytes(16)).decode()}"),
        ask(admin, "HEAD", f"{TOP}/x", headers=TUS),
        ask(admin, "PUT", url, headers=TUS),
    ]

    assert [each.status for each in refused] == [400, 400, 409, 413, 409, 415, 460, 404, 405]
    assert {each.header("Tus-Resumable") for each in refused} == {"1.0.0"}


def test_more_bytes_than_announced_are_413_and_none_of_them_stays(admin: Dav):
    url = where(create(admin, 5))

    assert patch(admin, url, 0, b"123456").status == 413
    assert offset(admin, url) == "0"


def test_another_content_type_is_415(admin: Dav):
    url = where(create(admin))

    assert patch(admin, url, 0, HELLO, Content_Type="text/plain").status == 415


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_without_the_protocols_version_it_is_412_and_says_which(admin: Dav, method: str):
    answer = ask(admin, method, TOP if method == "POST" else f"{TOP}/x", headers={"Tus-Resumable": "0.2.2"})

    assert (answer.status, answer.header("Tus-Version")) == (412, "1.0.0")


@pytest.mark.parametrize("length", ["", "-1", "1.5", "x", "9" * 30])
def test_a_length_that_is_none_is_400(admin: Dav, length: str):
    assert create(admin, length).status == 400


@pytest.mark.parametrize("said", ["path", "path !!!", "path aGk=,path aGk=", "path /w==", "filetype aGk="])
def test_metadata_that_says_nothing_usable_is_400(admin: Dav, said: str):
    assert ask(admin, "POST", TOP, headers=TUS | {"Upload-Length": "1", "Upload-Metadata": said}).status == 400


def test_a_missing_parent_is_refused_before_a_byte_is_sent(admin: Dav):
    assert create(admin, about={"path": "/files/nowhere/a.txt"}).status == 409


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_part_with_its_checksum_is_taken(admin: Dav, algorithm: str):
    url = where(create(admin))
    checksum = f"{algorithm} {b64encode(hashlib.new(algorithm, HELLO).digest()).decode()}"

    assert patch(admin, url, 0, HELLO, Upload_Checksum=checksum).status == 204
    assert ask(admin, "GET", "/files/a.txt").body == HELLO


def test_a_part_that_is_not_what_its_checksum_says_is_460_and_none_of_it_stays(admin: Dav):
    url = where(create(admin))
    checksum = f"sha1 {b64encode(hashlib.sha1(HELLO[:5]).digest()).decode()}"

    answer = patch(admin, url, 0, HELLO[1:6], Upload_Checksum=checksum)

    assert (answer.status, offset(admin, url)) == (460, "0")
    assert patch(admin, url, 0, HELLO[:5], Upload_Checksum=checksum).status == 204


def test_an_unknown_checksum_is_400(admin: Dav):
    url = where(create(admin))

    assert patch(admin, url, 0, HELLO, Upload_Checksum="crc32 AAAA").status == 400


def test_bytes_may_come_with_the_creation(admin: Dav):
    given = {"Upload-Length": "12", "Upload-Metadata": metadata({"path": "/files/a.txt"}), "Content-Type": OFFSETS}
    begun = ask(admin, "POST", TOP, HELLO[:5], TUS | given)

    assert (begun.status, begun.header("Upload-Offset")) == (201, "5")
    patch(admin, where(begun), 5, HELLO[5:])
    assert ask(admin, "GET", "/files/a.txt").body == HELLO


def test_an_empty_file_is_whole_when_it_is_created(admin: Dav):
    assert create(admin, 0).status == 201

    assert ask(admin, "GET", "/files/a.txt").body == b""


def test_a_terminated_upload_is_gone_with_its_bytes(admin: Dav, opened: Store):
    url = where(create(admin))
    patch(admin, url, 0, HELLO[:5])

    assert ask(admin, "DELETE", url, headers=TUS).status == 204

    assert ask(admin, "HEAD", url, headers=TUS).status == 404
    assert not list(opened.settings.data.rglob("upload.*"))


def test_the_end_of_a_finished_upload_leaves_its_file(admin: Dav):
    url = where(create(admin))
    patch(admin, url, 0, HELLO)

    assert offset(admin, url) == "12"
    assert ask(admin, "DELETE", url, headers=TUS).status == 204
    assert ask(admin, "GET", "/files/a.txt").body == HELLO


def test_an_expired_upload_is_404_and_its_bytes_go(admin: Dav, opened: Store, monkeypatch: pytest.MonkeyPatch):
    url = where(create(admin))
    patch(admin, url, 0, HELLO[:5])
    with opened.database.write() as tx:
        tx.execute(update(rows).values(expires=tx.now))

    assert ask(admin, "HEAD", url, headers=TUS).status == 404
    monkeypatch.setattr(uploads, "YOUNG", -1.0)
    assert uploads.expire(opened.database, opened.contents) == 1

    assert not list(opened.settings.data.rglob("upload.*"))
    with opened.database.read() as tx:
        assert tx.execute(select(rows)).all() == []


def test_an_upload_is_nobody_elses(admin: Dav, bob: Dav, alone: Dav):
    url = where(create(admin))

    assert ask(bob, "HEAD", url, headers=TUS).status == 404
    assert patch(bob, url, 0, HELLO).status == 404
    assert ask(bob, "DELETE", url, headers=TUS).status == 404
    assert create(alone).status == 401
    assert offset(admin, url) == "0"


def test_post_may_stand_for_patch_where_a_network_lets_nothing_else_through(admin: Dav):
    url = where(create(admin))
    given = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0", "Content-Type": OFFSETS}

    assert ask(admin, "POST", url, HELLO, TUS | given).status == 204
    assert ask(admin, "GET", "/files/a.txt").body == HELLO


def test_a_file_that_is_there_gets_a_version(admin: Dav, opened: Store):
    ask(admin, "PUT", "/files/a.txt", b"before")

    patch(admin, where(create(admin)), 0, HELLO)

    assert ask(admin, "GET", "/files/a.txt").body == HELLO


def test_what_stands_in_the_way_at_the_end_can_be_cleared_and_the_upload_finished(admin: Dav):
    url = where(create(admin))
    ask(admin, "MKCOL", "/files/a.txt")

    assert patch(admin, url, 0, HELLO).status == 405
    assert offset(admin, url) == "12"
    ask(admin, "DELETE", "/files/a.txt")

    assert patch(admin, url, 12, b"").status == 204
    assert ask(admin, "GET", "/files/a.txt").body == HELLO


def test_an_upload_with_a_file_name_becomes_an_attachment_and_takes_no_others_name(admin: Dav):
    first, second = (
        patch(admin, where(create(admin, about={"filename": "a.txt"})), 0, data) for data in (HELLO, HELLO[::-1])
    )

    found = [ask(admin, "GET", answer.headers["content-location"]) for answer in (first, second)]
    assert [answer.body for answer in found] == [HELLO, HELLO[::-1]]
    listed = json.loads(ask(admin, "GET", "/api/v1/attachments").body)["attachments"]
    assert len({each["filename"] for each in listed}) == 2


@pytest.mark.parametrize("by", ["path", "filename"])
@pytest.mark.parametrize(
    ("name", "length", "status"), [("a.pdf", 10, 415), ("a.png", 1001, 413), ("a.txt", 800, 507), ("a.txt", 400, 201)]
)
def test_what_a_bucket_does_not_take_is_refused_before_a_byte_is_sent(
    admin: Dav, opened: Store, by: str, name: str, length: int, status: int
):
    opened.create_bucket("choosy", BucketPolicy(types=("image/*", "text/*"), max_size=1000, quota=600))
    about = {"path": f"/choosy/{name}"} if by == "path" else {"filename": name, "bucket": "choosy"}

    assert create(admin, length, about).status == status
    assert len(list(opened.settings.data.rglob("upload.*"))) == (1 if status == 201 else 0)


@pytest.mark.parametrize("by", ["path", "filename"])
def test_uploads_under_way_count_against_the_quota_as_if_they_were_there(admin: Dav, opened: Store, by: str):
    opened.create_bucket("small", BucketPolicy(quota=1000))
    about = {"path": "/small/a.txt"} if by == "path" else {"filename": "a.txt", "bucket": "small"}
    first = where(create(admin, 600, about))

    assert create(admin, 401, about).status == 507
    assert create(admin, 400, about).status == 201
    assert ask(admin, "DELETE", first, headers=TUS).status == 204
    assert create(admin, 600, about).status == 201


def test_a_file_is_overwritten_by_as_much_in_a_bucket_that_is_full(admin: Dav, opened: Store):
    opened.create_bucket("small", BucketPolicy(quota=12))
    ask(admin, "PUT", "/small/a.txt", b"x" * 12)

    assert patch(admin, where(create(admin, 12, {"path": "/small/a.txt"})), 0, HELLO).status == 204
    assert ask(admin, "GET", "/small/a.txt").body == HELLO


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [({"most": 3}, 429, "TOO_MANY_UPLOADS"), ({"staged": 3 * len(HELLO)}, 507, "QUOTA_EXCEEDED")],
)
def test_nobody_has_more_under_way_than_the_settings_allow(
    opened: Store, admin: Dav, bob: Dav, limits: dict[str, int], status: int, code: str
):
    object.__setattr__(
        opened, "settings", opened.settings.model_copy(update={"uploads": UploadSettings.model_validate(limits)})
    )
    server = application(opened, opened.settings)
    alice, other = (Dav(server, each.credentials) for each in (admin, bob))
    begun = [where(create(alice)) for _ in range(3)]

    refused = create(alice)

    assert (refused.status, json.loads(refused.body)["code"]) == (status, code)
    assert "uploads." in json.loads(refused.body)["detail"]
    assert create(other).status == 201
    assert patch(alice, begun[0], 0, HELLO).status == 204, "what is finished is no more under way"
    assert create(alice).status == 201
    assert len(list(opened.settings.data.rglob("upload.*"))) == 4


@pytest.mark.parametrize("name", ["a\x01b", "a\nb", "a\x7fb", "a/b", ".", ".."])
def test_a_filename_that_no_file_may_have_is_refused_at_the_creation(admin: Dav, name: str):
    assert create(admin, about={"filename": name}).status == 400


def test_the_end_of_a_finished_upload_can_be_asked_for_again(admin: Dav):
    """The answer to the last part may have been lost."""
    url = where(create(admin))
    done = patch(admin, url, 0, HELLO)

    again = patch(admin, url, len(HELLO), b"")

    assert (again.status, again.header("Upload-Offset")) == (204, "12")
    assert again.header("Content-Location") == done.header("Content-Location")
    assert [patch(admin, url, at, b"").status for at in (0, 5, 13)] == [409] * 3
    assert patch(admin, url, 12, b"more").status == 409
    assert ask(admin, "GET", "/files/a.txt").body == HELLO


def test_p10_a_part_is_counted_once_and_nobody_sends_one_of_anothers(admin: Dav, bob: Dav):
    """Penpot counted a part twice that came twice, and took parts of others' sessions."""
    url = where(create(admin))
    part = HELLO[:6]

    assert [patch(admin, url, 0, part).status for _ in range(3)] == [204, 409, 409]
    assert patch(bob, url, 6, HELLO[6:]).status == 404
    assert [patch(admin, url, wrong, HELLO[6:]).status for wrong in ("-6", "7", "18", "")] == [400, 409, 409, 400]
    assert offset(admin, url) == "6"
    assert ask(admin, "GET", "/files/a.txt").status == 404
    assert patch(admin, url, 6, HELLO[6:]).status == 204

    assert ask(admin, "GET", "/files/a.txt").body == HELLO


def test_other_methods_are_405_with_those_that_are_allowed(admin: Dav):
    answer = ask(admin, "PUT", TOP, headers=TUS)

    assert (answer.status, answer.header("Allow")) == (405, "POST, OPTIONS")
