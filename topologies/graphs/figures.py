"""What a network person asks first: diameter, bisection, oversubscription."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from topologies.graphs.bisection import bisection
from topologies.graphs.network import CutError, Network
from topologies.graphs.paths import UNREACHED, block_size, distances, moves
from topologies.units import BytesPerSecond, Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures of a network; paths are between hosts, by the fewest links.

    Fields:
        num_hosts, num_switches: nodes [1].
        num_links: directed; a cable is two [1].
        diameter: links on the longest of the shortest paths [1].
        mean_path_length: links, over all ordered pairs of different hosts [1].
        bisection_bandwidth: across the worst even cut of the hosts, one way [B/s].
        bisection_method: how it was found; says so if it is an upper bound.
        oversubscription: downlink ÷ uplink, multiplied over the tiers; None where
            there are no tiers [1].
    """

    num_hosts: int
    num_switches: int
    num_links: int
    diameter: int
    mean_path_length: float
    bisection_bandwidth: BytesPerSecond
    bisection_method: str
    oversubscription: Ratio | None


def figures(network: Network, failed: Iterable[int] = ()) -> Figures:
    """Return the figures of a network.

    Args:
        network: nodes and links.
        failed: links that carry nothing; the figures are of what is left.

    Raises:
        CutError: some hosts cannot reach each other.
    """
    network = _without(network, failed)
    diameter, mean = _path_lengths(network)
    cut = bisection(network)
    return Figures(
        num_hosts=network.num_hosts,
        num_switches=network.num_switches,
        num_links=network.num_links,
        diameter=diameter,
        mean_path_length=mean,
        bisection_bandwidth=cut.bandwidth,
        bisection_method=cut.method,
        oversubscription=oversubscription(network),
    )


def oversubscription(network: Network) -> Ratio | None:
    """Return downlink ÷ uplink, multiplied over the tiers that have uplinks.

    Of each tier the switch with the worst ratio counts. An uplink to a switch from
    where nothing goes further up is none. None without tiers.

    Source: derived above; a pod's hosts share the pod's uplinks in this ratio.
    """
    if not network.levels:
        return None
    levels = np.array(network.levels)
    climbs = levels[network.target] > levels[network.source]
    num_nodes = network.num_nodes
    down = np.bincount(
        network.source[~climbs], network.bandwidth[~climbs], minlength=num_nodes
    )
    ratio, is_end = 1.0, np.zeros(num_nodes, bool)
    for level in reversed(range(1, int(levels.max()))):
        leads = climbs & ~is_end[network.target]
        up = np.bincount(
            network.source[leads], network.bandwidth[leads], minlength=num_nodes
        )
        is_end |= (levels == level) & (up == 0)
        tier = (levels == level) & (up > 0)
        ratio *= float((down[tier] / up[tier]).max()) if tier.any() else 1.0
    return ratio


def _without(network: Network, failed: Iterable[int]) -> Network:
    """Return a network without some links; no half is known to be its worst."""
    gone = np.array(sorted(set(failed)), np.int64)
    if not len(gone):
        return network
    return replace(
        network,
        source=np.delete(network.source, gone),
        target=np.delete(network.target, gone),
        bandwidth=np.delete(network.bandwidth, gone),
        latency=np.delete(network.latency, gone),
        half=(),
    )


def _path_lengths(network: Network) -> tuple[int, float]:
    """Return the longest and the mean shortest path between hosts [1]."""
    graph = moves(network)
    hosts = np.arange(network.num_hosts)
    block, longest, total = block_size(graph), 0, 0
    for first in range(0, len(hosts), block):
        hops = distances(graph, hosts[first : first + block]).hops[:, hosts]
        if np.any(hops == UNREACHED):
            alone = np.flatnonzero((hops == UNREACHED).any(0)).tolist()
            raise CutError(f"{network.name} is cut: hosts {alone} are apart", alone)
        longest, total = max(longest, int(hops.max())), total + int(hops.sum())
    pairs = len(hosts) * (len(hosts) - 1)
    return longest, total / pairs if pairs else 0.0
