"""How long does one kernel take on one device?

A matrix product runs tile by tile over the device's units, in waves; it may divide its
inner dimension to fill them; it cannot beat the memory. Everything else takes as long
as its bytes. A fixed time per kernel is what the device spends on starting and
draining it. The time that the host needs to issue it is separate
(`simulator.pricing.pricer`).

All arguments may be NumPy arrays.

Limits: half-precision tile shapes for every device and format; no cache reuse between
kernels; clocks are constant.
"""

from __future__ import annotations

import math

from simulator.costs.elementwise import ceil, maximum, minimum, where
from topologies.units import (
    Bytes,
    BytesPerSecond,
    Count,
    Flop,
    FlopPerSecond,
    Seconds,
)

TILES: tuple[tuple[int, int, float], ...] = (
    (256, 128, 1.0),
    (128, 256, 1.0),
    (128, 128, 0.9),
    (64, 128, 0.6),
    (128, 64, 0.6),
    (64, 64, 0.4),
)
"""Rows, columns and relative efficiency of the tiles that a library chooses among.

Source: CUTLASS and cuBLAS ship these shapes; that halving a tile's area costs about a
tenth and quartering it four tenths is NVIDIA's figure 'tile efficiency' (Matrix
Multiplication Background, section 3), read roughly.
"""

MULTIPLY_ADD: Flop = 2.0
"""What one multiply-add counts as; where dimensions become FLOP."""

INNER_SPLITS = (1, 2, 4, 8, 32, 128, 512)
"""Parts into which a library may cut the inner dimension to fill the device."""

SHORTEST_INNER = 256
"""Inner parts shorter than this are not worth their extra pass."""


def tiled_time(  # noqa: PLR0913 - a product has four dimensions, a tile two
    rows: Count,
    columns: Count,
    inner: Count,
    batch: Count,
    *,
    tile_rows: Count,
    tile_columns: Count,
    num_units: Count,
    rate: FlopPerSecond,
) -> Seconds:
    """Return the time of a batched product in equal tiles, in whole waves.

    T = ⌈batch ⌈m / tₘ⌉ ⌈n / tₙ⌉ / units⌉ · 2 tₘ tₙ k · units / rate

    Args:
        rows, columns, inner, batch: m, n, k and how many products [1].
        tile_rows, tile_columns: tₘ and tₙ [1].
        num_units: streaming multiprocessors; each holds one tile at a time [1].
        rate: of all units together on full tiles [FLOP/s].

    Assumes: a partial tile and a partial wave cost as much as full ones.

    Source: NVIDIA, Matrix Multiplication Background, tile and wave quantization.

    >>> time = tiled_time(256, 128, 64, 108, tile_rows=256, tile_columns=128,
    ...                   num_units=108, rate=1.0)
    >>> float(time) == 2 * 256 * 128 * 64 * 108
    True
    """
    tiles = batch * ceil(rows / tile_rows) * ceil(columns / tile_columns)
    waves = ceil(tiles / num_units)
    flop_per_unit: Flop = MULTIPLY_ADD * tile_rows * tile_columns * inner
    return waves * flop_per_unit * num_units / rate


def memory_time(size: Bytes, bandwidth: BytesPerSecond) -> Seconds:
    """Return the time to move `size` bytes.

    T = S / bandwidth

    Args:
        size: S, bytes read and written [B].
        bandwidth: achieved by large kernels [B/s].

    Assumes: enough parallelism to saturate the memory.

    Source: Williams et al., Roofline, CACM 52(4), 2009.

    >>> memory_time(2e9, 1e12)
    0.002
    """
    return size / bandwidth


def roofline_time(
    flop: Flop, size: Bytes, *, rate: FlopPerSecond, bandwidth: BytesPerSecond
) -> Seconds:
    """Return the time of a kernel that is limited by arithmetic or by memory.

    T = max(F / rate, S / bandwidth)

    Args:
        flop: F, of the kernel [FLOP].
        size: S, bytes read and written once [B].
        rate: as achieved [FLOP/s].
        bandwidth: of the memory, as achieved [B/s].

    Assumes: memory traffic overlaps with arithmetic; the kernel fits its work.

    Source: Williams et al., Roofline, CACM 52(4), 2009.

    >>> roofline_time(4e12, 1e9, rate=1e12, bandwidth=1e11)
    4.0
    """
    return maximum(flop / rate, memory_time(size, bandwidth))


