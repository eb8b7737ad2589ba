"""A fleet of gateways is one drive: what one of them acknowledged holds at all, and any of them may go."""

import hashlib
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from urllib.request import urlopen
from xml.etree import ElementTree

import pytest

from core import migrations
from core.database import Database
from tests.parts.postgresql import Cluster
from tests.parts.scale import soak
from tests.parts.seaweedfs import SeaweedFS
from tests.parts.server import DavServer
from tests.scaleout.fleet import GATEWAYS, Fleet
from tests.scaleout.load import Load
from tests.survival.agreement import assert_agreement
from tests.survival.drive import Drive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LARGE = bytes(range(256)) * 1000
ROUND = soak(60, 2_000)
SOON = 1.5
"""Seconds: docs/scale-out.md has one."""


def eventually(holds: Callable[[], bool], patience: float) -> bool:
    limit = time.monotonic() + patience
    while not holds():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def assert_nothing_lost(fleet: Fleet, load: Load) -> None:
    assert load.wrong == []
    for n, (path, digest) in enumerate(load.written.items()):
        with Drive(fleet.gateways[n % GATEWAYS].port) as drive:
            assert digest_of(drive, path) == digest
    assert fleet.command("fsck", "--deep")["problems"] == []


def digest_of(drive: Drive, path: str) -> str:
    """Each worker finds out for itself, within seconds, that a storage is back: until then it answers 503."""
    limit = time.monotonic() + 60
    while (answer := drive.ask("GET", path)).status == 503 and time.monotonic() < limit:
        assert "Retry-After" in answer.headers
        time.sleep(0.2)
    assert answer.status == 200, (path, answer.status)
    return hashlib.sha256(answer.body).hexdigest()


def test_conditions_and_locks_hold_at_all_gateways(fleet: Fleet):
    with ExitStack() as connections:
        drives = [connections.enter_context(Drive(fleet.gateways[n % GATEWAYS].port)) for n in range(4 * GATEWAYS)]

        assert_agreement(drives)

    assert fleet.command("fsck", "--deep")["problems"] == []


def test_what_one_gateway_deletes_another_brings_back_from_the_trash(fleet: Fleet):
    first, second, third = fleet.gateways
    assert first.request("PUT", "/files/a", LARGE).status == 201
    assert second.request("DELETE", "/files/a").status == 204
    listing = third.request("PROPFIND", "/-/trash/files/", headers={"Depth": "1"})
    [entry] = [
        href
        for response in ElementTree.fromstring(listing.body).iter("{DAV:}response")
        if (href := response.findtext("{DAV:}href", "")).rstrip("/") != "/-/trash/files"
    ]

    moved = third.request("MOVE", entry, headers={"Destination": f"{third.url}/files/a"})

    assert moved.status == 201
    assert first.request("GET", "/files/a").body == LARGE


def test_all_workers_of_all_gateways_give_the_same_url_to_whom_they_send_to_the_storage(fleet: Fleet):
    assert fleet.gateways[0].request("PUT", "/files/a", LARGE).status == 201
    client = {"Host": "drive.test", "User-Agent": "rclone/v1.68.0"}

    def urls() -> set[str]:
        answers = [gateway.request("GET", "/files/a", headers=client) for gateway in fleet.gateways * 4]
        assert {answer.status for answer in answers} == {307}
        return {answer.headers["Location"] for answer in answers}

    assert eventually(lambda: len(urls()) == 1, 10), "the time that they sign with turns every few minutes only"
    with urlopen(urls().pop()) as found:
        assert found.read() == LARGE


def test_a_password_that_is_withdrawn_is_refused_everywhere_within_a_second(fleet: Fleet):
    password = "correct horse battery"
    fleet.run("user", "add", "ann", "--password-stdin", given=password)

    def statuses() -> set[int]:
        return {
            gateway.request("PROPFIND", "/files/", headers={"Depth": "0"}, user="ann", password=password).status
            for gateway in fleet.gateways * 4
        }

    assert statuses() == {207}
    fleet.run("user", "rm", "ann", "--yes")
    time.sleep(SOON)

    assert statuses() == {401}, "whoever asks later than that"


