"""The whole machine: equal nodes with devices inside, joined by a network.

Endpoints are devices, numbered node by node. Links are numbered too: first those of
the network, then those of node 0, of node 1 and so on. Between two nodes a message
goes from the device to its adapter, over the network from host to host, and from an
adapter to the device. A host's link in the network stands for all adapters of the node
together; each adapter's own rate limits its link inside the node.

Where the hosts of a network are devices themselves (rails), a `Wiring` alone is the
machine.

Limits: which adapter a message leaves by does not depend on where it goes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from topologies.graphs.arrays import Floats, Integers, expand, sums
from topologies.graphs.figures import Figures, figures
from topologies.graphs.network import GraphError, wired
from topologies.graphs.nodes import Node, adapter_shares, node_routes
from topologies.graphs.routes import Routes
from topologies.graphs.wiring import Wiring


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Machine:
    """Nodes with devices inside, joined by a network.

    Fields:
        wiring: the network between nodes; its host k is node k.
        node: what is inside each node.
        num_nodes: in use, the first hosts of the wiring; 0 for all [1].
        bandwidth: of every link [B/s].

    Raises:
        GraphError: the wiring has fewer hosts, or several nodes have no adapter.
    """

    wiring: Wiring
    node: Node
    num_nodes: int = 0
    bandwidth: Floats = field(init=False)
    _inside: Routes = field(init=False)
    _outwards: Routes = field(init=False)
    _inwards: Routes = field(init=False)

    def __post_init__(self) -> None:
        """Find the ways inside a node, once for all nodes."""
        hosts = self.wiring.num_endpoints
        num_nodes = self.num_nodes or hosts
        if not 1 <= num_nodes <= hosts:
            raise GraphError(f"{num_nodes} nodes on {hosts} hosts; at most one on each")
        if num_nodes > 1 and not self.node.num_adapters:
            raise GraphError(f"{num_nodes} nodes without adapters; each needs one")
        inside = node_routes(self.node)
        shares = adapter_shares(self.node, inside)
        found = {
            "num_nodes": num_nodes,
            "bandwidth": self._bandwidths(num_nodes),
            "_inside": inside,
            "_outwards": _by_adapter(self.node, inside, shares, outwards=True),
            "_inwards": _by_adapter(self.node, inside, shares, outwards=False),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def _bandwidths(self, num_nodes: int) -> Floats:
        inner = np.tile(self.node.network.bandwidth, num_nodes)
        bandwidth = np.concatenate([self.wiring.bandwidth, inner])
        bandwidth.flags.writeable = False
        return bandwidth

    @property
    def num_endpoints(self) -> int:
        """Devices of all nodes [1]."""
        return self.num_nodes * self.node.num_devices

    @property
    def figures(self) -> Figures:
        """Figures of the network between the nodes, without its failed links."""
        return figures(self.wiring.network, self.wiring.failed)

    def link_name(self, link: int) -> str:
        """Return `from → to`, with the number of the node for links inside one."""
        outer = self.wiring.network.num_links
        if link < outer:
            return self.wiring.link_name(link)
        node, inner = divmod(link - outer, self.node.network.num_links)
        return f"node {node}: {self.node.network.link_name(inner)}"

    def describe(self) -> str:
        """Return one line on the nodes and one on the network between them."""
        node = self.node
        many = "s" * (node.num_adapters != 1)
        inside = f"{node.network.name} devices, {node.num_adapters} adapter{many}"
        nodes = f"{self.num_nodes} node{'s' * (self.num_nodes != 1)} of a {inside}"
        return f"{nodes}\n{self.wiring.describe()}"

    def routes(self, pairs: ArrayLike) -> Routes:
        """Return the routes of some pairs of devices; links ascend in each pair.

        Args:
            pairs: rows of sender and receiver.

        Raises:
            CutError: failed links separate the nodes of some pair.
            GraphError: there is no such device.
        """
        ends = np.asarray(pairs, np.int64).reshape(-1, 2)
        if ends.size and not 0 <= ends.min() <= ends.max() < self.num_endpoints:
            raise GraphError(f"devices are 0 … {self.num_endpoints - 1}")
        node, device = np.divmod(ends, self.node.num_devices)
        apart = node[:, 0] != node[:, 1]
        near, far = np.flatnonzero(~apart), np.flatnonzero(apart)
        size, inner = self.node.network.num_hosts, self.node.network.num_links
        first = self.wiring.network.num_links + node * inner
        hosts, host_pair = _distinct(node[far], self.wiring.num_endpoints)
        inside = device[near, 0] * size + device[near, 1]
        parts = [
            _taken(self._inside, inside, near, first[near, 0]),
            _taken(self.wiring.routes(hosts), host_pair, far, 0),
            _taken(self._outwards, device[far, 0], far, first[far, 0]),
            _taken(self._inwards, device[far, 1], far, first[far, 1]),
        ]
        return _joined(parts, len(ends))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A stretch of some pairs' routes: pair, link and fraction; latency by pair."""

    pair: Integers
    link: Integers
    fraction: Floats
    pairs: Integers
    latency: Floats


def _distinct(ends: Integers, base: int) -> tuple[Integers, Integers]:
    """Return each pair once, and which of these every row is."""
    key, which = np.unique(ends[:, 0] * base + ends[:, 1], return_inverse=True)
    return np.stack(np.divmod(key, base), 1), which


def _taken(
    table: Routes, rows: Integers, pairs: Integers, first: Integers | int
) -> _Part:
    """Return rows of a table of routes for some pairs, links counted from `first`."""
    of, place = expand(table.start, rows)
    offset = np.broadcast_to(first, rows.shape)[of]
    link, fraction = table.link[place] + offset, table.fraction[place]
    return _Part(pairs[of], link, fraction, pairs, table.latency[rows])


def _joined(parts: list[_Part], num_pairs: int) -> Routes:
    """Return the stretches of all pairs as routes."""
    pair = np.concatenate([part.pair for part in parts])
    link = np.concatenate([part.link for part in parts])
    fraction = np.concatenate([part.fraction for part in parts])
    order = np.lexsort((link, pair))
    start = np.zeros(num_pairs + 1, np.int64)
    np.cumsum(np.bincount(pair, minlength=num_pairs), out=start[1:])
    latency = np.zeros(num_pairs)
    for part in parts:
        latency[part.pairs] += part.latency
    return Routes(start, link[order], fraction[order], latency)


def _by_adapter(
    node: Node, inside: Routes, shares: Floats, *, outwards: bool
) -> Routes:
    """Return the way of each device to its adapters, or back from them."""
    size, devices = node.network.num_hosts, node.num_devices
    device, adapter = np.nonzero(shares)
    share = shares[device, adapter]
    end = devices + adapter
    row = device * size + end if outwards else end * size + device
    of, place = expand(inside.start, row)
    num_links = max(node.network.num_links, 1)
    key = device[of] * num_links + inside.link[place]
    found, inverse = np.unique(key, return_inverse=True)
    fraction = sums(inverse, share[of] * inside.fraction[place], len(found))
    start = np.searchsorted(found, np.arange(devices + 1) * num_links)
    latency = sums(device, share * inside.latency[row], devices)
    return Routes(start, found % num_links, fraction, latency)


def alone() -> Wiring:
    """Return the network of a machine of one node: a host without links."""
    return Wiring(network=wired("one node", 1, []))
