"""What a start loads: nothing that its first answers do not need. Modules are counted here, and never time."""

import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.parts.server import ROOT, DavServer

Serve = Callable[..., DavServer]

NOTED = {"PYTHONPROFILEIMPORTTIME": "1"}
"""Makes each process say on stderr what it loads."""
LOADED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)

DEAR = {
    *("alembic", "boto3", "botocore", "filetype", "jwt", "mako", "multiprocessing", "PIL", "psycopg", "rich"),
    *("sqlalchemy.dialects.postgresql", "urllib.request", "werkzeug"),
}
"""Of others: for an upgrade, S3, pictures, PostgreSQL, terminals, tokens and the API."""
SELDOM = {
    *("core.attachment_lists", "core.backup", "core.blobs.cache", "core.blobs.s3", "core.explain", "core.hosting"),
    *("core.inodes", "core.leftovers", "core.moving", "core.repair", "core.restoring", "core.verify"),
    *("davstore.api.router", "davstore.assets", "davstore.importing", "davstore.uploads"),
}
"""Of ours: for the operator, mounts, host applications and the API."""
JOBS = {"core.background", "core.collector", "core.garbage", "core.mentions", "core.scrubbing"}
"""Of ours: for the process beside the workers, which may load them after the first answer."""
LIBRARIES = {"pydantic", "sqlalchemy", "wsgidav", "cheroot", "core.model", "core.settings", "core.store"}


def noted(server: DavServer) -> set[str]:
    """The modules that the server's processes have loaded until now."""
    return set(LOADED.findall(server.log_text()))


def loaded(*words: str) -> set[str]:
    """The modules that a command loads, from its start to its end."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "davstore", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return set(LOADED.findall(ended.stderr))


@pytest.mark.slow
def test_a_server_loads_nothing_dear_for_its_first_answers(serve: Serve):
    serve().terminate()

    server = serve("--anonymous", "read", environ=NOTED)
    answers = [server.request("PROPFIND", "/files/", headers={"Depth": depth}, user=None) for depth in ("0", "1")]
    answers += [server.request(method, "/files/", user=None) for method in ("GET", "HEAD", "OPTIONS")]
    found = noted(server)

    assert [answer.status for answer in answers] == [207, 207, 200, 200, 200]
    assert found >= LIBRARIES
    assert found & (DEAR | SELDOM) == set()


@pytest.mark.slow
def test_only_a_server_with_jobs_loads_them(serve: Serve):
    serve().terminate()

    server = serve(environ=NOTED)
    limit = time.monotonic() + 30
    while not noted(server) >= JOBS and time.monotonic() < limit:
        time.sleep(0.05)
    without = serve(environ=NOTED | {"DAVSTORE_COLLECTOR__ENABLED": "false", "DAVSTORE_RENDITIONS__ENABLED": "false"})

    assert noted(server) >= JOBS
    assert noted(without) & JOBS == set()


def test_help_loads_no_library_of_the_drive():
    found = loaded("--help")

    assert "typer" in found
    assert found & (LIBRARIES | DEAR - {"rich"}) == set()


def test_a_command_loads_no_server():
    found = loaded("config", "show")

    assert "core.settings" in found
    assert found & {"sqlalchemy", "wsgidav", "cheroot", "werkzeug", "core.store"} == set()
