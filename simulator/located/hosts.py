"""What a message costs beside its links: the latencies and rates of either end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.located.mesh import Group
from simulator.pricing.link_fits import adapter_rate, link_fit
from topologies.hardware import Cluster
from topologies.profile import LinkFit, Profile
from topologies.units import BytesPerSecond, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """What a message costs beside its links.

    Fields:
        per_node: devices in a node [1].
        adapters: of a node [1].
        fabric, network: latencies inside a node, and between nodes.
        inside: rate of a device inside its node [B/s].
        outside: rate of an adapter [B/s].
    """

    per_node: int
    adapters: int
    fabric: LinkFit
    network: LinkFit
    inside: BytesPerSecond
    outside: BytesPerSecond

    @classmethod
    def of(cls, cluster: Cluster, profile: Profile) -> Hosts:
        """Return what a profile says of a cluster's links."""
        return cls(
            per_node=cluster.devices_per_node,
            adapters=int(cluster.adapters_per_node),
            fabric=link_fit(cluster.fabric, profile),
            network=link_fit(cluster.network, profile),
            inside=adapter_rate(cluster.fabric, profile),
            outside=adapter_rate(cluster.network, profile),
        )

    def nodes(self, group: Group) -> list[int]:
        """Return the node of each device."""
        return [device // self.per_node for device in group]

    def is_spread(self, group: Group) -> bool:
        """Return whether a group has devices of several nodes."""
        return len(set(self.nodes(group))) > 1

    def fit(self, groups: Sequence[Group]) -> LinkFit:
        """Return the fit of the slowest links that groups need."""
        return self.network if any(map(self.is_spread, groups)) else self.fabric

    def hop(self, group: Group) -> Seconds:
        """Return the mean latency of a group's hops around a ring, as on a switch."""
        nodes = self.nodes(group)
        pairs = zip(nodes, [*nodes[1:], nodes[0]], strict=True)
        leaving = sum(one != other for one, other in pairs) / len(nodes)
        return leaving * self.network.hop + (1 - leaving) * self.fabric.hop
