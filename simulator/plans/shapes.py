"""What follows from the nodes where a plan leaves a family's parameter out.

A torus of 16 nodes is 4 x 4 unless the plan says otherwise, so that one plan can be
scaled over nodes and over families. What does not follow has to be given.

Limits: networks of some million cables, beyond which building one takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isqrt, log, prod
from typing import Any

from simulator.plans.network_records import ClusterSection, NetworkSection

Parameters = dict[str, Any]
_Rule = Callable[[int, Mapping[str, Any]], Any]

# Keys that every family has, or that are no parameter of a graph.
COMMON = frozenset(
    {
        *("topology", "link", "adapters_per_node", "bandwidth", "latency"),
        *("hop_latency", "routing", "multipath", "failed", "degraded"),
    }
)
PARAMETERS = tuple(name for name in NetworkSection.model_fields if name not in COMMON)
# Parameters of generators that other keys of the plan give, and those keys.
FROM_CLUSTER = {
    "hosts": "cluster.nodes",
    "servers": "cluster.nodes",
    "rails": "cluster.devices_per_node",
    "fabric_bandwidth": "cluster.fabric",
    "fabric_latency": "cluster.fabric",
}
# Parameters of generators that a plan calls otherwise.
RENAMED = {"path": "file"}
# All of their hosts pass traffic on, so there can be none to spare.
EXACT = frozenset({"torus", "mesh", "hypercube"})

MAX_HOSTS = 131_072  # 2 ** 17
MAX_CABLES = 2_097_152  # 2 ** 21


def given(network: NetworkSection) -> Parameters:
    """Return the parameters of a family that a plan gives."""
    values = ((name, getattr(network, name)) for name in PARAMETERS)
    return {name: value for name, value in values if value is not None}


def family_of(network: NetworkSection) -> str:
    """Return the family of graphs; a random one of a degree is random-regular."""
    if network.topology == "random" and network.degree is not None:
        return "random-regular"
    return network.topology


def completed(cluster: ClusterSection, network: NetworkSection) -> Parameters:
    """Return the parameters, as the plan names them, with what follows added.

    Args:
        cluster: nodes and devices of each.
        network: the family and what is given of it.
    """
    parameters = given(network)
    for name, rule in _FOLLOWS.get(family_of(network), {}).items():
        if name not in parameters:
            value = rule(cluster.nodes, parameters)
            if value is not None:
                parameters[name] = value
    return parameters


def squarest(nodes: int) -> tuple[int, int]:
    """Return the sides of the most nearly square grid of some nodes.

    >>> squarest(16), squarest(24), squarest(7)
    ((4, 4), (4, 6), (1, 7))
    """
    side = next(side for side in range(isqrt(nodes), 0, -1) if nodes % side == 0)
    return side, nodes // side


def smallest_fat_tree(nodes: int) -> int:
    """Return the least even k with k³ / 4 hosts or more.

    >>> [smallest_fat_tree(n) for n in (2, 16, 17, 128)]
    [2, 4, 6, 8]
    """
    k = 2
    while k**3 // 4 < nodes:
        k += 2
    return k


def balanced_dragonfly(nodes: int) -> dict[str, int]:
    """Return the least dragonfly with a = 2 p = 2 h and all groups, for some nodes.

    Source: Kim et al., Technology-driven, highly-scalable dragonfly topology, ISCA
        2008, from memory.

    >>> balanced_dragonfly(16)
    {'a': 4, 'h': 2, 'p': 2, 'g': 9}
    """
    h = 1
    while 2 * h * h * (2 * h * h + 1) < nodes:
        h += 1
    return {"a": 2 * h, "h": h, "p": h, "g": 2 * h * h + 1}


def likely_connected(nodes: int) -> float:
    """Return twice (ln n) / n, to three digits: nearly all such graphs are connected.

    Source: (ln n) / n is where they begin to be; Erdős and Rényi 1960, from memory.
    """
    return min(1.0, float(f"{2 * log(nodes) / nodes:.3g}"))


def _leaf_width(count: str) -> _Rule:
    """Return the rule for hosts on each leaf, given the keys that count leaves."""
    names = count.split()

    def rule(nodes: int, have: Mapping[str, Any]) -> int | None:
        if any(name not in have for name in names):
            return None
        return -(-nodes // int(prod(have[name] for name in names)))

    return rule


_FOLLOWS: dict[str, dict[str, _Rule]] = {
    "torus": {"shape": lambda nodes, _: squarest(nodes)},
    "mesh": {"shape": lambda nodes, _: squarest(nodes)},
    "hypercube": {"dimension": lambda nodes, _: max(1, (nodes - 1).bit_length())},
    "fat-tree": {"k": lambda nodes, _: smallest_fat_tree(nodes)},
    "random": {"probability": lambda nodes, _: likely_connected(nodes)},
    "leaf-spine": {"hosts_per_leaf": _leaf_width("leaves")},
    "clos": {"hosts_per_leaf": _leaf_width("pods leaves_per_pod")},
}


def suggestion(family: str, name: str, nodes: int) -> str:
    """Return a value of a parameter that would fit some nodes, as TOML writes it."""
    side = squarest(nodes)
    values: dict[str, Any] = {
        "leaves": side[0] if side[0] > 1 else 2,
        "spines": 2,
        "pods": 2,
        "leaves_per_pod": 2,
        "spines_per_pod": 2,
        "cores_per_spine": 2,
        "degree": min(4, nodes - 1),
        "file": '"graph.json"',
    }
    if family == "dragonfly":
        values |= balanced_dragonfly(nodes)
    return f"{name} = {values.get(name, 1)}"


def hosts_of(family: str, have: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return how many hosts parameters make and the arithmetic; None if not by them."""
    match family:
        case "torus" | "mesh":
            return _product(have["shape"])
        case "hypercube":
            exponent = min(have["dimension"], 64)
            return 2**exponent, f"2^{have['dimension']} = {2**exponent}"
        case "fat-tree":
            hosts = have["k"] ** 3 // 4
            return hosts, f"{have['k']}^3 / 4 = {hosts}"
        case "leaf-spine":
            return _product((have["leaves"], have["hosts_per_leaf"]))
        case "clos":
            names = ("pods", "leaves_per_pod", "hosts_per_leaf")
            return _product([have[name] for name in names])
        case "dragonfly":
            return _product([have[name] for name in "apg"])
        case _:
            return None


def _product(factors: tuple[int, ...] | list[int]) -> tuple[int, str]:
    hosts = prod(factors)
    text = " x ".join(map(str, factors))
    return hosts, f"{text} = {hosts}" if len(factors) > 1 else text


def cables_of(family: str, hosts: int, have: Mapping[str, Any]) -> int:
    """Return about how many cables a network has, or how many pairs it looks at."""
    match family:
        case "full" | "random":
            return hosts * (hosts - 1) // 2
        case "random-regular":
            return int(hosts * have["degree"] // 2)
        case "torus" | "mesh":
            return hosts * len(have["shape"])
        case "hypercube":
            return int(hosts * have["dimension"] // 2)
        case "leaf-spine":
            return int(hosts + have["leaves"] * have["spines"])
        case "clos":
            spines = have["pods"] * have["spines_per_pod"]
            above = have["leaves_per_pod"] + have["cores_per_spine"]
            return int(hosts + spines * above)
        case "dragonfly":
            a, h, g = have["a"], have["h"], have["g"]
            return int(hosts + g * a * (a - 1) // 2 + max(g * a * h, g * g) // 2)
        case _:
            return 3 * hosts
