"""What clients that cannot run here send, request by request, as their sources and captures show it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs

from tests.connection.peer import Answer, Peer
from tests.parts.server import DavServer, basic

D = "{DAV:}"


class Client:
    """A connection that is kept, and the headers that the client sends with every request."""

    def __init__(self, server: DavServer, peer: Peer, agent: str, **always: str) -> None:
        self.server = server
        self.root = f"{server.url}/files"
        self._peer = peer
        self._always = {"Host": f"127.0.0.1:{server.port}", "User-Agent": agent, **_headers(always)}

    def __call__(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Answer:
        """One request for a path of bucket `files`; headers are given as `If_Match="*"`."""
        sent = body.encode() if isinstance(body, str) else body
        fields = {**self._always, **_headers(headers)}
        if sent is not None:
            fields["Content-Length"] = str(len(sent))
        return self.raw(method, path, fields, sent or b"")

    def in_chunks(self, method: str, path: str, *chunks: bytes, **headers: str) -> Answer:
        fields = {**self._always, **_headers(headers), "Transfer-Encoding": "Chunked"}
        body = b"".join(b"%X\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
        return self.raw(method, path, fields, body)

    def raw(self, method: str, path: str, fields: dict[str, str], body: bytes = b"") -> Answer:
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"{method} /files/{path.removeprefix('/')} HTTP/1.1\r\n{lines}\r\n"
        return self._peer.ask(head.encode() + body, method)

    def peek(self, path: str) -> None:
        """Asks for a file, and leaves after its first bytes."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self._always.items())
        self._peer.send(f"GET /files/{path} HTTP/1.1\r\n{lines}\r\n".encode())
        self._peer.read(1)
        self._peer.reset()

    def read(self, path: str) -> bytes:
        answer = self("GET", path)
        assert answer.status == 200
        return answer.body

    def properties(self, path: str, *names: str, status: int = 200, depth: str = "0") -> dict[str, str]:
        """The texts of a resource's properties that have this status, by their names as `{namespace}name`."""
        answer = self("PROPFIND", path, wanted(*names), Depth=depth)
        assert answer.status == 207, answer
        return texts(answer, status)


@contextmanager
def client(server: DavServer, agent: str, user: str = "admin", **always: str) -> Iterator[Client]:
    credentials = basic(user, "correct horse")
    with Peer(server.port, patience=30) as peer:
        yield Client(server, peer, agent, Authorization=credentials, **always)


def wanted(*names: str) -> str:
    elements = "".join(f'<x:{name} xmlns:x="{space}"/>' for space, name in (_split(name) for name in names))
    return f'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>{elements}</D:prop></D:propfind>'


def update(namespace: str, **values: str) -> str:
    elements = "".join(f"<Z:{name}>{value}</Z:{name}>" for name, value in values.items())
    return (
        f'<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="{namespace}">'
        f"<D:set><D:prop>{elements}</D:prop></D:set></D:propertyupdate>"
    )


def lock_request(owner: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
        f"<D:locktype><D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"
    )


def token_in_header(answer: Answer) -> str:
    """With its angle brackets."""
    token = answer.fields["lock-token"]
    assert re.fullmatch(r"<[a-z]+:[^<>]+>", token)
    return token


def token_in_body(answer: Answer) -> str:
    """With angle brackets around it."""
    found = xml(answer).findtext(f".//{D}activelock/{D}locktoken/{D}href")
    return f"<{found}>"


def xml(answer: Answer) -> Any:
    return etree.fromstring(answer.body)


def hrefs(answer: Answer) -> list[str]:
    return [element.text for element in xml(answer).findall(f"{D}response/{D}href")]


def texts(answer: Answer, status: int = 200) -> dict[str, str]:
    """Of the first response."""
    return {
        element.tag: "".join(element.itertext())
        for propstat in xml(answer).find(f"{D}response").findall(f"{D}propstat")
        if propstat.findtext(f"{D}status").startswith(f"HTTP/1.1 {status} ")
        for element in propstat.find(f"{D}prop")
    }


def escaped(name: str) -> str:
    return quote(name, safe="")


def _headers(given: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name[1:].rpartition("}")
    return namespace, local
