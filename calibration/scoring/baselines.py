"""What a predictor without physics reaches on the same rows.

A constant share of peak is the oldest rule there is: divide the FLOP of a step, with
what is recomputed, by the devices' peak and by one number. That number is fitted on
the rows that were fitted on, and judged on the others, as ours is.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from topologies.units import Ratio, Seconds


def constant_mfu(ideal: Sequence[Seconds], measured: Sequence[Seconds]) -> Ratio:
    """Return m for which half of the times ideal / m are too long, half too short.

    m = median(ideal / measured)

    Args:
        ideal: times of the FLOP at peak [s].
        measured: step times of the same rows [s].

    Assumes: nothing but FLOP takes time.

    Source: derived above; FLOP as in arXiv:2104.04473, appendix.

    >>> constant_mfu([1.0, 1.0, 3.0], [2.0, 4.0, 4.0])
    0.5
    """
    return median(i / t for i, t in zip(ideal, measured, strict=True))
