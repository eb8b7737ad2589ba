"""Extended attributes `user.*` are dead properties, and dead properties are extended attributes.

`user.color` is the property `color` in namespace `urn:davstore:xattr`, as text, or in base64 where it is none; what a
WebDAV client set in another namespace is `user.{namespace}name`, and its value the element's text.
"""

import errno
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from core.model import PropertyChange, PropertyName

PREFIX = b"user."
NAMESPACE = "urn:davstore:xattr"
CREATE, REPLACE = 1, 2
_element_name = re.compile(r"[A-Za-z_][\w.-]*")
_hidden = re.compile(r"[^\w.-]|_x(?=[0-9a-f]{4,6}_)|^[^A-Za-z_]")
_shown = re.compile(r"_x([0-9a-f]{4,6})_")
_binary = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_foreign = re.compile(r"\{(.*)\}(.+)", re.DOTALL)

Properties = Mapping[PropertyName, str]


def names(properties: Properties) -> list[bytes]:
    return sorted(_attribute(name) for name in properties)


def value(properties: Properties, attribute: bytes) -> bytes:
    """Raises ENODATA."""
    xml = properties.get(_property(attribute))
    if xml is None:
        raise _refused(errno.ENODATA)
    element = ElementTree.fromstring(xml)
    text = "".join(element.itertext())
    return b64decode(text) if element.get("encoding") == "base64" else text.encode()


def setting(properties: Properties, attribute: bytes, new: bytes, flags: int) -> PropertyChange:
    """Raises EEXIST and ENODATA as `flags` demand."""
    name = _property(attribute)
    if flags & CREATE and name in properties:
        raise _refused(errno.EEXIST)
    if flags & REPLACE and name not in properties:
        raise _refused(errno.ENODATA)
    return PropertyChange(name, _xml(name, new))


def removal(properties: Properties, attribute: bytes) -> PropertyChange:
    """Raises ENODATA."""
    name = _property(attribute)
    if name not in properties:
        raise _refused(errno.ENODATA)
    return PropertyChange(name, None)


def _property(attribute: bytes) -> PropertyName:
    """Raises EOPNOTSUPP for attributes that are not the user's."""
    if not attribute.startswith(PREFIX):
        raise _refused(errno.EOPNOTSUPP)
    said = attribute.removeprefix(PREFIX).decode()
    foreign = _foreign.fullmatch(said)
    if foreign and _element_name.fullmatch(foreign[2]):
        return PropertyName(foreign[1], foreign[2])
    return PropertyName(NAMESPACE, _hidden.sub(_code, said))


def _attribute(name: PropertyName) -> bytes:
    if name.namespace == NAMESPACE:
        return PREFIX + _shown.sub(lambda match: chr(int(match[1], 16)), name.name).encode()
    return PREFIX + f"{{{name.namespace}}}{name.name}".encode()


def _code(match: re.Match[str]) -> str:
    """A character that an element's name cannot have; `_x` that would look like one."""
    return f"_x{ord(match[0][0]):04x}_" + match[0][1:]


def _xml(name: PropertyName, new: bytes) -> str:
    text, mark = _text(new)
    return f"<x:{name.name} xmlns:x={quoteattr(name.namespace)}{mark}>{escape(text)}</x:{name.name}>"


def _text(new: bytes) -> tuple[str, str]:
    try:
        text = new.decode()
    except UnicodeDecodeError:
        text = ""
    if (new and not text) or _binary.search(text):
        return b64encode(new).decode(), ' encoding="base64"'
    return text, ""


def _refused(code: int) -> OSError:
    return OSError(code, os.strerror(code))
