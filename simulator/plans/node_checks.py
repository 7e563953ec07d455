"""Whether a graph inside a node can be, and an order of nodes is complete."""

# ruff: noqa: PLC0415 - a plan on a switch loads no graphs

from __future__ import annotations

import inspect
from collections.abc import Iterator

from simulator.errors import Fault
from simulator.plans.fields import shown
from simulator.plans.network_checks import said
from simulator.plans.network_records import ClusterSection

_TABLE = "cluster.node"
_TOPOLOGY = f"{_TABLE}.topology"
_RAILS = "cluster.network.topology"


def node_faults(cluster: ClusterSection) -> Iterator[Fault]:
    """Yield what is wrong with the graph inside a node.

    Args:
        cluster: of valid devices and links.
    """
    node = cluster.node
    if node is None:
        return
    if cluster.network and cluster.network.topology == "rail-optimized":
        problem = "the servers of a rail-optimized network have a switch of their own"
        yield Fault(_TABLE, problem, "leave [cluster.node] out", involves=(_RAILS,))
        return
    names = [n for n in type(node).model_fields if getattr(node, n) is not None]
    if names == ["topology"] and node.topology == "switch":
        return
    from topologies.graphs.families import NODES, node_parameters_of

    takes = {
        kind: {name.removesuffix("_bandwidth"): d for name, d in known.items()}
        for kind, known in ((kind, node_parameters_of(kind)) for kind in NODES)
    }
    mine = takes[node.topology]
    foreign = [name for name in names if name not in mine and name != "topology"]
    for name in foreign:
        owners = [kind for kind in NODES if name in takes[kind]]
        listed = [name for name in mine if name in type(node).model_fields]
        problem = f"is a parameter of {' and '.join(owners)}, not of {node.topology}"
        remedy = f"{node.topology} takes {', '.join(listed)}"
        yield Fault(f"{_TABLE}.{name}", problem, remedy, involves=(_TOPOLOGY,))
    if mine.get("pcie") is inspect.Parameter.empty and node.pcie is None:
        problem = f"is missing: devices of {node.topology} reach adapters over PCIe"
        remedy = 'add pcie = "pcie-3-x16"'
        involves = (_TOPOLOGY,)
        yield Fault(f"{_TABLE}.pcie", problem, remedy, involves=involves)
    elif not foreign:
        yield from _inside_faults(cluster)


def _inside_faults(cluster: ClusterSection) -> Iterator[Fault]:
    from simulator.plans.wiring import build_inside
    from topologies.graphs.network import GraphError

    try:
        build_inside(cluster)
    except GraphError as error:
        involves = ("cluster.devices_per_node",)
        yield said(_TOPOLOGY, error, involves)


def order_faults(
    order: str | tuple[int, ...], nodes: int, table: str = "synchronization"
) -> Iterator[Fault]:
    """Yield which nodes a ring's order has twice, too many or too few of.

    Args:
        order: of the plan.
        nodes: in the cluster [1].
        table: where it stands.
    """
    if isinstance(order, str):
        return
    key, involves = f"{table}.ring_order", ("cluster.nodes",)
    seen: set[int] = set()
    twice = {node for node in order if node in seen or seen.add(node)}  # type: ignore[func-returns-value]
    beyond = sorted(node for node in seen if node >= nodes)
    if twice:
        yield Fault(key, f"has {_nodes(sorted(twice))} twice", "name each node once")
    if beyond:
        remedy = f"they are 0 … {nodes - 1}"
        problem = f"there is no {_nodes(beyond)}"
        yield Fault(key, problem, remedy, involves=involves)
    num_missing = nodes - len(seen) + len(beyond)
    if num_missing:
        first = [n for n in range(min(nodes, len(seen) + 8)) if n not in seen]
        problem = f"lacks {_nodes(first, num_missing)}"
        remedy = f"name all {nodes} nodes of the cluster"
        yield Fault(key, problem, remedy, involves=involves)


def _nodes(numbers: list[int], count: int | None = None) -> str:
    """Return `node 3`, or `nodes 3, 4 and 12 more`."""
    count = count or len(numbers)
    shown_ones = numbers[:4]
    text = ", ".join(shown(number) for number in shown_ones)
    more = f" and {count - len(shown_ones)} more" if count > len(shown_ones) else ""
    return f"node{'s' * (count > 1)} {text}{more}"
