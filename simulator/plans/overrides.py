"""Values that replace those of a plan file: `--set`, dotted keys, a score's rows."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from simulator.errors import Fault, PlanError
from simulator.plans.fields import shown


class Override(NamedTuple):
    """A value that replaces one of the file; None takes the key out.

    Fields:
        key: dotted path, such as `parallelism.tensor`.
        value: as TOML would give it.
        given: how it was asked for, such as `--set parallelism.tensor=4`.
    """

    key: str
    value: Any
    given: str


def parse_value(text: str) -> Any:
    """Return what `text` means as a TOML value; as text where it is none.

    >>> [parse_value(t) for t in ("4", "true", "25 MB", "fp16", "")]
    [4, True, '25 MB', 'fp16', None]
    """
    if not text.strip():
        return None
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def parse_override(text: str, option: str = "--set") -> Override:
    """Return the override that `--set KEY=VALUE` asks for."""
    key, equals, value = text.partition("=")
    given = f"{option} {text}"
    if not equals or not key.strip():
        remedy = f"write {option} KEY=VALUE, such as {option} parallelism.tensor=4"
        fault = Fault("", "has no key or no '='", remedy, given=given)
        raise PlanError([fault], "the command line")
    return Override(key.strip(), parse_value(value), given)


def overrides_from(values: Mapping[str, Any]) -> list[Override]:
    """Return overrides given as dotted keys in Python or in a score file."""
    return [Override(k, v, f"override {k}={shown(v)}") for k, v in values.items()]


def overridden(
    mapping: Mapping[str, Any], overrides: Sequence[Override]
) -> tuple[dict[str, Any], list[Fault]]:
    """Return a copy of `mapping` with the overrides in it, and their faults."""
    content = dict(mapping)
    faults: list[Fault] = []
    for override in overrides:
        *tables, name = override.key.split(".")
        table = content
        for depth, part in enumerate(tables, start=1):
            inner = table.get(part, {})
            if not isinstance(inner, Mapping):
                path = ".".join(tables[:depth])
                problem = f"'{path}' holds a value, not a table"
                faults.append(Fault(override.key, problem, given=override.given))
                break
            table[part] = dict(inner)
            table = table[part]
        else:
            if override.value is None:
                table.pop(name, None)
            else:
                table[name] = override.value
    return content, faults


def given_by(overrides: Sequence[Override], faults: Sequence[Fault]) -> list[Fault]:
    """Return `faults`, each with the override that brought it, if one did."""
    marked = []
    for fault in faults:
        keys = (fault.key, *fault.involves)
        exact = [o for key in keys for o in overrides if o.key == key]
        related = [o for o in overrides if _is_within(fault.key, o.key)]
        found = next((o.given for o in (*exact, *related)), fault.given)
        marked.append(replace(fault, given=found))
    return marked


def _is_within(one: str, other: str) -> bool:
    """Return whether one of two keys is a table, or an array, around the other."""
    return one.startswith((f"{other}.", f"{other}[")) or other.startswith(f"{one}.")
