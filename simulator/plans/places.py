"""Where a key stands in a TOML text; asked only once something is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Place = tuple[int, int]
KeyPath = tuple[str | int, ...]
"""Keys from the top of a file inwards; numbers count an array's tables from 0."""


def line_and_column(text: str, offset: int) -> Place:
    """Return the line and column, from 1, of the character at `offset`."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def finder(text: str) -> Callable[[KeyPath], tuple[Place, bool]]:
    """Return a function from the path of a key to its place in the TOML `text`.

    The function also says whether that very key stands there; if not, the place is
    that of the innermost table around it, or the beginning of the file.
    """
    import spanned_toml  # noqa: PLC0415 - a happy path never pays for it

    text = text.replace("\r\n", "\n")
    try:
        document = spanned_toml.loads(text)
    except (ValueError, RecursionError):  # not of one mind with tomllib
        return lambda _: ((1, 1), False)

    def find(path: KeyPath) -> tuple[Place, bool]:
        node: Any = document
        offset = 0
        for part in path:
            inner = node.inner()
            is_there = False
            if isinstance(part, int):
                is_there = isinstance(inner, list) and part < len(inner)
            elif isinstance(inner, dict):
                spans = {name.inner(): name.span() for name in inner}
                is_there = part in spans
                offset = spans[part].start if is_there else offset
            if not is_there:
                return line_and_column(text, offset), False
            node = inner[part]
            if isinstance(part, int):
                offset = _first_key(node, offset)
        return line_and_column(text, offset), True

    return find


def _first_key(node: Any, otherwise: int) -> int:
    """Return where the first key of a table stands; its heading has no place."""
    keys = node.inner()
    if not isinstance(keys, dict):
        return otherwise
    return min((name.span().start for name in keys), default=otherwise)


def key_path(key: str) -> KeyPath:
    """Return the names in a dotted key without quotes, and the indices in it.

    >>> key_path("cluster.background[1].rate")
    ('cluster', 'background', 1, 'rate')
    """
    names = re.findall(r"'[^']*'|\"[^\"]*\"|[^.\[]+|\[\d+\]", key)
    return tuple(
        int(name[1:-1]) if name.startswith("[") else name.strip("'\"") for name in names
    )
