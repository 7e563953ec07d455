"""Every family of graphs with the figures of an example: `simulate list topologies`.

The figures a network person asks for: hosts, switches, cables, the diameter and the
mean path in links, the bisection in links of a host, and the oversubscription.
"""

from __future__ import annotations

import inspect
from typing import Any

from simulator.plans.shapes import FROM_CLUSTER, RENAMED
from topologies.graphs.families import (
    build,
    build_node,
    describe,
    describe_nodes,
    node_parameters_of,
    parameters_of,
)
from topologies.graphs.figures import figures

Row = dict[str, Any]

_BETWEEN, _INSIDE = "between nodes", "inside a node"
_HOSTS: dict[str, Any] = {"hosts": 16}
# Parameters of each example, as the generators take them; about 16 hosts.
_EXAMPLES: dict[str, dict[str, Any]] = {
    "random": {**_HOSTS, "probability": 0.35},
    "random-regular": {**_HOSTS, "degree": 4},
    "torus": {"shape": [4, 4]},
    "mesh": {"shape": [4, 4]},
    "hypercube": {"dimension": 4},
    "fat-tree": {"k": 4},
    "leaf-spine": {
        "leaves": 4,
        "hosts_per_leaf": 4,
        "spines": 2,
        "oversubscription": 2,
    },
    "clos": {
        "pods": 2,
        "leaves_per_pod": 2,
        "hosts_per_leaf": 4,
        "spines_per_pod": 2,
        "cores_per_spine": 2,
    },
    "rail-optimized": {"servers": 4, "rails": 8, "spines": 2},
    "dragonfly": {"a": 4, "h": 2, "p": 2, "g": 9},
}
_FABRIC = {"fabric_bandwidth": 8.0, "fabric_latency": 0.0}
_FIGURES = (
    *("hosts", "switches", "cables", "diameter", "mean path", "bisection"),
    "oversubscription",
)
_NO_FIGURES = dict.fromkeys(_FIGURES)
_DEVICES = 8


def topology_rows() -> list[Row]:
    """Return a row for each family, first those between nodes."""
    switch = {
        **_row("switch", "a non-blocking switch, on which nothing is shared", _BETWEEN),
        "hosts": 16,
        "switches": 1,
        "cables": 16,
        "bisection": 8.0,
        "example": "nodes = 16",
    }
    networks = [_network_row(row["name"], row["topology"]) for row in describe()]
    nodes = [_node_row(row["name"], row["node"]) for row in describe_nodes()]
    return [switch, *networks, *nodes]


def _row(name: str, summary: str, where: str) -> Row:
    return {
        "name": name,
        "where": where,
        **_NO_FIGURES,
        "example": "",
        "also": "",
        "parameters": "",
        "topology": summary,
        "bisection is": "exact",
    }


def _network_row(name: str, summary: str) -> Row:
    row = _row(name, summary, _BETWEEN)
    known = parameters_of(name)
    row["parameters"] = _written(known)
    row["also"] = _written({k: v for k, v in known.items() if _is_optional(v)})
    if name == "file":
        row["example"] = 'file = "graph.json"'
        return row
    example = _EXAMPLES.get(name, _HOSTS)
    hidden = _FABRIC if name == "rail-optimized" else {}
    found = figures(build(name, bandwidth=1.0, latency=0.0, **example, **hidden))
    values = {RENAMED.get(key, key): value for key, value in example.items()}
    return {
        **row,
        "example": ", ".join(f"{_KEYS.get(k, k)} = {v}" for k, v in values.items()),
        "hosts": found.num_hosts,
        "switches": found.num_switches,
        "cables": found.num_links // 2,
        "diameter": found.diameter,
        "mean path": round(found.mean_path_length, 3),
        "bisection": round(found.bisection_bandwidth, 3),
        "oversubscription": found.oversubscription,
        "bisection is": found.bisection_method,
    }


# What the plan calls a parameter that follows from the cluster.
_KEYS = {"hosts": "nodes", "servers": "nodes", "rails": "devices_per_node"}


def _node_row(name: str, summary: str) -> Row:
    row = _row(name, summary, _INSIDE)
    known = node_parameters_of(name)
    keys = {
        key.removesuffix("_bandwidth"): default
        for key, default in known.items()
        if not key.endswith("_latency")
    }
    row["parameters"] = _written(keys)
    row["also"] = _written({k: v for k, v in keys.items() if _is_optional(v)})
    pcie = ', pcie = "pcie-3-x16"' if "pcie_bandwidth" in known else ""
    needs = {
        key: 1.0 for key, default in known.items() if default is inspect.Parameter.empty
    }
    node = build_node(
        name,
        devices=_DEVICES,
        adapters=4,
        adapter_bandwidth=1.0,
        bandwidth=1.0,
        latency=0.0,
        **needs,
    )
    return {
        **row,
        "example": f"devices_per_node = {_DEVICES}{pcie}",
        "hosts": _DEVICES,
        "switches": node.network.num_switches,
        "cables": node.network.num_links // 2,
    }


def _is_optional(default: object) -> bool:
    return default is not inspect.Parameter.empty


def _written(parameters: dict[str, Any]) -> str:
    """Return parameters as a plan names them, with their defaults."""
    return ", ".join(
        RENAMED.get(name, name)
        if default is inspect.Parameter.empty or default is None
        else f"{RENAMED.get(name, name)} = {default}"
        for name, default in parameters.items()
        if name not in FROM_CLUSTER
    )
