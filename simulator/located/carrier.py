"""What does a message of this plan put on which links? From the mesh to the network.

A `Carrier` knows where the ranks sit and which algorithm a collective uses; it makes
the `Traffic` that engines run or price.

Limits: all groups that one folded op stands for begin and end together. Of a link with
several protocols the first is used. Among algorithms `auto` compares those whose
messages all end together on this network, and the ring.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from simulator.collectives.algorithm import Pattern
from simulator.collectives.options import DEFAULTS, Options
from simulator.collectives.rounds import Round
from simulator.collectives.table import TABLE
from simulator.collectives.use import Collective
from simulator.costs.collectives import grain_of
from simulator.located.hosts import Hosts
from simulator.located.mesh import Group, Mesh
from simulator.located.rings import Rings
from simulator.lowering.sent import Sent
from simulator.network import Router, Traffic
from simulator.workload import FEW_BYTES, Message, Transfer
from topologies.units import Bytes

_TRIED = (
    *("ring", "tree", "double-binary-tree", "recursive-doubling"),
    *("halving-doubling", "hierarchical"),
)
_USUAL = {"broadcast": "chain", "reduce": "chain"}
_RINGS = frozenset({"ring", "bidirectional-ring"})
_IN_ORDER = frozenset({"multi-ring", "hierarchical"})


class Arrangement(NamedTuple):
    """How a message is carried: all that its sends follow from.

    Fields:
        pattern: what it does; `send` for a message between two devices.
        algorithm: of a collective; empty for a send.
        groups: devices in the order of participants; all do the same at once.
        size: of each group, in NCCL's convention for the pattern [B].
        options: choices within the algorithm.
    """

    pattern: Pattern | Literal["send"]
    algorithm: str
    groups: tuple[Group, ...]
    size: Bytes
    options: Options = DEFAULTS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carrier:
    """Makes traffic of messages; it remembers what it has made.

    Fields:
        router: links and routes between devices.
        mesh: which device has which rank.
        hosts: latencies and limits at either end.
        rings: in which order groups form rings.
        algorithm: of the all-reduce between replicas, or `auto`.
        options: choices within algorithms, beside those that follow from the places.
        chosen: collectives so far, and what the first of each kind does.
    """

    router: Router
    mesh: Mesh
    hosts: Hosts
    rings: Rings
    algorithm: str
    options: Options = DEFAULTS
    chosen: dict[Collective, Traffic] = field(default_factory=dict)
    _made: dict[tuple[object, ...], Traffic] = field(default_factory=dict)

    def shares_links(self, sent: Sent, *, has_plain_nodes: bool) -> bool:
        """Return whether a message crosses links that others may need.

        Args:
            sent: message and place.
            has_plain_nodes: whether nodes are switches, on which nothing is shared.
        """
        groups = self.mesh.groups(sent.message, sent.roles)
        if len(groups[0]) < 2:
            return False
        return not has_plain_nodes or any(map(self.hosts.is_spread, groups))

    def traffic(self, sent: Sent) -> Traffic:
        """Return what a message does to the network."""
        message = sent.message
        groups = tuple(self.mesh.groups(message, sent.roles))
        if message.sends:
            return self._exchanged(message.sends, groups)
        match message.pattern:
            case "send" | "neighbour-exchange":
                return self._sent(message, groups)
            case pattern:
                return self._collective(pattern, message, groups)

    def arrangement(self, sent: Sent) -> Arrangement | None:
        """Return how a message is carried; None for neighbours that send unlike sizes.

        A message from each to the next around a ring is an exchange of such pairs.
        """
        message = sent.message
        groups = tuple(self.mesh.groups(message, sent.roles))
        if message.sends:
            return None
        match message.pattern:
            case "send":
                return Arrangement("send", "", groups, message.size)
            case "neighbour-exchange" as pattern:
                count = len(groups[0])
                pairs = tuple((rank, (rank + 1) % count) for rank in range(count))
                options = Options(pairs=pairs)
                return Arrangement(pattern, "direct", groups, message.size, options)
            case pattern:
                name, _ = self._fastest(pattern, message, groups)
                return self._arranged(pattern, message.size, groups, name)

    def _collective(
        self, pattern: Pattern, message: Message, groups: tuple[Group, ...]
    ) -> Traffic:
        """Return what a collective does, by the fastest algorithm that it may take."""
        name, traffic = self._fastest(pattern, message, groups)
        kind = Collective(
            message.pattern,
            message.axis,
            float(message.size),
            len(groups[0]),
            name,
            self.hosts.fit(groups).protocol,
        )
        self.chosen.setdefault(kind, traffic)
        return traffic

    def _fastest(
        self, pattern: Pattern, message: Message, groups: tuple[Group, ...]
    ) -> tuple[str, Traffic]:
        """Return the algorithm of a collective, and what it does to the network."""
        tried = {
            name: self.placed(pattern, message.size, groups, name)
            for name in self._names(message, groups[0])
        }
        if len(tried) > 1:
            tried = {
                name: traffic
                for name, traffic in tried.items()
                if traffic.is_even or name == "ring"
            }
        name = min(tried, key=lambda one: tried[one].isolated_time())
        return name, tried[name]

    def _names(self, message: Message, group: Group) -> tuple[str, ...]:
        """Return the algorithms that may carry a message.

        A plan chooses that of the all-reduce between replicas; all else is as on a
        switch, for which times were fitted.
        """
        if message.axis in FEW_BYTES:
            return ("tree",)
        if message.pattern == "all-to-all":
            return ("direct",)
        if message.axis != "data" or message.pattern != "all-reduce":
            return (_USUAL.get(message.pattern, "ring"),)
        if self.algorithm != "auto":
            return (self.algorithm,)
        options = self.options_of(group)
        return tuple(
            name
            for name in _TRIED
            if not TABLE["all-reduce", name].allows(len(group), options)
        )

    def placed(
        self, pattern: Pattern, size: Bytes, groups: tuple[Group, ...], name: str
    ) -> Traffic:
        """Return what a collective does to the network.

        Args:
            pattern: what it does.
            size: in NCCL's convention for the pattern [B].
            groups: devices of each group in rank order; all do the same at once.
            name: of the algorithm.

        Raises:
            GraphError: failed links cut a group apart, or its switches cannot add.
        """
        key = (pattern, size, groups, name)
        if key not in self._made:
            self._made[key] = self._placed(pattern, size, groups, name)
        return self._made[key]

    def _placed(
        self, pattern: Pattern, size: Bytes, groups: tuple[Group, ...], name: str
    ) -> Traffic:
        _, _, ends, each, options = self._arranged(pattern, size, groups, name)
        return Traffic.place(
            self.router,
            ends,
            TABLE[pattern, name].rounds(len(ends[0]), each, options),
            latency=self.hosts.hop(ends[0]),
            start=self.hosts.fit(groups).start,
            labour=self.hosts.labour(groups),
        )

    def _arranged(
        self, pattern: Pattern, size: Bytes, groups: tuple[Group, ...], name: str
    ) -> Arrangement:
        """Return who takes part in which order: rings go where links are free."""
        num_rings = 1
        if name in _RINGS:
            rings = [self.rings.turned(self.rings.ordered(group)) for group in groups]
            num_rings = len(rings[0])
            groups = tuple(ring for several in rings for ring in several)
        elif name in _IN_ORDER:
            groups = tuple(self.rings.ordered(group) for group in groups)
        options = self.options_of(groups[0])
        return Arrangement(pattern, name, groups, size / num_rings, options)

    def _sent(self, message: Message, groups: tuple[Group, ...]) -> Traffic:
        """Return what one message between two devices, or around a ring, does."""
        size, is_ring = message.size, message.pattern == "neighbour-exchange"
        key = (message.pattern, size, groups)
        if key not in self._made:
            latency = self.hosts.fit(groups).transfer
            rounds = [_to_the_next(size, len(groups[0]), is_ring=is_ring)]
            labour = self.hosts.labour(groups)
            self._made[key] = Traffic.place(
                self.router, groups, rounds, latency=latency, labour=labour
            )
        return self._made[key]

    def _exchanged(
        self, sends: tuple[Transfer, ...], groups: tuple[Group, ...]
    ) -> Traffic:
        """Return what neighbours that send to each other at once do to the network."""
        key = ("neighbour-exchange", sends, groups)
        if key not in self._made:
            latency = self.hosts.fit(groups).transfer
            sources, targets, sizes = zip(*sends, strict=True)
            ends = np.array([sources, targets], np.int64)
            rounds = [Round(ends[0], ends[1], np.array(sizes, float), 1)]
            labour = self.hosts.labour(groups)
            self._made[key] = Traffic.place(
                self.router, groups, rounds, latency=latency, labour=labour
            )
        return self._made[key]

    def options_of(self, group: Group) -> Options:
        """Return what algorithms need to know of a group's place."""
        nodes = self.hosts.nodes(group)
        counts = {nodes.count(node) for node in set(nodes)}
        per_node = counts.pop() if len(counts) == 1 else 1
        rate = self.hosts.outside if self.hosts.is_spread(group) else self.hosts.inside
        grain = grain_of(self.hosts.hop(group), rate)
        return replace(self.options, per_node=per_node, grain=grain)


def _to_the_next(size: Bytes, num_ranks: int, *, is_ring: bool) -> Round:
    """Return a send of each rank to the next; of the last only around a ring."""
    sender = np.arange(num_ranks if is_ring else num_ranks - 1)
    receiver = (sender + 1) % num_ranks
    return Round(sender, receiver, np.full(len(sender), size), 1)
