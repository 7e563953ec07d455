"""Numbers in score files: written plainly or with a unit, and what counts as one."""

from __future__ import annotations

import math

from simulator.plans.fields import shown
from topologies.units import UnitError, parse_quantity


def positive(value: object, unit: str) -> float:
    """Return a number above zero in SI units, written as one or with its unit.

    Raises:
        ValueError: it is none; the message says what is wrong.

    >>> positive(2, "s"), positive("2 ms", "s"), positive("2", "s")
    (2.0, 0.002, 2.0)
    """
    number = _plain_number(value)
    if number is None:
        if not isinstance(value, str):
            raise ValueError(f"takes a number, got {shown(value)}")
        if not value.strip():
            raise ValueError("is empty")
        try:
            number = parse_quantity(value, unit)
        except UnitError as error:
            raise ValueError(str(error)) from None
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"must be above zero, got {shown(value)}")
    return number


def _plain_number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return float(value) if is_number(value) else None  # type: ignore[arg-type]  # just asked


def is_number(value: object) -> bool:
    """Return whether a value is a number; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number; `true` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_near_whole(value: float) -> bool:
    """Return whether a value is whole but for rounding, as 3 x (1 / 3) is."""
    return math.isclose(value, round(value), rel_tol=1e-9)
