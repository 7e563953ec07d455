"""In which order do the devices of a group form rings, and how many rings?

A ring that visits the nodes in a good order puts little on each link; several rings
that leave every node by different devices use all of its adapters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby

from simulator.located.hosts import Hosts
from simulator.located.mesh import Group
from simulator.network import RingOrder, Router, best_ring_order, ring_load

Places = str | tuple[int, ...]
"""Order of the nodes around a ring: `auto`, `rank`, or all of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rings:
    """Orders of groups; it remembers what it has found.

    Fields:
        router: links and routes between devices.
        hosts: which devices share a node, and its adapters.
        places: order of the nodes around a ring.
        first: device of the plan's rank 0.
        orders: of the rings so far, by their nodes in rank order.
    """

    router: Router
    hosts: Hosts
    places: Places
    first: int = 0
    orders: dict[Group, RingOrder] = field(default_factory=dict)
    _turns: dict[Group, tuple[int, ...]] = field(default_factory=dict)

    def ordered(self, group: Group) -> Group:
        """Return the devices of a group in the order in which they form a ring.

        Groups over the same nodes have the same order of nodes.
        """
        if self.places == "rank" or len(group) < 3:
            return group
        nodes = tuple(self.hosts.nodes(group))
        if nodes not in self.orders:
            self.orders[nodes] = order = self._order(group)
            self._turns[nodes] = tuple(map(group.index, order.hosts))
        return tuple(group[place] for place in self._turns[nodes])

    def turned(self, order: Group) -> list[Group]:
        """Return the rings that share a buffer: one for each adapter that they reach.

        A ring leaves a node by one device and so by one adapter. In each further ring
        the devices of every node are turned by some places, so that another leaves.
        """
        per_node = self.hosts.per_node
        nodes = [
            list(devices)
            for _, devices in groupby(order, lambda device: device // per_node)
        ]
        inside = {len(devices) for devices in nodes}
        reached = min(inside)
        if len(nodes) == 1 or len(inside) > 1 or reached == 1:
            return [order]
        count = max(1, min(self.hosts.adapters, reached))
        turns = [ring * reached // count for ring in range(count)]
        return [
            tuple(d for devices in nodes for d in devices[turn:] + devices[:turn])
            for turn in turns
        ]

    def _order(self, group: Group) -> RingOrder:
        if isinstance(self.places, str):
            return best_ring_order(self.router, group)
        per_node = self.hosts.per_node
        first = self.first // per_node
        place = {first + node: place for place, node in enumerate(self.places)}
        devices = sorted(group, key=lambda device: place[device // per_node])
        return RingOrder(
            hosts=tuple(devices),
            load=ring_load(self.router, devices),
            given_load=ring_load(self.router, group),
            is_exact=False,
        )
