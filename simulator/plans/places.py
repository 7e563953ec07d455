"""Where a key stands in the text of a plan; asked only once something is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Place = tuple[int, int]


def line_and_column(text: str, offset: int) -> Place:
    """Return the line and column, from 1, of the character at `offset`."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def finder(text: str) -> Callable[[str], tuple[Place, bool]]:
    """Return a function from dotted key to its place in the TOML `text`.

    The function also says whether that very key stands there; if not, the place is
    that of the innermost table around it, or the beginning of the file.
    """
    import spanned_toml  # noqa: PLC0415 - a happy path never pays for it

    text = text.replace("\r\n", "\n")
    document = spanned_toml.loads(text)

    def find(key: str) -> tuple[Place, bool]:
        node: Any = document
        offset = 0
        for part in _parts(key):
            inner = node.inner()
            if not isinstance(inner, dict):
                return line_and_column(text, offset), False
            keys = {name.inner(): name for name in inner}
            if part not in keys:
                return line_and_column(text, offset), False
            offset = keys[part].span().start
            node = inner[part]
        return line_and_column(text, offset), True

    return find


def _parts(key: str) -> list[str]:
    """Return the names in a dotted key, without quotes and indices."""
    names = re.findall(r"'[^']*'|\"[^\"]*\"|[^.\[]+|\[\d+\]", key)
    return [name.strip("'\"") for name in names if not name.startswith("[")]
