"""`davstore.wsgi:application`, for other WSGI servers, configured by the environment (DAVSTORE_CONFIG and the others).

The store is opened by the first request, so that a server which forks its workers shares no connection among them.
"""

import threading
from collections.abc import Iterable
from functools import cache

from core import store
from core.settings import Settings

from . import app
from .request import Environ

_opening = threading.Lock()


def application(environ: Environ, start_response: app.StartResponse) -> Iterable[bytes]:
    with _opening:
        opened = _application()
    return opened(environ, start_response)


@cache
def _application() -> app.Application:
    settings = Settings.load()
    return app.application(store.open(settings), settings)
