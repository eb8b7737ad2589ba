"""A throw-away PostgreSQL cluster from Debian's package."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.parts import processes
from tests.parts.tools import tool

if TYPE_CHECKING:
    from typing import LiteralString

PATIENCE = 30.0


class Cluster:
    """Runs as user postgres, on a port of its own; it sorts as ICU's English does, so that no query relies on bytes."""

    def __init__(self) -> None:
        self.port = processes.free_port()
        self.root = Path(tempfile.mkdtemp(prefix="davstore-postgresql-"))
        self._as_user = _as_user(self.root)

    def __enter__(self) -> Self:
        self._make()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(PATIENCE)
        processes.lasting.discard(self._process.pid)
        shutil.rmtree(self.root)

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        """At once and in order, as an administrator would; `start` brings it back."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(PATIENCE)
        processes.lasting.discard(self._process.pid)

    def kill9(self) -> None:
        """Without a word, all of it; `start` lets it recover."""
        pids = processes.tree(self._process.pid)
        processes.kill(pids)
        self._process.wait(PATIENCE)
        processes.lasting.discard(self._process.pid)
        assert processes.ended(pids)

    @contextmanager
    def standby(self, *, synchronous: bool) -> "Iterator[Cluster]":
        """Another server that follows this one, until it is promoted or this one ends; it has what was committed here
        the moment that the client hears of it, where it is `synchronous`."""
        standby = Cluster()
        copy = [tool("pg_basebackup", "postgresql"), "-D", str(standby.root / "data"), "-h", "127.0.0.1", "-R"]
        options = ["-p", str(self.port), "-U", "postgres", "--checkpoint=fast", "--no-sync", "-X", "stream"]
        made = subprocess.run(
            [*standby._as_user, *copy, *options], cwd=standby.root, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
        standby.start()
        try:
            if synchronous:
                self._execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                self._execute("SELECT pg_reload_conf()")
                self._wait_for("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1)
            yield standby
        finally:
            standby.__exit__(None, None, None)

    def promote(self) -> None:
        """From now on it takes writes."""
        self._execute("SELECT pg_promote()")

    def _wait_for(self, statement: "LiteralString", value: object) -> None:
        limit = time.monotonic() + PATIENCE
        with self._connect() as connection:
            while connection.execute(statement).fetchone() != (value,):
                assert time.monotonic() < limit, (self.root / "log").read_text()
                time.sleep(0.02)

    def create(self, template: str = "template0") -> str:
        """A fresh database's name; `template` is that of one to which nobody is connected."""
        name = f"t{uuid4().hex}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def drop(self, name: str) -> None:
        self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _execute(self, statement: str, *names: str) -> None:
        with self._connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # pyright: ignore[reportArgumentType] - our own literals

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True)

    def _make(self) -> None:
        initdb = [tool("initdb", "postgresql"), "--pgdata", str(self.root / "data"), "--no-sync"]
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        collation = ["--locale-provider=icu", "--icu-locale=en-US"]
        made = subprocess.run(
            [*self._as_user, *initdb, *options, *collation], cwd=self.root, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stdout + made.stderr

    def start(self) -> None:
        server = [tool("postgres", "postgresql"), "-D", str(self.root / "data"), "-p", str(self.port)]
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"]
        with (self.root / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._as_user, *server, *(word for option in options for word in ("-c", option))],
                cwd=self.root,
                stdout=log,
                stderr=log,
            )
        processes.lasting.add(self._process.pid)
        self._wait()

    def _wait(self) -> None:
        limit = time.monotonic() + PATIENCE
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError:
                is_hopeless = self._process.poll() is not None or time.monotonic() > limit
                assert not is_hopeless, (self.root / "log").read_text()
                time.sleep(0.02)


def _as_user(root: Path) -> list[str]:
    """PostgreSQL refuses to run as root; it ends with us, however we end."""
    setpriv = [tool("setpriv", "util-linux"), "--pdeathsig", "QUIT"]
    if os.geteuid() != 0:
        return setpriv
    tool("postgres", "postgresql")
    user = pwd.getpwnam("postgres")
    os.chown(root, user.pw_uid, user.pw_gid)
    return [*setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]
