"""The servers that `python -m bench peers` compares, each with its usual settings on a folder and a port of its own."""

import compileall
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import usage
from tests.parts.processes import free_port

PASSWORD = "bench"
MODULES = Path("/usr/lib/apache2/modules")
NGINX_DAV = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")


@dataclass(frozen=True)
class Server:
    name: str
    durability: str
    command: Callable[[Path, int], list[str]]
    root: str = "/"
    user: str = ""
    environ: tuple[tuple[str, str], ...] = ()


class Running:
    """A server's processes."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.port, self.folder = server, free_port(), folder
        (folder / "data").mkdir(parents=True, exist_ok=True)
        command = server.command(folder, self.port)
        self._log = (folder / "log").open("w")
        environ = os.environ | dict(server.environ)
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, env=environ, cwd=_cwd(server, folder)
        )

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def cpu(self) -> float:
        """Seconds that its processes have had."""
        return usage.cpu(usage.family(self._process.pid))

    def memory(self) -> int:
        """MiB of all its processes; pages that they share count once."""
        return round(usage.memory(usage.family(self._process.pid)))

    def peak(self) -> int:
        """MiB, the sum of the most that each process had at once since it began; shared pages count in each."""
        return round(usage.peak(usage.family(self._process.pid)))

    def disk(self) -> int:
        """MiB of blocks below its folder."""
        told = subprocess.run(["du", "-sk", str(self.folder)], capture_output=True, text=True, check=True)
        return int(told.stdout.split()[0]) >> 10


def found() -> list[Server]:
    """davstore first, then every peer that is installed."""
    _compile()
    given = (("DAVSTORE_ADMIN_PASSWORD", PASSWORD),)
    lazy = (*given, ("DAVSTORE_DATABASE__DURABILITY", "os"))
    servers = [
        Server("davstore", "each write on disk", _open_davstore, "/files/", environ=given),
        Server("davstore, Basic", "each write on disk", _davstore, "/files/", "admin", given),
        Server("davstore, all CPUs", "each write on disk", _davstore_on_all, "/files/", environ=given),
        Server("davstore, all CPUs, os", "left to the system", _davstore_on_all, "/files/", environ=lazy),
    ]
    for name, program, command in (
        ("Apache", "apache2", _apache),
        ("nginx", "nginx", _nginx),
        ("rclone", "rclone", _rclone),
        ("SeaweedFS", "weed", _weed),
        ("JuiceFS", "juicefs", _juicefs),
        ("WsgiDAV", "wsgidav", _wsgidav),
        ("copyparty", "copyparty", _copyparty),
    ):
        if _program(program) and (program != "nginx" or NGINX_DAV.exists()):
            servers.append(Server(name, "left to the system", command))
    return servers


def _compile() -> None:
    """As an installer would: the peers are installed, and a checkout may be compiled anew at each start."""
    for package in ("core", "davstore"):
        compileall.compile_dir(Path(__file__).parents[1] / package, quiet=1)


def _davstore(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "davstore", "serve", "--data", str(folder / "data"), "--port", str(port)]


def _open_davstore(folder: Path, port: int) -> list[str]:
    """As the others are: nobody needs a password."""
    return [*_davstore(folder, port), "--anonymous", "write", "--i-know"]


def _davstore_on_all(folder: Path, port: int) -> list[str]:
    """A worker for each CPU; the default is one."""
    return [*_open_davstore(folder, port), "--workers", str(os.cpu_count())]


def _apache(folder: Path, port: int) -> list[str]:
    locks = folder / "locks"
    locks.mkdir()
    user = ""
    if os.geteuid() == 0:
        user = "User www-data\nGroup www-data\n"
        for each in (locks, folder / "data"):
            shutil.chown(each, "www-data", "www-data")
    names = ("mpm_event", "authz_core", "mime", "dir", "dav", "dav_fs")
    load = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
    settings = folder / "apache.conf"
    settings.write_text(
        f"{load}\n{user}ServerName 127.0.0.1\nServerRoot {folder}\nListen 127.0.0.1:{port}\nPidFile {folder}/pid\n"
        f"DefaultRuntimeDir {folder}\nMutex file:{locks} default\nErrorLog {folder}/error.log\n"
        "TypesConfig /etc/mime.types\nMaxKeepAliveRequests 0\nLimitXMLRequestBody 0\nLimitRequestBody 0\n"
        f"DAVLockDB {locks}/db\nDocumentRoot {folder}/data\n"
        f"<Directory {folder}/data>\nRequire all granted\nAllowOverride None\nDav On\n</Directory>\n"
    )
    return [_program("apache2"), "-f", str(settings), "-DFOREGROUND"]


def _nginx(folder: Path, port: int) -> list[str]:
    settings = folder / "nginx.conf"
    temporary = "".join(
        f"{what}_temp_path {folder}/{what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    settings.write_text(
        f"load_module {NGINX_DAV};\n{'user root;' if os.geteuid() == 0 else ''}\ndaemon off; worker_processes auto;\n"
        f"pid {folder}/pid; error_log {folder}/error.log;\nevents {{ worker_connections 1024; }}\nhttp {{\n"
        f"access_log off; sendfile on; keepalive_requests 100000000; client_max_body_size 0; {temporary}\n"
        f"dav_ext_lock_zone zone=locks:10m;\nserver {{ listen 127.0.0.1:{port}; location / {{ root {folder}/data;\n"
        "dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;\n"
        "dav_ext_lock zone=locks; create_full_put_path on; } } }\n"
    )
    return [_program("nginx"), "-c", str(settings), "-e", f"{folder}/error.log"]


def _rclone(folder: Path, port: int) -> list[str]:
    (folder / "rclone.conf").touch()
    address = ["--addr", f"127.0.0.1:{port}", "--config", str(folder / "rclone.conf")]
    return [_program("rclone"), "serve", "webdav", str(folder / "data"), *address, "--cache-dir", str(folder / "cache")]


def _weed(folder: Path, port: int) -> list[str]:
    ports = {
        what: free_port() for what in ("master", "master.port.grpc", "volume", "volume.port.grpc", "filer", "grpc")
    }
    listening = [f"-{what}.port={ports[what]}" for what in ("master", "volume", "filer")]
    listening += [f"-{what}={ports[what]}" for what in ("master.port.grpc", "volume.port.grpc")]
    listening += [f"-filer.port.grpc={ports['grpc']}", f"-filer.localSocket={folder}/filer.sock"]
    own = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-volume.preStopSeconds=0"]
    dav = ["-filer", "-webdav", f"-webdav.port={port}", f"-webdav.cacheDir={folder}"]
    return [_program("weed"), "server", f"-dir={folder / 'data'}", *own, *listening, *dav]


def _juicefs(folder: Path, port: int) -> list[str]:
    program, names = _program("juicefs"), f"sqlite3://{folder}/names.db"
    store = ["--storage", "file", "--bucket", f"{folder / 'data'}/"]
    subprocess.run([program, "format", names, "bench", *store], check=True, capture_output=True)
    own = ["--no-usage-report", "--metrics", f"127.0.0.1:{free_port()}", "--log", f"{folder}/juicefs.log"]
    return [program, "webdav", names, f"127.0.0.1:{port}", *own, "--cache-dir", f"{folder}/cache"]


def _copyparty(folder: Path, port: int) -> list[str]:
    settings = ["env", f"HOME={folder}", f"XDG_CONFIG_HOME={folder}", _program("copyparty"), "-q", "--no-crt"]
    return [
        *settings,
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-v",
        f"{folder / 'data'}::A",
        "--daw",
        "--hist",
        f"{folder}/h",
    ]


def _wsgidav(folder: Path, port: int) -> list[str]:
    settings = folder / "wsgidav.json"
    settings.write_text(
        json.dumps(
            {
                "server": "cheroot",
                "host": "127.0.0.1",
                "port": port,
                "provider_mapping": {"/": str(folder / "data")},
                "simple_dc": {"user_mapping": {"*": True}},
                "property_manager": True,
                "lock_storage": True,
                "verbose": 1,
                "logging": {"enable": False},
            }
        )
    )
    return [_program("wsgidav"), "--config", str(settings)]


def _cwd(server: Server, folder: Path) -> Path:
    return Path.cwd() if server.name.startswith("davstore") else folder


def _program(name: str) -> str:
    """Beside this interpreter, or on the path."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"))
    return shutil.which(name, path=places) or ""


def wait(running: Running, is_up: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and running.is_alive:
        if is_up():
            return
        time.sleep(0.005)
    raise SystemExit(f"{running.server.name} does not answer")
