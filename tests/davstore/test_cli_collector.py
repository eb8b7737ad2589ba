"""The commands that let bytes go, bring them back and say why; and the jobs that run beside a server."""

import hashlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from core.jobs import LEASE
from core.model import Caller
from core.namespace import Namespace
from core.store import Store
from tests.parts import processes
from tests.parts.commands import Davstore, printed, refused
from tests.parts.server import DavServer
from tests.parts.stores import content, put

LARGE, OTHER = b"x" * 100_000, b"y" * 100_000
"""More than is kept inline."""
FILE, COPY = ("files", "a.txt"), ("files", "b.txt")
DIGEST = hashlib.sha256(LARGE).hexdigest()
AT_ONCE = ("--grace", "0s", "--retention", "0s")


@pytest.fixture
def ann(opened: Store) -> Namespace:
    return opened.namespace(Caller("ann"))


@pytest.fixture
def unwanted(opened: Store, ann: Namespace) -> str:
    """The uid of an object that nothing refers to."""
    put(ann, FILE, LARGE)
    uid = ann.node(FILE).object_uid
    ann.delete(FILE)
    opened.recovery(Caller("ann")).empty_trash()
    return uid


def blobs(store: Store) -> list[Path]:
    root = store.settings.data / "blobs"
    return [file for file in root.rglob("*") if file.is_file() and len(file.name) > 64]


def test_a_run_says_what_it_examined_condemned_revived_purged_and_failed_to_delete(
    davstore: Davstore, opened: Store, unwanted: str
):
    run = printed(davstore("gc", "run", *AT_ONCE, "--json"))

    promised = {"examined": 1, "condemned": 1, "revived": 0, "purged": 1, "purged_bytes": 100_000, "failed": 0}
    assert run | promised == run
    assert blobs(opened) == []


def test_the_grace_is_the_configuration_s_unless_it_is_given(davstore: Davstore, unwanted: str):
    configured = printed(davstore("gc", "run", "--json"))
    given = printed(davstore("gc", "run", "--grace", "0s", "--json"))

    assert (configured["condemned"], given["condemned"]) == (0, 1)


def test_the_retention_is_the_bucket_s_unless_it_is_given(davstore: Davstore, unwanted: str):
    first = printed(davstore("gc", "run", "--grace", "0s", "--json"))
    policy = printed(davstore("gc", "run", "--grace", "0s", "--json"))
    given = printed(davstore("gc", "run", "--grace", "0s", "--retention", "0s", "--json"))

    assert (first["purged"], policy["purged"], given["purged"]) == (0, 0, 1)


@pytest.mark.parametrize("words", [("gc", "dry-run"), ("gc", "run", "--dry-run")])
def test_a_dry_run_tells_and_changes_nothing(davstore: Davstore, opened: Store, unwanted: str, words: tuple[str, ...]):
    would = printed(davstore(*words, "--grace", "0s", "--json"))

    assert would["condemned"] == 1
    assert "1 would be condemned" in davstore(*words, "--grace", "0s").stdout
    assert opened.explain(unwanted)[0].state == "live"
    assert len(blobs(opened)) == 1


def test_a_wrong_duration_is_wrong_usage(davstore: Davstore):
    assert "such as 90s, 2h or 30d" in refused(davstore("gc", "run", "--grace", "soon"), code=2)


def test_what_waits_for_the_collector_is_told(davstore: Davstore, unwanted: str):
    waiting = printed(davstore("gc", "status", "--json"))
    davstore("gc", "run", "--grace", "0s")
    condemned = printed(davstore("gc", "status", "--json"))

    [before], [after] = waiting["buckets"], condemned["buckets"]
    assert (before["live"], before["touched"], before["condemned"]) == (1, 1, 0)
    assert (after["live"], after["condemned"], after["condemned_bytes"]) == (0, 1, 100_000)
    assert [job["name"] for job in waiting["jobs"]] == ["collect", "uploads", "sweep", "scrub", "renditions"]
    assert "97.7 KiB" in davstore("gc", "status").stdout


