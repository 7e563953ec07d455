"""Dimension-order routes on grids: first along the first dimension, then the next.

Along a dimension that closes to a ring the shorter way is taken, upwards if both are
equal. The order has no cycles of waiting on meshes, which is why hardware has it.
"""

from __future__ import annotations

import numpy as np

from topologies.graphs.arrays import Integers
from topologies.graphs.network import GraphError, Network


def dimension_order(network: Network, ends: Integers) -> tuple[Integers, Integers]:
    """Return the steps of all pairs: which pair, and over which link.

    Args:
        network: a torus, mesh or hypercube.
        ends: rows of sender and receiver.

    Raises:
        GraphError: the network is no grid.
    """
    if not network.shape:
        raise GraphError(f"{network.name} is no grid; dimension order needs one")
    lookup = _Lookup(network)
    pair, node = np.arange(len(ends)), ends[:, 0].copy()
    pairs: list[Integers] = [np.zeros(0, np.int64)]
    links: list[Integers] = [np.zeros(0, np.int64)]
    for axis, size in enumerate(network.shape):
        stride = int(np.prod(network.shape[axis + 1 :]))
        aim = ends[:, 1] // stride % size
        way = _way(node // stride % size, aim, size, wraps=network.wraps)
        while True:
            here = node // stride % size
            moving = here != aim
            if not np.any(moving):
                break
            there = np.where(moving, (here + way) % size, here)
            after = node + (there - here) * stride
            pairs.append(pair[moving])
            links.append(lookup.find(node[moving], after[moving]))
            node = after
    return np.concatenate(pairs), np.concatenate(links)


def _way(here: Integers, aim: Integers, size: int, *, wraps: bool) -> Integers:
    """Return +1 or -1, the direction to go along a dimension."""
    if not wraps:
        return np.where(aim > here, 1, -1)
    return np.where((aim - here) % size * 2 <= size, 1, -1)


class _Lookup:
    """Links by their two ends."""

    def __init__(self, network: Network) -> None:
        self.num_nodes = network.num_nodes
        key = network.source * self.num_nodes + network.target
        self.order = np.argsort(key, kind="stable")
        self.keys = key[self.order]

    def find(self, source: Integers, target: Integers) -> Integers:
        """Return the link from each source to its target."""
        at = np.searchsorted(self.keys, source * self.num_nodes + target)
        return self.order[at]
