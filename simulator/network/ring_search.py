"""Costs of many orders of a ring at once, and the search among them.

An order is a row of places, 0 … n - 1, in the list of the ring's hosts. It costs the
time per byte of its busiest link and, among equals, the sum over all links.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from simulator.network.router import Router
from topologies.graphs.arrays import Floats, Integers, expand, sums

_MAX_ROUNDS = 100
_DIGITS = 9  # costs that differ less are equal: sums in another order are no better
_BATCH = 1 << 22  # orders × links at once, to bound memory


class Costs(NamedTuple):
    """Costs of some orders.

    Fields:
        busiest: time per byte of the busiest link [s/B].
        total: the same, summed over all links [s/B].
    """

    busiest: Floats
    total: Floats

    def best(self) -> int:
        """Return the first of the orders that cost least."""
        unit = max(float(self.busiest.max(initial=0.0)), np.finfo(float).tiny)
        rounded = [np.round(each / unit, _DIGITS) for each in self]
        return int(np.lexsort((rounded[1], rounded[0]))[0])


class Hops:
    """Routes of some hops, and what orders of these cost."""

    def __init__(self, router: Router, ends: Integers) -> None:
        found = router.routes(ends)
        self.start = found.start
        # Only the links in use, so that few hosts of a large network are cheap.
        used, self.link = np.unique(found.link, return_inverse=True)
        self.num_links = max(len(used), 1)
        self.time: Floats = found.fraction / router.bandwidth[found.link]
        self.num_hops = len(ends)

    def costs(self, orders: Integers) -> Costs:
        """Return the costs of orders, each a row of hops."""
        batch = max(_BATCH // self.num_links, 1)
        parts = [
            self._costs(orders[first : first + batch])
            for first in range(0, len(orders), batch)
        ]
        return Costs(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _costs(self, orders: Integers) -> Costs:
        shape = len(orders), self.num_links
        of, place = expand(self.start, orders.reshape(-1))
        row = of // orders.shape[1]
        key = row * self.num_links + self.link[place]
        load = sums(key, self.time[place], shape[0] * shape[1]).reshape(shape)
        return Costs(load.max(1), load.sum(1))

    def times(self) -> Costs:
        """Return the costs of each hop by itself."""
        return self.costs(np.arange(self.num_hops)[:, None])


class Search:
    """A search among all orders of a few hosts."""

    def __init__(self, router: Router, hosts: Sequence[int]) -> None:
        self.size = len(hosts)
        ends = np.array([(a, b) for a in hosts for b in hosts], np.int64)
        self.hops = Hops(router, ends)
        self.alone = Costs(
            *(each.reshape(self.size, self.size) for each in self.hops.times())
        )

    def costs(self, orders: Integers) -> Costs:
        """Return the costs of orders, each a row of places."""
        return self.hops.costs(orders * self.size + np.roll(orders, -1, axis=1))

    def exact(self) -> Integers:
        """Return the best of all orders; the first place stays where it is."""
        rest = list(permutations(range(1, self.size)))
        orders = np.zeros((len(rest), self.size), np.int64)
        orders[:, 1:] = rest
        return self._best(orders)

    def nearest(self) -> Integers:
        """Return walks from each host to the nearest not yet visited."""
        walks = [nearest_walk(self.alone.total, place) for place in range(self.size)]
        return np.array([turned(walk) for walk in walks])

    def improved(self, orders: Integers) -> Integers:
        """Return the best order, with parts turned around while that helps (2-opt)."""
        order = self._best(orders)
        for _ in range(_MAX_ROUNDS):
            if self._is_bound(order):
                break
            after = self._best(np.concatenate([order[None], _with_parts_turned(order)]))
            if np.array_equal(after, order):
                break
            order = after
        return order

    def _best(self, orders: Integers) -> Integers:
        best: Integers = orders[self.costs(orders).best()]
        return best

    def _is_bound(self, order: Integers) -> bool:
        """Return whether every host sends to its nearest, which nothing can beat."""
        busiest, total = self.costs(order[None])
        own = np.eye(self.size, dtype=bool)
        least = [np.where(own, np.inf, each).min(1) for each in self.alone]
        is_least = np.isclose(busiest[0], least[0].max(), rtol=1e-9, atol=0)
        return bool(is_least and np.isclose(total[0], least[1].sum(), 1e-9, 0))


def nearest_walk(distance: Floats | Integers, start: int) -> Integers:
    """Return the walk from one place to the nearest that is left, the least if equal.

    Args:
        distance: from each place, by row, to each other.
        start: where the walk begins.
    """
    order, left = [start], np.ones(len(distance), bool)
    left[start] = False
    for _ in range(len(distance) - 1):
        choice = np.flatnonzero(left)
        order.append(int(choice[np.argmin(distance[order[-1], choice])]))
        left[order[-1]] = False
    return np.array(order, np.int64)


def turned(order: Integers) -> Integers:
    """Return the same ring, beginning with place 0."""
    return np.roll(order, -int(np.flatnonzero(order == 0)[0]))


def _with_parts_turned(order: Integers) -> Integers:
    """Return all orders with one part of it turned around; the first place stays."""
    first, last = np.triu_indices(len(order) - 1, 1)
    first, last = first[:, None] + 1, last[:, None] + 1
    place = np.arange(len(order))
    inside = (place >= first) & (place <= last)
    changed: Integers = order[np.where(inside, first + last - place, place)]
    return changed
