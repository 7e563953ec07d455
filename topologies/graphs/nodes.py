"""The inside of one node: devices, adapters, and the links and switches between them.

A node is a network whose hosts are its devices and, after these, its adapters. Unlike
the hosts of other networks they pass nothing on: a route begins at a device, crosses
links and switches, and ends at a device or adapter. Devices talk over their own fabric
wherever it joins them, and over PCIe where it does not.

Limits: a transfer between devices is one message from memory to memory, also across
sockets, where drivers may copy through host memory instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topologies.graphs.arrays import Booleans, Floats, Integers, expand
from topologies.graphs.network import GraphError, Network
from topologies.graphs.paths import UNREACHED, distances, moves
from topologies.graphs.routes import Routes, routes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Node:
    """Devices and adapters of one node.

    Fields:
        network: its hosts are the devices, then the adapters.
        num_devices: accelerators [1].
        num_fabric_links: the first links of the network, which join devices; links
            between devices go there first [1].
        failed: links of the node that carry nothing.
    """

    network: Network
    num_devices: int
    num_fabric_links: int = 0
    failed: tuple[int, ...] = ()

    @property
    def num_adapters(self) -> int:
        """Network adapters [1]."""
        return self.network.num_hosts - self.num_devices


def node_routes(node: Node) -> Routes:
    """Return the routes between all pairs of a node's devices and adapters.

    Pair `a * (devices + adapters) + b` is the way from `a` to `b`: of the paths of
    fewest links the one of least latency. An adapter out of reach has no links.

    Raises:
        GraphError: two devices are not joined.
    """
    size = node.network.num_hosts
    pairs, parts = [], []
    for sender in range(size):
        for receivers, closed in _ways(node, sender):
            pairs.append(sender * size + receivers)
            to = np.full(len(receivers), sender) if closed is None else receivers
            ends = np.stack([np.full(len(receivers), sender), to], 1)
            found = routes(node.network, ends, spread="one", failed=closed or ())
            parts.append(found)
    return _in_order(np.concatenate(pairs), parts)


def _ways(node: Node, sender: int) -> list[tuple[Integers, tuple[int, ...] | None]]:
    """Return receivers in groups, each with the links that its routes do not use.

    None stands for receivers out of reach.
    """
    network = node.network
    link = np.arange(network.num_links)
    # Other devices pass nothing on, so what leaves them is closed.
    closed = (network.source < network.num_hosts) & (network.source != sender)
    closed[list(node.failed)] = True
    outside = closed | (link >= node.num_fabric_links)
    by_fabric = _reached(network, sender, outside)
    by_any = _reached(network, sender, closed)
    lost = np.flatnonzero(~by_any[: node.num_devices])
    if sender < node.num_devices and len(lost):
        ends = f"from {network.labels[sender]} to {network.labels[int(lost[0])]}"
        raise GraphError(f"{network.name}: no links lead {ends}")
    groups = (
        (by_fabric, tuple(np.flatnonzero(outside).tolist())),
        (by_any & ~by_fabric, tuple(np.flatnonzero(closed).tolist())),
        (~by_any, None),
    )
    return [(np.flatnonzero(is_one), shut) for is_one, shut in groups if is_one.any()]


def _reached(network: Network, sender: int, closed: Booleans) -> Booleans:
    hosts = np.arange(network.num_hosts)
    shut = tuple(np.flatnonzero(closed).tolist())
    hops = distances(moves(network, failed=shut), hosts).hops[:, sender]
    found: Booleans = hops != UNREACHED
    return found


def _in_order(pairs: Integers, parts: list[Routes]) -> Routes:
    """Return routes found in groups, by the number of their pairs."""
    counts = np.concatenate([np.diff(part.start) for part in parts])
    start = np.concatenate([[0], np.cumsum(counts)])
    order = np.argsort(pairs)
    _, place = expand(start, order)
    return Routes(
        np.concatenate([[0], np.cumsum(counts[order])]),
        np.concatenate([part.link for part in parts])[place],
        np.concatenate([part.fraction for part in parts])[place],
        np.concatenate([part.latency for part in parts])[order],
    )


def adapter_shares(node: Node, inside: Routes) -> Floats:
    """Return which share of each device's traffic takes which adapter [1].

    A device takes the adapter with the fewest links between. Devices with the same
    choice of adapters divide these evenly and in order: each has its own where there
    are enough, and several where there are more.

    Args:
        node: devices and adapters.
        inside: its `node_routes`.

    Returns:
        One row for each device, one column for each adapter; rows sum to 1, or to 0
        if there are no adapters.

    Raises:
        GraphError: there are adapters, and a device reaches none.
    """
    size, devices = node.network.num_hosts, node.num_devices
    hops = np.diff(inside.start).reshape(size, size)
    there, back = hops[:devices, devices:], hops[devices:, :devices].T
    far = node.network.num_links + 1
    there = np.where((there > 0) & (back > 0), there, far)
    least = there.min(axis=1, keepdims=True, initial=far)
    if there.size and np.any(least == far):
        lost = node.network.labels[int(np.argmax(least))]
        raise GraphError(f"{node.network.name}: {lost} reaches no adapter")
    near = there == least
    shares = np.zeros(near.shape)
    for choice in np.unique(near, axis=0):
        members = np.flatnonzero((near == choice).all(1))
        adapters = np.flatnonzero(choice)
        for rank, device in enumerate(members):
            first = rank * len(adapters) // len(members)
            end = max((rank + 1) * len(adapters) // len(members), first + 1)
            shares[device, adapters[first:end]] = 1 / (end - first)
    return shares
