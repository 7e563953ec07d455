"""Plain tables into TOML text; only what we write: text, numbers, arrays, tables.

An array of tables stands as `[[name]]`, one heading for each.
"""

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
    arrays = {k: v for k, v in mapping.items() if _is_array_of_tables(v)}
    for key, value in mapping.items():
        if key not in tables and key not in arrays:
            yield f"{toml_key(key)} = {toml_value(value)}"
    for key, table in tables.items():
        name = toml_key(key)
        inner = f"{path}.{name}" if path else name
        yield ""
        yield f"[{inner}]"
        yield from _lines(table, inner)
    for key, several in arrays.items():
        name = toml_key(key)
        inner = f"{path}.{name}" if path else name
        for table in several:
            yield ""
            yield f"[[{inner}]]"
            yield from _lines(table, inner)


def _is_array_of_tables(value: object) -> bool:
    is_array = isinstance(value, list | tuple) and len(value) > 0
    return is_array and all(isinstance(item, Mapping) for item in value)  # type: ignore[attr-defined]


def toml_key(name: str) -> str:
    """Return a key as TOML writes it: in quotes, unless it is one bare word.

    >>> toml_key("host_step"), toml_key("links.nvlink-3.hop")
    ('host_step', '"links.nvlink-3.hop"')
    """
    bare = name.replace("_", "").replace("-", "")
    return name if bare.isascii() and bare.isalnum() else toml_value(name)


def toml_value(value: Any) -> str:
    """Return a value as TOML writes it, on one line."""
    match value:
        case str():
            # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return f"[{', '.join(toml_value(item) for item in value)}]"
        case _:
            return repr(value)


def without_empty(value: Any) -> Any:
    """Return a table without its empty arrays, which say nothing."""
    if not isinstance(value, dict):
        return value
    return {k: without_empty(v) for k, v in value.items() if v != ()}
