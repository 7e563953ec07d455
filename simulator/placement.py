"""Where the ranks sit, and what each group's links are worth there.

Ranks are numbered tensor-innermost, then data, then pipeline (Megatron's order of
2021), and fill the nodes in turn. A group is then described by its size, by how many
of its ranks share a node, and by what the narrowest hop of its ring gives.

Degrees may be NumPy arrays, one entry per plan.

Limits: equal nodes on a non-blocking switch. All groups of one axis communicate at
the same time, so a node's adapters are divided evenly among its devices; different
axes do not contend with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.workload import Axis
from topologies.hardware import Cluster, Link
from topologies.profile import LinkFit, Profile
from topologies.units import BytesPerSecond, Count, Seconds


@dataclass(frozen=True, slots=True)
class Group:
    """The ring of one axis's ranks.

    Fields:
        num_ranks: n [1].
        start: time of a collective beside its steps [s].
        hop: latency of one step; the slower kind sets the pace of a ring [s].
        bandwidth: what the narrowest hop of the ring gives this group [B/s].
        transfer: latency of one point-to-point message [s].
    """

    num_ranks: Count
    start: Seconds
    hop: Seconds
    bandwidth: BytesPerSecond
    transfer: Seconds


@dataclass(frozen=True, slots=True)
class Degrees:
    """How many ranks each axis of the mesh has [1]."""

    tensor: Count
    data: Count
    pipeline: Count


def group(axis: Axis, degrees: Degrees, cluster: Cluster, profile: Profile) -> Group:
    """Return the ring of one group of `axis` when all its groups communicate."""
    stride, size = _extent(axis, degrees)
    per_node = cluster.devices_per_node
    in_node = np.clip(np.floor(per_node / stride), 1, size)
    crosses = stride * (size - 1) >= per_node
    fabric, network = link_fit(cluster.fabric, profile), link_fit(cluster.network, profile)
    inside = fabric.efficiency * cluster.fabric.bandwidth
    adapters = cluster.adapters_per_node * cluster.network.bandwidth
    outside = network.efficiency * adapters * in_node / per_node
    return Group(
        size,
        np.where(crosses, network.start, fabric.start),
        np.where(crosses, network.hop, fabric.hop),
        np.where(crosses, np.minimum(inside, outside), inside),
        np.where(crosses, network.transfer, fabric.transfer),
    )


def link_fit(link: Link, profile: Profile) -> LinkFit:
    """Return the profile's fit of a link, or its data sheet where there is none."""
    fitted = profile.links.get(link.name)
    if fitted is not None:
        return fitted
    return LinkFit(
        efficiency=link.efficiency,
        start=link.latency,
        hop=link.latency,
        transfer=link.latency,
    )


def _extent(axis: Axis, degrees: Degrees) -> tuple[Count, Count]:
    """Return the distance between neighbours of a group, and its size [1]."""
    tensor, data, pipeline = degrees.tensor, degrees.data, degrees.pipeline
    if axis == "tensor":
        return 1, tensor
    if axis == "data":
        return tensor, data
    if axis == "pipeline":
        return tensor * data, np.minimum(pipeline, 2)
    if axis == "embedding":
        return tensor * data * (pipeline - 1), np.minimum(pipeline, 2)
    return 1, tensor * pipeline
