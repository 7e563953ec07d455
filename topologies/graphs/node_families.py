"""Families of nodes with a fabric: NVSwitch, direct links, hybrid cube mesh, pairs.

Bandwidths are of each direction. Latencies are of a link: a message that crosses a
switch takes two. Where devices reach adapters, or devices that their fabric does not,
over PCIe, the tree has two sockets; `pcie.py` says how it is made.
"""

from __future__ import annotations

from itertools import combinations

from topologies.graphs.network import Cable, require
from topologies.graphs.nodes import Node
from topologies.graphs.pcie import Ends, Tree, assembled
from topologies.units import BytesPerSecond, Seconds

# Links between devices of a DGX-1, by how many join each pair. Both halves alike,
# and what joins the halves, between device d and d + 4.
_CUBE_OF_6 = {(0, 1): 1, (0, 2): 1, (0, 3): 2, (1, 2): 2, (1, 3): 1, (2, 3): 2}
_ACROSS_OF_6 = (2, 2, 1, 1)
_CUBE_OF_4 = dict.fromkeys(_CUBE_OF_6, 1)
_ACROSS_OF_4 = (1, 1, 1, 1)
_DGX_SWITCHES = 4


def switch(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    devices: int,
    adapters: int = 1,
    adapter_bandwidth: BytesPerSecond,
    bandwidth: BytesPerSecond,
    latency: Seconds,
    pcie_bandwidth: BytesPerSecond | None = None,
    pcie_latency: Seconds = 0.0,
    switches: int = 4,
    socket_bandwidth: BytesPerSecond | None = None,
) -> Node:
    """Return devices on one non-blocking switch (NVSwitch, or an ideal crossbar).

    Args:
        devices: accelerators [1].
        adapters: network adapters [1].
        adapter_bandwidth: of each adapter [B/s].
        bandwidth: of a device to the switch [B/s].
        latency: of each such link; a message between devices crosses two [s].
        pcie_bandwidth: of a device to its PCIe switch, over which it reaches an
            adapter; left out, the adapters are on the switch of the devices [B/s].
        pcie_latency: of each PCIe link [s].
        switches: of PCIe, over two sockets [1].
        socket_bandwidth: between the sockets; that of PCIe if left out [B/s].
    """
    ends = Ends(devices, adapters, adapter_bandwidth)
    middle = devices + adapters
    fabric = [Cable(device, middle, bandwidth, latency) for device in range(devices)]
    tree = None
    if pcie_bandwidth is not None:
        tree = Tree(pcie_bandwidth, pcie_latency, switches, socket_bandwidth)
    return assembled("switch", ends, fabric, tree, middle="switch")


def hybrid_cube_mesh(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    devices: int = 8,
    links: int = 6,
    adapters: int = 4,
    adapter_bandwidth: BytesPerSecond,
    bandwidth: BytesPerSecond,
    latency: Seconds,
    pcie_bandwidth: BytesPerSecond,
    pcie_latency: Seconds = 0.0,
    socket_bandwidth: BytesPerSecond | None = None,
    socket_latency: Seconds = 0.0,
) -> Node:
    """Return the eight devices of a DGX-1: a cube whose two faces are full.

    Devices 0 to 3 are all joined to each other, 4 to 7 as well, and d to d + 4. With
    six links a device has two to some of its four neighbours. Devices that are not
    neighbours talk over PCIe: four switches with two devices and an adapter each.

    Args:
        devices: 8 [1].
        links: of a device to others: 6 (V100) or 4 (P100) [1].
        adapters: network adapters [1].
        adapter_bandwidth: of each adapter [B/s].
        bandwidth: of all links of a device together [B/s].
        latency: of each such link [s].
        pcie_bandwidth: of each PCIe link [B/s].
        pcie_latency: of each PCIe link [s].
        socket_bandwidth: between the sockets; that of PCIe if left out [B/s].
        socket_latency: between the sockets [s].

    Source: links of each pair with six, and which devices share a PCIe switch with
        which adapter, `nvidia-smi topo -m` of a DGX-1 in microsoft/msccl-tools
        (50846977), tests/test_topologies.py; with four, from memory: the same pairs,
        each joined once.
    """
    require(
        holds=devices == 8 and links in {4, 6},
        otherwise=f"{devices} devices of {links} links; a hybrid cube mesh has 8 of "
        "6 links (V100) or of 4 (P100)",
    )
    cube, across = (
        (_CUBE_OF_6, _ACROSS_OF_6) if links == 6 else (_CUBE_OF_4, _ACROSS_OF_4)
    )
    joined = {
        **cube,
        **{(a + 4, b + 4): number for (a, b), number in cube.items()},
        **{(device, device + 4): number for device, number in enumerate(across)},
    }
    fabric = [
        Cable(a, b, number * bandwidth / links, latency)
        for (a, b), number in joined.items()
    ]
    tree = Tree(
        pcie_bandwidth, pcie_latency, _DGX_SWITCHES, socket_bandwidth, socket_latency
    )
    ends = Ends(devices, adapters, adapter_bandwidth)
    return assembled("hybrid-cube-mesh", ends, fabric, tree)


