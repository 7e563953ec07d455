"""Rows that a score file holds itself, each under its own [[row]]."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from calibration.score_files.reading import Reading
from calibration.score_files.records import QUANTITIES, Row
from calibration.score_files.values import positive
from simulator.plans.fields import shown
from simulator.plans.hints import choices, nearest
from simulator.plans.places import KeyPath

_KEYS = ("id", "set", "measured", "fit", "relative_to")
_HEADING = re.compile(r"^[ \t]*\[\[[ \t]*row[ \t]*\]\]", re.MULTILINE)


def entry_rows(reading: Reading) -> list[Row]:
    """Return the [[row]] entries of a file, in order."""
    given = reading.mapping["row"]
    if not isinstance(given, list) or not all(isinstance(r, dict) for r in given):
        reading.fault(("row",), "takes tables", "write [[row]] above each")
        return []
    text = reading.faults.text
    lines = [
        text.count("\n", 0, found.start()) + 1 for found in _HEADING.finditer(text)
    ]
    if len(lines) != len(given):  # written another way, such as row = [{...}]
        lines = [1] * len(given)
    return [
        _row(reading, index, row, f"{reading.source}:{line}:1")
        for index, (row, line) in enumerate(zip(given, lines, strict=True))
    ]


def _row(reading: Reading, index: int, row: dict[str, Any], place: str) -> Row:
    path = ("row", index)
    for key, value in row.items():
        if key in _KEYS or (isinstance(value, str) and not nearest(key, _KEYS)):
            continue  # text beside the known keys is a remark
        remedy = f"{choices(key, _KEYS)}, or remarks as text"
        reading.fault((*path, key), f"unknown key {shown(key)}", remedy)
    overrides = dict(_flattened(reading.table((*path, "set"))))
    for key in overrides:
        reading.check_plan_key(key, (*path, "set", key))
    if "measured" not in row:
        remedy = "add measured = { step_time_s = ... }"
        reading.fault((*path, "measured"), "is missing", remedy)
    measured = reading.table((*path, "measured"))
    reference = row.get("relative_to", measured.get("relative_to"))
    is_fit = row.get("fit", False)
    if not isinstance(is_fit, bool):
        problem = f"takes true or false, got {shown(is_fit)}"
        reading.fault((*path, "fit"), problem)
    return Row(
        id=str(row.get("id", f"row {index + 1}")),
        place=place,
        overrides=overrides,
        measured={
            name: _measured(reading, name, value, (*path, "measured", name))
            for name, value in measured.items()
            if name != "relative_to"
        },
        is_fit=is_fit is True,
        relative_to=str(reference or reading.mapping.get("relative_to", "")),
    )


def _measured(reading: Reading, name: str, value: object, path: KeyPath) -> float:
    """Return a measured number in SI units; 1 with a fault if it is none."""
    if not reading.is_quantity(name, path):
        return 1.0
    try:
        return positive(value, QUANTITIES.get(name, "s"))
    except ValueError as error:
        reading.fault(path, str(error))
        return 1.0


def _flattened(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values: `parallelism.tensor` and "parallelism.tensor"."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
