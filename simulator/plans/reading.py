"""A plan's text and overrides into checked sections, or every fault at its place."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from simulator.errors import Fault, PlanError
from simulator.plans.checks import faults_between
from simulator.plans.fields import shown
from simulator.plans.files import read_text
from simulator.plans.hints import meant_key, unknown_key
from simulator.plans.messages import faults_of, missing, not_a_table
from simulator.plans.places import finder, key_path
from simulator.plans.records import SECTIONS, TEXTS, keys_in


class Kind(NamedTuple):
    """What sort of plan a file holds.

    Fields:
        required: tables that it needs.
        foreign: tables of the other sort, which it cannot have.
        remedy: against a foreign table beside its own.
        wanted: what to say where all tables are foreign.
    """

    required: tuple[str, ...]
    foreign: tuple[str, ...]
    remedy: str
    wanted: str


TRAINING = Kind(
    ("model", "batch", "cluster"),
    ("collective",),
    "a plan of training takes none; take it out, or [model] and [batch]",
    "here a plan of training is needed, not of one collective",
)
COLLECTIVE = Kind(
    ("collective", "cluster"),
    (
        *("model", "batch", "parallelism", "training", "synchronization"),
        *("stage_times", "device_step", "expect"),
    ),
    "a plan of one collective takes none; take it out, or [collective]",
    "here a plan of one collective is needed, not of training",
)


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


def read_mapping(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Return the text of a plan file and its content."""
    text = read_text(path)
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        fault = Fault("syntax", "arrays or tables are nested too deeply")
        raise PlanError([fault], os.fspath(path)) from None
    except ValueError as error:
        raise PlanError([_syntax_fault(text, str(error))], os.fspath(path)) from None


def read_sections(
    mapping: Mapping[str, Any],
    overrides: Sequence[Override] = (),
    kind: Kind = TRAINING,
) -> dict[str, Any]:
    """Return the arguments of a `Plan`: its sections, each valid in itself.

    Raises:
        PlanError: with the faults inside sections and, as far as whole sections
            allow, between them.
    """
    content, faults = _overridden(mapping, overrides)
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name in TEXTS:
            found[name] = value
            if not isinstance(value, str):
                problem = f"takes text, got {shown(value)}"
                faults.append(Fault(name, problem, "write it in quotes"))
        elif name in kind.foreign:
            own = set(kind.required) - {"cluster"}
            remedy = kind.remedy if own & content.keys() else kind.wanted
            faults.append(Fault(name, "is a table of another kind of plan", remedy))
        elif name in keys_in(""):
            faults += _read_section(name, value, found)
        else:
            faults.append(unknown_key("", str(name)))
    meant = {_meant_table(str(name)) for name in content}
    if not meant & set(kind.foreign):
        faults += [missing(name) for name in kind.required if name not in meant]
    if faults:
        faults += faults_between(found)
        raise PlanError(given_by(overrides, faults))
    return found


def _meant_table(name: str) -> str:
    """Return the table that a name at the top of a file stands for, as far as known."""
    return name if name in keys_in("") else (meant_key("", name) or name)


def _read_section(name: str, value: Any, found: dict[str, Any]) -> list[Fault]:
    if not isinstance(value, Mapping):
        return [not_a_table(name, value)]
    try:
        found[name] = SECTIONS[name].model_validate(dict(value))
    except ValidationError as error:
        return list(faults_of(name, error))
    return []


def _overridden(
    mapping: Mapping[str, Any], overrides: Sequence[Override]
) -> tuple[dict[str, Any], list[Fault]]:
    """Return a copy of `mapping` in which the overrides are applied."""
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


def located(faults: Sequence[Fault], text: str) -> list[Fault]:
    """Return `faults` with line and column, in the order of the file."""
    find = finder(text)
    placed = []
    for fault in faults:
        keys = (fault.key, *fault.involves)
        places = [find(key_path(key)) for key in keys]
        own = places[0][0]
        line, column = next((place for place, is_there in places if is_there), own)
        placed.append(replace(fault, line=line, column=column))
    return sorted(placed, key=lambda f: (bool(f.given), f.line or 0, f.column or 0))


_AT = re.compile(
    r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL
)
_KEY_VALUE = re.compile(r"\s*([^=#\[\]]+?)\s*=\s*(.*)")
_HUGE_NUMBER = re.compile(r"\d{4301}")


def _syntax_fault(text: str, message: str) -> Fault:
    """Return the fault behind the TOML parser's message."""
    match = _AT.match(message)
    if match is None:  # the one other message is int()'s, on too many digits
        huge = _HUGE_NUMBER.search(text)
        before = text[: huge.start()] if huge else ""
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Fault("syntax", "a number has too many digits", "", line, column)
    lines = text.replace("\r\n", "\n").split("\n")
    line = int(match[2] or len(lines))
    column = int(match[3] or len(lines[-1]) + 1)
    problem, remedy, is_about_key = _syntax_advice(match[1], lines[line - 1])
    if is_about_key:
        column = len(lines[line - 1]) - len(lines[line - 1].lstrip()) + 1
    return Fault("syntax", problem, remedy, line, column)


def _syntax_advice(message: str, line: str) -> tuple[str, str, bool]:
    """Return problem, remedy, and whether the place is the beginning of the line."""
    pair = _KEY_VALUE.match(line)
    key = pair[1] if pair else "KEY"
    value = pair[2].partition("#")[0].strip() if pair else ""
    quoted = f'write {key} = "{value}"'
    is_text = bool(value) and value[0] not in "\"'[{"
    if message.startswith("Illegal character"):
        if message.endswith("'\\n'"):
            return "text without a closing quote", 'end it with "', False
        escape = "in text, write it as an escape such as \\u0007"
        return f"{message[:1].lower()}{message[1:]}", escape, False
    if message == "Cannot overwrite a value" or message.startswith("Duplicate inline"):
        return f"{shown(key)} is given twice", "keep one of the two", True
    if message.startswith("Cannot declare"):
        return f"the table {line.strip()} is given twice", "merge the two", True
    if message == "Invalid value" and not value:
        return f"{shown(key)} has no value", f"write {key} = VALUE", False
    if is_text and message in {
        "Invalid value",
        "Expected newline or end of document after a statement",
    }:
        return f"{shown(value)} is text without quotes", quoted, False
    if message.startswith("Expected '=' after a key"):
        name, _, value = line.strip().partition(":")
        return (
            "a key without a value",
            f"write {name} = {value.strip() or 'VALUE'}",
            False,
        )
    if message == "Invalid statement":
        return "neither a [table] nor KEY = VALUE", "comments begin with #", False
    return f"{message[:1].lower()}{message[1:]}", "", False
