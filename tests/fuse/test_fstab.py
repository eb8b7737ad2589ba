"""`config/mount.davstore` as mount(8) calls it for a line of /etc/fstab, and the unit of systemd."""

import errno
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import typer

from davstore.cli import app
from tests.fuse.calls import refused
from tests.parts import mount as mounts
from tests.parts.mount import Mount
from tests.parts.server import ROOT
from tests.parts.stores import installed
from tests.parts.tools import tool

SCRIPT, UNIT = ROOT / "config" / "mount.davstore", ROOT / "config" / "davstore-mount.service"
USED = ("sh", "setsid", "mountpoint", "mktemp", "mkfifo", "rm", "cat", "sleep", "fusermount3")
FAILED, WRONG = 32, 1
"""Exit codes of mount(8): the mount failed; the invocation is wrong."""


class Fstab:
    """A data directory, a mount point, and the script with the programs that it finds."""

    def __init__(self, home: Path) -> None:
        self.data, self.point, self.programs = home / "data", home / "point", home / "bin"
        self.log = home / "log"
        installed(self.data)
        self.point.mkdir()
        self.programs.mkdir()
        for name in USED:
            (self.programs / name).symlink_to(tool(name))
        self.program("davstore", f'exec {sys.executable} -m davstore "$@"')

    def program(self, name: str, line: str) -> None:
        (self.programs / name).write_text(f"#!{tool('sh')}\n{line}\n")
        (self.programs / name).chmod(0o755)

    def with_logger(self) -> None:
        """One that writes where we look."""
        self.program("logger", f'echo "$*" >>{self.log}')

    def mount(
        self, *options: str, source: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        words = [word for option in options for word in ("-o", option)]
        given = {"PATH": str(self.programs), "PYTHONPATH": str(ROOT), "DAVSTORE_MOUNT_LOG": str(self.log)}
        return subprocess.run(
            [tool("sh"), SCRIPT, str(source or self.data), str(self.point), *words],
            env=given | dict(environ or {}),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def options(self) -> set[str]:
        """Those of the mount, as the kernel tells."""
        fields = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        (row,) = [row for row in fields if row[4] == str(self.point)]
        return {*row[5].split(","), *row[-1].split(",")}

    def logged(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def unmount(self) -> None:
        subprocess.run([tool("fusermount3", "fuse3"), "-u", str(self.point)], check=True)


@pytest.fixture
def fstab(tmp_path: Path) -> Iterator[Fstab]:
    table = Fstab(tmp_path)
    yield table
    if mounts.is_mounted(table.point):
        table.unmount()


def test_the_tree_is_there_when_the_script_returns(fstab: Fstab):
    told = fstab.mount("rw,bucket=files,allow_other,attr_timeout=0,_netdev,x-systemd.automount")

    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    (fstab.point / "f").write_bytes(b"data")
    assert os.listdir(fstab.point) == ["f"]
    assert "allow_other" in fstab.options()


@pytest.mark.parametrize("option", ["ro", "noexec", "nosuid", "nodev"])
def test_restrictions_are_passed_on(fstab: Fstab, option: str):
    assert fstab.mount(f"bucket=files,{option}").returncode == 0

    assert option in fstab.options()


def test_nothing_is_executed_where_that_is_forbidden(fstab: Fstab):
    assert fstab.mount("bucket=files,noexec,nosuid,nodev").returncode == 0
    program = fstab.point / "program"
    shutil.copy(tool("true"), program)
    program.chmod(0o755)

    with pytest.raises(PermissionError):
        subprocess.run([program])


def test_a_bucket_that_is_missing_is_named(fstab: Fstab):
    told = fstab.mount("bucket=missing")

    assert told.returncode == FAILED
    assert "missing" in told.stderr
    assert "there is no such bucket" in told.stderr
    assert not mounts.is_mounted(fstab.point)


def test_an_option_that_davstore_does_not_have_is_named(fstab: Fstab):
    told = fstab.mount("buckt=files")

    assert (told.returncode, told.stderr) == (WRONG, "mount.davstore: buckt=files is no option of davstore\n")


def test_what_is_mounted_already_stays_as_it_is(fstab: Fstab):
    assert fstab.mount("bucket=files").returncode == 0

    told = fstab.mount("bucket=files")

    assert told.returncode == FAILED
    assert "already" in told.stderr
    assert len(mounts.points(fstab.point)) == 1


def test_a_broken_mount_is_taken_over(fstab: Fstab):
    with Mount(fstab.point, fstab.data, "--bucket", "files") as mount:
        mount.kill9()
        with refused(errno.ENOTCONN):
            os.listdir(fstab.point)

        assert fstab.mount("bucket=files").returncode == 0

        assert os.listdir(fstab.point) == []
        fstab.unmount()


@pytest.mark.parametrize("has_logger", [True, False], ids=["logger", "a file"])
def test_what_the_mount_says_later_is_logged(fstab: Fstab, has_logger: bool):
    if has_logger:
        fstab.with_logger()
    configuration = fstab.data / "davstore.toml"
    configuration.write_text(f'data = "{fstab.data}"\n[buckets.pictures]\ntypes = ["image/*"]\n')
    assert fstab.mount("bucket=pictures", source=configuration).returncode == 0

    with refused(errno.EINVAL):
        (fstab.point / "f.txt").write_bytes(b"no picture")
    fstab.unmount()

    line = "-t davstore-mount -- a draft of node" if has_logger else "a draft of node"
    limit = time.monotonic() + 30
    while not any(told.startswith(line) for told in fstab.logged().splitlines()):
        assert time.monotonic() < limit, fstab.logged()
        time.sleep(0.05)


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path):
    program = tmp_path / "davstore"
    program.symlink_to(tool("true"))
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/davstore/.venv/bin/davstore", str(program)))

    told = subprocess.run(
        [tool("systemd-analyze", "systemd"), "verify", "--man=no", unit], capture_output=True, text=True
    )

    assert (told.returncode, [line for line in told.stderr.splitlines() if unit.name in line]) == (0, [])


def test_the_units_command_is_one_of_ours():
    unit = ConfigParser()
    unit.read(UNIT)
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    commands: Any = typer.main.get_command(app)

    context = commands.commands[words[0]].make_context(words[0], words[1:])

    assert Path(program).name == "davstore"
    assert str(context.params["mountpoint"]) == "/srv/davstore"
    assert context.params["allow_other"] is True
