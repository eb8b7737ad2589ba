"""multipart/form-data (RFC 7578) as it comes: fields in memory, the one file in a draft, nothing whole in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData
from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError

from core.staging import Draft

from ..request import Request

FORM = "multipart/form-data"
FIELD = 4 << 10
"""Bytes of a field."""
PIECE, HEADS = 64 << 10, 128 << 10
"""Bytes that are parsed at once, and at most kept of what is not understood yet."""
PARTS = 32
AROUND = 1 << 20
"""Bytes that a form may have beside its file; some more are taken, and then the file itself is measured."""
FILE = "file"


@dataclass(slots=True)
class Form:
    fields: dict[str, str]
    filename: str = ""
    media_type: str = ""


def is_form(request: Request) -> bool:
    return parse_options_header(request.header("Content-Type"))[0].lower() == FORM


def read(request: Request, stage: Callable[[], Draft]) -> tuple[Form, Draft]:
    """The fields, and the draft of the part `file`, which the caller gives back. Raises DAVError 400, TooLarge."""
    form, draft = Form({}), stage()
    try:
        _fill(form, draft, request)
    except BaseException:
        draft.discard()
        raise
    return form, draft


def _fill(form: Form, draft: Draft, request: Request) -> None:
    name, value, has_file = "", bytearray(), False
    for event in _events(request):
        if isinstance(event, File):
            if event.name != FILE or has_file:
                raise DAVError(HTTP_BAD_REQUEST, f"a form has one file, its part is named {FILE}")
            name, has_file = FILE, True
            form.filename, form.media_type = event.filename or "", _type(event.headers)
        elif isinstance(event, Field):
            if event.name in form.fields or event.name == FILE:
                raise DAVError(HTTP_BAD_REQUEST, f"{event.name} stands twice, or is no file")
            name, value = event.name, bytearray()
        elif isinstance(event, Data) and name == FILE:
            draft.write(event.data)
        elif isinstance(event, Data):
            value += event.data
            if len(value) > FIELD:
                raise DAVError(HTTP_BAD_REQUEST, f"{name} has more than {FIELD} bytes")
            form.fields[name] = value.decode(errors="replace")
    if not has_file:
        raise DAVError(HTTP_BAD_REQUEST, f"the form has no part {FILE}")


def _type(headers: Headers) -> str:
    return headers.get("Content-Type", "")


def _events(request: Request) -> Iterator[Event]:
    boundary = parse_options_header(request.header("Content-Type"))[1].get("boundary", "")
    if not boundary:
        raise DAVError(HTTP_BAD_REQUEST, "the form's Content-Type has no boundary")
    decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), HEADS, max_parts=PARTS)
    try:
        for block in request.blocks():
            for start in range(0, len(block), PIECE):
                decoder.receive_data(block[start : start + PIECE])
                yield from _ready(decoder)
        decoder.receive_data(None)
        yield from _ready(decoder)
    except RequestEntityTooLarge:
        raise DAVError(HTTP_BAD_REQUEST, "the form has too many parts, or too large fields") from None
    except ValueError as error:
        raise DAVError(HTTP_BAD_REQUEST, f"the form is malformed: {error}") from None


def _ready(decoder: MultipartDecoder) -> Iterator[Event]:
    while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
        yield event
