"""Where the ranks sit, and what each group's links are worth there.

Ranks are numbered tensor-innermost, then data, then pipeline (Megatron's order of
2021), and fill the nodes in turn. A group is then described by its size, by how many
of its ranks share a node, and by what the narrowest hop of its ring gives.

Degrees may be NumPy arrays, one entry per plan.

Limits: equal nodes on a non-blocking switch. All groups of one axis communicate at
the same time, and those that leave a node share its adapters evenly; different axes
do not contend with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.costs.elementwise import floor, maximum, minimum, where
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
    """Return the ring of the worst-placed group of `axis`, all communicating at once.

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
    size, crosses, flows = _spread(axis, degrees, per_node, pair)
    inside = fabric.efficiency * cluster.fabric.bandwidth
    adapters = cluster.adapters_per_node / minimum(flows, per_node)
    if axis in {"pipeline", "embedding"}:
        # One transfer uses one adapter, unless each device has several of its own.
        own = cluster.adapters_per_node / per_node
        adapters = minimum(adapters, maximum(own, 1.0))
    outside = network.efficiency * cluster.network.bandwidth * adapters
    return Group(
        size,
        where(crosses, network.start, fabric.start),
        where(crosses, network.hop, fabric.hop),
        where(crosses, minimum(inside, outside), inside),
        where(crosses, network.transfer, fabric.transfer),
    )


def link_fit(link: Link, profile: Profile) -> LinkFit:
    """Return the profile's fit of a link, or its data sheet where there is none.

    A plan's own latency replaces the sheet's: a fit's times move by the difference.
    """
    fitted = profile.links.get(link.name)
    if fitted is None:
        latency = link.latency
        return LinkFit(
            efficiency=link.efficiency, start=latency, hop=latency, transfer=latency
        )
    return LinkFit(
        efficiency=fitted.efficiency,
        start=maximum(fitted.start + link.moved, 0.0),
        hop=maximum(fitted.hop + link.moved, 0.0),
        transfer=maximum(fitted.transfer + link.moved, 0.0),
    )


def _spread(
    axis: Axis, degrees: Degrees, per_node: int, pair: tuple[int, int]
) -> tuple[Count, Count, Count]:
    """Return a group's size, whether any such group leaves a node, and its rivals.

    The rivals are the groups, itself included, that leave or enter a node at once and
    so share its adapters. A block of ranks that neither fills nodes nor divides one
    straddles a boundary somewhere; a node may then have such a block at either end.
    """
    tensor, data, pipeline = degrees.tensor, degrees.data, degrees.pipeline
    replica = tensor * data
    is_several = replica * pipeline > per_node
    if axis == "tensor":
        straddles = (per_node % tensor != 0) * is_several
        return tensor, straddles, where(tensor % per_node == 0, 1, 2)
    if axis == "data":
        straddles = (per_node % replica != 0) * is_several
        is_aligned = (replica % per_node == 0) * (per_node % tensor == 0)
        return data, straddles, where(is_aligned, tensor, 2 * tensor)
    if axis == "model":
        furthest = replica * (pipeline - 1) + tensor - 1
        return tensor * pipeline, furthest >= per_node, per_node
    first, last = (0, pipeline - 1) if axis == "embedding" else pair
    size = minimum(pipeline, 2)
    return size, _is_apart(first, last, replica, per_node), replica


def _is_apart(first: Count, last: Count, replica: Count, per_node: int) -> Count:
    """Return whether any rank of one stage is on another node than its peer."""
    begins = floor(first * replica / per_node) != floor(last * replica / per_node)
    ends = floor(((first + 1) * replica - 1) / per_node) != floor(
        ((last + 1) * replica - 1) / per_node
    )
    return maximum(begins, ends)
