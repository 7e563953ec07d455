"""Rounding, extremes and choices, for one plan or for thousands.

A formula is written for one plan, in floats, and typed so. The same code prices
thousands of plans when its arguments are NumPy arrays; NumPy is only imported then,
which a plain prediction need not wait for.
"""

from __future__ import annotations

import math


def ceil(value: float) -> float:
    """Return the smallest whole number not below `value`."""
    return math.ceil(value) if _is_number(value) else _arrays("ceil", value)


def floor(value: float) -> float:
    """Return the largest whole number not above `value`."""
    return math.floor(value) if _is_number(value) else _arrays("floor", value)


def log2(value: float) -> float:
    """Return the logarithm of `value` to base two."""
    return math.log2(value) if _is_number(value) else _arrays("log2", value)


def maximum(one: float, other: float) -> float:
    """Return the larger of two numbers, entry by entry."""
    if _is_number(one) and _is_number(other):
        return max(one, other)
    return _arrays("maximum", one, other)


def minimum(one: float, other: float) -> float:
    """Return the smaller of two numbers, entry by entry."""
    if _is_number(one) and _is_number(other):
        return min(one, other)
    return _arrays("minimum", one, other)


def where(condition: float, chosen: float, otherwise: float) -> float:
    """Return `chosen` where `condition` holds, else `otherwise`, entry by entry."""
    if _is_number(condition):
        return chosen if condition else otherwise
    return _arrays("where", condition, chosen, otherwise)


def is_any_above_one(value: float) -> bool:
    """Return whether a number, or any of an array of them, is above one."""
    return value > 1 if _is_number(value) else _arrays("max", value) > 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _arrays(function: str, *arguments: float) -> float:
    """Return what a NumPy function makes of arrays, typed as formulas are."""
    import numpy as np  # noqa: PLC0415 - only batches of plans need it

    result: float = getattr(np, function)(*arguments)
    return result
