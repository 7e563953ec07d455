"""Rings: every participant sends to the next, in one ring or in many at once.

Rings of equal length run side by side in one round: of all ranks, for multi-ring and
bidirectional-ring; of the ranks of a node or a row, for hierarchical and torus-2d.
"""

from __future__ import annotations

from functools import partial
from math import gcd

import numpy as np

from simulator.collectives.rounds import Integers, Step, step


def all_reduce(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of a ring all-reduce: reduce-scatter, then all-gather.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
    """
    return _many_rings(np.arange(num_ranks)[None, :], size)


def bidirectional_all_reduce(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of two rings at once, half the buffer in each direction.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
    """
    forward = np.arange(num_ranks)
    return _many_rings(np.stack([forward, forward[::-1]]), size)


def multi_ring_all_reduce(
    num_ranks: int,
    size: float,
    *,
    num_rings: int,
    orders: tuple[tuple[int, ...], ...],
) -> list[Step]:
    """Return the sends of several rings at once, an equal part of the buffer in each.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
        num_rings: if no orders are given; ring i goes in the strides of the i-th
            number that has no divisor in common with n, so rings share few hops [1].
        orders: of the ranks, one for each ring.
    """
    if orders:
        return _many_rings(np.array(orders, np.int64), size)
    strides = [k for k in range(1, num_ranks + 1) if gcd(k, num_ranks) == 1]
    ranks = np.arange(num_ranks)
    chosen = [strides[ring % len(strides)] for ring in range(num_rings)]
    return _many_rings(np.stack([ranks * s % num_ranks for s in chosen]), size)


def reduce_scatter(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of a ring reduce-scatter; rank r ends with block r.

    Args:
        num_ranks: n, ranks [1].
        size: S, input of each rank [B].
    """
    ring = np.arange(num_ranks)[None, :]
    return ring_pass(ring, size, num_blocks=num_ranks, adds=True)


def all_gather(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of a ring all-gather; rank r begins with block r.

    Args:
        num_ranks: n, ranks [1].
        size: S, output of each rank [B].
    """
    ring = np.arange(num_ranks)[None, :]
    return ring_pass(ring, size, num_blocks=num_ranks, adds=False)


def _many_rings(orders: Integers, size: float) -> list[Step]:
    """All-reduce in rings over all ranks; ring i has the i-th part of the blocks."""
    num_rings, num_ranks = orders.shape
    whole = num_rings * num_ranks
    base = np.arange(0, whole, num_ranks)
    scatter = ring_pass(orders, size, num_blocks=whole, adds=True, base=base)
    gather = ring_pass(orders, size, num_blocks=whole, adds=False, base=base)
    return [*scatter, *gather]


def ring_pass(  # noqa: PLR0913 - one pass serves seven algorithms
    rings: Integers,
    size: float,
    *,
    num_blocks: int,
    adds: bool,
    base: Integers | None = None,
    width: int = 1,
    first_part: int = 0,
) -> list[Step]:
    """Return one pass around rings: a reduce-scatter if it adds, else an all-gather.

    Place i of a ring ends a reduce-scatter, and begins an all-gather, with part
    `first_part` + i of the ring's blocks.

    Args:
        rings: the participants in order, a row for each ring.
        size: S, all blocks [B].
        num_blocks: that the whole is cut into [1].
        adds: whether receivers add.
        base: first block of each ring; 0 if not given.
        width: blocks in each part [1].
        first_part: of place 0.
    """
    num_rings, length = rings.shape
    if length == 1:
        return []
    base = np.zeros(num_rings, np.int64) if base is None else base
    blocks = partial(
        _ring_blocks,
        place=np.tile(np.arange(length) + first_part - int(adds), num_rings),
        base=np.repeat(base, length),
        length=length,
        width=width,
    )
    return [
        step(
            rings.ravel(),
            np.roll(rings, -1, axis=1).ravel(),
            size * width / num_blocks,
            blocks,
            num_blocks=num_blocks,
            adds=adds,
            count=length - 1,
        )
    ]


def _ring_blocks(
    repetition: int, *, place: Integers, base: Integers, length: int, width: int
) -> Integers:
    first = base + (place - repetition) % length * width
    return first[:, None] + np.arange(width)
