"""Networks from files: NetworkX node-link JSON, and GraphML.

A node may say `kind = "switch"`; otherwise it is a host. An edge may say `bandwidth`
and `latency`, as text with a unit; otherwise it has those of the call. In a directed
graph each link is given both ways, and the two may differ. Nodes keep the order of
the file, hosts first. Other attributes mean nothing here and may be there, unless
they look like one of these, misspelt.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

from topologies.graphs.network import Cable, GraphError, Network, wired
from topologies.graphs.random_graphs import is_connected
from topologies.units import BytesPerSecond, Seconds, UnitError, parse_quantity

_KINDS = ("host", "switch")
_OF_NODES = ("kind",)
_OF_EDGES = ("bandwidth", "latency")
_LIKENESS = 0.75  # "width" and "weight" are other things, "bandwith" is not


class _Graph(NamedTuple):
    """What either format says."""

    nodes: list[tuple[str, Mapping[str, Any]]]
    edges: list[tuple[str, str, Mapping[str, Any]]]
    is_directed: bool


def from_file(
    *, path: str | Path, bandwidth: BytesPerSecond, latency: Seconds
) -> Network:
    """Return the network in a `.json` (node-link) or `.graphml` file.

    Args:
        path: of the file.
        bandwidth: of links that do not say theirs [B/s].
        latency: of links that do not say theirs [s].

    Raises:
        GraphError: the file cannot be read as a network; the message says where.
    """
    path = Path(path)
    readers = {".json": _read_json, ".graphml": _read_graphml}
    if path.suffix not in readers:
        raise GraphError(f"{path}: a network is a {' or '.join(readers)} file")
    try:
        graph = readers[path.suffix](path)
        return _network(path.stem, graph, bandwidth, latency)
    except OSError as error:
        raise GraphError(f"{path}: {error.strerror}") from None
    except (ValueError, ParseError) as error:
        raise GraphError(f"{path}: {error}") from None


def _read_json(path: Path) -> _Graph:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        raise GraphError("no list 'nodes'; write it with networkx.node_link_data")
    links = data.get("edges", data.get("links"))  # the name before NetworkX 3.4
    if not isinstance(links, list):
        raise GraphError("no list 'edges' (or 'links')")
    for entry, keys in (*((n, ("id",)) for n in data["nodes"]), *_ended(links)):
        if not isinstance(entry, dict) or not all(key in entry for key in keys):
            raise GraphError(f"{json.dumps(entry)} lacks {' or '.join(keys)}")
    return _Graph(
        [(str(node["id"]), node) for node in data["nodes"]],
        [(str(link["source"]), str(link["target"]), link) for link in links],
        is_directed=bool(data.get("directed", False)),
    )


def _ended(links: list[Any]) -> list[tuple[Any, tuple[str, ...]]]:
    return [(link, ("source", "target")) for link in links]


def _read_graphml(path: Path) -> _Graph:
    import networkx as nx  # noqa: PLC0415 - a prediction does not pay for it

    try:
        graph = nx.read_graphml(path)
    except nx.NetworkXError as error:
        raise GraphError(str(error)) from None
    return _Graph(
        [(str(node), entry) for node, entry in graph.nodes(data=True)],
        [(str(a), str(b), entry) for a, b, entry in graph.edges(data=True)],
        is_directed=graph.is_directed(),
    )


def _network(
    name: str, graph: _Graph, bandwidth: BytesPerSecond, latency: Seconds
) -> Network:
    kinds = {node: entry.get("kind", "host") for node, entry in graph.nodes}
    if len(kinds) < len(graph.nodes):
        raise GraphError("two nodes have the same id")
    for node, entry in graph.nodes:
        _check_names(f"node {node!r}", entry, _OF_NODES)
    for node, kind in kinds.items():
        if kind not in _KINDS:
            raise GraphError(f"node {node!r}: kind {kind!r} is not host or switch")
    order = sorted(kinds, key=lambda node: _KINDS.index(kinds[node]))
    number = {node: place for place, node in enumerate(order)}
    cables = []
    for a, b, entry in graph.edges:
        for node in (a, b):
            if node not in number:
                raise GraphError(f"edge {a!r} – {b!r}: there is no node {node!r}")
        if a == b:
            raise GraphError(f"edge {a!r} – {b!r} joins a node to itself")
        _check_names(f"edge {a!r} – {b!r}", entry, _OF_EDGES)
        width = _quantity(entry, "bandwidth", "B/s", bandwidth, (a, b))
        delay = _quantity(entry, "latency", "s", latency, (a, b))
        cables.append(Cable(number[a], number[b], width, delay))
    num_hosts = sum(kind == "host" for kind in kinds.values())
    if not is_connected(len(order), [(cable.a, cable.b) for cable in cables]):
        raise GraphError("not all nodes are connected")
    build = _two_way if graph.is_directed else wired
    return build(
        name,
        num_hosts,
        cables,
        num_switches=len(order) - num_hosts,
        labels=order,
    )


def _check_names(what: str, entry: Mapping[str, Any], known: Sequence[str]) -> None:
    """Refuse attributes that look like a known one, and are not."""
    for name in entry:
        near = difflib.get_close_matches(name.lower(), known, 1, _LIKENESS)
        if near and name not in known:
            problem = f"unknown attribute {name!r}, did you mean {near[0]!r}?"
            raise GraphError(f"{what}: {problem}")


def _two_way(
    name: str,
    num_hosts: int,
    links: Sequence[Cable],
    *,
    num_switches: int,
    labels: Sequence[str],
) -> Network:
    """Return a network whose every link was given apart from its way back."""
    waiting: dict[tuple[int, int], list[Cable]] = {}
    pairs = []
    for link in links:
        back = waiting.get((link.b, link.a))
        if back:
            pairs.append((back.pop(0), link))
        else:
            waiting.setdefault((link.a, link.b), []).append(link)
    for alone in waiting.values():
        for link in alone:
            ends = f"{labels[link.a]!r} → {labels[link.b]!r}"
            raise GraphError(f"edge {ends} has no way back; links are full duplex")
    there = [pair[0] for pair in pairs]
    network = wired(name, num_hosts, there, num_switches=num_switches, labels=labels)
    both, delay = network.bandwidth.copy(), network.latency.copy()
    both[1::2] = [back.bandwidth for _, back in pairs]
    delay[1::2] = [back.latency for _, back in pairs]
    return replace(network, bandwidth=both, latency=delay)


def _quantity(
    entry: Mapping[str, Any], key: str, unit: str, otherwise: float, ends: Any
) -> float:
    if key not in entry:
        return otherwise
    try:
        return parse_quantity(str(entry[key]), unit)
    except UnitError as error:
        raise GraphError(f"edge {ends[0]!r} – {ends[1]!r}: {key}: {error}") from None