def test_a_deletion_that_fails_stays_visible_and_the_run_says_so(davstore: Davstore, opened: Store, unwanted: str):
    blob, *_ = blobs(opened)
    aside = blob.rename(blob.with_name("aside"))
    blob.mkdir()

    run = davstore("gc", "run", *AT_ONCE, "--json")

    [failing] = printed(davstore("gc", "status", "--json"))["failing"]
    assert (run.exit_code, json.loads(run.stdout)["failed"]) == (1, 1)
    assert (failing["storage"], failing["attempts"], failing["dead"]) == ("local", 1, False)
    assert failing["key"].endswith(blob.name)
    assert failing["error"] in davstore("gc", "status").stdout
    blob.rmdir()
    aside.unlink()


def test_a_rule_that_no_configuration_names_stops_its_bucket_until_it_is_forgotten(
    davstore: Davstore, opened: Store, unwanted: str
):
    with closing(sqlite3.connect(opened.settings.data / "davstore.db")) as connection, connection:
        connection.execute("INSERT INTO reference_rules SELECT id, 'profile', 'photo' FROM buckets")
    stopped = davstore("gc", "run", *AT_ONCE)

    asked = davstore("gc", "forget", "files", "profile.photo", input="n\n")
    forgotten = davstore("gc", "forget", "files", "profile.photo", "--yes")

    assert (stopped.exit_code, asked.exit_code, forgotten.exit_code) == (1, 1, 0)
    assert "files: profile.photo: this process was not told of the rule" in stopped.stderr
    assert printed(davstore("gc", "run", *AT_ONCE, "--json"))["purged"] == 1


