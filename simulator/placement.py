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

from simulator.costs.elementwise import clip, floor, maximum, minimum, where
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


def group(
    axis: Axis,
    degrees: Degrees,
    cluster: Cluster,
    profile: Profile,
    pair: tuple[int, int] = (0, 1),
) -> Group:
    """Return the ring of one group of `axis` when all its groups communicate.

    Args:
        axis: of the mesh.
        degrees: ranks of each axis.
        cluster: nodes and links.
        profile: fits of the links.
        pair: pipeline ranks of sender and receiver, for `pipeline`.
    """
    per_node = cluster.devices_per_node
    fabric = link_fit(cluster.fabric, profile)
    network = link_fit(cluster.network, profile)
    stride, size, crosses = _extent(axis, degrees, per_node, pair)
    in_node = clip(floor(per_node / stride), 1, size)
    inside = fabric.efficiency * cluster.fabric.bandwidth
    adapters = cluster.adapters_per_node * cluster.network.bandwidth
    sharing = minimum(per_node, degrees.tensor * degrees.data * degrees.pipeline)
    outside = network.efficiency * adapters * in_node / sharing
    return Group(
        size,
        where(crosses, network.start, fabric.start),
        where(crosses, network.hop, fabric.hop),
        where(crosses, minimum(inside, outside), inside),
        where(crosses, network.transfer, fabric.transfer),
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


def _extent(
    axis: Axis, degrees: Degrees, per_node: int, pair: tuple[int, int]
) -> tuple[Count, Count, Count]:
    """Return a group's stride and size, and whether it leaves a node."""
    tensor, data, pipeline = degrees.tensor, degrees.data, degrees.pipeline
    replica = tensor * data
    if axis == "pipeline":
        sender, receiver = (floor(rank * replica / per_node) for rank in pair)
        is_far = (sender != receiver) | (replica > per_node)
        return replica, minimum(pipeline, 2), is_far
    if axis == "embedding":
        stride = replica * maximum(pipeline - 1, 1)
        return stride, minimum(pipeline, 2), stride >= per_node
    if axis == "model":
        furthest = replica * (pipeline - 1) + tensor - 1
        return replica, tensor * pipeline, furthest >= per_node
    stride, size = (1, tensor) if axis == "tensor" else (tensor, data)
    return stride, size, stride * (size - 1) >= per_node
