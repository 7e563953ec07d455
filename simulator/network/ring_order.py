"""The order of a ring on a graph: which host sends to which, so that no link is hot.

In a ring every host sends as much to the next. The busiest link sets the pace, so an
order is worth the time per byte of its worst link, and among equals the sum over all
links, the way its bytes have to go. Up to 8 hosts all orders are tried; beyond, the
better of the given order and a nearest-neighbour walk is improved by 2-opt, which
turns a part of the ring around wherever that helps. That is no proof of the best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from topologies.graphs.arrays import Floats, sums
from topologies.graphs.network import Network
from topologies.graphs.routes import Routes, routes
from topologies.graphs.walking import Spread

MAX_EXACT = 8
_MAX_TRIALS = 20_000


class RingOrder(NamedTuple):
    """An order of hosts around a ring.

    Fields:
        hosts: in order; the last sends to the first.
        load: seconds that the worst link needs for each byte a host sends [s/B].
        is_exact: whether no order is better.
    """

    hosts: tuple[int, ...]
    load: float
    is_exact: bool


def ring_load(
    network: Network, hosts: Sequence[int], *, spread: Spread = "split"
) -> float:
    """Return the time per byte of the worst link of a ring in this order [s/B].

    load = max over links of Σ fraction of each hop's bytes ÷ bandwidth

    Args:
        network: nodes and links.
        hosts: in order; the last sends to the first.
        spread: of the routes.

    Assumes: every host sends the same amount at the same time.

    Source: derived above.
    """
    ends = list(zip(hosts, [*hosts[1:], hosts[0]], strict=True))
    load = routes(network, ends, spread=spread).loads(1.0, network.num_links)
    return float((load / network.bandwidth).max(initial=0.0))


def best_ring_order(
    network: Network, hosts: Sequence[int], *, spread: Spread = "split"
) -> RingOrder:
    """Return the best order found for a ring; it begins with the first host.

    Args:
        network: nodes and links.
        hosts: that take part, in the order to beat.
        spread: of the routes.
    """
    search = _Search(network, hosts, spread)
    start = tuple(range(len(hosts)))
    if len(hosts) <= MAX_EXACT:
        orders = ((0, *rest) for rest in permutations(start[1:]))
        best = min(orders, key=search.cost)
    else:
        best = min(start, search.nearest(), key=search.cost)
        best = search.improved(best)
    load = search.cost(best)[0]
    is_exact = len(hosts) <= MAX_EXACT
    return RingOrder(tuple(hosts[place] for place in best), load, is_exact)


class _Search:
    """Costs of orders, by the routes between all pairs of the hosts."""

    def __init__(self, network: Network, hosts: Sequence[int], spread: Spread) -> None:
        self.size = len(hosts)
        self.num_links = network.num_links
        pairs = [(a, b) for a in hosts for b in hosts]
        self.routes: Routes = routes(network, pairs, spread=spread)
        times = self.routes.fraction / network.bandwidth[self.routes.link]
        cuts = self.routes.start[1:-1]
        self.links = np.split(self.routes.link, cuts)
        self.times = np.split(times, cuts)
        pair = np.repeat(np.arange(len(pairs)), np.diff(self.routes.start))
        self.distance: Floats = sums(pair, times, len(pairs))
        self.distance = self.distance.reshape(self.size, self.size)

    def cost(self, order: tuple[int, ...]) -> tuple[float, float]:
        """Return the worst link's time per byte and the sum over links [s/B]."""
        pairs = [
            a * self.size + b
            for a, b in zip(order, (*order[1:], order[0]), strict=True)
        ]
        link = np.concatenate([self.links[pair] for pair in pairs])
        time = np.concatenate([self.times[pair] for pair in pairs])
        load = sums(link, time, self.num_links)
        # Rounded, so that sums in another order are no improvement.
        return float(f"{load.max(initial=0.0):.12g}"), float(f"{load.sum():.12g}")

    def nearest(self) -> tuple[int, ...]:
        """Return the walk from the first host to the nearest not yet visited."""
        order, left = [0], set(range(1, self.size))
        while left:
            here = self.distance[order[-1]]
            order.append(min(left, key=lambda place: (here[place], place)))
            left.remove(order[-1])
        return tuple(order)

    def improved(self, order: tuple[int, ...]) -> tuple[int, ...]:
        """Return an order in which turning no part around helps, if time allows."""
        best, trials = self.cost(order), 0
        while True:
            before = best
            for candidate in self._turned(order):
                cost, trials = self.cost(candidate), trials + 1
                if cost < best:
                    best, order = cost, candidate
                    break
                if trials > _MAX_TRIALS:
                    return order
            if best == before:
                return order

    def _turned(self, order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        for first in range(1, self.size - 1):
            for last in range(first + 1, self.size):
                part = order[first : last + 1]
                yield order[:first] + part[::-1] + order[last + 1 :]
