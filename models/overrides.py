"""What a plan may change about a model: checks of keys and of their values.

Every message of a ValueError begins with the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def refuse_unknown(
    name: str, changes: Mapping[str, object], *, allowed: Sequence[str]
) -> None:
    """Refuse keys of `changes` that the model `name` does not take."""
    for key in changes:
        if key not in allowed:
            what = f"takes {', '.join(allowed)}" if allowed else "has fixed dimensions"
            raise ValueError(f"{key}: no such override; {name} {what}")


def require(name: str, changes: Mapping[str, object], keys: Sequence[str]) -> None:
    """Refuse `changes` that lack one of the keys that `name` needs."""
    missing = [key for key in keys if key not in changes]
    if missing:
        raise ValueError(f"{missing[0]}: missing; {name} needs {', '.join(keys)}")


def integer(key: str, value: object, *, least: int = 1) -> int:
    """Return `value` if it is a whole number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key}: {value!r} is not a whole number")  # noqa: TRY004
    if value < least:
        raise ValueError(f"{key}: {value} is below {least}")
    return value


def number(key: str, value: object) -> float:
    """Return `value` if it is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key}: {value!r} is not a number")  # noqa: TRY004
    return float(value)


def boolean(key: str, value: object) -> bool:
    """Return `value` if it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{key}: {value!r} is neither true nor false")  # noqa: TRY004
    return value
