"""The values of a `config.json`: the right kind, or an error that names the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_VALUE = 1_073_741_824
"""Of anything that a network counts; that a plan may hold in a key of its own."""


class ConfigError(ValueError):
    """A `config.json` that describes no network we know; the message names the key."""


@dataclass(frozen=True, slots=True)
class ConfigValues:
    """The content of a `config.json`.

    Fields:
        content: values by key.
    """

    content: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> ConfigValues:
        """Return the values in the text of a file."""
        try:
            content = json.loads(text)
        except RecursionError:
            raise ConfigError("is nested too deeply") from None
        except ValueError as error:
            raise ConfigError(f"is not JSON: {error}") from None
        if not isinstance(content, dict):
            raise ConfigError("is not a JSON object of keys and values")
        return cls(content)

    def integer(
        self,
        key: str,
        default: int | None = None,
        *,
        least: int = 1,
        most: int = MAX_VALUE,
    ) -> int:
        """Return a whole number; a key that is null counts as left out.

        Args:
            key: of the file.
            default: where it is left out; None if it has to be there.
            least, most: smallest and largest that are accepted [1].
        """
        value = self.content.get(key)
        if value is None:
            if default is None:
                raise ConfigError(f"{key}: is missing")
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(f"{key}: {_shown(value)} is not a whole number")
        if value < least:
            raise ConfigError(f"{key}: {_shown(value)} is below {least}")
        if value > most:
            raise ConfigError(f"{key}: {_shown(value)} is above {most}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false; a key that is null counts as left out."""
        value = self.content.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise ConfigError(f"{key}: {_shown(value)} is neither true nor false")
        return value

    def text(self, key: str) -> str:
        """Return text, or nothing where the key is left out."""
        value = self.content.get(key)
        return value if isinstance(value, str) else ""

    def refuse(self, key: str, *supported: object) -> None:
        """Refuse a value that changes the network in a way that is not modelled.

        Args:
            key: of the file.
            supported: values that are fine, beside leaving it out.
        """
        value = self.content.get(key)
        if value is not None and value not in supported:
            allowed = ", ".join(json.dumps(choice) for choice in supported)
            raise ConfigError(
                f"{key}: {_shown(value)} is not modelled; supported: {allowed}"
            )


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
