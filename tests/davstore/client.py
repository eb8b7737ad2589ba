"""A client that speaks to the application in process, as a WSGI server would."""

import io
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs

D = "{DAV:}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    @property
    def xml(self) -> Any:
        return etree.fromstring(self.body)

    @property
    def hrefs(self) -> list[str]:
        return [element.text for element in self.xml.findall(f"{D}response/{D}href")]

    def properties(self, href: str, status: str = "HTTP/1.1 200 OK") -> dict[str, Any]:
        """The elements that a response of a multistatus has under a status, by their tags."""
        for response in self.xml.findall(f"{D}response"):
            if response.findtext(f"{D}href") == href:
                return {
                    element.tag: element
                    for propstat in response.findall(f"{D}propstat")
                    if propstat.findtext(f"{D}status") == status
                    for element in propstat.find(f"{D}prop")
                }
        raise AssertionError(f"no response for {href}: {self.hrefs}")


@dataclass
class Dav:
    application: Callable[..., Iterable[bytes]]
    credentials: tuple[str, str] | None = None
    environ: dict[str, Any] = field(default_factory=dict)

    def signed_in(self, name: str, password: str) -> "Dav":
        return Dav(self.application, (name, password), self.environ)

    def start(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, list[tuple[str, str]], Iterable[bytes]]:
        """Status, headers and the body as the application gave it, not yet read."""
        raw_path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "REQUEST_URI": target,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "dav.example",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "dav.example",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            **self.environ,
        }
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        if self.credentials:
            environ["HTTP_AUTHORIZATION"] = "Basic " + b64encode(":".join(self.credentials).encode()).decode()
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            environ[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
        started: list[tuple[str, list[tuple[str, str]]]] = []
        result = self.application(environ, lambda status, fields, exc_info=None: started.append((status, fields)))
        status, fields = started[-1]
        return int(status[:3]), fields, result

    def __call__(self, method: str, target: str, body: bytes | str = b"", **headers: str) -> Answer:
        """Headers are given as `if_none_match="*"`."""
        sent = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, fields, result = self.start(method, target, sent, named)
        try:
            received = b"".join(result)
        finally:
            close = getattr(result, "close", None)
            if close:
                close()
        answer = Answer(status, {name.lower(): value for name, value in fields}, received)
        assert len(answer.headers) == len(fields), f"a header stands twice: {fields}"
        length = answer.header("Content-Length")
        assert length is None or method == "HEAD" or int(length) == len(received), "Content-Length is wrong"
        return answer

    def put(self, target: str, content: bytes = b"hello", **headers: str) -> Answer:
        answer = self("PUT", target, content, **headers)
        assert answer.status in {201, 204}, answer
        return answer

    def make(self, target: str) -> None:
        assert self("MKCOL", target).status == 201

    def propfind(self, target: str, *properties: str, depth: str = "0", **headers: str) -> Answer:
        """Asks for properties given as `{namespace}name`, or for all."""
        wanted = "".join(f"<{name} xmlns='{namespace}'/>" for namespace, name in map(_split, properties))
        body = f"<D:propfind xmlns:D='DAV:'><D:prop>{wanted}</D:prop></D:propfind>" if properties else ""
        return self("PROPFIND", target, body, depth=depth, **headers)


def _split(tag: str) -> tuple[str, str]:
    namespace, _, name = tag[1:].rpartition("}")
    return namespace, name


def set_property(xml: str) -> str:
    return f"<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop>{xml}</D:prop></D:set></D:propertyupdate>"


def canonical(xml: str | bytes) -> str:
    """The same text for the same infoset."""
    return etree.canonicalize(xml.decode() if isinstance(xml, bytes) else xml)
