"""Whether the keys of the network make a graph, and what fits on it.

A plan on a switch has no graph; only its keys are looked at, and nothing is loaded.
"""

# ruff: noqa: PLC0415 - a plan on a switch loads no graphs

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

from simulator.errors import Fault
from simulator.plans.fields import shown
from simulator.plans.network_records import ClusterSection, NetworkSection
from simulator.plans.shapes import (
    EXACT,
    FROM_CLUSTER,
    MAX_CABLES,
    MAX_HOSTS,
    RENAMED,
    balanced_dragonfly,
    cables_of,
    completed,
    family_of,
    given,
    hosts_of,
    smallest_fat_tree,
    squarest,
    suggestion,
)

_TABLE = "cluster.network"
_TOPOLOGY = f"{_TABLE}.topology"
_LINKLESS = 'a "switch" has no cables to name'
_STAR = f'write topology = "star" in [{_TABLE}], whose cables have names'


def network_faults(cluster: ClusterSection) -> Iterator[Fault]:
    """Yield what is wrong with the graph between the nodes.

    Args:
        cluster: of valid devices and links.
    """
    network = cluster.network
    if network is None:
        return
    foreign = list(_foreign(network))
    yield from foreign
    if network.topology == "switch":
        for name in ("failed", "degraded"):
            if getattr(network, name):
                key = f"{_TABLE}.{name}"
                yield Fault(key, _LINKLESS, _STAR, involves=(_TOPOLOGY,))
        return
    if foreign:
        return
    missing = list(_missing(cluster, network))
    yield from missing
    if missing:
        return
    wrong = list(_sizes(cluster, network))
    yield from wrong
    if not wrong and cluster.nodes > 1:
        yield from _graph_faults(cluster, network)


def _takes(family: str) -> dict[str, Any]:
    """Return the parameters of a family as a plan names them, with defaults."""
    from topologies.graphs.families import parameters_of

    if family == "switch":
        return {}
    found = {
        RENAMED.get(name, name): default
        for name, default in parameters_of(family).items()
        if name not in FROM_CLUSTER
    }
    if family == "random":
        found["degree"] = None
    return found


def _foreign(network: NetworkSection) -> Iterator[Fault]:
    """Yield parameters that belong to other families."""
    if network.probability is not None and network.degree is not None:
        key, other = f"{_TABLE}.degree", f"{_TABLE}.probability"
        if network.topology == "random":
            problem = "both a probability and a degree are given"
            yield Fault(key, problem, "keep one of the two", involves=(other,))
            return
    names = given(network)
    if not names:
        return
    from topologies.graphs.families import FAMILIES

    family = network.topology
    takes = _takes(family)
    listed = ", ".join(takes) or "no parameter"
    for name in names:
        if name not in takes:
            owners = [other for other in FAMILIES if name in _takes(other)]
            problem = f"is a parameter of {' and '.join(owners)}, not of {family}"
            remedy = f"{family} takes {listed}"
            yield Fault(f"{_TABLE}.{name}", problem, remedy, involves=(_TOPOLOGY,))


def _missing(cluster: ClusterSection, network: NetworkSection) -> Iterator[Fault]:
    """Yield parameters that neither stand in the plan nor follow from the nodes."""
    family = family_of(network)
    have = completed(cluster, network)
    for name, default in _takes(family).items():
        follows = name == "hosts_per_leaf"  # from what is missing beside it
        if default is inspect.Parameter.empty and name not in have and not follows:
            yield Fault(
                f"{_TABLE}.{name}",
                f"is missing: {family} needs it",
                f"add {suggestion(family, name, cluster.nodes)}",
                involves=(_TOPOLOGY,),
            )


def _sizes(cluster: ClusterSection, network: NetworkSection) -> Iterator[Fault]:
    """Yield whether the parameters make room for the nodes, and not for too many."""
    family, nodes = family_of(network), cluster.nodes
    have = completed(cluster, network)
    key = next((f"{_TABLE}.{name}" for name in given(network)), _TOPOLOGY)
    involves = (*(f"{_TABLE}.{name}" for name in have), "cluster.nodes", _TOPOLOGY)
    made = hosts_of(family, have)
    if made is None:
        devices = cluster.devices_per_node if family == "rail-optimized" else 1
        hosts = nodes * devices
    elif nodes == 1 and not given(network):
        return
    else:
        hosts, text = made
        if hosts < nodes or (hosts > nodes and family in EXACT):
            plural = "node" if nodes == 1 else "nodes"
            problem = f"{text} hosts, but the plan has {nodes} {plural}"
            yield Fault(key, problem, _fitting(family, nodes, have), involves=involves)
            return
    if hosts > MAX_HOSTS:
        problem = f"{hosts} hosts in a graph"
        remedy = f"at most {MAX_HOSTS} are simulated"
        yield Fault(key, problem, remedy, involves=involves)
    elif (cables := cables_of(family, hosts, have)) > MAX_CABLES:
        problem = f"{family} of {hosts} hosts has up to {cables} cables"
        remedy = f"at most {MAX_CABLES} are simulated"
        yield Fault(key, problem, remedy, involves=involves)


