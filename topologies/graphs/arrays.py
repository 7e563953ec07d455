"""Ragged arrays: groups of different sizes, one after the other in flat arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


def sums(keys: Integers, values: Floats, num_groups: int) -> Floats:
    """Return the sum of the values of each group.

    Args:
        keys: group of each value.
        values: to sum.
        num_groups: groups, numbered from 0 [1].
    """
    # Its stub says integers, whatever the weights.
    return np.bincount(keys, values, num_groups).astype(np.float64, copy=False)


def expand(start: Integers, groups: Integers) -> tuple[Integers, Integers]:
    """Return every member of some groups: which group it is of, and its place.

    Args:
        start: where each group begins, with the end behind the last.
        groups: to expand, in any order.
    """
    counts = start[groups + 1] - start[groups]
    of = np.repeat(np.arange(len(groups)), counts)
    first = np.cumsum(counts) - counts
    place = np.arange(len(of)) - first[of] + start[groups][of]
    return of, place


def grouped(keys: Integers, num_groups: int) -> tuple[Integers, Integers]:
    """Return members by group, and where each group begins, with the end behind."""
    order = np.argsort(keys, kind="stable")
    start = np.zeros(num_groups + 1, np.int64)
    np.cumsum(np.bincount(keys, minlength=num_groups), out=start[1:])
    return order, start
