"""Pieces in a row along edges: chains, two trees at once, and switches that add.

An edge of delay d carries piece p in round p + d. Between the moments at which an
edge begins or ends, all rounds are alike, so few records stand for many pieces.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from simulator.collectives.rounds import Booleans, Integers, Step, pieces, step
from simulator.costs.all_reduces import two_tree_pieces
from simulator.costs.collectives import num_pieces


def chain_broadcast(
    num_ranks: int, size: float, *, root: int, grain: float
) -> list[Step]:
    """Return the sends of a broadcast from rank to rank, in pieces.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer [B].
        root: rank that has it.
        grain: sets the size of the pieces, see `num_pieces` [B].
    """
    count = int(num_pieces(size, num_ranks - 2, grain))
    place = np.arange(num_ranks - 1)
    near, far = (place + root) % num_ranks, (place + 1 + root) % num_ranks
    return _pipeline(near, far, place, size, count=count)


def chain_reduce(num_ranks: int, size: float, *, root: int, grain: float) -> list[Step]:
    """Return the sends of a reduce from rank to rank, in pieces; the root is last.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
        root: rank that gets the sum.
        grain: sets the size of the pieces, see `num_pieces` [B].
    """
    count = int(num_pieces(size, num_ranks - 2, grain))
    place = np.arange(num_ranks - 1)
    near, far = (place + 1 + root) % num_ranks, (place + 2 + root) % num_ranks
    adds = np.ones(num_ranks - 1, np.bool_)
    return _pipeline(near, far, place, size, count=count, adds=adds)


def in_network_all_reduce(num_ranks: int, size: float, *, grain: float) -> list[Step]:
    """Return the sends of an all-reduce in the switch: up, and down one round later.

    The switch, number n, adds what comes up.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
        grain: sets the size of the pieces, see `num_pieces` [B].
    """
    if num_ranks == 1:
        return []
    count = int(num_pieces(size, 1, grain))
    rank, switch = np.arange(num_ranks), np.full(num_ranks, num_ranks)
    is_down = np.arange(2 * num_ranks) >= num_ranks
    sender = np.concatenate([rank, switch])
    receiver = np.concatenate([switch, rank])
    delay = is_down.astype(np.int64)
    return _pipeline(sender, receiver, delay, size, count=count, adds=~is_down)


def two_tree_all_reduce(num_ranks: int, size: float, *, grain: float) -> list[Step]:
    """Return the sends of a double-binary-tree all-reduce: reduce, then broadcast.

    Half of the buffer goes through each tree. The first has ranks in order from left
    to right, so that leaves are at odd places, counted from 1. The second is its
    mirror image, or, if n is odd, the first shifted by one: its inner ranks are the
    leaves of the first.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
        grain: sets the size of the pieces, see `two_tree_pieces` [B].
    """
    if num_ranks == 1:
        return []
    count = int(two_tree_pieces(size, num_ranks, grain))
    child, parent, level = _in_order_tree(num_ranks)
    ends = np.stack([child, parent])
    turned = num_ranks + 1 - ends if num_ranks % 2 == 0 else ends % num_ranks + 1
    low, high = np.concatenate([ends, turned], axis=1) - 1
    delay = np.concatenate([level, level])
    first = np.repeat([0, count], num_ranks - 1)
    adds = np.ones(len(low), np.bool_)
    size = size / 2
    up = _pipeline(low, high, delay, size, count=count, adds=adds, first=first)
    down = _pipeline(high, low, delay.max() - delay, size, count=count, first=first)
    return [*up, *down]


def _in_order_tree(num_ranks: int) -> tuple[Integers, Integers, Integers]:
    """Child, parent and level of the child for all edges; places count from 1.

    A place with the lowest bit 2^l is at level l. Its parent is 2^l to the left or to
    the right, at the next level; where that is outside, the first place to the left
    that is higher. So left of the highest place is a perfect tree. It sets the pace:
    of every rank there both children are ready at the same time.

    To the right of the highest place are fewer ranks. If they have as many levels
    without being as many, they would be ready a bit before the perfect tree is, and
    the last round would be neither of one piece nor of two. Then the root is the next
    to the highest instead, and one level above it.
    """
    place = np.arange(1, num_ranks + 1)
    bit = place & -place
    parent = (place ^ bit) | bit << 1
    parent = np.where(parent > num_ranks, place ^ bit, parent)
    highest = 1 << (num_ranks.bit_length() - 1)
    is_turned = 3 * highest <= 2 * num_ranks and num_ranks + 1 < 2 * highest
    root = highest * 3 // 2 if is_turned else highest
    parent[(parent == root) & (place < root)] = highest
    parent[highest - 1] = root
    level = np.log2(bit).astype(np.int64)
    is_child = place != root
    return place[is_child], parent[is_child], level[is_child]


def _pipeline(  # noqa: PLR0913 - edges and pieces
    sender: Integers,
    receiver: Integers,
    delay: Integers,
    size: float,
    *,
    count: int,
    adds: Booleans | None = None,
    first: Integers | None = None,
) -> list[Step]:
    """`count` pieces of `size` bytes along edges with delays.

    The first piece of each edge is block 0, or what `first` says.
    """
    adds = np.zeros(len(sender), np.bool_) if adds is None else adds
    start = np.zeros(len(sender), np.int64) if first is None else first
    moments = np.unique(np.concatenate([delay, delay + count]))
    steps = []
    for begin, end in pairwise(moments.tolist()):
        active = (delay <= begin) & (begin < delay + count)
        steps.append(
            step(
                sender[active],
                receiver[active],
                size / count,
                pieces((start + begin - delay)[active]),
                num_blocks=int(start.max()) + count,
                adds=adds[active],
                count=end - begin,
            )
        )
    return steps
