"""A plan's text and overrides into checked sections, or every fault at its place."""

from __future__ import annotations

import os
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
from simulator.plans.overrides import Override, given_by, overridden
from simulator.plans.places import finder, key_path
from simulator.plans.records import SECTIONS, TEXTS, keys_in
from simulator.plans.syntax import syntax_fault


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


def read_mapping(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Return the text of a plan file and its content."""
    text = read_text(path)
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        fault = Fault("syntax", "arrays or tables are nested too deeply")
        raise PlanError([fault], os.fspath(path)) from None
    except ValueError as error:
        raise PlanError([syntax_fault(text, str(error))], os.fspath(path)) from None


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
    content, faults = overridden(mapping, overrides)
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
