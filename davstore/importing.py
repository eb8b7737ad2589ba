"""A folder of this machine copied into a drive: a store's own, or one behind a URL.

Each file is hashed first. Bytes that the drive has already, and that the caller may read there, are neither copied nor
sent (PUT with `Repr-Digest` and `Expect: 100-continue`); all others are checked against the digest on their way in.
"""

import hashlib
import os
import select
import socket
import ssl
import stat
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.client import parse_headers
from pathlib import Path as FilePath
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from core.errors import AlreadyExists, Forbidden, InvalidSetting, Refusal, StorageUnavailable, Unauthenticated
from core.model import Digest, Instant, Path
from core.namespace import Namespace

BLOCK = 256 << 10
WORTH_ASKING = 64 << 10
"""Bytes of a body that is not sent before the drive has asked for it."""
SILENCE = 1.0
"""Seconds after which a body is sent to a drive that says nothing (RFC 9110, section 10.1.1)."""
PATIENCE = 120.0
CONTINUE, NO_CONTENT = 100, 204


@dataclass(frozen=True, slots=True)
class Source:
    """A file of this machine. `at` is where it lies below the folder."""

    file: FilePath
    at: Path
    size: int
    modified: Instant

    def blocks(self) -> Iterator[bytes]:
        with self.file.open("rb", buffering=0) as reader:
            while block := reader.read(BLOCK):
                yield block

    def digest(self) -> Digest:
        found = hashlib.sha256()
        for block in self.blocks():
            found.update(block)
        return Digest(found.hexdigest())


@dataclass(slots=True)
class Imported:
    """What was copied; `sent` are those whose bytes the drive did not have. `left` says what was not, and why."""

    files: int = 0
    bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    left: list[str] = field(default_factory=list[str])


class Drive(Protocol):
    """Where files are copied to. Both methods raise Refusal."""

    def make_collection(self, at: Path) -> None:
        """There is one, made or found."""
        ...

    def put(self, source: Source, digest: Digest) -> bool:
        """The file is there. Returns whether its bytes had to come along."""
        ...


def copy(folder: FilePath, drive: Drive, tell: Callable[[Imported], None]) -> Imported:
    """All below the folder, or the file, is in the drive; what is refused stops no others. Links are not followed."""
    done = Imported()
    for source in _below(folder, drive, done):
        try:
            was_sent = drive.put(source, source.digest())
        except (Refusal, OSError) as error:
            done.left.append(f"{source.file}: {error}")
            continue
        done.files += 1
        done.bytes += source.size
        done.sent += was_sent
        done.sent_bytes += source.size if was_sent else 0
        tell(done)
    return done


def _below(folder: FilePath, drive: Drive, done: Imported) -> Iterator[Source]:
    if not folder.is_dir():
        yield from _sources(folder, (folder.name,), done)
        return
    for here, folders, files in os.walk(folder, onerror=lambda error: done.left.append(str(error))):
        at = FilePath(here).relative_to(folder).parts
        try:
            drive.make_collection(at)
        except (Refusal, OSError) as error:
            done.left.append(f"{here}: {error}")
            folders.clear()
            continue
        folders.sort()
        for name in sorted([*files, *(each for each in folders if os.path.islink(os.path.join(here, each)))]):
            yield from _sources(FilePath(here, name), (*at, name), done)


def _sources(file: FilePath, at: Path, done: Imported) -> Iterator[Source]:
    try:
        status = file.lstat()
    except OSError as error:
        done.left.append(str(error))
        return
    if stat.S_ISREG(status.st_mode):
        yield Source(file, at, status.st_size, Instant(status.st_mtime_ns))
    else:
        done.left.append(f"{file}: is no regular file")


@dataclass(frozen=True, slots=True)
class Store:
    """A store's own tree, below a collection."""

    namespace: Namespace
    top: Path

    def make_collection(self, at: Path) -> None:
        path = (*self.top, *at)
        node = self.namespace.find(path)
        if node is None:
            self.namespace.make_collection(path)
        elif not node.is_collection:
            raise AlreadyExists(path, "is a file")

    def put(self, source: Source, digest: Digest) -> bool:
        path = (*self.top, *source.at)
        if self.namespace.put_known(path, digest, source.size, modified=source.modified):
            return False
        with self.namespace.stage(path) as draft:
            for block in source.blocks():
                draft.write(block)
            self.namespace.put(path, draft, modified=source.modified)
        return True


