"""The tests' own parts do what the tests rely on."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.parts import processes
from tests.parts.server import ROOT, unexpected
from tests.parts.tools import tool

LEAVES_A_PROCESS = """
import subprocess

def test_it():
    subprocess.Popen(["sh", "-c", "sleep 600 & exec sleep 0"]).wait()
"""
LEAVES_A_SOCKET = """
import socket

kept = []

def test_it():
    kept.append(socket.create_server(("127.0.0.1", 0)))
"""
WARNS = """
import logging

def test_it():
    logging.getLogger("core").warning("the disk is nearly full")
"""
WARNS_AS_ANNOUNCED = WARNS.replace("def test", "import pytest\n\n@pytest.mark.expects_log('nearly full')\ndef test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LEAVES_A_PROCESS, "left running: {"),
        (LEAVES_A_SOCKET, "left a listening socket"),
        (WARNS, "the disk is nearly full"),
        (WARNS_AS_ANNOUNCED, "1 passed"),
    ],
)
def test_a_test_that_leaves_something_behind_fails(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]

    run = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)

    assert told in run.stdout
    assert ("1 error" in run.stdout) == (told != "1 passed")


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(pytest.fail.Exception, match="`frobnicate` is missing: apt-get install frob-tools"):
        tool("frobnicate", "frob-tools")


def test_a_process_that_ended_does_not_run() -> None:
    process = subprocess.Popen(["true"])

    assert processes.ended([process.pid])
    assert process.wait() == 0


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("INFO started\n", []),
        ("ERROR broken\nTraceback (most recent call last):\n  File\nValueError: x\n", ["ERROR broken", "Traceback"]),
        ("2026 WARNING wait: disk full\nTraceback (most recent call last):\n  File\nERROR other", ["ERROR other"]),
        ("core/x.py:1: DeprecationWarning: old\n", ["core/x.py:1"]),
    ],
)
def test_alarming_lines_are_found_in_a_log(log: str, told: list[str]) -> None:
    found = unexpected(log.splitlines(), ["disk full"])

    assert [line[: len(start)] for line, start in zip(found, told, strict=True)] == told


def test_each_test_has_a_database_of_its_own(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE t (n int)")
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()

    assert tables == (1,)


def test_databases_are_made_on_both_engines(database_url: str, request: pytest.FixtureRequest) -> None:
    assert database_url.partition(":")[0].removesuffix("+psycopg") in request.node.name
