"""What an all-to-all has of the links: some of it stays in the node, the rest leaves.

A ring leaves a node once, an all-to-all from every rank. Of what a rank sends,
(g - 1) / (n - 1) goes to the g ranks of its group in its node; the rest shares the
node's adapters with what all other devices of the node send, as all groups exchange at
once.

Limits: one plan, not arrays of them. Libraries send the parts as messages of their own,
under one protocol; sends inside a node and between nodes go on beside each other.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.mesh import Degrees, Span
from simulator.pricing.link_fits import adapter_rate, link_fit
from simulator.pricing.placement import Group, group, ranks_per_node
from simulator.workload import Axis
from topologies.hardware import Cluster
from topologies.profile import Profile


def exchange_group(
    axis: Axis, degrees: Degrees, cluster: Cluster, profile: Profile
) -> Group:
    """Return the worst-placed group of an axis, all exchanging everything at once.

    1 / bandwidth = max(stays / rate of the fabric, leaves / rate of the adapters)

    Args:
        axis: of the mesh.
        degrees: ranks of each axis.
        cluster: nodes and links.
        profile: fits of the links.
    """
    ring = group(axis, degrees, cluster, profile)
    span, per_node = degrees.span(axis), cluster.devices_per_node
    count = int(span.ranks)
    if count == 1:
        return ring
    inside = _inside(span, degrees, per_node)
    stays, leaves = (inside - 1) / (count - 1), (count - inside) / (count - 1)
    network = cluster.network
    rate = adapter_rate(network, profile) * cluster.adapters_per_node
    own = min(rate, network.copy_rate) / per_node
    bandwidth = 1 / max(stays / adapter_rate(cluster.fabric, profile), leaves / own)
    hop = link_fit(network, profile).hop if leaves else ring.hop
    return replace(ring, bandwidth=bandwidth, hop=hop, lanes=())


def _inside(span: Span, degrees: Degrees, per_node: int) -> int:
    """Return how many ranks of a group share a node, in the group with fewest."""
    count, stride = int(span.ranks), int(span.stride)
    if degrees.plane * degrees.pipeline <= per_node or per_node % (count * stride) == 0:
        return count
    inside = int(ranks_per_node(span, per_node))
    return inside if inside < count else 1