def test_the_collector_works_on_whichever_gateway_ends(fleet: Fleet):
    """Jobs are leased: with two of three gateways killed, the third takes over once the lease is up or free."""
    first, second, third = fleet.gateways
    third.request("PUT", "/files/a", LARGE)
    third.request("DELETE", "/files/a")
    fleet.run("trash", "empty", "--yes")
    assert eventually(lambda: condemned(fleet) == len(LARGE), 30)

    first.kill9()
    second.kill9()
    third.request("PUT", "/files/b", LARGE[1:])
    third.request("DELETE", "/files/b")
    fleet.run("trash", "empty", "--yes")

    assert eventually(lambda: condemned(fleet) == 2 * len(LARGE) - 1, 180)


def condemned(fleet: Fleet) -> int:
    return next(usage["condemned_bytes"] for usage in fleet.command("du") if usage["bucket"] == "files")


def test_killing_any_gateway_under_load_loses_nothing_that_was_acknowledged(fleet: Fleet):
    with Load(fleet.nginx.port) as load:
        for gateway in fleet.gateways:
            load.wait_for(ROUND)
            gateway.kill9()
            load.wait_for(ROUND)
            restart(gateway)
        load.wait_for(ROUND)

    print(f"gateways: {dict(load.statuses)}, {load.broken} broken off")
    assert_nothing_lost(fleet, load)


@pytest.mark.parametrize("struck", ["postgresql", "s3"])
def test_killing_what_all_gateways_stand_on_loses_nothing_either(
    fleet: Fleet, postgres: Cluster, seaweedfs: SeaweedFS, struck: str
):
    for gateway in fleet.gateways:
        gateway.expect_log("the database", "s3main", "background jobs wait", "failed", "job ")
    with Load(fleet.nginx.port) as load:
        load.wait_for(ROUND)
        if struck == "postgresql":
            postgres.kill9()
            postgres.start()
        else:
            seaweedfs.stop()
            seaweedfs.start()
        since = time.monotonic()
        load.wait_for(1)
        recovered = time.monotonic() - since
        load.wait_for(ROUND)

    print(f"{struck}: {dict(load.statuses)}, {load.broken} broken off, {recovered:.1f} s to recover")
    assert load.unretried == 0
    assert_nothing_lost(fleet, load)


def restart(gateway: DavServer) -> None:
    gateway.__enter__()


def test_a_rolling_restart_fails_no_request(fleet: Fleet):
    with Load(fleet.nginx.port) as load:
        for gateway in fleet.gateways:
            load.wait_for(ROUND)
            gateway.terminate()
            load.wait_for(ROUND)
            restart(gateway)

    assert (load.failed, load.statuses[200]) == (0, load.statuses[201])
    assert_nothing_lost(fleet, load)


NEXT = f'''"""What a next version may do to the schema: it adds."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{migrations.HEAD}"


def upgrade() -> None:
    op.add_column("objects", sa.Column("later", sa.Text()))
    op.add_column("nodes", sa.Column("later", sa.BigInteger(), server_default="7"))
    op.create_index("ix_names_later", "names", ["node", "parent"])
    op.create_table(
        "later",
        sa.Column("id", sa.BigInteger(), primary_key=True),
        sa.Column("node", sa.BigInteger(), sa.ForeignKey("nodes.id", ondelete="CASCADE")),
    )
'''


def test_a_migration_runs_while_the_old_version_serves(fleet: Fleet):
    scripts = fleet.root / "migrations"
    shutil.copytree(migrations.HERE, scripts)
    (scripts / "versions" / "9999_next.py").write_text(NEXT)
    newer = Database(fleet.url)

    with Load(fleet.nginx.port) as load:
        load.wait_for(ROUND)
        migrations.upgrade(newer, "9999", scripts)
        load.wait_for(ROUND)

    newer.close()
    assert (load.failed, load.wrong) == (0, [])
    assert {fleet.gateways[0].request("GET", path).status for path in load.written} == {200}
