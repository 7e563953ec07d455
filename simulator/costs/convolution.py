"""What does each algorithm of a convolution compute, move and set aside?

An algorithm turns a convolution into matrix products, between passes that rearrange or
transform the operands. A transformed convolution has `points` independent products,
one for each point of a tile: (m + k - 1)² points under Winograd's F(m x m, k x k), and
the T (T / 2 + 1) different frequencies of a real tile of T x T under Fourier's. The
three tensors take their transformed form once each, read or written, whichever of them
is the result: the formulas hold for the forward pass and for both gradients.

Limits: FLOP are those of the products; transforms cost the bytes that they move.
"""

from __future__ import annotations

from simulator.costs.elementwise import ceil, maximum
from topologies.units import Bytes, BytesPerSecond, Count, Flop, FlopPerSecond, Ratio
from topologies.units import Seconds as Time

COMPLEX: Bytes = 8.0
"""A spectrum is kept in single precision, whatever the format of the tensors."""


def covering_tiles(height: Count, width: Count, tile: Count) -> Count:
    """Return the tiles of `tile` x `tile` outputs that cover one map.

    ⌈h / m⌉ · ⌈w / m⌉

    Args:
        height, width: of the output [1].
        tile: m, outputs that a tile yields along a side [1].

    Assumes: a tile at the edge costs as much as a full one.

    Source: derived above.

    >>> covering_tiles(7, 7, 4)
    4
    """
    return ceil(height / tile) * ceil(width / tile)


def fourier_outputs(tile: Count, kernel: Count) -> Count:
    """Return the outputs along a side that a transformed tile yields.

    T - k + 1, at least one

    Args:
        tile: T [1].
        kernel: k, longer side of the filter [1].

    Assumes: the rest of a cyclic convolution is dropped (overlap and save).

    Source: Mathieu et al., arXiv:1312.5851; Vasilache et al., arXiv:1412.7580 (tiling,
        section 6). From memory.

    >>> fourier_outputs(32, 5)
    28
    """
    return maximum(tile - kernel + 1, 1)


def fourier_points(tile: Count) -> Count:
    """Return the different frequencies of a real tile.

    T (T / 2 + 1), by Hermitian symmetry

    Args:
        tile: T [1].

    Assumes: tiles are real and their sides even.

    Source: Hermitian symmetry of the transform of real numbers.

    >>> fourier_points(32)
    544.0
    """
    return tile * (tile / 2 + 1)


def transformed_ratio(
    points: Count, products: Count, tiles: Count, pixels: Count, taps: Count
) -> Ratio:
    """Return the FLOP of the transformed products over those of the convolution.

    points · products · tiles / (pixels · taps)

    Args:
        points: of a transformed tile [1].
        products: real multiplications for one of a point; four of complex ones [1].
        tiles: that cover one map [1].
        pixels: of an output map [1].
        taps: of the filter, height times width [1].

    Assumes: transforms are not counted.

    Source: Lavin and Gray, arXiv:1509.09308, section 4: 16 multiplications for 36 by
        F(2x2, 3x3), 36 for 144 by F(4x4, 3x3). From memory.

    >>> 1 / transformed_ratio(16, 1, 14 * 14, 28 * 28, 9)
    2.25
    >>> 1 / transformed_ratio(36, 1, 7 * 7, 28 * 28, 9)
    4.0
    """
    return points * products * tiles / (pixels * taps)


def transformed_bytes(
    points: Count,
    places: Count,
    channels_in: Count,
    channels_out: Count,
    element: Bytes,
) -> Bytes:
    """Return what inputs, outputs and filters of a group take in transformed form.

    S = points · (tiles · (C + K) + C · K) · element

    It is the workspace; the transforms move it once and the products once more.

    Args:
        points: of a transformed tile [1].
        places: tiles of all samples [1].
        channels_in, channels_out: C and K of a group [1].
        element: bytes of one point [B].

    Assumes: all tiles are transformed before the first product.

    Source: derived above.

    >>> transformed_bytes(16, 100, 64, 64, 4.0)
    1081344.0
    """
    channels = channels_in + channels_out
    return points * (places * channels + channels_in * channels_out) * element


def column_bytes(pixels: Count, channels: Count, taps: Count, element: Bytes) -> Bytes:
    """Return the size of a sample's inputs, copied for every tap that reads them.

    S = pixels · C · taps · element

    Args:
        pixels: of an output map [1].
        channels: C, of all groups [1].
        taps: of the filter [1].
        element: bytes of one number [B].

    Assumes: samples are taken one after another, as Caffe does (from memory).

    Source: im2col, Chellapilla et al. 2006. From memory.

    >>> column_bytes(13 * 13, 256, 9, 4.0)
    1557504.0
    """
    return pixels * channels * taps * element


def direct_time(
    flop: Flop, size: Bytes, *, rate: FlopPerSecond, bandwidth: BytesPerSecond
) -> Time:
    """Return the time of a convolution that sums tap by tap, without a product.

    T = max(FLOP / rate, S / bandwidth)

    Args:
        flop: two for each multiply-add [FLOP].
        size: S, inputs, outputs and filters once [B].
        rate: of all units together [FLOP/s].
        bandwidth: of the memory, as achieved [B/s].

    Assumes: neighbouring outputs share what they read in the caches.

    Source: roofline of Williams et al., CACM 52(4), 2009.

    >>> direct_time(2e9, 1e6, rate=1e12, bandwidth=1e12)
    0.002
    """
    return maximum(flop / rate, size / bandwidth)
