"""Binomial trees: whole buffers, or blocks of the ranks below, up or down a tree."""

from __future__ import annotations

from functools import partial

import numpy as np

from simulator.collectives.rings import ring_pass
from simulator.collectives.rounds import NO_BLOCK, Integers, Step, ranges, step


def all_reduce(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of a tree all-reduce: reduce to rank 0, then broadcast.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
    """
    up = reduce(num_ranks, size, root=0)
    return [*up, *broadcast(num_ranks, size, root=0)]


def broadcast(num_ranks: int, size: float, *, root: int) -> list[Step]:
    """Return the sends of a binomial broadcast: those who have it double each round.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer [B].
        root: rank that has it.
    """
    return [
        step(
            (near + root) % num_ranks,
            (far + root) % num_ranks,
            size,
            ranges(np.zeros_like(near), 1),
            num_blocks=1,
            adds=False,
        )
        for near, far, _ in _edges(num_ranks)
    ]


def reduce(num_ranks: int, size: float, *, root: int) -> list[Step]:
    """Return the sends of a binomial reduce: a broadcast from its end.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
        root: rank that gets the sum.
    """
    return [
        step(
            (far + root) % num_ranks,
            (near + root) % num_ranks,
            size,
            ranges(np.zeros_like(near), 1),
            num_blocks=1,
            adds=True,
        )
        for near, far, _ in reversed(_edges(num_ranks))
    ]


def scatter(num_ranks: int, size: float, *, root: int) -> list[Step]:
    """Return the sends of a binomial scatter; rank r ends with block r.

    Args:
        num_ranks: n, ranks [1].
        size: S, all blocks [B].
        root: rank that has them.
    """
    return [
        _subtrees(near, far, distance, num_ranks, size, root=root, is_up=False)
        for near, far, distance in _edges(num_ranks)
    ]


def gather(num_ranks: int, size: float, *, root: int) -> list[Step]:
    """Return the sends of a binomial gather; rank r begins with block r.

    Args:
        num_ranks: n, ranks [1].
        size: S, all blocks [B].
        root: rank that gets them.
    """
    return [
        _subtrees(near, far, distance, num_ranks, size, root=root, is_up=True)
        for near, far, distance in reversed(_edges(num_ranks))
    ]


def scatter_all_gather_broadcast(
    num_ranks: int, size: float, *, root: int
) -> list[Step]:
    """Return the sends of van de Geijn's broadcast: scatter, then a ring all-gather.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer [B].
        root: rank that has it.
    """
    ring = (np.arange(num_ranks)[None, :] + root) % num_ranks
    gathers = ring_pass(ring, size, num_blocks=num_ranks, adds=False, first_part=root)
    return [*scatter(num_ranks, size, root=root), *gathers]


def direct_scatter(num_ranks: int, size: float, *, root: int) -> list[Step]:
    """Return the sends of a scatter, all from the root at once.

    Args:
        num_ranks: n, ranks [1].
        size: S, all blocks [B].
        root: rank that has them.
    """
    others = np.delete(np.arange(num_ranks), root)
    made = step(
        np.full_like(others, root),
        others,
        size / num_ranks,
        ranges(others, 1),
        num_blocks=num_ranks,
        adds=False,
    )
    return [made] if num_ranks > 1 else []


def direct_gather(num_ranks: int, size: float, *, root: int) -> list[Step]:
    """Return the sends of a gather, all to the root at once.

    Args:
        num_ranks: n, ranks [1].
        size: S, all blocks [B].
        root: rank that gets them.
    """
    others = np.delete(np.arange(num_ranks), root)
    made = step(
        others,
        np.full_like(others, root),
        size / num_ranks,
        ranges(others, 1),
        num_blocks=num_ranks,
        adds=False,
    )
    return [made] if num_ranks > 1 else []


def _edges(num_ranks: int) -> list[tuple[Integers, Integers, int]]:
    """Ends near and far from the root, and the distance, from the root outwards."""
    distances = [1 << bit for bit in reversed(range((num_ranks - 1).bit_length()))]
    nears = [np.arange(0, num_ranks - d, 2 * d) for d in distances]
    return [(near, near + d, d) for near, d in zip(nears, distances, strict=True)]


def _subtrees(  # noqa: PLR0913 - an edge, and what goes along it
    near: Integers,
    far: Integers,
    distance: int,
    num_ranks: int,
    size: float,
    *,
    root: int,
    is_up: bool,
) -> Step:
    """The blocks of all ranks below `far`, along the edge."""
    ends = (near + root) % num_ranks, (far + root) % num_ranks
    sender, receiver = reversed(ends) if is_up else ends
    blocks = partial(
        _subtree_blocks, far=far, distance=distance, num_ranks=num_ranks, root=root
    )
    below = np.minimum(distance, num_ranks - far)
    sent = size * below / num_ranks
    return step(sender, receiver, sent, blocks, num_blocks=num_ranks, adds=False)


def _subtree_blocks(
    _repetition: int, *, far: Integers, distance: int, num_ranks: int, root: int
) -> Integers:
    below = far[:, None] + np.arange(distance)
    return np.where(below < num_ranks, (below + root) % num_ranks, NO_BLOCK)
