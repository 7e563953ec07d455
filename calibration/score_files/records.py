"""Published measurements as records, each beside the plan that it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

QUANTITIES: dict[str, str] = {
    "step_time_s": "s",
    "samples_per_s": "1",
    "tokens_per_s": "1",
    "tokens_per_s_per_device": "1",
    "mfu": "1",
    "flop_per_s": "1",
    "speedup": "1",
    "flop_speedup": "1",
    "memory_peak_bytes": "B",
    "memory_allocated_bytes": "B",
    "memory_reserved_bytes": "B",
    "collective_time_s": "s",
}
"""What may be measured, and its unit; the first that a row has is its main one."""

SPEEDUPS: dict[str, str] = {"speedup": "samples_per_s", "flop_speedup": "flop_per_s"}
"""Quantities that are relative to another row, and what is divided by what is there:
samples, or the model's FLOP, by which networks that grow with the devices compare."""

CONSTANT_MFU = "constant-mfu"
"""The one baseline that is computed here (`calibration.scoring.baselines`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published measurement.

    Fields:
        id: unique in its file.
        place: file:line:column where it stands.
        overrides: dotted plan keys and their values.
        measured: positive numbers in SI units, by quantity.
        is_fit: whether constants were fitted on it.
        relative_to: id of the row that a speedup refers to; empty if none.
    """

    id: str
    place: str
    overrides: Mapping[str, Any]
    measured: Mapping[str, float]
    is_fit: bool
    relative_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What another predictor reaches on such rows.

    Fields:
        name: the predictor.
        mape: its mean absolute error, published or measured elsewhere; None if it is
            computed here [1].
        rows: on how many rows; None if not said [1].
        source: where the number stands.
        compute: `constant-mfu`, or empty.
    """

    name: str
    mape: float | None = None
    rows: int | None = None
    source: str = ""
    compute: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreFile:
    """A file of published measurements.

    Fields:
        path: as it was named.
        title: for the report.
        plan: tables that all rows share.
        rows: measurements in the order of the file.
        quantity: main quantity of rows that have it; empty if not said.
        baselines: predictors to compare with.
        notes: worst rows and why, by row id.
        text: of the file.
    """

    path: str
    title: str
    plan: Mapping[str, Any]
    rows: tuple[Row, ...]
    quantity: str
    baselines: tuple[Baseline, ...]
    notes: Mapping[str, str]
    text: str
