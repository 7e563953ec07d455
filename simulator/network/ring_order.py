"""The order of a ring on a graph: which host sends to which, so that no link is hot.

In a ring every host sends as much to the next. The busiest link sets the pace, so an
order is worth the time per byte of its worst link, and among equals the sum over all
links, the way its bytes have to go.

Up to 8 hosts all orders are tried. Beyond, orders that suit the kind of network are
compared with the given one, which is kept unless one is better: by number; along a
snake through a grid; to the nearest host not yet visited; node by node where there are
several devices in each. Up to 64 hosts the best of these is improved by 2-opt, which
turns a part of the ring around wherever that helps. That is no proof of the best.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from simulator.network.ring_search import Costs, Hops, Search, nearest_walk, turned
from simulator.network.router import Router
from topologies.graphs.arrays import Integers, grouped
from topologies.graphs.network import Network
from topologies.graphs.paths import distances, moves
from topologies.graphs.wiring import Wiring
from topologies.machine import Machine, alone

MAX_EXACT = 8
MAX_SEARCHED = 64
_MAX_NEAREST = 1_100  # hosts of which all distances are found


@dataclass(frozen=True, slots=True, kw_only=True)
class RingOrder:
    """An order of hosts around a ring.

    Fields:
        hosts: in order; the last sends to the first.
        load: seconds that the worst link needs for each byte a host sends [s/B].
        given_load: the same for the order that was given [s/B].
        is_exact: whether no order is better.
    """

    hosts: tuple[int, ...]
    load: float
    given_load: float
    is_exact: bool


def ring_load(router: Router, hosts: Sequence[int]) -> float:
    """Return the time per byte of the worst link of a ring in this order [s/B].

    load = max over links of Σ fraction of each hop's bytes ÷ bandwidth

    Args:
        router: links and routes.
        hosts: endpoints in order; the last sends to the first.

    Assumes: every host sends the same amount at the same time.

    Source: derived above.
    """
    return _loads(router, np.array(hosts, np.int64)[None])[0]


def best_ring_order(router: Router, hosts: Sequence[int]) -> RingOrder:
    """Return the best order found for a ring; it begins with the first host.

    Args:
        router: links and routes; of a `Wiring` or `Machine` the shape is used too.
        hosts: endpoints that take part, each once, in the order to beat.
    """
    ring = np.array(hosts, np.int64)
    if len(ring) <= MAX_EXACT:
        order = Search(router, hosts).exact()
    else:
        orders = np.array([np.arange(len(ring)), *_suited(router, ring)])
        if len(ring) <= MAX_SEARCHED:
            search = Search(router, hosts)
            order = search.improved(np.concatenate([orders, search.nearest()]))
        else:
            order = orders[_costs(router, ring[orders]).best()]
    load, given_load = _loads(router, np.stack([ring[order], ring]))
    return RingOrder(
        hosts=tuple(ring[order].tolist()),
        load=load,
        given_load=given_load,
        is_exact=len(ring) <= MAX_EXACT,
    )


def _loads(router: Router, orders: Integers) -> list[float]:
    # Rounded, so that sums of fractions give the number they mean.
    return [float(f"{load:.12g}") for load in _costs(router, orders).busiest]


def _costs(router: Router, orders: Integers) -> Costs:
    """Return the costs of orders, each a row of hosts."""
    ends = np.stack([orders, np.roll(orders, -1, axis=1)], 2)
    places = np.arange(orders.size).reshape(orders.shape)
    return Hops(router, ends.reshape(-1, 2)).costs(places)


def _suited(router: Router, ring: Integers) -> Iterator[Integers]:
    """Yield orders of places that suit a kind of network; they begin with place 0."""
    yield turned(np.argsort(ring, kind="stable"))
    if isinstance(router, Machine):
        yield from _node_by_node(router, ring)
    if not isinstance(router, Wiring):
        return
    if router.network.shape:
        yield turned(np.argsort(snake(router.network)[ring], kind="stable"))
    elif not router.network.levels and MAX_SEARCHED < len(ring) <= _MAX_NEAREST:
        graph = moves(router.network, failed=router.failed)
        yield nearest_walk(distances(graph, ring).hops[:, ring].T, 0)


def snake(network: Network) -> Integers:
    """Return how far along a snake through a grid each host is [1].

    Neighbours on the snake are neighbours in the grid. It runs along the last
    dimension, there and back again.
    """
    host = np.arange(network.num_hosts)
    place = np.zeros_like(host)
    left = network.num_hosts
    for size in network.shape:
        left //= size
        along = host // left % size
        place = place * size + np.where(place % 2 == 0, along, size - 1 - along)
    return place


def _node_by_node(machine: Machine, ring: Integers) -> Iterator[Integers]:
    """Yield orders that pass each node once, entering it at one device or another.

    Nodes are in the best order for their network, devices in that for their node.
    """
    node, device = np.divmod(ring, machine.node.num_devices)
    names, first, of = np.unique(node, return_index=True, return_inverse=True)
    nodes = best_ring_order(machine.wiring, node[np.sort(first)].tolist()).hosts
    inner = Machine(wiring=alone(), node=machine.node)
    circles: dict[tuple[int, ...], tuple[int, ...]] = {}
    rank = np.zeros(len(ring), np.int64)
    members, start = grouped(of, len(names))
    for part in np.split(members, start[1:-1]):
        part = part[np.argsort(device[part])]  # noqa: PLW2901 - the same, in order
        inside = tuple(device[part].tolist())
        if inside not in circles:
            circles[inside] = best_ring_order(inner, inside).hosts
        rank[part] = np.argsort(np.array(circles[inside]))
    turn, size = np.argsort(np.array(nodes))[of], np.diff(start)[of]
    for step in (1, -1):
        for shift in range(int(size.max())):
            yield turned(np.lexsort(((step * rank + shift) % size, turn)))
