"""Which algorithm does a convolution run, how long does it take, what does it need?

The library is asked for the fastest (cuDNN's `Find`, PyTorch's `benchmark = True`), for
each layer and direction by itself; so the way is the one of least predicted time among
those that the shape allows and the platform offers.

Algorithms, and where each can be done:

    implicit-gemm  everywhere: the product, its operand gathered as it is read
    gemm           everywhere: the gathered operand written first, sample by sample
    direct         everywhere; of its own accord only where each channel is by itself
    winograd       filters of 3x3, stride 1, numbers of 2 or 4 bytes: F(2x2, 3x3) in
                   one kernel, not for weights; F(4x4, 3x3) in four
    fft            stride 1, numbers of 2 or 4 bytes, filters that fit a tile

The last three need a device that lists a rate in single precision.

Source of the conditions: cuDNN's developer guide, tables of supported algorithms, from
memory; that its tiled Fourier transform has tiles of 32x32: coaster-nn's documentation.

Limits: a workspace may be as large as it likes; older libraries had fewer algorithms,
which a profile can say by name, but not by variant.
Sizes may be NumPy arrays in `fastest_time`, one entry a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from models.work import Filtering, Work
from simulator.convolutions.transforms import FOURIER_TILES, fourier, winograd
from simulator.convolutions.ways import Rates, Way, direct, explicit, implicit
from simulator.costs.elementwise import minimum
from topologies.units import Bytes, Seconds

WAYS: dict[str, Callable[[Work, Filtering, Rates], Iterator[Way]]] = {
    "implicit-gemm": implicit,
    "gemm": explicit,
    "direct": direct,
    "winograd": winograd,
    "fft": fourier,
}
"""The variants of each algorithm, by name."""

_IN_ANY_FORMAT = frozenset({"implicit-gemm", "gemm"})


def fastest(work: Work, rates: Rates, offered: Sequence[str] = ()) -> Way:
    """Return the fastest way to compute a convolution of one plan.

    Args:
        work: a convolution, with its dimensions.
        rates: of the device.
        offered: algorithms to choose among; empty for all. A single one is used even
            where a library would not; the implicit product, where it cannot be done.
    """
    return min(_ways(work, rates, offered), key=lambda way: way.time)


def fastest_time(work: Work, rates: Rates, offered: Sequence[str] = ()) -> Seconds:
    """Return the time of `fastest` for one plan, or for each of many."""
    first, *others = _ways(work, rates, offered)
    best = first.time
    for way in others:
        best = minimum(best, way.time)
    return best


def workspace(work: Work, rates: Rates, offered: Sequence[str] = ()) -> Bytes:
    """Return what the fastest way sets aside; nothing for any other kernel [B]."""
    return fastest(work, rates, offered).workspace if work.filtering else 0.0


def _ways(work: Work, rates: Rates, offered: Sequence[str]) -> list[Way]:
    """Return the ways that the shape allows and the platform offers."""
    shape = work.filtering
    assert shape
    allowed = [
        name
        for name in offered or WAYS
        if _is_possible(name, shape) and (rates.has_vector or name in _IN_ANY_FORMAT)
    ]
    if len(allowed) > 1 and not _is_depthwise(shape):
        allowed = [name for name in allowed if name != "direct"]
    return [
        way
        for name in allowed or ["implicit-gemm"]
        for way in WAYS[name](work, shape, rates)
    ]


def _is_possible(algorithm: str, shape: Filtering) -> bool:
    is_dense = shape.stride == 1 and shape.element in {2, 4}
    if algorithm == "winograd":
        return is_dense and shape.kernel == (3, 3)
    if algorithm == "fft":
        return is_dense and 1 < max(shape.kernel) <= max(FOURIER_TILES) // 2
    return True


def _is_depthwise(shape: Filtering) -> bool:
    return shape.groups > 1 and shape.channels_in == 1
