"""How far predictions were off: the handful of numbers that every table shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from topologies.units import Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Of relative errors e = predicted ÷ measured - 1.

    Fields:
        rows: how many [1].
        mape: mean of |e| [1].
        bias: mean of e [1].
        median: median of |e| [1].
        p90: of ten |e|, nine are below [1].
        worst_id: row with the largest |e|.
        worst: its e [1].
    """

    rows: int
    mape: Ratio
    bias: Ratio
    median: Ratio
    p90: Ratio
    worst_id: str
    worst: float


def summarize(errors: Sequence[tuple[str, float]]) -> Errors | None:
    """Return the statistics of errors by row id; None if there are none.

    >>> summarize([("a", 0.1), ("b", -0.3)]).mape
    0.2
    """
    if not errors:
        return None
    values = np.array([error for _, error in errors])
    sizes = np.abs(values)
    worst = int(sizes.argmax())
    return Errors(
        rows=len(errors),
        mape=float(sizes.mean()),
        bias=float(values.mean()),
        median=float(np.median(sizes)),
        p90=float(np.quantile(sizes, 0.9)),
        worst_id=errors[worst][0],
        worst=float(values[worst]),
    )
