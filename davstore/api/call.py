"""One call of the API: who makes it, with which parameters and which body."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError
from wsgidav.dav_error import (
    HTTP_BAD_REQUEST,
    HTTP_MEDIATYPE_NOT_SUPPORTED,
    HTTP_PRECONDITION_FAILED,
    DAVError,
)

from core.errors import PreconditionFailed
from core.model import FOREVER, Caller, Instant, instant
from core.settings import Settings
from core.store import Store

from .. import conditions
from ..request import Headers, Request, Response

JSON = "application/json"
LARGEST = 1 << 20
"""Bytes of a JSON body."""
CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
FILENAME = r"^[^/\x00-\x1f\x7f\ufffe\uffff]+$"
ID = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,34}[A-Za-z0-9])?$"
MEDIA_TYPE = r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$"
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
PLAIN = r"^[^\x00-\x1f\x7f]*$"

SAID = {
    FILENAME: "a filename has no slash and no control character",
    ID: "an id has 1 to 36 letters, digits and dashes, and a dash is neither first nor last",
    MEDIA_TYPE: "write a media type as in image/png",
    PLAIN: "there are control characters in it",
}
"""What is wrong with a text that does not match, in words."""

T = TypeVar("T", bound=BaseModel)


def _storable(text: str) -> str:
    if text in {".", ".."}:
        raise ValueError("no file can have this name")
    return text


def _instant(text: object) -> int:
    if not isinstance(text, str) or not TIME.fullmatch(text):
        raise ValueError("write a time as in 2026-01-31T12:00:00Z")
    return min(max(instant(datetime.fromisoformat(text.upper())), 0), FOREVER)


Filename = Annotated[str, StringConstraints(pattern=FILENAME, min_length=1, max_length=250), AfterValidator(_storable)]
Id = Annotated[str, StringConstraints(pattern=ID)]
MediaType = Annotated[str, StringConstraints(pattern=MEDIA_TYPE)]
Time = Annotated[int, BeforeValidator(_instant)]
"""Nanoseconds; as RFC 3339 has it, section 5.6."""
Text = Annotated[str, StringConstraints(pattern=PLAIN, max_length=250)]


class Model(BaseModel):
    """Takes what it names, and nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Call:
    store: Store
    settings: Settings
    caller: Caller
    request: Request

    def query(self, model: type[T]) -> T:
        """The parameters of the URL. Raises DAVError 400."""
        try:
            pairs = parse_qsl(self.request.environ.get("QUERY_STRING", ""), keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            raise DAVError(HTTP_BAD_REQUEST, "a parameter is not UTF-8") from None
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            raise DAVError(HTTP_BAD_REQUEST, "a parameter stands twice")
        return _valid(model, dict(pairs), strict=False)

    def json(self, model: type[T]) -> T:
        """The body. Raises DAVError 400, 413 and 415."""
        declared = self.request.header("Content-Type").partition(";")[0].strip().lower()
        if declared != JSON:
            raise DAVError(HTTP_MEDIATYPE_NOT_SUPPORTED, f"the body should be {JSON}")
        try:
            given = json.loads(self.request.body(LARGEST))
        except (ValueError, RecursionError):
            raise DAVError(HTTP_BAD_REQUEST, "the body is no JSON") from None
        return _valid(model, given, strict=True)

    def shown(self, members: Any) -> Response:
        """What is there, with its entity tag, or that the client has it already. Raises PreconditionFailed."""
        response, tag = answer(200, members), _tag(members)
        headers = [("Cache-Control", "private, no-cache"), ("ETag", f'"{tag}"')]
        if self._evaluated(tag) is not None:
            return Response(304, headers)
        own = [header for header in response.headers if header[0] != "Cache-Control"]
        return Response(200, [*own, *headers], response.body)

    def check(self, members: Any) -> None:
        """What is there is what the request expects (RFC 9110, section 13). Raises PreconditionFailed."""
        self._evaluated(_tag(members))

    def _evaluated(self, tag: str) -> int | None:
        """304, or None. What the API tells has no date, so that dates say nothing of it."""
        given = {name: self.request.environ[name] for name in CONDITIONS if name in self.request.environ}
        status = conditions.evaluate(given, tag, Instant(0), exists=True, method=self.request.method)
        if status == HTTP_PRECONDITION_FAILED:
            raise PreconditionFailed("", "it is not in the state that the request expects")
        return status

    def form(self, model: type[T], fields: Mapping[str, str]) -> T:
        """The fields of a form. Raises DAVError 400."""
        return _valid(model, dict(fields), strict=False)


def _tag(members: Any) -> str:
    """Of what the API tells, without quotes."""
    return sha256(json.dumps(members).encode()).hexdigest()


def changed(members: Any) -> Response:
    """What a change made of it, with its entity tag."""
    return answer(200, members, [("ETag", f'"{_tag(members)}"')])


def answer(status: int, members: Any, headers: Headers | None = None) -> Response:
    """A JSON answer; nobody keeps it, since it may tell of what another caller must not see."""
    text = json.dumps(members, ensure_ascii=False)
    about: Headers = [("Content-Type", JSON), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    return Response(status, [*about, *(headers or ())], (text.encode(errors="replace"),))


def _valid(model: type[T], given: Any, *, strict: bool) -> T:
    try:
        return model.model_validate(given, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = SAID.get(first.get("ctx", {}).get("pattern", ""), str(first["msg"]).removeprefix("Value error, "))
        raise DAVError(HTTP_BAD_REQUEST, f"{where}: {said}" if where else said) from None
