"""I7, as the kernel sees it: an answer leaves when everything that it promises was synced, and not before."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.database import Database, Durability
from tests.parts.postgresql import Cluster
from tests.parts.server import DavServer
from tests.survival.drive import Drive
from tests.survival.trace import LINKS, SYNCS, WRITES, Call, answers, calls, strace

pytestmark = pytest.mark.slow

LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)
PROPPATCH = (
    b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><c xmlns="urn:x">red</c></D:prop></D:set></D:propertyupdate>'
)
LARGE = bytes(range(256)) * 2000
HUGE = bytes(range(256)) * 70_000
"""Its end is written past the page cache."""
OPERATIONS: Mapping[str, tuple[str, str, bytes, Mapping[str, str]]] = {
    "PUT of a small file": ("PUT", "/files/small", b"small", {}),
    "PUT of a large file": ("PUT", "/files/large", LARGE, {}),
    "PUT over a file": ("PUT", "/files/small", LARGE[1:], {}),
    "PUT of a huge file": ("PUT", "/files/huge", HUGE, {}),
    "PUT of a known content": ("PUT", "/files/again", LARGE, {}),
    "MKCOL": ("MKCOL", "/files/collection", b"", {}),
    "COPY": ("COPY", "/files/large", b"", {"Destination": "/files/collection/copy"}),
    "MOVE": ("MOVE", "/files/large", b"", {"Destination": "/files/moved"}),
    "PROPPATCH": ("PROPPATCH", "/files/moved", PROPPATCH, {}),
    "LOCK": ("LOCK", "/files/moved", LOCK, {}),
    "LOCK of nothing yet": ("LOCK", "/files/unmapped", LOCK, {}),
    "DELETE": ("DELETE", "/files/collection", b"", {}),
}
WITH_BLOB = ["PUT of a large file", "PUT over a file", "PUT of a huge file"]


@dataclass(frozen=True)
class Traced:
    """The calls that led to one answer."""

    answer: Call
    calls: list[Call]

    def last(self, names: set[str], is_wanted: Callable[[Call], bool]) -> Call:
        """The last one by the thread that answered."""
        ours = [call for call in self.calls if call.thread == self.answer.thread]
        return [call for call in ours if call.name in names and is_wanted(call)][-1]

    def is_synced(self, file: Path, after: Call, before: Call) -> bool:
        syncs = [call for call in self.calls if call.name in SYNCS and call.file == file]
        return any(after < sync < before for sync in syncs)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Traced]:
    return _traced(tmp_path_factory.mktemp("embedded"), {})


@pytest.fixture(scope="module")
def relaxed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Traced]:
    return _traced(tmp_path_factory.mktemp("relaxed"), {"DAVSTORE_DATABASE__DURABILITY": "os"})


@pytest.fixture(scope="module")
def workgroup(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[dict[str, Traced]]:
    name = postgres.create()
    yield _traced(tmp_path_factory.mktemp("workgroup"), {"DAVSTORE_DATABASE__URL": postgres.url(name)})
    postgres.drop(name)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_log_is_on_disk_before_the_answer_leaves(embedded: dict[str, Traced], operation: str):
    traced = embedded[operation]

    written = traced.last(WRITES, _is_log)

    assert traced.is_synced(written.file, after=written, before=traced.answer)


@pytest.mark.parametrize("operation", WITH_BLOB)
def test_the_blob_is_on_disk_before_the_transaction_that_vouches_for_it(embedded: dict[str, Traced], operation: str):
    traced = embedded[operation]

    commit = min(call.began for call in traced.calls if _is_log(call) and _linked(traced) < call)

    _assert_blob_is_synced(traced, next(call for call in traced.calls if call.began == commit))


@pytest.mark.parametrize("operation", WITH_BLOB)
def test_the_blob_is_on_disk_before_postgresql_commits(workgroup: dict[str, Traced], operation: str):
    traced = workgroup[operation]

    commit = traced.last({"sendto"}, lambda call: "COMMIT" in call.text)

    _assert_blob_is_synced(traced, commit)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_postgresql_has_committed_before_the_answer_leaves(workgroup: dict[str, Traced], operation: str):
    traced = workgroup[operation]

    committed = traced.last({"recvfrom"}, lambda call: "COMMIT" in call.text)

    assert committed < traced.answer


@pytest.mark.parametrize(("durability", "commit"), [("fsync", "on"), ("os", "off")])
def test_postgresql_commits_as_durably_as_configured(postgres_url: str, durability: Durability, commit: str):
    database = Database(postgres_url, durability)

    with database.write() as tx:
        found = tx.scalar(text("SHOW synchronous_commit"))

    database.close()
    assert found == commit


@pytest.mark.parametrize("operation", OPERATIONS)
def test_with_durability_os_no_answer_waits_for_the_disk(relaxed: dict[str, Traced], operation: str):
    traced = relaxed[operation]

    assert not [call for call in traced.calls if call.name in SYNCS]
    assert traced.last(WRITES, _is_log) < traced.answer


QUIET = {"DAVSTORE_COLLECTOR__ENABLED": "false", "DAVSTORE_RENDITIONS__ENABLED": "false"}
"""What background jobs commit is no part of a request."""


def _traced(directory: Path, environ: Mapping[str, str]) -> dict[str, Traced]:
    record = directory / "trace"
    server = DavServer(directory / "data", environ={**QUIET, **environ}, wrapper=strace(record))
    with server, Drive(server.port) as drive:
        statuses: list[Any] = [drive.ask("PUT", "/files/before", b"before").status]
        statuses += [drive.ask(*operation).status for operation in OPERATIONS.values()]
    assert all(200 <= status < 300 for status in statuses), statuses
    found = calls(record)
    sent = answers(found)
    assert len(sent) == len(statuses), sent
    return {
        name: Traced(answer, [call for call in found if last.began < call.began and call < answer])
        for name, last, answer in zip(OPERATIONS, sent[:-1], sent[1:], strict=True)
    }


def _linked(traced: Traced) -> Call:
    return traced.last(LINKS, lambda call: ".staging" in call.text)


def _assert_blob_is_synced(traced: Traced, commit: Call) -> None:
    link = _linked(traced)
    draft, blob = (Path(path) for path in link.text.split('"')[1:4:2])
    written = traced.last(WRITES, lambda call: call.file == draft)
    assert traced.is_synced(draft, after=written, before=link)
    assert traced.is_synced(blob.parent, after=link, before=commit)
    for made in [call for call in traced.calls if call.name == "mkdir"]:
        above = Path(made.text.split('"')[1]).parent
        assert traced.is_synced(above, after=made, before=commit), f"{above} has a new member that is not on disk"


def _is_log(call: Call) -> bool:
    return call.name in WRITES and call.file.name.endswith("-wal")
