"""Plain tables into TOML text; only what plans hold: text, numbers, arrays, tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def to_toml(mapping: Mapping[str, Any]) -> str:
    """Return the TOML text that reads back as `mapping`.

    >>> print(to_toml({"title": "a", "batch": {"global": 8}}), end="")
    title = "a"
    <BLANKLINE>
    [batch]
    global = 8
    """
    return "\n".join(_lines(mapping, "")) + "\n"


def _lines(mapping: Mapping[str, Any], path: str) -> Iterator[str]:
    tables = {k: v for k, v in mapping.items() if isinstance(v, Mapping)}
    for key, value in mapping.items():
        if key not in tables:
            yield f"{key} = {_value(value)}"
    for key, table in tables.items():
        inner = f"{path}.{key}" if path else key
        yield ""
        yield f"[{inner}]"
        yield from _lines(table, inner)


def _value(value: Any) -> str:
    match value:
        case str():
            # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case _:
            return repr(value)
