"""Where the ranks sit, and what each group's links are worth there.

Ranks are numbered as `simulator.mesh` says, and fill the nodes in turn. A group is then
described by its size, by how many of its ranks share a node, and by what the narrowest
hop of its ring gives.

A library has several protocols on a link; what each gives a group is a `Lane`.

Degrees may be NumPy arrays, one entry per plan.

Limits: equal nodes on a non-blocking switch. All groups of one axis communicate at
the same time, and those that leave a node share its adapters evenly; different axes
do not contend with each other. A piece of a collective goes around its ring, so that a
step costs the mean latency of the ring's hops, in a node and between nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from simulator.costs.elementwise import floor, maximum, minimum, where
from simulator.mesh import Degrees, Span
from simulator.pricing.link_fits import link_fits, long_rate
from simulator.workload import Axis
from topologies.hardware import Cluster
from topologies.profile import LinkFit, Profile
from topologies.units import Bytes, BytesPerSecond, Count, Ratio, Seconds

_TRANSFERS: frozenset[Axis] = frozenset({"pipeline", "embedding"})
_BETWEEN_STAGES: frozenset[Axis] = _TRANSFERS | {"model"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What one protocol gives a group.

    Fields:
        link: that it runs on.
        protocol: what a report calls it.
        algorithms: that it serves; empty for all that need no help from the switch.
        is_open: whether the links of the group have it [1].
        start: time of a collective beside its steps [s].
        hop: latency of one step [s].
        bandwidth: what the narrowest hop of the ring gives this group [B/s].
        largest: message for which it is used at most [B].
        reach: how many ends of its links share a switch [1].
        across: share of the bandwidth that is left between those switches [1].
        num_ends: ends of its links in the group [1].
    """

    link: str
    protocol: str
    algorithms: tuple[str, ...]
    is_open: Count
    start: Seconds
    hop: Seconds
    bandwidth: BytesPerSecond
    largest: Bytes
    reach: Count
    across: Ratio
    num_ends: Count


@dataclass(frozen=True, slots=True)
class Group:
    """The ring of one axis's ranks, under the first protocol of its links.

    Fields:
        num_ranks: n [1].
        start: time of a collective beside its steps [s].
        hop: latency of one step, the mean over the ring's hops [s].
        bandwidth: what the narrowest hop of the ring gives this group [B/s].
        transfer: latency of one point-to-point message [s].
        lanes: what each protocol gives it; empty where there is only that one, and
            nothing to say of it beside the above.
    """

    num_ranks: Count
    start: Seconds
    hop: Seconds
    bandwidth: BytesPerSecond
    transfer: Seconds
    lanes: tuple[Lane, ...] = ()


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
    size, crosses, flows = _spread(axis, degrees, per_node, pair)
    sharing = minimum(flows, per_node)
    adapters = cluster.adapters_per_node / sharing
    if axis in _TRANSFERS:
        # One transfer uses one adapter, unless each device has several of its own.
        own = cluster.adapters_per_node / per_node
        adapters = minimum(adapters, maximum(own, 1.0))
    fabrics = link_fits(cluster.fabric, profile)
    networks = link_fits(cluster.network, profile)
    inside = long_rate(fabrics[0], cluster.fabric)
    copied = cluster.network.copy_rate / sharing
    outside = [
        minimum(inside, minimum(long_rate(fit, cluster.network) * adapters, copied))
        for fit in networks
    ]
    fabric, network = fabrics[0], networks[0]
    leaving = _leaving(axis, degrees, per_node)
    lanes: list[Lane] = []
    if not _are_plain(fabrics) or not _are_plain(networks):
        if cluster.fabric.bandwidth < float("inf"):
            name, is_open = cluster.fabric.name, 1 - crosses
            rates = (long_rate(fit, cluster.fabric) for fit in fabrics)
            for fit, rate in zip(fabrics, rates, strict=True):
                lanes.append(_lane(fit, rate, name, is_open, size))
        if cluster.network.bandwidth < float("inf"):
            name, hosts = cluster.network.name, minimum(size, cluster.num_nodes)
            mixed = (_with_hop(fit, leaving, fabric) for fit in networks)
            for fit, rate in zip(mixed, outside, strict=True):
                lanes.append(_lane(fit, rate, name, crosses, hosts))
    return Group(
        size,
        where(crosses, network.start, fabric.start),
        where(crosses, _with_hop(network, leaving, fabric).hop, fabric.hop),
        where(crosses, outside[0], inside),
        where(crosses, network.transfer, fabric.transfer),
        tuple(lanes),
    )


