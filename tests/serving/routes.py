"""Every kind of URL that shows a file, and in what its answers differ from those of a path (docs/api.md, undo.md)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate, parsedate_to_datetime
from xml.etree import ElementTree

from tests.parts.server import DavServer
from tests.serving.rows import AFTER, BEFORE, DATE, MODIFIED, File, Row

OURS = "{urn:davstore:}"
PRIVATE = "private, no-cache"
"""Nobody is let in but by the server, which asks each time."""
SNIFFED = {"video/mp4": "application/octet-stream", "text/plain": "application/octet-stream", "text/html": "text/plain"}
"""What the bytes of the table's files show: noise and nothing show nothing, and what reads like a page is a text."""


@dataclass(frozen=True)
class Address:
    """Where a file is shown, and what is said there."""

    href: str
    name: str
    """As Content-Disposition has it."""
    caching: str = "no-cache"
    modified: int = MODIFIED
    is_foreign: bool = False
    is_sniffed: bool = False

    def row(self, row: Row) -> Row:
        """The row as it is due here."""
        dates = {DATE: self._date(0), BEFORE: self._date(-1), AFTER: self._date(1)}
        told = {
            "cache-control": self.caching,
            "last-modified": dates[DATE],
            "content-disposition": self._disposition(row.file),
            "content-type": self._kind(row.file),
        }
        is_problem = row.status == 412
        headers = {name: value if is_problem else told.get(name, value) for name, value in row.headers.items()}
        if self.is_sniffed:
            headers.pop("content-security-policy", None)
        sent = {name: dates.get(value, value) for name, value in row.sent.items()}
        return replace(row, headers=headers, sent=sent, file=replace(row.file, kind=self._kind(row.file)))

    def _date(self, more: int) -> str:
        return formatdate(self.modified + more, usegmt=True)

    def _disposition(self, file: File) -> str:
        how = "attachment" if self.is_foreign and file.is_sandboxed and not self.is_sniffed else "inline"
        return f"{how}; filename*=UTF-8''{self.name}"

    def _kind(self, file: File) -> str:
        return SNIFFED.get(file.kind, file.kind) if self.is_sniffed else file.kind


def path(server: DavServer, bucket: str, file: File) -> Address:
    return Address(f"/{bucket}/{file.url}", file.url)


def by_id(server: DavServer, bucket: str, file: File) -> Address:
    """A content goes by many names, so it is given its own, its own time, and the type that its bytes show."""
    uid = properties(server, f"/{bucket}/{file.url}")[f"{OURS}object-uid"]
    href = f"/assets/by-id/{uid}"
    told = server.request("HEAD", href).headers["Last-Modified"]
    made = int(parsedate_to_datetime(told).timestamp())
    return Address(href, uid, PRIVATE, made, is_foreign=True, is_sniffed=True)


def by_node(form: str) -> Callable[[DavServer, str, File], Address]:
    def made(server: DavServer, bucket: str, file: File) -> Address:
        uid = properties(server, f"/{bucket}/{file.url}")[f"{OURS}uid"]
        return Address(form.format(uid), file.url, PRIVATE, is_foreign=True)

    return made


def version(server: DavServer, bucket: str, file: File) -> Address:
    there = f"/{bucket}/rewritten-{file.url}"
    put(server, there, file)
    assert server.request("PUT", there, b"another content").status == 204
    (href,) = members(server, f"/-/versions{there}/")
    return Address(href, href.rpartition("/")[2])


def trash(server: DavServer, bucket: str, file: File) -> Address:
    there = f"/{bucket}/deleted-{file.url}"
    put(server, there, file)
    known = members(server, f"/-/trash/{bucket}/")
    assert server.request("DELETE", there).status == 204
    (href,) = members(server, f"/-/trash/{bucket}/") - known
    return Address(href, href.rpartition("/")[2])


ROUTES: Mapping[str, Callable[[DavServer, str, File], Address]] = {
    "path": path,
    "by-id": by_id,
    "by-file-media-id": by_node("/assets/by-file-media-id/{}"),
    "resource": by_node("/o/r/{}/any%20name.bin"),
    "attachment": by_node("/file/attachments/{}/any%20name.bin"),
    "version": version,
    "trash": trash,
}


def put(server: DavServer, href: str, file: File) -> None:
    headers = {"X-OC-Mtime": str(MODIFIED), "Content-Type": file.kind}
    answer = server.request("PUT", href, file.content, headers)
    assert answer.status in {201, 204}, answer


def properties(server: DavServer, href: str, depth: str = "0") -> dict[str, str]:
    listing = server.request("PROPFIND", href, headers={"Depth": depth}).body
    return {each.tag: each.text or "" for each in ElementTree.fromstring(listing).iter()}


def members(server: DavServer, href: str) -> set[str]:
    listing = server.request("PROPFIND", href, headers={"Depth": "1"}).body
    found = {each.text or "" for each in ElementTree.fromstring(listing).iter("{DAV:}href")}
    return {each for each in found if each.rstrip("/") != href.rstrip("/")}
