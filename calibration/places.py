"""Where in a score file a key stands; asked only once something is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulator.plans.places import line_and_column

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds keys in a TOML text.

    Fields:
        text: of the file, valid TOML.
    """

    text: str

    def place(self, path: KeyPath) -> tuple[int, int]:
        """Return line and column, from 1, of the innermost part that is there.

        Numbers in `path` count the tables of an array, from 0.
        """
        import spanned_toml  # noqa: PLC0415 - a happy path never pays for it

        text = self.text.replace("\r\n", "\n")
        node: Any = spanned_toml.loads(text)
        offset = 0
        for part in path:
            content = node.inner()
            if isinstance(part, int):
                if not isinstance(content, list) or part >= len(content):
                    break
                node = content[part]
                keys = node.inner()
                if isinstance(keys, dict) and keys:
                    offset = min(name.span().start for name in keys)
                continue
            if not isinstance(content, dict):
                break
            names = {name.inner(): name for name in content}
            if part not in names:
                break
            offset = names[part].span().start
            node = content[part]
        return line_and_column(text, offset)
