"""Trees of PCIe inside a node: switches, host bridges, one socket or two.

Devices hang on PCIe switches (PLX), these on the host bridge of their socket, and two
sockets are joined by QPI or UPI. Devices, switches and adapters are dealt out in
order, as evenly as they go. The link of an adapter inside its node is as fast as the
adapter, and has no latency: that is counted in the network outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NamedTuple, get_args

from topologies.graphs.network import Cable, require, wired
from topologies.graphs.nodes import Node
from topologies.units import BytesPerSecond, Seconds

Place = Literal["switch", "socket"]


class Ends(NamedTuple):
    """What a node has at its ends.

    Fields:
        devices: accelerators [1].
        adapters: network adapters [1].
        adapter_bandwidth: of each adapter [B/s].
    """

    devices: int
    adapters: int
    adapter_bandwidth: BytesPerSecond


class Tree(NamedTuple):
    """A PCIe tree.

    Fields:
        bandwidth: of a device's link [B/s].
        latency: of each link of the tree [s].
        switches: of PCIe; without any, devices are on the host bridges [1].
        socket_bandwidth: between the sockets; that of an uplink if left out [B/s].
        socket_latency: between the sockets [s].
        sockets: host bridges, 1 or 2 [1].
        bridge_bandwidth: of a switch's uplink; a device's if left out [B/s].
        adapters_on: what adapters hang on.
    """

    bandwidth: BytesPerSecond
    latency: Seconds
    switches: int
    socket_bandwidth: BytesPerSecond | None = None
    socket_latency: Seconds = 0.0
    sockets: int = 2
    bridge_bandwidth: BytesPerSecond | None = None
    adapters_on: Place = "switch"


def pcie_single_root(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    devices: int,
    adapters: int = 1,
    adapter_bandwidth: BytesPerSecond,
    bandwidth: BytesPerSecond,
    latency: Seconds,
    switches: int = 2,
    bridge_bandwidth: BytesPerSecond | None = None,
    adapters_on: Place = "switch",
) -> Node:
    """Return devices on PCIe switches under one host bridge.

    Args:
        devices: accelerators [1].
        adapters: network adapters [1].
        adapter_bandwidth: of each adapter [B/s].
        bandwidth: of a device's link [B/s].
        latency: of each link of the tree [s].
        switches: of PCIe; 0 puts all devices on the host bridge [1].
        bridge_bandwidth: of a switch's uplink; a device's if left out [B/s].
        adapters_on: "switch" of PCIe, or "socket", the host bridge.
    """
    tree = Tree(
        bandwidth,
        latency,
        switches,
        sockets=1,
        bridge_bandwidth=bridge_bandwidth,
        adapters_on=adapters_on,
    )
    ends = Ends(devices, adapters, adapter_bandwidth)
    return assembled("pcie-single-root", ends, [], tree)


def pcie_dual_root(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    devices: int,
    adapters: int = 1,
    adapter_bandwidth: BytesPerSecond,
    bandwidth: BytesPerSecond,
    latency: Seconds,
    switches: int = 2,
    bridge_bandwidth: BytesPerSecond | None = None,
    socket_bandwidth: BytesPerSecond | None = None,
    socket_latency: Seconds = 0.0,
    adapters_on: Place = "switch",
) -> Node:
    """Return devices on PCIe switches under two host bridges, joined by QPI or UPI.

    Args:
        devices: accelerators, half of them on each socket [1].
        adapters: network adapters; one alone is on the first socket [1].
        adapter_bandwidth: of each adapter [B/s].
        bandwidth: of a device's link [B/s].
        latency: of each link of the tree [s].
        switches: of PCIe; 0 puts all devices on the host bridges [1].
        bridge_bandwidth: of a switch's uplink; a device's if left out [B/s].
        socket_bandwidth: between the sockets, for traffic of devices; a switch's
            uplink if left out [B/s].
        socket_latency: between the sockets [s].
        adapters_on: "switch" of PCIe, or "socket", a host bridge.
    """
    tree = Tree(
        bandwidth,
        latency,
        switches,
        socket_bandwidth,
        socket_latency,
        bridge_bandwidth=bridge_bandwidth,
        adapters_on=adapters_on,
    )
    ends = Ends(devices, adapters, adapter_bandwidth)
    return assembled("pcie-dual-root", ends, [], tree)


def assembled(
    name: str,
    ends: Ends,
    fabric: Sequence[Cable],
    tree: Tree | None,
    middle: str | None = None,
) -> Node:
    """Return a node with the cables of its fabric and a PCIe tree.

    Args:
        name: of the family.
        ends: devices and adapters.
        fabric: cables that join devices, to each other or to the middle.
        tree: of PCIe; without one, adapters are on the middle.
        middle: label of the one switch of the fabric, numbered after the ends.
    """
    devices, adapters, rate = ends
    require(
        holds=devices >= 1 and adapters >= 0 and (tree is None or tree.switches >= 0),
        otherwise=f"{devices} devices, {adapters} adapters; a node has at least 1 "
        "device, and not less than 0 of adapters and of PCIe switches",
    )
    first = devices + adapters
    labels = [
        *(f"device {device}" for device in range(devices)),
        *(f"adapter {adapter}" for adapter in range(adapters)),
        *([middle] if middle else ()),
    ]
    cables = list(fabric)
    if tree is None:
        cables += [Cable(end, first, rate, 0.0) for end in range(devices, first)]
    else:
        cables += _tree_cables(tree, ends, len(labels))
        labels += (f"PCIe switch {index}" for index in range(tree.switches))
        labels += (f"host bridge {index}" for index in range(tree.sockets))
    network = wired(
        f"{name} of {devices}",
        first,
        cables,
        labels=labels,
        num_switches=len(labels) - first,
    )
    return Node(network=network, num_devices=devices, num_fabric_links=2 * len(fabric))


def _tree_cables(tree: Tree, ends: Ends, first: int) -> list[Cable]:
    """Return the cables of a PCIe tree whose switches are numbered from `first`."""
    require(
        holds=tree.adapters_on in get_args(Place),
        otherwise=f"adapters_on = {tree.adapters_on!r}; "
        f"there are {' and '.join(get_args(Place))}",
    )
    devices, adapters, rate = ends
    switches = range(first, first + tree.switches)
    bridges = range(switches.stop, switches.stop + tree.sockets)
    ports = switches or bridges
    places = ports if tree.adapters_on == "switch" else bridges
    uplink = tree.bridge_bandwidth or tree.bandwidth
    between = tree.socket_bandwidth or uplink
    return [
        *(
            Cable(device, _dealt(ports, device, devices), tree.bandwidth, tree.latency)
            for device in range(devices)
        ),
        *(
            Cable(devices + index, _dealt(places, index, adapters), rate, 0.0)
            for index in range(adapters)
        ),
        *(
            Cable(plx, _dealt(bridges, index, len(switches)), uplink, tree.latency)
            for index, plx in enumerate(switches)
        ),
        *(
            Cable(a, b, between, tree.socket_latency)
            for a, b in combinations(bridges, 2)
        ),
    ]


def _dealt(places: range, index: int, count: int) -> int:
    """Return the place of one of some things that are spread evenly over places."""
    return places[index * len(places) // count]