class Remote:
    """A WebDAV server's tree, below a URL that may hold user and password. Any will do; ours spares known bodies."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidSetting(url, "is no URL of a drive; it begins with http:// or https://")
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._top = parts.path.rstrip("/")
        self._fields = f"Host: {parts.netloc.rpartition('@')[2]}\r\nUser-Agent: davstore-import\r\n"
        if parts.username is not None:
            word = b64encode(f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()).decode()
            self._fields += f"Authorization: Basic {word}\r\n"
        self._line: _Line | None = None

    def make_collection(self, at: Path) -> None:
        self._ask("MKCOL", f"{self._target(at)}/", {"Content-Length": "0"}, None, {201, 405})

    def put(self, source: Source, digest: Digest) -> bool:
        word = b64encode(bytes.fromhex(digest)).decode()
        fields = {
            "Content-Length": str(source.size),
            "Repr-Digest": f"sha-256=:{word}:",
            "X-OC-Mtime": f"{source.modified // 10**9}",
        }
        if source.size >= WORTH_ASKING:
            fields["Expect"] = "100-continue"
        return self._ask("PUT", self._target(source.at), fields, source, {200, 201, 204})

    def close(self) -> None:
        """Repeating it is harmless."""
        self._line = self._line and self._line.close()

    def _target(self, at: Path) -> str:
        return "/".join([self._top, *(quote(name, safe="") for name in at)])

    def _ask(self, method: str, target: str, fields: dict[str, str], source: Source | None, wanted: set[int]) -> bool:
        """Whether the body was sent. The connection is kept for the next request after an answer as it should be."""
        head = f"{method} {target} HTTP/1.1\r\n{self._fields}"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        line = self._kept() or self._connected()
        try:
            line.socket.sendall(f"{head}\r\n".encode())
            answer = line.early_answer() if "Expect" in fields else None
            was_sent = source is not None and answer is None
            if source is not None and was_sent:
                for block in source.blocks():
                    line.socket.sendall(block)
            status, is_kept = line.end(answer or line.answer())
            if status not in wanted:
                raise _refusal(status, unquote(target))
        except (OSError, ValueError) as error:
            line.close()
            raise StorageUnavailable(unquote(target), f"the connection broke: {error}") from error
        except Refusal:
            line.close()
            raise
        self._line = line if is_kept else line.close()
        return was_sent

    def _kept(self) -> "_Line | None":
        """The connection of the last request, unless the server has closed it: hashing a large file takes long."""
        line, self._line = self._line, None
        if line is None or line.is_open:
            return line
        line.close()
        return None

    def _connected(self) -> "_Line":
        try:
            plain = socket.create_connection((self._host, self._port), PATIENCE)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Line(self._tls.wrap_socket(plain, server_hostname=self._host) if self._tls else plain)
        except OSError as error:
            raise StorageUnavailable(f"{self._host}:{self._port}", f"does not answer: {error}") from error


Answer = tuple[int, Message]


class _Line:
    """A connection to a server."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._reader = connected.makefile("rb")

    @property
    def is_open(self) -> bool:
        """Nothing comes between two requests but the end."""
        return not select.select([self.socket], [], [], 0)[0]

    def early_answer(self) -> Answer | None:
        """What the server says before the body comes, unless it asks for it or is silent."""
        if not select.select([self.socket], [], [], SILENCE)[0]:
            return None
        status, fields = self._head()
        return None if status == CONTINUE else (status, fields)

    def answer(self) -> Answer:
        while (head := self._head())[0] == CONTINUE:
            pass
        return head

    def end(self, answer: Answer) -> tuple[int, bool]:
        """The status, and whether another request may follow on this connection."""
        status, fields = answer
        length = 0 if status == NO_CONTENT else int(fields.get("Content-Length", "-1"))
        if length < 0 or length > BLOCK:
            return status, False
        self._reader.read(length)
        return status, "close" not in fields.get("Connection", "").lower()

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def _head(self) -> Answer:
        words = self._reader.readline().split(None, 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1."):
            raise ValueError("no answer came")
        return int(words[1]), parse_headers(self._reader)


def _refusal(status: int, subject: str) -> Refusal:
    if status == HTTPStatus.UNAUTHORIZED:
        return Unauthenticated(subject, "name and password belong into the URL: http://NAME:PASSWORD@host/...")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return StorageUnavailable(subject, "the server cannot take it now")
    try:
        return Forbidden(subject, f"{status} {HTTPStatus(status).phrase}")
    except ValueError:
        return Forbidden(subject, f"the server answered {status}")
