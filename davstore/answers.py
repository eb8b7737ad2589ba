"""Answers that hold until something in the database changes: our own server gives them to the same request again.

One holds only where its handler says that it follows from the request and the database alone, and only while the
database's version is the one that it had before the answer was made. So nothing is shown that was changed, taken back
or forbidden since. Without a version none does.
"""

from collections.abc import Callable

from core.errors import Refusal

from .repeats import KEEP
from .request import Environ, Response

LASTING = "Basic "
"""Credentials that no time ends, unlike tokens."""


def answered(environ: Environ, make: Callable[[Environ], Response], version: Callable[[], int | None]) -> Response:
    """The response that `make` makes; the server has been told how long it holds. `version` is the database's."""
    keep = environ.get(KEEP)
    if keep is None or not environ.get("HTTP_AUTHORIZATION", LASTING).startswith(LASTING):
        return make(environ)
    before = version()
    response = make(environ)
    if before is not None and response.repeatable:
        keep(lambda: _is_still(version, before))
    return response


def _is_still(version: Callable[[], int | None], before: int) -> bool:
    """A database that cannot be asked says so to whoever makes the answer anew."""
    try:
        return version() == before
    except Refusal:
        return False