def _leaving(axis: Axis, degrees: Degrees, per_node: int) -> Ratio:
    """Return the share of a ring's hops that leave a node, if any does."""
    if axis in _BETWEEN_STAGES:
        return 1.0
    return 1 / ranks_per_node(degrees.span(axis), per_node)


def _with_hop(network: LinkFit, leaving: Ratio, fabric: LinkFit) -> LinkFit:
    """Return the fit of a network with the mean hop of rings that leave nodes."""
    hop = leaving * network.hop + (1 - leaving) * fabric.hop
    return replace(network, hop=hop)


def _are_plain(fits: Sequence[LinkFit]) -> bool:
    """Return whether there is one protocol, for all messages and at all distances."""
    first, *others = fits
    return not others and first.across == 1 and first.largest == float("inf")


def _lane(
    fit: LinkFit, bandwidth: BytesPerSecond, link: str, is_open: Count, num_ends: Count
) -> Lane:
    return Lane(
        link=link,
        protocol=fit.protocol,
        algorithms=fit.algorithms,
        is_open=is_open,
        start=fit.start,
        hop=fit.hop,
        bandwidth=bandwidth,
        largest=fit.largest,
        reach=fit.reach,
        across=fit.across,
        num_ends=num_ends,
    )


def ranks_per_node(span: Span, per_node: Count) -> Count:
    """Return how many ranks of a group share a node; 1 if nodes are not whole.

    Args:
        span: of the group.
        per_node: devices in a node [1].
    """
    count, stride = span
    inside = minimum(maximum(floor(per_node / stride), 1), count)
    is_whole = (inside * floor(count / inside) == count) * (stride <= per_node)
    return where(is_whole, inside, 1)


def _spread(
    axis: Axis, degrees: Degrees, per_node: int, pair: tuple[int, int]
) -> tuple[Count, Count, Count]:
    """Return a group's size, whether any such group leaves a node, and its rivals.

    The rivals are the groups, itself included, that leave or enter a node at once and
    so share its adapters. A block of ranks that neither fills nodes nor divides one
    straddles a boundary somewhere; a node may then have such a block at either end.
    """
    tensor, pipeline, plane = degrees.tensor, degrees.pipeline, degrees.plane
    if axis == "model":
        furthest = plane * (pipeline - 1) + tensor - 1
        return tensor * pipeline, furthest >= per_node, per_node
    if axis in _BETWEEN_STAGES:
        first, last = (0, pipeline - 1) if axis == "embedding" else pair
        size = minimum(pipeline, 2)
        return size, _is_apart(first, last, plane, per_node), plane
    count, stride = degrees.span(axis)
    block = count * stride
    straddles = (per_node % block != 0) * (plane * pipeline > per_node)
    is_aligned = (block % per_node == 0) * (per_node % stride == 0)
    return count, straddles, where(is_aligned, stride, 2 * stride)


def _is_apart(first: Count, last: Count, plane: Count, per_node: int) -> Count:
    """Return whether any rank of one stage is on another node than its peer."""
    begins = floor(first * plane / per_node) != floor(last * plane / per_node)
    ends = floor(((first + 1) * plane - 1) / per_node) != floor(
        ((last + 1) * plane - 1) / per_node
    )
    return maximum(begins, ends)
