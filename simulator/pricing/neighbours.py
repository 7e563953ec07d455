"""How much do neighbours send over the busiest device, and over the busiest node?

Limits: the ranks of a group fill nodes from the first device of one on. Groups that
share a node with another, or that begin inside one, are priced as the first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from simulator.workload import Transfer
from topologies.units import Bytes


class Load(NamedTuple):
    """The most bytes over one port and direction.

    Fields:
        device: of a device, to all others [B].
        node: of a node, to other nodes [B].
    """

    device: Bytes
    node: Bytes


def busiest(sends: Iterable[Transfer], per_node: int) -> Load:
    """Return the most that one device and one node send, or receive.

    Args:
        sends: within a group whose ranks fill nodes in turn.
        per_node: devices in a node [1].
    """
    devices: dict[tuple[str, int], Bytes] = defaultdict(float)
    nodes: dict[tuple[str, int], Bytes] = defaultdict(float)
    for source, to, size in sends:
        devices["out", source] += size
        devices["in", to] += size
        if source // per_node != to // per_node:
            nodes["out", source // per_node] += size
            nodes["in", to // per_node] += size
    most = (max(loads.values(), default=0.0) for loads in (devices, nodes))
    return Load(*most)
