"""A content of any size passes in bounded memory, and one that is refused is refused before it is sent."""

import hashlib
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.server import DavServer
from tests.survival.drive import CREDENTIALS, Drive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MIB = 1 << 20
SIZE = 1024 * MIB
ALLOWED_GROWTH = 64 * MIB
LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
CONFIGURATION = """
[buckets.narrow]
max_size = "1 MiB"
[buckets.rationed]
quota = "1 MiB"
"""


class Source:
    """A content without repetition, made and hashed as it is read."""

    def __init__(self, size: int, name: bytes) -> None:
        self.digest = hashlib.sha256()
        self._size = size
        self._block = hashlib.shake_256(name).digest(MIB)

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self._size // MIB):
            block = number.to_bytes(8, "big") + self._block[8:]
            self.digest.update(block)
            yield block


@pytest.mark.parametrize("framing", ["plain", "chunked"])
def test_a_large_file_goes_up_and_down_in_little_memory(server: DavServer, framing: str):
    source = Source(SIZE, framing.encode())
    headers = {"Content-Length": str(SIZE)} if framing == "plain" else {}
    with Drive(server.port) as drive:
        drive.ask("PUT", "/files/before", bytes(MIB))
        drive.digest("/files/before")
        _forget_peak(server)
        before = _peak(server)

        status = drive.ask("PUT", "/files/large", source, headers).status
        up = _peak(server)
        _forget_peak(server)
        found = drive.digest("/files/large")
        down = _peak(server)

    growth = [(peak - before) / MIB for peak in (up, down)]
    print(f"{SIZE // MIB} MiB {framing} on {before // MIB} MiB: up {growth[0]:.1f} MiB, down {growth[1]:.1f} MiB")
    assert status == 201
    assert found == source.digest.hexdigest()
    assert up - before < ALLOWED_GROWTH
    assert down - before < ALLOWED_GROWTH


@pytest.fixture
def strict(serve: Callable[..., DavServer], tmp_path: Path) -> DavServer:
    """A server with a bucket that takes small files, one with a small quota, and a file that is locked."""
    config = tmp_path / "davstore.toml"
    config.write_text(CONFIGURATION)
    server = serve("--config", str(config))
    assert server.request("PUT", "/files/present", b"present").status == 201
    assert server.request("PUT", "/files/locked", b"locked").status == 201
    assert server.request("LOCK", "/files/locked", LOCK).status == 200
    return server


def test_a_refused_upload_that_waits_for_100_continue_is_answered_before_its_body(strict: DavServer):
    refusals: list[tuple[int, str, dict[str, str]]] = [
        (412, "/files/present", {**CREDENTIALS, "If-None-Match": "*"}),
        (412, "/files/absent", {**CREDENTIALS, "If-Match": "*"}),
        (413, "/narrow/file", CREDENTIALS),
        (507, "/rationed/file", CREDENTIALS),
        (423, "/files/locked", CREDENTIALS),
        (409, "/files/no/parent", CREDENTIALS),
        (405, "/files/", CREDENTIALS),
        (401, "/files/anonymous", {}),
    ]

    answered = [_first_status(strict, path, headers) for _, path, headers in refusals]

    assert answered == [status for status, _, _ in refusals]


def test_an_upload_that_is_not_refused_is_invited(strict: DavServer):
    assert _first_status(strict, "/files/welcome", CREDENTIALS) == 100


def _first_status(server: DavServer, path: str, headers: dict[str, str]) -> int:
    """The first status line that answers the head of an upload, of whose body no byte is sent."""
    fields = {"Host": "h", "Content-Length": str(SIZE), "Expect": "100-continue", **headers}
    head = f"PUT {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 30) as client:
        client.sendall(head.encode())
        line = client.makefile("rb").readline()
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", line)
    assert found, line
    return int(found[1])


def _forget_peak(server: DavServer) -> None:
    """The peak is what the processes have now (proc(5), clear_refs)."""
    for pid in server.pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(server: DavServer) -> int:
    """The most bytes that each of the server's processes had in memory since it was forgotten, together."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in server.pids]
    return sum(int(status.partition("VmHWM:")[2].split()[0]) for status in statuses) * 1024
