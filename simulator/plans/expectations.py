"""Whether a prediction keeps the bounds of `[expect]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.plans.fields import Threshold
from simulator.plans.records import ExpectSection
from topologies.units import format_quantity

# Keys of `[expect]` and of the result's JSON, where they differ.
_JSON_KEYS = {"step_time": "step_time_s", "memory_peak": "memory_peak_bytes"}


def failures(expect: ExpectSection, values: Mapping[str, Any]) -> list[str]:
    """Return a line for each bound that `values`, the result's JSON, breaks."""
    lines = []
    for name in type(expect).model_fields:
        bound = getattr(expect, name)
        if not isinstance(bound, Threshold):
            continue
        predicted = values.get(_JSON_KEYS.get(name, name))
        wanted = f"{bound.comparison} {format_quantity(bound.value, bound.unit)}"
        if predicted is None:
            lines.append(f"expect.{name}: wanted {wanted}, but there is no prediction")
        elif not bound.holds(predicted):
            got = format_quantity(predicted, bound.unit)
            lines.append(f"expect.{name}: wanted {wanted}, predicted {got}")
    return lines
