"""XML in and out: hardened parsing of bodies, escaping, and elements that stand for themselves.

What is sent is written as text, not built as trees: a listing of 10,000 members must cost neither time nor memory.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from threading import local
from typing import Any, Protocol, TypeVar

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it comes without stubs
from wsgidav.dav_error import HTTP_BAD_REQUEST, HTTP_REQUEST_ENTITY_TOO_LARGE, DAVError

from core.model import PropertyName

DAV = "DAV:"
BODY_LIMIT = 1 << 20
MOST_PROPERTIES = 1000
"""Properties that one request may name."""
MOST_NAMESPACE_TEXT = 16 << 10
"""Characters of the namespace declarations in force at one element, each of which may be written with it."""
CONTENT_TYPE = "application/xml; charset=utf-8"
DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What is no character of XML 1.0."""
SPECIAL = re.compile(f"[&<>]|{UNSENDABLE.pattern}")
MENTIONED = re.compile(r"(?<![^\s:<>&\"'/=])[^\s:<>&\"'/=]++(?=:)")
"""What may be a prefix in a text or in an attribute's value."""

T = TypeVar("T")


class Element(Protocol):
    """What is used of an lxml element."""

    @property
    def tag(self) -> str: ...

    @property
    def text(self) -> str | None: ...

    @property
    def nsmap(self) -> Mapping[str | None, str]: ...

    def get(self, name: str, /) -> str | None: ...

    def iterchildren(self, *names: str) -> Iterator["Element"]: ...

    def iterancestors(self) -> Iterator["Element"]: ...

    def getroottree(self) -> Any: ...


def document(body: bytes) -> Element | None:
    """The root element of a body; None where it is empty. Raises DAVError 400 for what is malformed or has a DTD."""
    if not body.strip():
        return None
    try:
        root = etree.fromstring(body, _parsers.own)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DAVError(HTTP_BAD_REQUEST, f"the body is not well-formed XML: {error}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise DAVError(HTTP_BAD_REQUEST, "a document type declaration is not accepted")
    return root


class _Parsers(local):
    """A parser for each thread: to make one takes as long as a small document."""

    def __init__(self) -> None:
        self.own = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            remove_comments=True,
            remove_pis=True,
            huge_tree=False,
        )


_parsers = _Parsers()


def name_of(element: Element) -> PropertyName:
    name = etree.QName(element)
    return PropertyName(name.namespace or "", name.localname)


def children(element: Element, *names: str) -> Iterator[Element]:
    """The child elements, of the given DAV: names where there are any."""
    return element.iterchildren(*(f"{{{DAV}}}{name}" for name in names)) if names else element.iterchildren("*")


def child(element: Element, name: str) -> Element | None:
    return next(children(element, name), None)


def few(properties: Iterator[T]) -> Iterator[T]:
    """The same. Raises DAVError 413 instead of the first that is too many for one request."""
    yield from islice(properties, MOST_PROPERTIES)
    if next(properties, None) is not None:
        raise DAVError(HTTP_REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_PROPERTIES} properties at once")


def standalone(element: Element) -> str:
    """The element as a text of its own, with the xml:lang and the namespaces it inherits (RFC 4918, section 4.3).

    Prefixes that stand in attribute values or texts keep their declarations; its tail is not part of it. Raises
    DAVError 413 where too many namespaces are declared around it.
    """
    if sum(len(prefix or "") + len(name) for prefix, name in element.nsmap.items()) > MOST_NAMESPACE_TEXT:
        raise DAVError(HTTP_REQUEST_ENTITY_TOO_LARGE, "too many namespaces are declared around one element")
    language = next(
        (each.get(LANG) for each in (element, *element.iterancestors()) if each.get(LANG) is not None), None
    )
    copy = etree.fromstring(etree.tostring(element, with_tail=False, encoding="utf-8"), _parsers.own)
    if language is not None:
        copy.set(LANG, language)
    written = etree.tostring(copy, encoding="unicode")
    mentioned = copy.nsmap.keys() & set(MENTIONED.findall(written))
    etree.cleanup_namespaces(copy, keep_ns_prefixes=list(mentioned))
    return etree.tostring(copy, encoding="unicode")


def text(value: str) -> str:
    """A value as character data; what XML cannot say becomes U+FFFD."""
    if not SPECIAL.search(value):
        return value
    return UNSENDABLE.sub("\ufffd", value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def attribute(value: str) -> str:
    """A value that can stand between quotation marks."""
    return text(value).replace('"', "&quot;")


def empty(name: PropertyName) -> str:
    """A property's element without content."""
    if name.namespace == DAV:
        return f"<D:{name.name}/>"
    if not name.namespace:
        return f"<{name.name}/>"
    return f'<x:{name.name} xmlns:x="{attribute(name.namespace)}"/>'
