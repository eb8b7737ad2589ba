"""cadaver, neon's command line."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.clients.programs import run
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.tools import tool


def cadaver(server: DavServer, *commands: str, path: str = "/files/") -> str:
    """What it printed while it carried out the commands; it ends with success whatever failed."""
    with TemporaryDirectory() as home:
        secret = Path(home, ".netrc")
        secret.write_text(f'machine 127.0.0.1\nlogin {USER}\npassword "{PASSWORD}"\n')
        secret.chmod(0o600)
        script = "".join(f"{command}\n" for command in (*commands, "quit"))
        return run(tool("cadaver"), f"{server.url}{path}", stdin=script, environ={"HOME": home, "PAGER": "cat"})
