"""Resumable uploads: tus 1.0.0 with creation, creation-with-upload, termination, expiration and checksum.

https://tus.io/protocols/resumable-upload. A finished upload becomes a file by the same way as a PUT: where the client
said `path`, at that path; else, by its `filename`, an attachment of a document or a bucket.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import quote

from wsgidav.dav_error import HTTP_BAD_REQUEST, HTTP_MEDIATYPE_NOT_SUPPORTED, DAVError

from core import paths
from core.errors import PreconditionFailed, Refusal, TooLarge, Unauthenticated
from core.model import SECOND, Caller, Path
from core.settings import Settings
from core.store import Store
from core.uploads import Upload, Uploads

from .addresses import UPLOADS
from .api.call import FILENAME
from .errors import INTERNAL, problem, refused
from .request import Environ, Headers, Request, Response

VERSION = ("Tus-Resumable", "1.0.0")
EXTENSIONS = ("creation", "creation-with-upload", "termination", "expiration", "checksum")
ALGORITHMS = ("sha256", "sha1", "md5")
OFFSETS = "application/offset+octet-stream"
MISMATCH = 460
ROUTES = (("POST", "/uploads"), *((method, "/uploads/<uid>") for method in ("HEAD", "PATCH", "DELETE")))
METHODS = "POST, HEAD, PATCH, DELETE, OPTIONS"
LONGEST = 1 << 62


@dataclass(frozen=True, slots=True)
class UploadServer:
    store: Store
    settings: Settings

    def answer(self, environ: Environ, caller: Caller) -> Response:
        """Every answer tells the protocol's version, refusals too. Raises those that are the server's own affair."""
        try:
            return self._answer(environ, caller)
        except INTERNAL:
            raise
        except (Refusal, DAVError) as error:
            response = refused(error, environ)
            response.headers.append(VERSION)
            return response

    def _answer(self, environ: Environ, caller: Caller) -> Response:
        """Raises Refusal and DAVError."""
        request = Request(environ, self.store.namespace(caller), self.settings, ())
        uploads = self.store.uploads(caller)
        method = request.header("X-HTTP-Method-Override") or request.method
        uid = environ["PATH_INFO"].removeprefix(UPLOADS).strip("/")
        if method == "OPTIONS":
            return Response(HTTPStatus.NO_CONTENT, self._abilities())
        if request.header(VERSION[0]) != VERSION[1]:
            return _refused(HTTPStatus.PRECONDITION_FAILED, "PRECONDITION_FAILED", "this server speaks tus 1.0.0")
        if not caller.name:
            raise Unauthenticated("", "sign in to upload")
        call = _Call(self.store, request, uploads, caller)
        match method, bool(uid):
            case "POST", False:
                return call.create()
            case "HEAD", True:
                return call.tell(uid)
            case "PATCH", True:
                return call.resume(uid)
            case "DELETE", True:
                uploads.remove(uid)
                return Response(HTTPStatus.NO_CONTENT, [VERSION])
        allowed = [("Allow", "HEAD, PATCH, DELETE, OPTIONS" if uid else "POST, OPTIONS")]
        return _refused(HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", f"{method} means nothing here", allowed)

    def _abilities(self) -> Headers:
        return [
            VERSION,
            ("Tus-Version", VERSION[1]),
            ("Tus-Extension", ",".join(EXTENSIONS)),
            ("Tus-Checksum-Algorithm", ",".join(ALGORITHMS)),
            ("Allow", METHODS),
        ]


@dataclass(frozen=True, slots=True)
class _Call:
    store: Store
    request: Request
    uploads: Uploads
    caller: Caller

    def create(self) -> Response:
        """The creation extension. What can be refused is, before a byte is sent."""
        length = self._number("Upload-Length")
        about = _metadata(self.request.header("Upload-Metadata"))
        target = _target(self.store, self.caller, about)
        kind, growth = about.get("filetype", ""), length
        if "path" in about:
            growth = self.request.namespace.check_put(target, size=length, media_type=kind)
        else:
            self.store.attachments(self.caller).check_create(target[:-1], target[-1], kind, length)
        upload = self.uploads.create(target[:-1], length, about, growth)
        has_bytes = self.request.header("Content-Type").lower() == OFFSETS
        if has_bytes or upload.is_whole:
            upload = self._received(upload, 0) if has_bytes else self._finished(upload)
        where = ("Location", f"{self.request.environ.get('SCRIPT_NAME', '')}{UPLOADS}/{upload.uid}")
        return Response(HTTPStatus.CREATED, [where, *self._state(upload)])

    def tell(self, uid: str) -> Response:
        """How many bytes are there. It is asked after every interruption, so the answer is never kept."""
        upload = self.uploads.get(uid)
        about = ",".join(f"{key} {_encoded(value)}".rstrip() for key, value in upload.about.items())
        length = [("Upload-Length", str(upload.length)), ("Upload-Metadata", about), ("Cache-Control", "no-store")]
        return Response(HTTPStatus.OK, [*self._state(upload), *length])

    def resume(self, uid: str) -> Response:
        """PATCH. An upload of which all bytes are there becomes its file, now if it could not before.

        Who missed the last answer may ask for it again, by an empty part at the end.
        """
        if self.request.header("Content-Type").lower() != OFFSETS:
            raise DAVError(HTTP_MEDIATYPE_NOT_SUPPORTED, f"the body should be {OFFSETS}")
        upload, offset = self.uploads.get(uid), self._number("Upload-Offset")
        if upload.node is not None and offset == upload.length and not any(self.request.blocks()):
            return Response(HTTPStatus.NO_CONTENT, self._state(upload))
        try:
            upload = self._received(upload, offset)
        except PreconditionFailed as refusal:
            return _refused(HTTPStatus.CONFLICT, "OFFSET_MISMATCH", str(refusal))
        except _Mismatch:
            return _refused(MISMATCH, "CHECKSUM_MISMATCH", "the part is not what its checksum says; send it again")
        return Response(HTTPStatus.NO_CONTENT, self._state(upload))

    def _received(self, upload: Upload, offset: int) -> Upload:
        claim = _claim(self.request.header("Upload-Checksum"))
        with self.uploads.part(upload.uid, offset, self.request.declared_length) as part:
            try:
                for block in self.request.blocks():
                    part.write(block, settled=claim is None)
                    if claim:
                        claim.digest.update(block)
            except BaseException:
                if claim is None:
                    part.settle()
                raise
            if claim and claim.digest.digest() != claim.wanted:
                raise _Mismatch
        upload = self.uploads.get(upload.uid)
        return self._finished(upload) if upload.is_whole else upload

    def _finished(self, upload: Upload) -> Upload:
        target, about = _target(self.store, self.caller, upload.about), upload.about
        with self.uploads.whole(upload.uid) as draft:
            if "path" in about:
                kind = about.get("filetype", "")
                uid = self.request.namespace.put(target, draft, media_type=kind).node.uid
            else:
                made = self.store.attachments(self.caller).create(
                    target[:-1], draft, target[-1], about.get("filetype", ""), None
                )
                uid = made.node.uid
        return self.uploads.became(upload.uid, uid)

    def _state(self, upload: Upload) -> Headers:
        """`Upload-Expires` is of what has no file yet; the file stays. Its address is in `Content-Location`."""
        headers: Headers = [VERSION, ("Upload-Offset", str(upload.offset))]
        if upload.node is None:
            return [*headers, ("Upload-Expires", formatdate(upload.expires // SECOND, usegmt=True))]
        name = quote(_name(upload.about), safe="")
        return [*headers, ("Content-Location", f"/file/attachments/{upload.node}/{name}")]

    def _number(self, header: str) -> int:
        text = self.request.header(header)
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise DAVError(HTTP_BAD_REQUEST, f"{header} should be a number of bytes")
        if int(text) > LONGEST:
            raise TooLarge("", f"{text} bytes are more than any file has")
        return int(text)


class _Mismatch(Exception):
    """The part does not hash to what its checksum says."""


@dataclass(frozen=True, slots=True)
class _Claim:
    digest: "hashlib._Hash"
    wanted: bytes


def _claim(header: str) -> _Claim | None:
    if not header:
        return None
    algorithm, _, value = header.partition(" ")
    if algorithm not in ALGORITHMS:
        raise DAVError(HTTP_BAD_REQUEST, f"Upload-Checksum is by one of {', '.join(ALGORITHMS)}")
    return _Claim(hashlib.new(algorithm, usedforsecurity=False), _decoded(value))


def _metadata(header: str) -> Mapping[str, str]:
    """Keys with Base64 values. Raises DAVError 400."""
    about: dict[str, str] = {}
    for item in filter(None, map(str.strip, header.split(","))):
        key, _, value = item.partition(" ")
        if key in about:
            raise DAVError(HTTP_BAD_REQUEST, f"Upload-Metadata has {key} twice")
        try:
            about[key] = _decoded(value).decode()
        except UnicodeDecodeError:
            raise DAVError(HTTP_BAD_REQUEST, f"{key} of Upload-Metadata is not UTF-8") from None
    return about


def _decoded(value: str) -> bytes:
    try:
        return b64decode(value, validate=True)
    except (NoBase64, ValueError):
        raise DAVError(HTTP_BAD_REQUEST, f"{value!r} is not Base64") from None


def _encoded(value: str) -> str:
    return b64encode(value.encode()).decode()


def _target(store: Store, caller: Caller, about: Mapping[str, str]) -> Path:
    """Where the content goes. Raises InvalidPath, NotFound, DAVError 400."""
    name = _name(about)
    if "path" not in about:
        return (*store.attachments(caller).home(about.get("bucket", "files"), about.get("document")), name)
    path = paths.parse(about["path"])
    if len(path) == 1:
        raise DAVError(HTTP_BAD_REQUEST, "the path should lead into a bucket, as in /files/a.txt")
    return path


def _name(about: Mapping[str, str]) -> str:
    name = about["path"].rstrip("/").rpartition("/")[2] if "path" in about else about.get("filename", "")
    if not name:
        raise DAVError(HTTP_BAD_REQUEST, "Upload-Metadata should say the filename, or the path")
    if "path" not in about and (name in {".", ".."} or not re.fullmatch(FILENAME, name)):
        raise DAVError(HTTP_BAD_REQUEST, "the filename has no slash and no control character, and is neither . nor ..")
    return name


def _refused(status: int, code: str, detail: str, headers: Headers | None = None) -> Response:
    return problem(status, code, detail, [VERSION, ("Tus-Version", VERSION[1]), *(headers or ())])
