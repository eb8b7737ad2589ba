"""A client of tus 1.0.0, which goes on wherever the server says that it is."""

import http.client
from base64 import b64encode
from collections.abc import Mapping

from tests.parts.server import PASSWORD, USER, basic

OFFSETS = "application/offset+octet-stream"
CHUNK = 1 << 20


def metadata(about: Mapping[str, str]) -> str:
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in about.items())


class TusClient:
    def __init__(self, port: int, user: str = USER, password: str = PASSWORD) -> None:
        self.port = port
        self._headers = {"Tus-Resumable": "1.0.0", "Authorization": basic(user, password)}

    def create(self, length: int, about: Mapping[str, str]) -> str:
        """The upload's address."""
        status, headers = self.ask(
            "POST", "/api/v1/uploads", {"Upload-Length": str(length), "Upload-Metadata": metadata(about)}
        )
        assert status == 201, headers
        return headers["Location"]

    def offset(self, where: str) -> int:
        status, headers = self.ask("HEAD", where)
        assert status == 200, status
        return int(headers["Upload-Offset"])

    def send(self, where: str, data: bytes, most: int | None = None) -> int:
        """Sends the rest in one request, whose connection is cut after `most` bytes. Returns the status, or 0."""
        offset = self.offset(where)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": OFFSETS, "Upload-Offset": str(offset), "Content-Length": str(len(data) - offset)}
        try:
            connection.putrequest("PATCH", where)
            for name, value in (self._headers | headers).items():
                connection.putheader(name, value)
            connection.endheaders()
            stop = len(data) if most is None else min(len(data), offset + most)
            for start in range(offset, stop, CHUNK):
                connection.send(data[start : min(stop, start + CHUNK)])
            return connection.getresponse().status if stop == len(data) else 0
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def ask(
        self, method: str, where: str, headers: Mapping[str, str] = {}, body: bytes | None = None
    ) -> tuple[int, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, where, body, self._headers | dict(headers))
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.headers
        finally:
            connection.close()
