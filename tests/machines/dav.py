"""The namespace over HTTP: a socket to a server, and the statuses of docs/design.md, section 7."""

import http.client
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs

from core.store import Store
from tests.machines.drivers import NAMESPACE, Tree, element, wipe
from tests.parts.model import Model, Path, Refused
from tests.parts.server import Answer, DavServer, basic

D, X = "{DAV:}", f"{{{NAMESPACE}}}"
STATUSES = {
    "NotFound": "404",
    "NoParent": "409",
    "AlreadyExists": "412",
    "IsACollection": "405",
    "InvalidMove": "403",
    "PreconditionFailed": "412",
    "Locked": "423",
    "LockConflict": "423",
    "NoSuchLock": "409",
    "Forbidden": "403",
}
WANTED = (
    f'<propfind xmlns="DAV:" xmlns:x="{NAMESPACE}"><prop><resourcetype/><lockdiscovery/><x:p/><x:q/></prop></propfind>'
)


class DavDriver:
    """`store` is the servers' own, opened once more to look at what WebDAV does not show. They are asked in turn."""

    def __init__(self, servers: Sequence[DavServer], store: Store, passwords: Mapping[str, str]) -> None:
        self.store = store
        self._passwords = passwords
        self._connections = [
            http.client.HTTPConnection("127.0.0.1", server.port, timeout=server.patience) for server in servers
        ]
        self._turns = cycle(self._connections)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def renew(self) -> None:
        wipe(self.store)

    def words(self, verb: str, reasons: set[str]) -> set[str]:
        """To refresh a lock its token is a condition too, which fails where there is nothing, unless a collection
        above passes its lock down to what may come."""
        if verb == "refresh" and "NotFound" in reasons:
            return {"404", "412"}
        special = {"make_collection": {"AlreadyExists": "405"}}
        return {(STATUSES | special.get(verb, {}))[reason] for reason in reasons}

    def put(self, by: str, path: Path, content: bytes, tokens: frozenset[str], only_new: bool) -> bool:
        once = {"If-None-Match": "*"} if only_new else {}
        return self._created(by, "PUT", path, content, once | _submitting(tokens))

    def make_collection(self, by: str, path: Path, tokens: frozenset[str]) -> None:
        self._ask(by, "MKCOL", path, headers=_submitting(tokens))

    def set_properties(
        self, by: str, path: Path, changes: list[tuple[str, str | None]], tokens: frozenset[str]
    ) -> None:
        steps = (
            f"<remove><prop>{element(name, '')}</prop></remove>"
            if value is None
            else f"<set><prop>{element(name, value)}</prop></set>"
            for name, value in changes
        )
        body = f'<propertyupdate xmlns="DAV:">{"".join(steps)}</propertyupdate>'
        answer = self._ask(by, "PROPPATCH", path, body.encode(), _submitting(tokens))
        told = {status.text for status in etree.fromstring(answer.body).iter(f"{D}status")}
        assert told == {"HTTP/1.1 200 OK"}

    def delete(self, by: str, path: Path, tokens: frozenset[str]) -> None:
        self._ask(by, "DELETE", path, headers=_submitting(tokens))

    def copy(self, by: str, source: Path, target: Path, tokens: frozenset[str], *, deep: bool, overwrite: bool) -> bool:
        depth = {"Depth": "infinity" if deep else "0"}
        return self._created(by, "COPY", source, b"", depth | _to(target, overwrite) | _submitting(tokens))

    def move(self, by: str, source: Path, target: Path, tokens: frozenset[str], *, overwrite: bool) -> bool:
        return self._created(by, "MOVE", source, b"", _to(target, overwrite) | _submitting(tokens))

    def lock(self, by: str, path: Path, tokens: frozenset[str], *, infinite: bool, exclusive: bool) -> tuple[bool, str]:
        scope = "exclusive" if exclusive else "shared"
        body = (
            f'<lockinfo xmlns="DAV:"><lockscope><{scope}/></lockscope><locktype><write/></locktype>'
            f"<owner>{escape(by)}</owner></lockinfo>"
        )
        depth = {"Depth": "infinity" if infinite else "0"}
        answer = self._ask(by, "LOCK", path, body.encode(), depth | _submitting(tokens))
        return answer.status == 201, answer.headers["Lock-Token"].strip("<>")

    def unlock(self, by: str, path: Path, token: str) -> None:
        self._ask(by, "UNLOCK", path, headers={"Lock-Token": f"<{token}>"})

    def refresh(self, by: str, path: Path, token: str) -> None:
        self._ask(by, "LOCK", path, headers={"If": f"(<{token}>)"})

    def tree(self, model: Model) -> Tree:
        found: Tree = {}
        for bucket in model.buckets:
            self._collect((bucket,), found)
        return found

    def _collect(self, top: Path, found: Tree) -> None:
        answer = self._ask("ann", "PROPFIND", top, WANTED.encode(), {"Depth": "1"})
        for response in etree.fromstring(answer.body).findall(f"{D}response"):
            path = tuple(unquote(name) for name in response.findtext(f"{D}href").strip("/").split("/"))
            known = response.find(f"{D}propstat/{D}prop")
            if known.find(f"{D}resourcetype/{D}collection") is None:
                found[path] = (self._ask("ann", "GET", path).body, *_kept(known))
            elif path == top:
                found[path] = (None, *_kept(known))
            else:
                self._collect(path, found)

    def _created(self, by: str, method: str, path: Path, body: bytes, headers: Mapping[str, str]) -> bool:
        status = self._ask(by, method, path, body, headers).status
        assert status in {201, 204}
        return status == 201

    def _ask(
        self, by: str, method: str, path: Path, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Raises Refused with the status, or with that of the one resource that a 207 tells of."""
        sent = {"Authorization": basic(by, self._passwords[by]), **(headers or {})}
        connection = next(self._turns)
        connection.request(method, _target(path), body, sent)
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read())
        if answer.status >= 400:
            raise Refused({str(answer.status)})
        if answer.status == 207 and method not in {"PROPFIND", "PROPPATCH"}:
            raise Refused(
                {status.text.split()[1] for status in etree.fromstring(answer.body).iter(f"{D}status")} - {"424"}
            )
        return answer


def _target(path: Path) -> str:
    return "/" + "/".join(quote(name, safe="") for name in path)


def _to(target: Path, overwrite: bool) -> dict[str, str]:
    return {"Destination": _target(target), "Overwrite": "T" if overwrite else "F"}


def _submitting(tokens: frozenset[str]) -> dict[str, str]:
    """A condition that always holds and names the tokens (RFC 4918, section 10.4.1)."""
    return {"If": " ".join((*(f"(<{token}>)" for token in sorted(tokens)), "(Not <DAV:no-lock>)"))} if tokens else {}


def _kept(known: Any) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
    properties = {(child.tag.removeprefix(X), child.text or "") for child in known if child.tag.startswith(X)}
    tokens = {href.text for href in known.findall(f"{D}lockdiscovery/{D}activelock/{D}locktoken/{D}href")}
    return frozenset(properties), frozenset(tokens)
