"""The tables of families: one name and a few parameters make a network or a node.

    build("torus", bandwidth=12.5e9, latency=5e-7, shape=[4, 4])
    build_node("pcie-dual-root", devices=8, adapters=1, adapter_bandwidth=12.5e9, ...)

Names, parameters and defaults are those of the generators, which the table lists.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from topologies.graphs import (
    clusters,
    direct,
    files,
    node_families,
    pcie,
    random_graphs,
    switched,
)
from topologies.graphs.network import GraphError, Network
from topologies.graphs.nodes import Node
from topologies.units import BytesPerSecond, Seconds

Generator = Callable[..., Network]
NodeGenerator = Callable[..., Node]

FAMILIES: dict[str, Generator] = {
    "ring": direct.ring,
    "wheel": direct.wheel,
    "random": random_graphs.erdos_renyi,
    "random-regular": random_graphs.random_regular,
    "star": switched.star,
    "full": direct.full,
    "torus": direct.torus,
    "mesh": direct.mesh,
    "hypercube": direct.hypercube,
    "fat-tree": switched.fat_tree,
    "leaf-spine": switched.leaf_spine,
    "clos": switched.clos,
    "rail-optimized": clusters.rail_optimized,
    "dragonfly": clusters.dragonfly,
    "file": files.from_file,
}
"""Generator of every family, by the name that a plan uses."""

NODES: dict[str, NodeGenerator] = {
    "switch": node_families.switch,
    "full": node_families.full,
    "nvlink-pairs": node_families.pairs,
    "hybrid-cube-mesh": node_families.hybrid_cube_mesh,
    "pcie-single-root": pcie.pcie_single_root,
    "pcie-dual-root": pcie.pcie_dual_root,
}
"""Generator of every kind of node, by the name that a plan uses."""

_LINK = ("bandwidth", "latency")
_ENDS = (*_LINK, "devices", "adapters", "adapter_bandwidth")


def build(
    family: str, *, bandwidth: BytesPerSecond, latency: Seconds, **parameters: Any
) -> Network:
    """Return a network of a family.

    Args:
        family: a name of `FAMILIES`.
        bandwidth: of a host's link, each direction [B/s].
        latency: of each link [s].
        parameters: of the family, as `describe` lists them.

    Raises:
        GraphError: there is no such family or parameter, one is missing, or the
            values make no network; the message says what is possible.
    """
    _check("topology", FAMILIES, family, parameters, _LINK)
    return FAMILIES[family](bandwidth=bandwidth, latency=latency, **parameters)


def build_node(  # noqa: PLR0913 - what every node has, by keyword
    family: str,
    *,
    devices: int,
    adapters: int,
    adapter_bandwidth: BytesPerSecond,
    bandwidth: BytesPerSecond,
    latency: Seconds,
    **parameters: Any,
) -> Node:
    """Return a node of a family.

    Args:
        family: a name of `NODES`.
        devices: accelerators [1].
        adapters: network adapters [1].
        adapter_bandwidth: of each adapter, each direction [B/s].
        bandwidth: of a device's links to other devices together [B/s].
        latency: of each such link [s].
        parameters: of the family, as `describe_nodes` lists them.

    Raises:
        GraphError: there is no such family or parameter, one is missing, or the
            values make no node; the message says what is possible.
    """
    _check("node", NODES, family, parameters, _ENDS)
    return NODES[family](
        devices=devices,
        adapters=adapters,
        adapter_bandwidth=adapter_bandwidth,
        bandwidth=bandwidth,
        latency=latency,
        **parameters,
    )


def parameters_of(family: str) -> dict[str, Any]:
    """Return the parameters of a family beside its links, each with its default.

    What has no default is `inspect.Parameter.empty`.
    """
    return _parameters(FAMILIES[family], _LINK)


def node_parameters_of(family: str) -> dict[str, Any]:
    """Return the parameters of a kind of node beside its ends and links."""
    return _parameters(NODES[family], _ENDS)


def describe() -> list[dict[str, str]]:
    """Return a row for each family, headings as keys, for a list of topologies."""
    return _described("topology", FAMILIES, _LINK)


def describe_nodes() -> list[dict[str, str]]:
    """Return a row for each kind of node, headings as keys."""
    return _described("node", NODES, _ENDS)


def _check(
    kind: str,
    table: Mapping[str, Callable[..., Any]],
    family: str,
    parameters: Mapping[str, Any],
    common: tuple[str, ...],
) -> None:
    """Refuse a family or parameters that a table does not have."""
    if family not in table:
        near = difflib.get_close_matches(family, table, n=1)
        guess = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(table)}"
        raise GraphError(f"unknown {kind} {family!r}; {guess}")
    known = _parameters(table[family], common)
    takes = f"it takes {_listed(known) or 'none'}"
    for name in parameters:
        if name not in known:
            raise GraphError(f"{family} has no {name!r}; {takes}")
    missing = [
        name
        for name, default in known.items()
        if default is inspect.Parameter.empty and name not in parameters
    ]
    if missing:
        raise GraphError(f"{family} needs {' and '.join(missing)}; {takes}")


def _parameters(
    generator: Callable[..., Any], common: tuple[str, ...]
) -> dict[str, Any]:
    signature = inspect.signature(generator)
    return {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name not in common
    }


def _described(
    kind: str, table: Mapping[str, Callable[..., Any]], common: tuple[str, ...]
) -> list[dict[str, str]]:
    return [
        {
            "name": family,
            kind: _summary(generator),
            "parameters": _listed(_parameters(generator, common)),
        }
        for family, generator in table.items()
    ]


def _summary(generator: Callable[..., Any]) -> str:
    first = (inspect.getdoc(generator) or "").partition("\n")[0]
    return first.removeprefix("Return ").rstrip(".")


def _listed(parameters: Mapping[str, Any]) -> str:
    return ", ".join(_written(name, default) for name, default in parameters.items())


def _written(name: str, default: Any) -> str:
    if default is inspect.Parameter.empty or default is None:
        return name
    return f"{name} = {default}"
