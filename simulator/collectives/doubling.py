"""Exchanges at doubling or halving distances, ⌈log₂ n⌉ rounds of them.

Where the number of ranks is no power of two, the excess ranks of an all-reduce first
add theirs to a partner's, and get the result from it in the end.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from simulator.collectives.rounds import Integers, Step, ranges, step


def doubling_all_reduce(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of a recursive-doubling all-reduce: whole buffers, log₂ n times.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
    """
    active, excess = _folded(num_ranks)
    place = np.arange(len(active))
    whole = ranges(np.zeros_like(place), 1)
    steps = [
        step(active, active[place ^ (1 << bit)], size, whole, num_blocks=1, adds=True)
        for bit in range(len(active).bit_length() - 1)
    ]
    return _with_excess(active, excess, size, steps, num_blocks=1)


def halving_doubling_all_reduce(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of Rabenseifner's all-reduce: halves, quarters, and back.

    The largest messages go the shortest distance.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
    """
    active, excess = _folded(num_ranks)
    members = active[_reversed_bits(len(active))]
    steps = [
        *_halving(members, size, adds=True),
        *reversed(_halving(members, size, adds=False)),
    ]
    return _with_excess(active, excess, size, steps, num_blocks=len(active))


def halving_reduce_scatter(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of a recursive-halving reduce-scatter; rank r ends with block r.

    Args:
        num_ranks: n, ranks, a power of two [1].
        size: S, input of each rank [B].
    """
    return _halving(np.arange(num_ranks), size, adds=True)


def doubling_all_gather(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of a recursive-doubling all-gather; rank r begins with block r.

    Args:
        num_ranks: n, ranks, a power of two [1].
        size: S, output of each rank [B].
    """
    return _halving(np.arange(num_ranks), size, adds=False)[::-1]


def bruck_all_gather(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of Bruck's all-gather: in round k, to the rank 2^k before.

    Args:
        num_ranks: n, ranks [1].
        size: S, output of each rank [B].
    """
    rank = np.arange(num_ranks)
    distances = [1 << bit for bit in range((num_ranks - 1).bit_length())]
    widths = [min(distance, num_ranks - distance) for distance in distances]
    return [
        step(
            rank,
            (rank - distance) % num_ranks,
            size * width / num_ranks,
            partial(_wrapped, width=width, num_ranks=num_ranks),
            num_blocks=num_ranks,
            adds=False,
        )
        for distance, width in zip(distances, widths, strict=True)
    ]


def _wrapped(_repetition: int, *, width: int, num_ranks: int) -> Integers:
    return (np.arange(num_ranks)[:, None] + np.arange(width)) % num_ranks


def _halving(members: Integers, size: float, *, adds: bool) -> list[Step]:
    """Exchanges of halves, then quarters, until place i is left with block i.

    If nothing is added these are, from last to first, the steps of an all-gather:
    each place sends what it has, not what it is to give away.
    """
    num = len(members)
    place = np.arange(num)
    distances = [num >> bit for bit in range(1, num.bit_length())]
    return [
        step(
            members,
            members[place ^ distance],
            size * distance / num,
            ranges((place ^ distance if adds else place) & -distance, distance),
            num_blocks=num,
            adds=adds,
        )
        for distance in distances
    ]


def _folded(num_ranks: int) -> tuple[Integers, Integers]:
    """The largest power of two of ranks, and the excess; the i-th has the i-th's."""
    most = 1 << (num_ranks.bit_length() - 1)
    num_excess = num_ranks - most
    pairs = np.arange(2 * num_excess)
    others = np.arange(2 * num_excess, num_ranks)
    return np.concatenate([pairs[::2], others]), pairs[1::2]


def _with_excess(
    active: Integers, excess: Integers, size: float, steps: list[Step], num_blocks: int
) -> list[Step]:
    if not len(excess):
        return steps
    partner = active[: len(excess)]
    whole = ranges(np.zeros_like(excess), num_blocks)
    into = step(excess, partner, size, whole, num_blocks=num_blocks, adds=True)
    back = step(partner, excess, size, whole, num_blocks=num_blocks, adds=False)
    return [into, *steps, back]


def _reversed_bits(num: int) -> Integers:
    """Each place's bits from last to first."""
    bits = num.bit_length() - 1
    place = np.arange(num)
    turned = np.zeros(num, np.int64)
    for bit in range(bits):
        turned |= (place >> bit & 1) << (bits - 1 - bit)
    return turned
