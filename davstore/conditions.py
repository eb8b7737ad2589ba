"""Conditional requests: RFC 9110 section 13 in the order of 13.2.2, and the `If` header of RFC 4918 section 10.4."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from wsgidav.dav_error import HTTP_BAD_GATEWAY, HTTP_BAD_REQUEST, DAVError

from core.errors import PreconditionFailed
from core.model import ANYTHING, SECOND, Expect, Instant, Look, Path

from .dates import parsed
from .request import Environ

READS = frozenset(("GET", "HEAD"))
UNCONDITIONAL = frozenset(("OPTIONS", "TRACE", "CONNECT"))
VALIDATORS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE")
NO_LOCK = "DAV:no-lock"
MOST_RESOURCES = 100
"""Resources of one If header: each is looked up by the transaction that commits."""

Resolve = Callable[[str], Path]

_entity_tag = re.compile(r'(W/)?"([^"]*)"|([^\s,"]+)')
_if_token = re.compile(r'\s*(?:([()])|(not)(?=[\s<[])|<([^<>]*)>|\[\s*(W/)?"([^"]*)"\s*\])', re.IGNORECASE)
_cut_off = re.compile(r"(?<=\))\s*\([^()]*\Z")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a list: the resource has this lock token, or this entity tag (None: a weak one, never equal)."""

    token: str | None = None
    etag: str | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class ConditionList:
    """What must hold together for the resource; None is the one in the request line."""

    resource: str | None
    tests: tuple[Condition, ...]


def expectation(environ: Environ, path: Path, resolve: Resolve, destination: Path | None = None) -> Expect:
    """What the request's headers demand of the tree; checked before the body and again in the commit.

    `resolve` gives the path of a URL in the header. A token in a list about `path` may be of the `destination`'s lock:
    clients that rename over a file which they have locked send it so. Raises DAVError 400.
    """
    method = environ["REQUEST_METHOD"]
    if method in UNCONDITIONAL:
        return ANYTHING
    header = environ.get("HTTP_IF")
    lists = () if header is None else _resolved(parse_if(header), path, resolve)
    has_validators = method not in READS and any(name in environ for name in VALIDATORS)
    if header is None and not has_validators:
        return ANYTHING

    def check(look: Look) -> None:
        if has_validators:
            _check_validators(environ, path, look)
        if header is not None and not _hold(lists, path, destination, look):
            raise PreconditionFailed(path, "the If header does not hold")

    tokens = frozenset(test.token for _, tests in lists for test in tests if test.token)
    return Expect(check, tokens - {NO_LOCK})


def evaluate(environ: Environ, etag: str, modified: Instant, exists: bool, method: str) -> int | None:
    """304, 412, or None to go on (RFC 9110, section 13.2.2). `etag` is the strong one, without quotes."""
    match, none_match = environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")
    if match is not None:
        if not _matches(match, etag, exists, strongly=True):
            return 412
    elif exists and _is_after(modified, environ.get("HTTP_IF_UNMODIFIED_SINCE")) is True:
        return 412
    if none_match is not None:
        if _matches(none_match, etag, exists, strongly=False):
            return 304 if method in READS else 412
    elif exists and method in READS and _is_after(modified, environ.get("HTTP_IF_MODIFIED_SINCE")) is False:
        return 304
    return None


def parse_if(header: str) -> tuple[ConditionList, ...]:
    """The lists of an `If` header, any of which must hold. Raises DAVError 400.

    A last list that was cut off holds nothing, and those before it count: litmus cuts its header after 199 bytes.
    """
    lists: list[ConditionList] = []
    resource: str | None = None
    is_tagged = False
    tokens = _tokens(_cut_off.sub("", header))
    for kind, value in tokens:
        if kind == "url" and not is_tagged and (resource is not None or not lists):
            resource, is_tagged = value, True
        elif kind == "(":
            lists.append(ConditionList(resource, tuple(_tests(_list(tokens)))))
            is_tagged = False
        else:
            raise _malformed()
    if is_tagged or not lists or not all(one.tests for one in lists):
        raise _malformed()
    if len({one.resource for one in lists}) > MOST_RESOURCES:
        raise DAVError(HTTP_BAD_REQUEST, f"the If header speaks of more than {MOST_RESOURCES} resources")
    return tuple(lists)


