"""A convolution as products of the numbers themselves: time, bytes, workspace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from models.work import Filtering, Work
from simulator.costs.compute import matrix_time, memory_time, tiled_time
from simulator.costs.convolution import column_bytes, direct_time
from simulator.costs.elementwise import maximum, minimum
from topologies.units import (
    Bytes,
    BytesPerSecond,
    Count,
    Flop,
    FlopPerSecond,
    Seconds,
)

NARROW_TILE = (128, 32, 0.6)
"""A tile of convolutions for few channels: rows, columns, relative efficiency.

Its shape is in the names of cuDNN's kernels (from memory); its efficiency is taken to
be that of the next larger tile.
"""


class Rates(NamedTuple):
    """What a device achieves.

    Fields:
        num_units: streaming multiprocessors [1].
        product: of large products in the format of the plan [FLOP/s].
        vector: of large products in single precision, without tensor cores [FLOP/s].
        has_vector: whether the device lists such a rate [bool].
        bandwidth: of the memory [B/s].
        kernel_time: of an empty kernel [s].
    """

    num_units: Count
    product: FlopPerSecond
    vector: FlopPerSecond
    bandwidth: BytesPerSecond
    kernel_time: Seconds
    has_vector: bool = True


class Way(NamedTuple):
    """One way to compute a convolution.

    Fields:
        algorithm: by name.
        variant: such as F(4x4, 3x3); empty if there is but one.
        time: on the device, kernels' starts included [s].
        flop: of its products, executed; a model's FLOP do not change [FLOP].
        size: bytes read and written [B].
        workspace: bytes set aside while it runs [B].
    """

    algorithm: str
    variant: str
    time: Seconds
    flop: Flop
    size: Bytes
    workspace: Bytes


def implicit(work: Work, _: Filtering, rates: Rates) -> Iterator[Way]:
    """Yield the product whose operand is gathered as it is read."""
    tile_rows, tile_columns, efficiency = NARROW_TILE
    product = matrix_time(
        work.rows,
        work.columns,
        work.inner,
        work.batch,
        size=work.size,
        num_units=rates.num_units,
        rate=rates.product,
        bandwidth=rates.bandwidth,
    )
    narrow = tiled_time(
        work.rows,
        work.columns,
        work.inner,
        work.batch,
        tile_rows=tile_rows,
        tile_columns=tile_columns,
        num_units=rates.num_units,
        rate=rates.product * efficiency,
    )
    narrow = maximum(narrow, memory_time(work.size, rates.bandwidth))
    time = rates.kernel_time + minimum(product, narrow)
    yield Way("implicit-gemm", "", time, work.flop, work.size, 0.0)


def explicit(work: Work, shape: Filtering, rates: Rates) -> Iterator[Way]:
    """Yield im2col and a product for each sample, or its reverse."""
    channels = shape.groups * shape.channels_in
    columns = column_bytes(pixels(shape), channels, taps(shape), shape.element)
    image = shape.element * shape.inputs
    rows, inner = work.rows, work.inner
    if shape.direction == "weight":
        inner = inner / shape.samples
    else:
        rows = rows / shape.samples
    product = columns + work.size / shape.samples - image
    sample = matrix_time(
        rows,
        work.columns,
        inner,
        work.batch,
        size=product,
        num_units=rates.num_units,
        rate=rates.product,
        bandwidth=rates.bandwidth,
    )
    copy = image + columns
    time = 2 * rates.kernel_time + memory_time(copy, rates.bandwidth) + sample
    size = shape.samples * (copy + product)
    yield Way("gemm", "", shape.samples * time, work.flop, size, columns)


def direct(work: Work, _: Filtering, rates: Rates) -> Iterator[Way]:
    """Yield the sum tap by tap."""
    time = direct_time(
        work.flop, work.size, rate=rates.vector, bandwidth=rates.bandwidth
    )
    time += rates.kernel_time
    yield Way("direct", "", time, work.flop, work.size, 0.0)


def pixels(shape: Filtering) -> Count:
    """Return the places of an output map [1]."""
    return shape.output[0] * shape.output[1]


def taps(shape: Filtering) -> Count:
    """Return the weights of a filter, in one channel [1]."""
    return shape.kernel[0] * shape.kernel[1]
