"""Where settings are said: a file, the environment, flags."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from . import toml
from .errors import InvalidSetting

PREFIX = "DAVSTORE_"

Key = tuple[str, ...]
"""Where a setting stands: ("server", "port")."""


class SettingsError(InvalidSetting):
    """What is wrong with the settings, one line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


def dotted(key: Key) -> str:
    return ".".join(toml.key(name) for name in key)


@dataclass(frozen=True, slots=True)
class Source:
    """What one place says, and how a key is spelled there."""

    values: Mapping[str, object]
    place: str = ""
    spell: Callable[[Key], str] = dotted

    def says(self, key: Key) -> bool:
        return _says(self.values, key)


def from_flags(flags: Mapping[str, object], keys: Mapping[str, Key]) -> Source:
    """The flags that were given; those that are None were not."""
    given: Mapping[str, object] = {}
    for name, value in flags.items():
        if value is not None:
            given = merged(given, _nested(keys[name], value))
    return Source(given, spell=lambda key: f"--{key[-1]}")


def from_environment(environ: Mapping[str, str]) -> Source:
    """Of the variables with our prefix, DAVSTORE_DATA and those with two underscores are settings."""
    given: Mapping[str, object] = {}
    for name, value in environ.items():
        key = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if name.startswith(PREFIX) and (len(key) > 1 or key == ("data",)):
            given = merged(given, _nested(key, value))
    return Source(given, spell=lambda key: PREFIX + "__".join(key).upper())


def from_file(file: Path | None) -> Source:
    """What a TOML file says; no file says nothing. Raises SettingsError."""
    if file is None:
        return Source({})
    try:
        return Source(tomllib.loads(file.read_text("utf-8")), place=f"{file}: ")
    except FileNotFoundError:
        line = f"there is no such file; --config and {PREFIX}CONFIG name a TOML file"
    except OSError as error:
        line = f"cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        line = f"is not TOML: {error}"
    raise SettingsError([f"{file}: {line}"])


def merged(weaker: Mapping[str, object], stronger: Mapping[str, object]) -> dict[str, object]:
    """Both, section by section; where they disagree, the stronger."""
    both = dict(weaker)
    for name, value in stronger.items():
        below = both.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            both[name] = merged(cast("Mapping[str, object]", below), cast("Mapping[str, object]", value))
        else:
            both[name] = value
    return both


def _says(found: object, key: Key) -> bool:
    if not key:
        return True
    return isinstance(found, Mapping) and key[0] in found and _says(cast("object", found[key[0]]), key[1:])


def _nested(key: Key, value: object) -> Mapping[str, object]:
    return {key[0]: _nested(key[1:], value) if key[1:] else value}