def test_an_object_comes_back_by_its_uid(davstore: Davstore, ann: Namespace, unwanted: str):
    davstore("gc", "run", "--grace", "0s")

    said = davstore("gc", "revive", unwanted, "--to", "/files/back/again.txt")

    assert (said.exit_code, said.stdout) == (0, "/files/back/again.txt\n")
    assert content(ann, ("files", "back", "again.txt")) == LARGE


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["gc", "revive", "nonsense", "--to", "/files/a"], "davstore explain"),
        (["gc", "revive", "nonsense", "--to", "/files"], "/BUCKET/NAME"),
        (["gc", "forget", "files", "a.b", "--yes"], "is no rule of bucket files"),
        (["gc", "forget", "nope", "a.b", "--yes"], "there is no such bucket"),
        (["explain", "nonsense"], "is no path, object or digest"),
        (["explain", "/files/nope"], "/files/nope"),
        (["versions", "ls", "/files/nope"], "/files/nope"),
        (["versions", "ls", "/files"], "/BUCKET/NAME"),
        (["versions", "restore", "/files/a.txt", "nonsense"], "/files/a.txt"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_that_says_why(davstore: Davstore, words: list[str], line: str):
    assert line in refused(davstore(*words))


def test_explain_tells_every_reference(davstore: Davstore, ann: Namespace):
    put(ann, FILE, LARGE)
    put(ann, FILE, OTHER)
    put(ann, COPY, LARGE)
    ann.delete(COPY)

    [by_digest] = printed(davstore("explain", DIGEST, "--json"))
    [by_uid] = printed(davstore("explain", by_digest["uid"], "--json"))

    assert by_digest == by_uid
    kinds = sorted(reference.split()[0] for reference in by_digest["references"])
    assert (by_digest["state"], kinds) == ("live", ["file", "version"])
    assert any("in the trash" in reference for reference in by_digest["references"])
    told = davstore("explain", "/files/a.txt").stdout
    assert "kept by file /files/a.txt" in told
    assert hashlib.sha256(OTHER).hexdigest() in told


def test_explain_tells_what_let_an_object_go_and_until_when_it_can_come_back(davstore: Davstore, unwanted: str):
    davstore("gc", "run", "--grace", "0s")
    [condemned] = printed(davstore("explain", unwanted, "--json"))
    told = davstore("explain", unwanted).stdout
    davstore("gc", "run", *AT_ONCE)
    [gone] = printed(davstore("explain", DIGEST, "--json"))

    assert (condemned["state"], condemned["references"], gone["state"]) == ("condemned", [], "gone")
    assert condemned["until"] in told
    assert "davstore gc revive" in told
    assert [event["event"] for event in gone["events"]] == ["condemned", "purged"]


def test_versions_are_listed_and_restored(davstore: Davstore, ann: Namespace):
    put(ann, FILE, LARGE)
    put(ann, FILE, OTHER)
    [older] = printed(davstore("versions", "ls", "/files/a.txt", "--json"))

    restored = davstore("versions", "restore", "/files/a.txt", older["uid"])

    assert restored.exit_code == 0, restored.output
    assert (older["digest"], older["size"], older["author"]) == (DIGEST, 100_000, "ann")
    assert content(ann, FILE) == LARGE
    assert hashlib.sha256(OTHER).hexdigest() in davstore("versions", "ls", "/files/a.txt", "--json").stdout
    assert "97.7 KiB" in davstore("versions", "ls", "/files/a.txt").stdout


def test_orphans_are_counted_and_are_due_in_a_week(davstore: Davstore, opened: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    [blob] = blobs(opened)
    orphan = blob.with_name(blob.name[:-4] + "0000")
    orphan.write_bytes(b"waste")
    long_ago = time.time() - 2 * 86400
    os.utime(orphan, (long_ago, long_ago))

    dry = printed(davstore("sweep", "--dry-run", "--json"))
    done = printed(davstore("sweep", "--json"))

    assert dry == done == {"orphans": 1, "orphan_bytes": 5, "failed": []}
    assert printed(davstore("sweep", "--json"))["orphans"] == 0
    assert printed(davstore("gc", "status", "--json"))["pending"] == 1
    assert orphan.exists()


def test_a_scrub_reads_everything_or_what_was_read_long_ago(davstore: Davstore, ann: Namespace):
    put(ann, FILE, LARGE)
    put(ann, COPY, b"small")

    everything = printed(davstore("scrub", "--json"))
    nothing = printed(davstore("scrub", "--older-than", "1h", "--json"))

    assert (everything["verified"], everything["verified_bytes"], nothing["verified"]) == (2, 100_005, 0)


def test_a_scrub_that_finds_damage_names_it_and_an_upload_repairs_it(davstore: Davstore, opened: Store, ann: Namespace):
    put(ann, FILE, LARGE)
    [blob] = blobs(opened)
    blob.unlink()

    scrub = davstore("scrub")

    assert scrub.exit_code == 1
    assert f"{DIGEST} is lost" in scrub.stdout
    put(ann, COPY, LARGE)
    assert content(ann, FILE) == LARGE
    assert davstore("scrub").exit_code == 0


@pytest.fixture
def miscounted(opened: Store) -> Iterator[None]:
    database = opened.settings.data / "davstore.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE buckets SET files = 77")
    yield
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE buckets SET files = 0")


@pytest.mark.usefixtures("miscounted")
def test_repairs_are_shown_and_asked_for(davstore: Davstore, opened: Store):
    no = davstore("fsck", "--repair", input="n\n")

    assert no.exit_code == 1
    assert "recount files: count its files and bytes anew" in no.stdout
    assert "--yes answers the question" in no.stderr
    assert opened.buckets()[0].files == 77

    yes = davstore("fsck", "--repair", input="y\n")

    assert (yes.exit_code, opened.buckets()[0].files) == (0, 0)
    assert "Problems left: none." in yes.stdout


@pytest.mark.usefixtures("miscounted")
def test_repairs_for_programs_need_a_yes_and_show_the_plan(davstore: Davstore, opened: Store):
    done = davstore("fsck", "--repair", "--yes", "--json")

    assert done.exit_code == 0
    assert json.loads(done.stdout)["plan"] == [
        {"action": "recount", "subject": "files", "detail": "count its files and bytes anew"}
    ]
    assert opened.buckets()[0].files == 0


@pytest.mark.usefixtures("miscounted")
def test_without_repair_nothing_is_changed(davstore: Davstore, opened: Store):
    assert davstore("fsck", "--yes").exit_code == 1
    assert opened.buckets()[0].files == 77


def status(server: DavServer) -> dict[str, Any]:
    return printed(Davstore(server.data)("gc", "status", "--json"))


def ran(server: DavServer) -> dict[str, str | None]:
    return {job["name"]: job["last_run"] for job in status(server)["jobs"]}


def within(seconds: float, holds: Callable[[], object]) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, "it never came to be"
        time.sleep(0.05)


def jobs_process(server: DavServer) -> int:
    """The last child: it starts when the workers serve."""
    within(60, lambda: len(processes.children(server.pid)) == 2)
    return max(processes.children(server.pid))


EAGER = {"DAVSTORE_COLLECTOR__INTERVAL": "1s", "DAVSTORE_COLLECTOR__GRACE": "0s"}


def test_a_server_collects_by_itself(serve: Callable[..., DavServer]):
    server = serve(environ=EAGER)
    server.request("PUT", "/files/a", LARGE)
    server.request("DELETE", "/files/a")
    Davstore(server.data)("trash", "empty", "--yes")

    within(60, lambda: status(server)["buckets"][0]["condemned"] == 1)

    within(60, lambda: all(ran(server).values()))


@pytest.mark.timeout(300)
def test_a_jobs_process_that_dies_is_replaced_while_the_server_serves(serve: Callable[..., DavServer]):
    server = serve(environ=EAGER)
    server.expect_log("the process beside the workers .* ended")
    within(60, lambda: ran(server)["collect"])
    first = jobs_process(server)

    os.kill(first, signal.SIGKILL)

    within(60, lambda: processes.children(server.pid) - {first} and jobs_process(server) != first)
    died = ran(server)["collect"]
    within(LEASE / 10**9 + 30, lambda: ran(server)["collect"] != died)
    assert server.request("GET", "/files/").status == 200


def test_a_server_whose_jobs_are_switched_off_has_no_process_for_them(serve: Callable[..., DavServer]):
    server = serve(environ={"DAVSTORE_COLLECTOR__ENABLED": "false", "DAVSTORE_RENDITIONS__ENABLED": "false"})
    server.request("PUT", "/files/a", LARGE)

    assert len(processes.children(server.pid)) == 1
    assert ran(server) == dict.fromkeys(("collect", "uploads", "sweep", "scrub", "renditions"))


def test_a_jobs_process_that_was_stopped_goes_on(serve: Callable[..., DavServer]):
    server = serve(environ=EAGER)
    within(60, lambda: ran(server)["collect"])
    pid = jobs_process(server)

    os.kill(pid, signal.SIGSTOP)
    time.sleep(1.5)
    before = ran(server)["collect"]
    os.kill(pid, signal.SIGCONT)

    within(60, lambda: ran(server)["collect"] != before)
    assert jobs_process(server) == pid


def test_of_two_servers_on_one_database_one_at_a_time_runs_a_job(serve: Callable[..., DavServer]):
    first, second = serve(environ=EAGER), serve(environ=EAGER)
    within(60, lambda: ran(first)["scrub"])
    with closing(sqlite3.connect(first.data / "davstore.db")) as connection, connection:
        connection.execute("UPDATE jobs SET holder = 'a third', lease = last_run + 15 * 1000000000")
    leased = ran(first)["collect"]

    time.sleep(2.5)
    meanwhile = ran(second)["collect"]
    within(60, lambda: ran(second)["collect"] != leased)

    assert meanwhile == leased


def test_the_jobs_end_promptly_with_the_server(serve: Callable[..., DavServer]):
    server = serve(environ=EAGER)
    within(60, lambda: ran(server)["collect"])

    started = time.monotonic()
    server.terminate()

    assert time.monotonic() - started < 3
