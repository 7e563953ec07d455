"""How long does a kernel take where the machine's own kernels were measured?

The nearest measured kernels of the same function say how much longer than its roofline
such a kernel takes; distances are those of the logarithms of all dimensions. What has
one dimension only, bytes, is interpolated between its two neighbours.

Limits: a kernel beyond the measured ones keeps the ratio of the nearest; whether its
data are in a cache is that of the measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

from models.work import Work
from topologies.kernels import KernelTable, Point
from topologies.units import Bytes, Flop, Ratio, Seconds

NEAREST = 5
"""Measured kernels that are asked."""

_NEAR = 0.05  # of a log: points nearer than this are taken as they are


def measured_time(work: Work, table: KernelTable) -> Seconds | None:
    """Return the time of a kernel by its measured like; None where there is none.

    T = roofline(F, S) · exp Σ w ln(measured ÷ roofline),  w ∝ 1 / distance²

    Args:
        work: the kernel; its numbers may be NumPy arrays.
        table: of the plan's number format.

    Source: inverse distance weighting, Shepard 1968 (from memory).
    """
    points = table.points.get(work.function)
    if not points:
        return None
    sizes = (*dims_of(work), work.flop, work.size)
    if any(hasattr(each, "shape") for each in sizes):
        return _broadcast(sizes, points, table)
    return _time(sizes, points, table)


def dims_of(work: Work) -> tuple[float, ...]:
    """Return what sets a kernel apart from others of its function [1]."""
    if shape := work.filtering:
        (height, width), (across, down) = shape.output, shape.kernel
        pixels, taps = height * width, across * down
        maps = (shape.groups, shape.channels_in, shape.channels_out)
        return (shape.samples, *maps, taps, shape.stride, pixels)
    if work.kind in {"matrix", "attention", "local"}:
        return (work.rows, work.columns, work.inner, work.batch)
    return (work.size,)


def roofline(flop: Flop, size: Bytes, table: KernelTable) -> Seconds:
    """Return start + max(F / rate, S / bandwidth) [s]."""
    return table.start + max(flop / table.rate, size / table.bandwidth)


def _time(
    sizes: Sequence[float], points: Sequence[Point], table: KernelTable
) -> Seconds:
    """Return the time of one kernel, from its dimensions, FLOP and bytes."""
    *dims, flop, size = sizes
    own = roofline(flop, size, table)
    known = [
        (_distance(dims, p.dims), math.log(p.time / roofline(p.flop, p.size, table)))
        for p in points
    ]
    if len(dims) == 1:
        return own * math.exp(_between(dims[0], points, [log for _, log in known]))
    return own * math.exp(_weighted(known))


def _weighted(known: Iterable[tuple[float, float]]) -> float:
    """Return the mean of the logs of the nearest, by 1 / distance²."""
    nearest = sorted(known)[:NEAREST]
    weights = [1 / (distance + _NEAR) ** 2 for distance, _ in nearest]
    logs = [log for _, log in nearest]
    return math.fsum(map(math.prod, zip(weights, logs, strict=True))) / sum(weights)


def _between(size: float, points: Sequence[Point], logs: Sequence[float]) -> Ratio:
    """Return the log at `size`, on the line between the two sizes around it."""
    line = sorted((p.dims[0], log) for p, log in zip(points, logs, strict=True))
    below = [pair for pair in line if pair[0] <= size]
    above = [pair for pair in line if pair[0] > size]
    if not below or not above:
        return (below[-1] if below else above[0])[1]
    (low, first), (high, last) = below[-1], above[0]
    part = math.log(size / low) / math.log(high / low)
    return first + part * (last - first)


def _distance(dims: Sequence[float], others: Sequence[float]) -> float:
    pairs = zip(dims, others, strict=True)
    return math.hypot(*(math.log(one / other) for one, other in pairs))


def _broadcast(
    sizes: Sequence[float], points: Sequence[Point], table: KernelTable
) -> Seconds:
    """Return the times of many kernels, one a plan."""
    import numpy as np  # noqa: PLC0415 - only batches of plans come here

    arrays = np.broadcast_arrays(*sizes)
    times = [
        _time([float(each) for each in row], points, table)
        for row in zip(*(array.ravel() for array in arrays), strict=True)
    ]
    return cast("Seconds", np.reshape(times, arrays[0].shape))