def _tokens(header: str) -> Iterator[tuple[str, str]]:
    at, text = 0, header.rstrip()
    while at < len(text):
        match = _if_token.match(text, at)
        if match is None:
            raise _malformed()
        at = match.end()
        bracket, negation, url, weak, etag = match.groups()
        if bracket or negation:
            yield (bracket or "not"), ""
        elif url is not None:
            yield "url", url.strip()
        else:
            yield ("weak" if weak else "etag"), etag


def _list(tokens: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for token in tokens:
        if token[0] == ")":
            return
        yield token
    raise _malformed()


def _tests(tokens: Iterator[tuple[str, str]]) -> Iterator[Condition]:
    negated = False
    for kind, value in tokens:
        if kind == "not" and not negated:
            negated = True
            continue
        match kind:
            case "url" if ":" in value:
                yield Condition(token=value, negated=negated)
            case "etag":
                yield Condition(etag=value, negated=negated)
            case "weak":
                yield Condition(negated=negated)
            case _:
                raise _malformed()
        negated = False
    if negated:
        raise _malformed()


def _malformed() -> DAVError:
    return DAVError(HTTP_BAD_REQUEST, "the If header is malformed")


Located = tuple[Path | None, tuple[Condition, ...]]


def _resolved(lists: tuple[ConditionList, ...], path: Path, resolve: Resolve) -> tuple[Located, ...]:
    return tuple((path if one.resource is None else _located(one.resource, resolve), one.tests) for one in lists)


def _located(url: str, resolve: Resolve) -> Path | None:
    """The path of a tagged list's resource; None where it is another server's, of which nothing holds."""
    try:
        return resolve(url)
    except DAVError as error:
        if error.value == HTTP_BAD_GATEWAY:
            return None
        raise


def _hold(lists: tuple[Located, ...], path: Path, destination: Path | None, look: Look) -> bool:
    others = {lock.token for lock in look.locks(destination)} if destination else set[str]()

    @cache
    def facts(resource: Path) -> tuple[str | None, set[str], set[str]]:
        node = look.node(resource)
        own = {lock.token for lock in look.locks(resource)}
        return node and node.etag, own, others if resource == path else set()

    return any(
        resource is not None and all(_passes(test, *facts(resource)) for test in tests) for resource, tests in lists
    )


def _passes(test: Condition, etag: str | None, tokens: set[str], others: set[str]) -> bool:
    if test.token is None:
        return (test.etag is not None and test.etag == etag) is not test.negated
    return test.token not in tokens if test.negated else test.token in tokens | others


def _check_validators(environ: Environ, path: Path, look: Look) -> None:
    node = look.node(path)
    etag, modified = (node.etag, node.modified) if node else ("", Instant(0))
    if evaluate(environ, etag, modified, node is not None, environ["REQUEST_METHOD"]):
        raise PreconditionFailed(path, "it is not in the state that the request expects")


def _matches(header: str, etag: str, exists: bool, *, strongly: bool) -> bool:
    """Whether a list of entity tags has this one. A tag whose quotes got lost still counts; it is what some send."""
    if not exists:
        return False
    if header.strip() == "*":
        return True
    tags = ((weak, quoted or bare) for weak, quoted, bare in _entity_tag.findall(header))
    return any(tag == etag and not (strongly and weak) for weak, tag in tags)


def _is_after(modified: Instant, header: str | None) -> bool | None:
    """Whether it was modified after the date, in whole seconds; None where there is no valid date."""
    date = parsed(header) if header else None
    return None if date is None else modified // SECOND > date // SECOND
