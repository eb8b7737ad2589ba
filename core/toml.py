"""Settings written as TOML."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import cast

_bare = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def value(given: object) -> str:
    """One value; None is written as `false`, which is how a limit is switched off."""
    match given:
        case None | bool():
            return str(bool(given)).lower()
        case int() | float():
            return str(given)
        case Mapping():
            pairs = cast("Mapping[str, object]", given).items()
            return "{ " + ", ".join(f"{key(name)} = {value(item)}" for name, item in pairs) + " }"
        case list() | tuple():
            return "[" + ", ".join(value(item) for item in cast("Sequence[object]", given)) + "]"
        case _:
            return json.dumps(str(given), ensure_ascii=False)


def key(name: str) -> str:
    return name if _bare.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def document(sections: Mapping[str, object]) -> str:
    """Plain values first, then `[section]`s and `[section.NAME]`s, in the order given."""
    plain = {name: item for name, item in sections.items() if not isinstance(item, Mapping)}
    lines = [f"{key(name)} = {value(item)}" for name, item in plain.items()]
    for name, item in sections.items():
        if isinstance(item, Mapping):
            lines += _section(key(name), cast("Mapping[str, object]", item))
    return "\n".join(lines) + "\n"


def _section(title: str, members: Mapping[str, object]) -> list[str]:
    if members and all(isinstance(item, Mapping) for item in members.values()):
        tables = cast("Mapping[str, Mapping[str, object]]", members)
        return [line for name, table in tables.items() for line in _section(f"{title}.{key(name)}", table)]
    return ["", f"[{title}]", *(f"{key(name)} = {value(item)}" for name, item in members.items())]
