"""`davstore serve` as a new user meets it, in processes of its own."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.parts.commands import Davstore, printed
from tests.parts.server import PASSWORD, ROOT, USER, DavServer, basic

Serve = Callable[..., DavServer]

NO_PASSWORD = {"DAVSTORE_ADMIN_PASSWORD": ""}
COMMAND = [sys.executable, "-m", "davstore"]

pytestmark = pytest.mark.slow


def told(server: DavServer) -> str:
    """What the server has said, once it is ready."""
    limit = time.monotonic() + 30
    while "Ctrl-C" not in server.log_text() and time.monotonic() < limit:
        time.sleep(0.02)
    return server.log_text()


def refusal(*options: str, data: Path) -> str:
    """The line in which a server refuses to start; nothing is made then."""
    command = [*COMMAND, "serve", "--data", str(data), *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    assert ended.stderr.startswith("davstore: ")
    assert ended.stderr.count("\n") == 1
    assert not data.exists()
    return ended.stderr


def answered(answers: Sequence[str], *words: str) -> tuple[int, str]:
    """The exit code and the screen of a command that asks on a terminal."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(ROOT)
        os.execv(COMMAND[0], [*COMMAND, *words])
    screen, asked, left = "", 0, list(answers)
    while select.select([terminal], [], [], 30)[0]:
        try:
            screen += os.read(terminal, 4096).decode()
        except OSError:
            break
        if left and screen.rstrip().endswith(":") and len(screen) > asked:
            asked = len(screen)
            time.sleep(0.2)
            os.write(terminal, f"{left.pop(0)}\n".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen


def test_the_first_start_makes_an_administrator_whose_password_is_told_once(serve: Serve):
    server = serve(environ=NO_PASSWORD)
    found = re.search(r"password: (\S+)", told(server))

    assert found
    assert server.request("GET", "/files/", password=found[1]).status == 200
    assert server.request("GET", "/files/", password="").status == 401
    assert server.log_text().count(found[1]) == 1
    server.terminate()
    assert found[1] not in told(serve(environ=NO_PASSWORD))


def test_a_password_that_was_given_is_not_told(serve: Serve):
    server = serve()

    assert PASSWORD not in told(server)
    assert server.request("GET", "/files/", user=USER, password=PASSWORD).status == 200


def test_the_first_start_tells_every_system_how_to_mount(serve: Serve):
    server = serve()
    lines = told(server).splitlines()
    place = f"127.0.0.1:{server.port}/"

    assert {
        f"    gio mount dav://{place}",
        f"    dolphin webdav://admin@{place}",
        f"    mkdir -p ~/davstore && mount_webdav -i http://{place} ~/davstore",
        f"    net use Z: http://{place} * /user:admin",
        f"    sudo mount -t davfs http://{place} /mnt",
        f"    curl --user admin --upload-file FILE http://{place}files/",
    } <= set(lines)
    assert any(line.startswith("    rclone copy ") and f"http://{place}" in line for line in lines)


def test_the_curl_line_stores_a_file(serve: Serve, tmp_path: Path):
    server = serve()
    line = next(line for line in told(server).splitlines() if line.startswith("    curl "))
    (tmp_path / "FILE").write_text("hello")

    command = line.replace("--user admin", f"--user 'admin:{PASSWORD}'")
    subprocess.run(["sh", "-c", f"{command} --fail --silent --show-error"], cwd=tmp_path, check=True)

    assert server.request("GET", "/files/FILE").body == b"hello"


def test_later_starts_say_one_short_thing(serve: Serve):
    serve().terminate()

    server = serve()

    assert len(told(server).splitlines()) == 2
    assert server.url in server.log_text()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_port_0_takes_a_free_port_and_prints_it_and_the_end_is_exit_code_0(tmp_path: Path, end: signal.Signals):
    command = [*COMMAND, "serve", "--data", str(tmp_path / "data"), "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as server:
        assert server.stdout
        found = next(filter(None, (re.search(r"http://127\.0\.0\.1:(\d+)/", line) for line in server.stdout)))
        socket.create_connection(("127.0.0.1", int(found[1]))).close()
        os.killpg(server.pid, end)
        assert server.wait(30) == 0


def test_a_taken_port_is_named_with_the_remedy(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refusal("--port", port, data=tmp_path / "data")

    assert f"127.0.0.1:{port}" in line
    assert "Address already in use" in line
    assert "--port" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_others_are_let_in_only_by_those_who_know(tmp_path: Path, host: str):
    line = refusal("--host", host, "--port", "0", data=tmp_path / "data")

    assert "TLS" in line
    assert "--i-know" in line


def test_everybody_may_write_only_if_that_is_meant(serve: Serve, tmp_path: Path):
    line = refusal("--anonymous", "write", "--port", "0", data=tmp_path / "data")

    server = serve("--anonymous", "write", "--i-know")

    assert "--i-know" in line
    assert server.request("PUT", "/files/a", b"hello", user=None).status == 201


def test_an_address_that_is_not_of_this_machine_is_refused(tmp_path: Path):
    for host in "192.0.2.1", "no.such.host.invalid":
        line = refusal("--host", host, "--port", "0", data=tmp_path / "data")
        assert host in line
        assert "--host" in line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_commands_work_while_the_server_runs(serve: Serve, workers: str):
    server = serve("--workers", workers)
    davstore = Davstore(server.data)
    server.request("PUT", "/files/a", b"hello")
    server.request("DELETE", "/files/a")

    assert davstore("user", "add", "ann", env={"DAVSTORE_PASSWORD": "pw"}).exit_code == 0
    assert server.request("GET", "/files/", user="ann", password="pw").status == 200
    [entry] = printed(davstore("trash", "ls", "--json"))
    assert davstore("trash", "restore", entry["uid"]).exit_code == 0
    assert server.request("GET", "/files/a").body == b"hello"
    assert davstore("bucket", "create", "media").exit_code == 0
    assert server.request("PUT", "/media/b", b"hello").status == 201
    assert printed(davstore("fsck", "--deep", "--json"))["problems"] == []


def test_credentials_are_never_logged(serve: Serve):
    server = serve()

    server.request("GET", "/files/", password="hunter2")
    server.request("GET", "/files/", user="hunter2", password="hunter2")

    assert "hunter2" not in told(server)
    assert basic(USER, "hunter2") not in server.log_text()


def test_a_terminal_is_asked_for_the_password_until_both_are_the_same(tmp_path: Path):
    code, screen = answered(["pw-1", "pw-2", "pw-3", "pw-3"], "user", "add", "ann", "--data", str(tmp_path / "data"))

    assert code == 0
    assert "do not match" in screen
    assert "pw-" not in screen


def test_a_terminal_is_asked_before_a_user_is_removed(tmp_path: Path):
    davstore = Davstore(tmp_path / "data")
    davstore("user", "add", "ann", "--admin", env={"DAVSTORE_PASSWORD": "pw"})
    davstore("user", "add", "bob", env={"DAVSTORE_PASSWORD": "pw"})

    kept, _ = answered(["n"], "user", "rm", "bob", "--data", str(tmp_path / "data"))
    users = [user["name"] for user in printed(davstore("user", "ls", "--json"))]
    removed, _ = answered(["y"], "user", "rm", "bob", "--data", str(tmp_path / "data"))

    assert (kept, users, removed) == (1, ["ann", "bob"], 0)
    assert [user["name"] for user in printed(davstore("user", "ls", "--json"))] == ["ann"]
