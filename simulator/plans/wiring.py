"""The graph of a plan's machine: its network, the inside of its nodes, its routes.

Loaded only for plans that name a graph: everything here is NumPy.

Limits: links of a graph add `hop_latency` and nothing else; what a message takes by
itself, software included, is a property of its link and is added where it is priced.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from simulator.plans.building import build_cluster
from simulator.plans.fields import shown
from simulator.plans.network_fields import Cable, End
from simulator.plans.network_records import ClusterSection, NetworkSection, NodeSection
from simulator.plans.shapes import completed, family_of
from topologies import catalogue
from topologies.graphs.families import build, build_node
from topologies.graphs.network import GraphError, Network
from topologies.graphs.nodes import Node
from topologies.graphs.wiring import Wiring, usual_paths
from topologies.machine import Machine, alone
from topologies.units import BytesPerSecond

_RAILS = "rail-optimized"
_AMPLE = 1000.0  # times an adapter's rate: of a device that has no fabric


class Rates(NamedTuple):
    """What links give to large messages.

    Fields:
        network: one adapter and direction [B/s].
        fabric: one device to all others of its node [B/s].
    """

    network: BytesPerSecond
    fabric: BytesPerSecond


def sheet_rates(cluster: ClusterSection) -> Rates:
    """Return the rates of the data sheets: bandwidth times efficiency [B/s]."""
    built = build_cluster(cluster)
    network, fabric = built.network, built.fabric
    return Rates(
        network.efficiency * network.bandwidth, fabric.efficiency * fabric.bandwidth
    )


def has_graph(cluster: ClusterSection) -> bool:
    """Return whether the plan names a graph, between its nodes or inside them."""
    return cluster.node is not None or _has_network(cluster)


def build_machine(
    cluster: ClusterSection, rates: Rates | None = None, *, seed: int = 0
) -> Machine | Wiring | None:
    """Return the graph of a plan's devices; None where the plan names none.

    Endpoints are devices, numbered node by node. Where a node has one device, or the
    hosts of the network are devices (rails), the network alone is the machine; it may
    have hosts to spare after them.

    Args:
        cluster: the plan's hardware.
        rates: of its links; those of the data sheets if left out.
        seed: of the hash, where paths are hashed.

    Raises:
        GraphError: the plan makes no such graph.
    """
    if not has_graph(cluster):
        return None
    rates = rates or sheet_rates(cluster)
    wiring = build_wiring(cluster, rates, seed=seed)
    network = cluster.network
    is_whole = cluster.node is None and cluster.devices_per_node == 1
    if is_whole or (network and network.topology == _RAILS):
        return wiring
    node = _build_node(cluster, rates, _ports(wiring.network))
    # Cross traffic may come from hosts that this plan leaves free.
    num_nodes = 0 if cluster.background else cluster.nodes
    return Machine(wiring=wiring, node=node, num_nodes=num_nodes)


def build_wiring(
    cluster: ClusterSection, rates: Rates | None = None, *, seed: int = 0
) -> Wiring:
    """Return the network between a plan's nodes, and its routes.

    A plan without a graph between its nodes has a star, or a host alone.

    Args:
        cluster: the plan's hardware.
        rates: of its links; those of the data sheets if left out.
        seed: of the hash, where paths are hashed.

    Raises:
        GraphError: the plan makes no such network, or has no such links or paths.
    """
    section = cluster.network
    if section is None or cluster.nodes < 2:
        return alone()
    network = build_network(cluster, section, rates or sheet_rates(cluster))
    factors = {
        link: each.factor
        for each in section.degraded
        for link in links_of(network, each.link)
    }
    gone = [link for ends in section.failed for link in links_of(network, ends)]
    return Wiring(
        network=network.degraded(factors) if factors else network,
        paths=section.routing or usual_paths(network),
        spread=section.multipath,
        seed=seed,
        failed=tuple(sorted(set(gone))),
    )


def build_network(
    cluster: ClusterSection, section: NetworkSection, rates: Rates
) -> Network:
    """Return the graph between the nodes, without what has failed.

    Args:
        cluster: nodes and devices of each.
        section: the cluster's network.
        rates: of its links.

    Raises:
        GraphError: the parameters make no network.
    """
    # What a file says may change between two calls.
    build_it = _built if section.file is None else _built.__wrapped__
    return build_it(cluster, section, rates)


@lru_cache(maxsize=8)
def _built(cluster: ClusterSection, section: NetworkSection, rates: Rates) -> Network:
    family = family_of(section)
    width = rates.network * section.adapters_per_node
    if family == "switch":
        family = "star"
    takes: dict[str, Any] = completed(cluster, section)
    if family == "file":
        takes = {"path": section.file}
    elif family == _RAILS:
        takes |= {"servers": cluster.nodes, "rails": cluster.devices_per_node}
        takes |= {"fabric_bandwidth": _fabric(rates), "fabric_latency": 0.0}
        width /= cluster.devices_per_node
    elif family in _BY_HOSTS:
        takes["hosts"] = cluster.nodes
    return build(family, bandwidth=width, latency=section.hop_latency, **takes)


_BY_HOSTS = frozenset({"ring", "wheel", "random", "random-regular", "star", "full"})


def links_of(network: Network, ends: Cable) -> tuple[int, ...]:
    """Return the links, both ways, of the cables between two nodes of a graph.

    Raises:
        GraphError: there is no such node or cable; the message says what there is.
    """
    a, b = (_node_of(network, end) for end in ends)
    found = (*network.links_between(a, b), *network.links_between(b, a))
    if not found:
        near = np.unique(network.target[network.source == a]).tolist()
        names = ", ".join(network.labels[node] for node in near[:6])
        more = ", ..." if len(near) > 6 else ""
        raise GraphError(
            f"no cable joins {network.labels[a]} and {network.labels[b]}; "
            f"{network.labels[a]} is joined to {names}{more}"
        )
    return found


def _node_of(network: Network, end: End) -> int:
    """Return the number of a node of the graph, by number or label."""
    if isinstance(end, int):
        if end < network.num_nodes:
            return end
        last = network.num_nodes - 1
        raise GraphError(f"there is no node {shown(end)}; they are 0 … {last}")
    for label in (end, end.replace("node", "host")):
        if label in network.labels:
            return network.labels.index(label)
    near = difflib.get_close_matches(end, network.labels, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    known = f"{network.labels[0]!r} … {network.labels[-1]!r}"
    raise GraphError(f"there is no node {shown(end)}; {guess}they are {known}")


def _has_network(cluster: ClusterSection) -> bool:
    section = cluster.network
    return section is not None and section.topology != "switch" and cluster.nodes > 1


def _ports(network: Network) -> int:
    """Return how many cables of the network end at one host, at most."""
    degree = np.bincount(network.source, minlength=1)[: network.num_hosts]
    return max(1, int(degree.max(initial=1)))


def _build_node(cluster: ClusterSection, rates: Rates, ports: int) -> Node:
    """Return the inside of a node; every cable of the network has ports of its own."""
    section = cluster.node or NodeSection()
    adapters = cluster.network.adapters_per_node if cluster.network else 0
    return build_node(
        section.topology,
        devices=cluster.devices_per_node,
        adapters=adapters,
        adapter_bandwidth=rates.network * ports if adapters else _fabric(rates),
        bandwidth=_fabric(rates),
        latency=0.0,
        **node_parameters(section),
    )


def build_inside(cluster: ClusterSection) -> Node:
    """Return the inside of a node at the rates of the data sheets.

    Raises:
        GraphError: the plan makes no such node.
    """
    return _build_node(cluster, sheet_rates(cluster), 1)


def _fabric(rates: Rates) -> BytesPerSecond:
    """Return the rate of a device inside its node; alone, it never sets the pace."""
    if isfinite(rates.fabric):
        return rates.fabric
    return _AMPLE * rates.network if isfinite(rates.network) else _AMPLE


def node_parameters(section: NodeSection) -> dict[str, Any]:
    """Return the parameters of a kind of node that a plan gives."""
    found: dict[str, Any] = {}
    for name in ("switches", "links", "adapters_on"):
        if getattr(section, name) is not None:
            found[name] = getattr(section, name)
    for name in ("pcie", "bridge", "socket"):
        link = getattr(section, name)
        if link is not None:
            sheet = catalogue.link(link)
            found[f"{name}_bandwidth"] = sheet.efficiency * sheet.bandwidth
    return found
