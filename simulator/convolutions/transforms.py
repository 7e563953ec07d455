"""A convolution by transforms: Winograd's and Fourier's, with time, bytes, workspace.

Both multiply in single precision: with the tensor cores of a V100, DeepBench's rows
show no gain from either.

Sources: F(2x2, 3x3) in one kernel is Lavin and Gray's, arXiv:1509.09308; transform,
transpose, product, transpose, inverse is how fbfft goes about it, arXiv:1412.7580; both
from memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from models.work import Filtering, Work
from simulator.convolutions.ways import Rates, Way, pixels, taps
from simulator.costs.compute import matrix_time, memory_time
from simulator.costs.convolution import (
    COMPLEX,
    covering_tiles,
    fourier_outputs,
    fourier_points,
    transformed_bytes,
    transformed_ratio,
)
from topologies.units import Bytes, Count, Ratio

FUSED_EFFICIENCY: Ratio = 0.8
"""Of F(2x2, 3x3) in one kernel, beside that of a product: it transforms as well.

Assumed; DeepBench's rows were scored with it afterwards.
"""

FOURIER_TILES = (16, 32, 64, 128)
"""Sides of a transformed tile: cuDNN has 32 and, for whole maps, larger ones."""


class Transform(NamedTuple):
    """Into what a convolution is transformed.

    Fields:
        algorithm, variant: as of a `Way`.
        points: of a transformed tile [1].
        tiles: that cover one map [1].
        element: bytes of a point [B].
        transposed: passes over the points beside those of transform and product:
            two where they are brought in the product's order on their own [1].
        is_complex: whether points are; a complex product is a real one of twice as
            many columns and twice the inner dimension.
    """

    algorithm: str
    variant: str
    points: Count
    tiles: Count
    element: Bytes
    transposed: Count = 0
    is_complex: bool = False


def winograd(work: Work, shape: Filtering, rates: Rates) -> Iterator[Way]:
    """Yield F(2x2, 3x3) in one kernel and F(4x4, 3x3) in four."""
    yield from _fused_winograd(work, shape, rates)
    yield _transformed(
        work,
        shape,
        rates,
        transform=Transform(
            "winograd",
            "F(4x4, 3x3)",
            points=36,
            tiles=covering_tiles(*shape.output, 4),
            element=shape.element,
        ),
    )


def _fused_winograd(work: Work, shape: Filtering, rates: Rates) -> Iterator[Way]:
    """Yield F(2x2, 3x3) with its transforms in the kernel of the product."""
    if shape.direction == "weight":
        return
    tiles = covering_tiles(*shape.output, 2)
    ratio = transformed_ratio(16, 1, tiles, pixels(shape), taps(shape))
    rows, columns, inner = _dims(shape, tiles)
    time = rates.kernel_time + matrix_time(
        rows,
        columns,
        inner,
        16 * shape.groups,
        size=work.size,
        num_units=rates.num_units,
        rate=FUSED_EFFICIENCY * rates.vector,
        bandwidth=rates.bandwidth,
    )
    yield Way("winograd", "F(2x2, 3x3)", time, ratio * work.flop, work.size, 0.0)


def fourier(work: Work, shape: Filtering, rates: Rates) -> Iterator[Way]:
    """Yield one way for each tile that is longer than the filter."""
    longer = max(shape.kernel)
    for tile in FOURIER_TILES:
        if tile < 2 * longer and tile != max(FOURIER_TILES):
            continue
        outputs = fourier_outputs(tile, longer)
        yield _transformed(
            work,
            shape,
            rates,
            transform=Transform(
                "fft",
                f"{tile}x{tile}",
                points=fourier_points(tile),
                tiles=covering_tiles(*shape.output, outputs),
                element=COMPLEX,
                transposed=2,
                is_complex=True,
            ),
        )


def _transformed(
    work: Work, shape: Filtering, rates: Rates, *, transform: Transform
) -> Way:
    """Return transforms of both operands, products at every point, and the inverse."""
    twice = 2 if transform.is_complex else 1
    ratio = transformed_ratio(
        transform.points, twice**2, transform.tiles, pixels(shape), taps(shape)
    )
    kept = shape.groups * transformed_bytes(
        transform.points,
        shape.samples * transform.tiles,
        shape.channels_in,
        shape.channels_out,
        transform.element,
    )
    rows, columns, inner = _dims(shape, transform.tiles)
    product = matrix_time(
        rows,
        twice * columns,
        twice * inner,
        transform.points * shape.groups,
        size=kept,
        num_units=rates.num_units,
        rate=rates.vector,
        bandwidth=rates.bandwidth,
    )
    moved = work.size + (1 + transform.transposed) * kept
    passes = 4 * rates.kernel_time + memory_time(moved, rates.bandwidth)
    return Way(
        transform.algorithm,
        transform.variant,
        passes + product,
        ratio * work.flop,
        moved + kept,
        kept,
    )


def _dims(shape: Filtering, tiles: Count) -> tuple[Count, Count, Count]:
    """Return rows, columns and inner dimension of the product at one point."""
    places = shape.samples * tiles
    if shape.direction == "forward":
        return places, shape.channels_out, shape.channels_in
    if shape.direction == "input":
        return places, shape.channels_in, shape.channels_out
    return shape.channels_in, shape.channels_out, places