def _fitting(family: str, nodes: int, have: dict[str, Any]) -> str:
    """Return parameters that would make room for the nodes."""
    match family:
        case "torus" | "mesh":
            return f"shape = {list(squarest(nodes))} would fit"
        case "hypercube":
            dimension = max(1, (nodes - 1).bit_length())
            if 2**dimension == nodes:
                return f"dimension = {dimension} would fit"
            return f"nodes = {2**dimension} would fit; a hypercube has a power of two"
        case "fat-tree":
            return f"k = {smallest_fat_tree(nodes)} would fit"
        case "leaf-spine":
            return f"hosts_per_leaf = {ceil(nodes / have['leaves'])} would fit"
        case "clos":
            width = ceil(nodes / (have["pods"] * have["leaves_per_pod"]))
            return f"hosts_per_leaf = {width} would fit"
        case _:
            values = balanced_dragonfly(nodes).items()
            written = ", ".join(f"{name} = {value}" for name, value in values)
            return f"{written} would fit"


def _graph_faults(cluster: ClusterSection, network: NetworkSection) -> Iterator[Fault]:
    """Yield what only the graph itself can tell."""
    from simulator.plans.wiring import build_network, links_of, sheet_rates
    from topologies.graphs.network import GraphError
    from topologies.graphs.wiring import Wiring

    try:
        graph = build_network(cluster, network, sheet_rates(cluster))
    except GraphError as error:
        yield _of_graph(error, network)
        return
    if graph.num_hosts < cluster.nodes:
        problem = f"has {graph.num_hosts} hosts, but the plan has {cluster.nodes} nodes"
        yield Fault(f"{_TABLE}.file", problem, involves=("cluster.nodes", _TOPOLOGY))
    cables = [
        *((f"failed[{n}]", ends) for n, ends in enumerate(network.failed)),
        *((f"degraded[{n}].link", d.link) for n, d in enumerate(network.degraded)),
    ]
    for name, ends in cables:
        try:
            links_of(graph, ends)
        except GraphError as error:
            yield said(f"{_TABLE}.{name}", error, (_TOPOLOGY,))
    try:
        if network.routing:
            Wiring(network=graph, paths=network.routing)
    except GraphError as error:
        yield said(f"{_TABLE}.routing", error, (_TOPOLOGY,))


def _of_graph(error: Exception, network: NetworkSection) -> Fault:
    """Return the fault of a graph that cannot be built, at the parameter it names."""
    keys = {name: f"{_TABLE}.{name}" for name in given(network)}
    if network.file is not None:
        # Where it was looked for is the plan's folder; its name is enough.
        name = shown(Path(network.file).name)
        text = str(error).replace(network.file, name)
        return said(keys["file"], ValueError(text), (_TOPOLOGY,))
    keys |= {name: key for name, key in FROM_CLUSTER.items() if key != "cluster.fabric"}
    named = [key for name, key in keys.items() if re.search(rf"\b{name}\b", str(error))]
    involves = tuple(dict.fromkeys((*named, "cluster.nodes", _TOPOLOGY)))
    return said(named[0] if named else _TOPOLOGY, error, involves)


def said(key: str, error: Exception, involves: Iterable[str] = ()) -> Fault:
    """Return a fault from a message `problem; remedy`."""
    problem, _, remedy = str(error).partition("; ")
    return Fault(key, problem, remedy, involves=tuple(involves))


def num_network_nodes(cluster: ClusterSection) -> int:
    """Return the hosts of a valid network, or its servers on rails [1]."""
    network = cluster.network
    if network is None or network.topology == "switch" or cluster.nodes == 1:
        return cluster.nodes
    from simulator.plans.wiring import build_network, sheet_rates

    hosts = build_network(cluster, network, sheet_rates(cluster)).num_hosts
    is_rails = network.topology == "rail-optimized"
    return hosts // (cluster.devices_per_node if is_rails else 1)
