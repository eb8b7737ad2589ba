"""Wrong settings, said in lines that name the place, the key and the remedy."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from . import toml
from .quantities import write_duration
from .sources import Key, SettingsError, Source, dotted

REASONS = {
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "string_type": "should be text, in quotes",
    "path_type": "should be a path, in quotes",
    "string_too_short": "must not be empty",
    "missing": "is missing",
    "tuple_type": "should be a list",
    "ip_any_network": "should be a network such as 10.0.0.0/8, or an address",
}
"""What is said in place of pydantic's words, which speak to programmers."""

_password = re.compile(r"(://[^:/@]*:).*(?=@)|([?&]password=)[^&]*")


def masked(text: str) -> str:
    """The text with the passwords of URLs in it hidden."""
    return _password.sub(r"\1\2***", text)


def explained(error: ValidationError, model: type[BaseModel], sources: Sequence[Source]) -> SettingsError:
    """The error in one line for each setting; `sources` are those that were read, the strongest first."""
    lines = [line for details in error.errors() for line in _lines(details, model, sources)]
    return SettingsError(list(dict.fromkeys(lines)))


def _lines(details: ErrorDetails, model: type[BaseModel], sources: Sequence[Source]) -> Iterator[str]:
    where = _where(details)
    key = _key(where)
    source = next((source for source in sources if key and source.says(key)), sources[-1])
    if not key:
        yield from (source.place + line for line in _reason(details).splitlines())
    elif details["type"] == "extra_forbidden":
        yield f"{source.place}{source.spell(key)} is not a setting; {_suggestion(where, model, source)}"
    else:
        yield f"{source.place}{source.spell(key)}{_given(details)}: {_reason(details)}"


def _where(details: ErrorDetails) -> Key:
    """Without the index of a list's item and pydantic's mark of a table's name."""
    names = [name for name in details["loc"] if name != "[key]"]
    return tuple(name for name in names if isinstance(name, str))


def _key(where: Key) -> Key:
    """Without the type that pydantic puts behind a storage's name."""
    return where[:2] + where[3:] if where[:1] == ("storages",) else where


def _given(details: ErrorDetails) -> str:
    given: object = details["input"]
    if details["loc"][-1] == "[key]" or isinstance(given, (Mapping, BaseModel)):
        return ""
    return f" = {masked(toml.value(write_duration(given) if isinstance(given, timedelta) else given))}"


def _reason(details: ErrorDetails) -> str:
    if details["type"] in {"model_type", "dict_type"}:
        section = f"[{dotted(_key(_where(details)))}]"
        return f"is a section; write {f'[{section}]' if isinstance(details['loc'][-1], int) else section}"
    return REASONS.get(details["type"]) or details["msg"].removeprefix("Value error, ").removeprefix("Input ")


def _suggestion(where: Key, model: type[BaseModel], source: Source) -> str:
    siblings, key = _members(model, where[:-1]), _key(where)
    close = difflib.get_close_matches(key[-1], siblings, 1)
    if close:
        return f"did you mean {source.spell((*key[:-1], close[0]))}?"
    elsewhere = [found for found in _known(model) if found[-1] == key[-1]]
    if elsewhere:
        return f"did you mean {source.spell(elsewhere[0])}?"
    return "`davstore config show` lists all settings"


def _members(model: type[BaseModel], key: Key) -> dict[str, object]:
    """The names that may stand below a key, with their types; none below a plain setting."""
    names: dict[str, object] = {name: field.annotation for name, field in model.model_fields.items()}
    if not key:
        return names
    found = names.get(key[0])
    rest = key[1:]
    if get_args(found) and rest:
        found, rest = get_args(found)[-1], rest[1:]
    if get_args(found) and rest:
        found, rest = _tagged(found, rest[0]), rest[1:]
    return _members(found, rest) if isinstance(found, type) and issubclass(found, BaseModel) else {}


def _tagged(union: object, tag: str) -> object:
    """The one of a tagged union's types."""
    choices = [get_args(choice) for choice in get_args(get_args(union)[0])]
    return next(kind for kind, mark in choices if mark.tag == tag)


def _known(model: type[BaseModel]) -> Iterator[Key]:
    for section in model.model_fields:
        yield (section,)
        yield from ((section, name) for name in _members(model, (section,)))