def pairs(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    devices: int,
    adapters: int = 1,
    adapter_bandwidth: BytesPerSecond,
    bandwidth: BytesPerSecond,
    latency: Seconds,
    pcie_bandwidth: BytesPerSecond,
    pcie_latency: Seconds = 0.0,
    switches: int = 2,
    socket_bandwidth: BytesPerSecond | None = None,
    socket_latency: Seconds = 0.0,
) -> Node:
    """Return devices of which each two are bridged, and a PCIe tree for the rest.

    Args:
        devices: accelerators; the last of an odd number is alone [1].
        adapters: network adapters [1].
        adapter_bandwidth: of each adapter [B/s].
        bandwidth: of a bridge [B/s].
        latency: of a bridge [s].
        pcie_bandwidth: of each PCIe link [B/s].
        pcie_latency: of each PCIe link [s].
        switches: of PCIe, over two sockets [1].
        socket_bandwidth: between the sockets; that of PCIe if left out [B/s].
        socket_latency: between the sockets [s].
    """
    fabric = [
        Cable(device, device + 1, bandwidth, latency)
        for device in range(0, devices - 1, 2)
    ]
    tree = Tree(
        pcie_bandwidth, pcie_latency, switches, socket_bandwidth, socket_latency
    )
    ends = Ends(devices, adapters, adapter_bandwidth)
    return assembled("nvlink-pairs", ends, fabric, tree)


def full(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    devices: int,
    adapters: int = 1,
    adapter_bandwidth: BytesPerSecond,
    bandwidth: BytesPerSecond,
    latency: Seconds,
    pcie_bandwidth: BytesPerSecond,
    pcie_latency: Seconds = 0.0,
    switches: int = 2,
    socket_bandwidth: BytesPerSecond | None = None,
) -> Node:
    """Return devices that are all joined to each other directly.

    As in nodes of four A100, or of eight MI300X.

    Args:
        devices: accelerators [1].
        adapters: network adapters [1].
        adapter_bandwidth: of each adapter [B/s].
        bandwidth: of all links of a device together; each other device has an equal
            part of it [B/s].
        latency: of each such link [s].
        pcie_bandwidth: of each PCIe link, on the way to the adapters [B/s].
        pcie_latency: of each PCIe link [s].
        switches: of PCIe, over two sockets [1].
        socket_bandwidth: between the sockets; that of PCIe if left out [B/s].
    """
    fabric = [
        Cable(a, b, bandwidth / (devices - 1), latency)
        for a, b in combinations(range(devices), 2)
    ]
    tree = Tree(pcie_bandwidth, pcie_latency, switches, socket_bandwidth)
    ends = Ends(devices, adapters, adapter_bandwidth)
    return assembled("full", ends, fabric, tree)
