"""Two levels: inside nodes and across them, or rows and columns of a torus."""

from __future__ import annotations

from functools import partial

import numpy as np

from simulator.collectives.exchange import partners
from simulator.collectives.rings import ring_pass
from simulator.collectives.rounds import Integers, Step, step


def all_reduce(num_ranks: int, size: float, *, per_node: int) -> list[Step]:
    """Return the sends of a two-level all-reduce, all of its parts by rings.

    Reduce-scatter inside nodes, all-reduce of each shard across nodes, all-gather
    inside nodes.

    Args:
        num_ranks: n, ranks, numbered node by node [1].
        size: S, buffer per rank [B].
        per_node: ranks in a node [1].
    """
    nodes = np.arange(num_ranks).reshape(-1, per_node)
    shard = np.arange(0, num_ranks, len(nodes))
    inside = partial(ring_pass, nodes, size, num_blocks=num_ranks, width=len(nodes))
    across = partial(ring_pass, nodes.T, size, num_blocks=num_ranks, base=shard)
    return [
        *inside(adds=True),
        *across(adds=True),
        *across(adds=False),
        *inside(adds=False),
    ]


def torus_all_reduce(num_ranks: int, size: float, *, columns: int) -> list[Step]:
    """Return the sends of an all-reduce on a torus: rows, then columns, then rows.

    Args:
        num_ranks: n, ranks, numbered row by row [1].
        size: S, buffer per rank [B].
        columns: ranks in a row [1].
    """
    return all_reduce(num_ranks, size, per_node=columns)


def all_to_all(num_ranks: int, size: float, *, per_node: int) -> list[Step]:
    """Return the sends of a two-level all-to-all, both by pairwise exchange.

    Inside its node a rank hands each neighbour what is for ranks of the neighbour's
    place in any node; then ranks of one place exchange across nodes.

    Args:
        num_ranks: n, ranks, numbered node by node [1].
        size: S, buffer per rank [B].
        per_node: ranks in a node [1].
    """
    rank = np.arange(num_ranks)
    node, place = np.divmod(rank, per_node)
    num_nodes = num_ranks // per_node
    inside = [node * per_node + other for other in partners(place, per_node)]
    across = [other * per_node + place for other in partners(node, num_nodes)]
    make = partial(step, rank, num_blocks=num_ranks**2, adds=False)
    block = size / num_ranks
    for_place = partial(_for_place, per_node=per_node)
    from_node = partial(_from_node, per_node=per_node)
    return [
        *(make(to, block * num_nodes, partial(for_place, to=to)) for to in inside),
        *(make(to, block * per_node, partial(from_node, to=to)) for to in across),
    ]


def _for_place(_repetition: int, *, to: Integers, per_node: int) -> Integers:
    """From every rank, its blocks for all ranks of the receiver's place."""
    num_ranks = len(to)
    target = np.arange(0, num_ranks, per_node) + (to % per_node)[:, None]
    return np.arange(num_ranks)[:, None] * num_ranks + target


def _from_node(_repetition: int, *, to: Integers, per_node: int) -> Integers:
    """From every rank, all its node's blocks for the receiver."""
    num_ranks = len(to)
    first = np.arange(num_ranks) // per_node * per_node
    source = first[:, None] + np.arange(per_node)
    return source * num_ranks + to[:, None]