def matrix_time(  # noqa: PLR0913 - dimensions, bytes and the device
    rows: Count,
    columns: Count,
    inner: Count,
    batch: Count,
    *,
    size: Bytes,
    num_units: Count,
    rate: FlopPerSecond,
    bandwidth: BytesPerSecond,
    sustained_rate: FlopPerSecond = math.inf,
) -> Seconds:
    """Return the time of a batched product with the best tile and inner split.

    T = max(S / bandwidth, 2 m n k batch / sustained rate,
            min over tiles and splits of (tiled time + summing time))

    With the inner dimension split in j parts there are j times as many tiles of k / j;
    summing their outputs takes 2 j + 2 passes over the output's share of S.

    Args:
        rows, columns, inner, batch: m, n, k and how many products [1].
        size: S, bytes read and written once [B].
        num_units: streaming multiprocessors [1].
        rate: of all units together on large tiles [FLOP/s].
        bandwidth: of the memory, as achieved [B/s].
        sustained_rate: at which the power limit lets full tiles go on [FLOP/s].

    Assumes: memory traffic overlaps with arithmetic; a tile's idle part takes no power.

    Source: roofline of Williams et al., CACM 52(4), 2009, over the tiled time; split
        as in CUTLASS's split-K.
    """
    operands = rows * inner + inner * columns + rows * columns
    written = size * (rows * columns) / operands
    best: Seconds = math.inf
    for tile_rows, tile_columns, efficiency in TILES:
        for parts in INNER_SPLITS:
            time = tiled_time(
                rows,
                columns,
                inner / parts,
                batch * parts,
                tile_rows=tile_rows,
                tile_columns=tile_columns,
                num_units=num_units,
                rate=rate * efficiency,
            )
            if parts > 1:
                summing = memory_time((2 * parts + 2) * written, bandwidth)
                is_short = inner / parts < SHORTEST_INNER
                time = where(is_short, math.inf, time + summing)
            best = minimum(best, time)
    limited = MULTIPLY_ADD * rows * columns * inner * batch / sustained_rate
    return maximum(maximum(best, limited), memory_time(size, bandwidth))


def grouped_time(  # noqa: PLR0913 - dimensions, bytes and the device
    rows: Count,
    columns: Count,
    inner: Count,
    batch: Count,
    *,
    size: Bytes,
    num_units: Count,
    rate: FlopPerSecond,
    bandwidth: BytesPerSecond,
    sustained_rate: FlopPerSecond = math.inf,
) -> Seconds:
    """Return the time of many small products in a row, each with a weight of its own.

    T = max(S / bandwidth + the time of a batched product without memory,
            2 m n k batch / sustained rate)

    Args:
        rows, columns, inner, batch: m, n, k and how many products [1].
        size: S, bytes read and written once [B].
        num_units: streaming multiprocessors [1].
        rate: of all units together on large tiles [FLOP/s].
        bandwidth: of the memory, as achieved [B/s].
        sustained_rate: at which the power limit lets full tiles go on [FLOP/s].

    Assumes: a product waits for its operands, since those of the next are not fetched
        during it.

    Source: derived from 108 grouped products on a B200 (MooreThreads/SimuMax,
        b200_bf16_ceperm.json), of which the larger of memory and tiles is a quarter
        short.
    """
    product = matrix_time(
        rows,
        columns,
        inner,
        batch,
        size=0.0 * size,
        num_units=num_units,
        rate=rate,
        bandwidth=bandwidth,
    )
    limited = MULTIPLY_ADD * rows * columns * inner * batch / sustained_rate
    return maximum(memory_time(size, bandwidth) + product, limited)
