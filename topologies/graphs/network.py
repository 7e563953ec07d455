"""The network as a record: hosts, switches, and the directed links between them.

Nodes are numbered, hosts first. A cable is full duplex, that is two links: cable `k`
has link `2k` one way and link `2k + 1` back, so the other direction of a link is
`link ^ 1`. Everything per link is a NumPy array, and cannot be written to.

Generators (`direct.py`, `switched.py`, ...) also say what routes and figures may rely
on: tiers, the shape of a grid, and a worst even cut where one is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

import numpy as np

from topologies.graphs.arrays import Floats, Integers
from topologies.units import BytesPerSecond, Ratio, Seconds


class GraphError(ValueError):
    """A network that cannot be built as asked; the message says what can."""


class CutError(GraphError):
    """Hosts that cannot reach each other.

    Fields:
        separated: the smaller side, as host numbers.
    """

    def __init__(self, message: str, separated: Sequence[int]) -> None:
        self.separated = tuple(separated)
        super().__init__(message)


class Cable(NamedTuple):
    """Both directions between two nodes.

    Fields:
        a, b: the nodes at its ends.
        bandwidth: of each direction [B/s].
        latency: of each direction, switch included [s].
    """

    a: int
    b: int
    bandwidth: BytesPerSecond
    latency: Seconds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """Hosts and switches joined by directed links.

    Fields:
        name: of the family or file, with its parameters.
        num_hosts: nodes 0 … num_hosts - 1, where ranks can sit [1].
        num_switches: the nodes after the hosts [1].
        source, target: node at either end of each link.
        bandwidth: of each link [B/s].
        latency: of each link [s].
        labels: of the nodes, for messages and drawings.
        levels: tier of each node, 0 for hosts; empty where there are no tiers.
        shape: hosts along each dimension of a torus or mesh, the last varying
            fastest; empty for anything else.
        wraps: whether each dimension of `shape` closes to a ring.
        half: hosts of one side of a worst even cut, where theory knows one.
    """

    name: str
    num_hosts: int
    num_switches: int
    source: Integers
    target: Integers
    bandwidth: Floats
    latency: Floats
    labels: tuple[str, ...]
    levels: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()
    wraps: bool = False
    half: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        """Close the arrays to writing."""
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    @property
    def num_nodes(self) -> int:
        """Hosts and switches [1]."""
        return self.num_hosts + self.num_switches

    @property
    def num_links(self) -> int:
        """Directed links, two for each cable [1]."""
        return len(self.source)

    def link_name(self, link: int) -> str:
        """Return `from → to`, by the labels of its ends."""
        ends = int(self.source[link]), int(self.target[link])
        return " → ".join(self.labels[node] for node in ends)

    def links_between(self, a: int, b: int) -> tuple[int, ...]:
        """Return the links from node `a` to node `b`; none if they are not joined."""
        found = np.flatnonzero((self.source == a) & (self.target == b))
        return tuple(int(link) for link in found)

    def degraded(self, factors: Mapping[int, Ratio]) -> Network:
        """Return the network with the bandwidth of some links multiplied.

        Args:
            factors: by link, above 0; a link that is gone is a failed link, which
                routes take apart [1].

        Raises:
            GraphError: a factor is not positive, or there is no such link.
        """
        bandwidth = self.bandwidth.copy()
        for link, factor in factors.items():
            if not 0 <= link < self.num_links:
                raise GraphError(f"there is no link {link} in {self.name}")
            if not factor > 0:
                raise GraphError(
                    f"link {link} times {factor}: a factor is above 0; "
                    "name a link that is gone among the failed links"
                )
            bandwidth[link] *= factor
        return replace(self, bandwidth=bandwidth, half=())


def wired(  # noqa: PLR0913 - the fields of a record
    name: str,
    num_hosts: int,
    cables: Sequence[Cable],
    *,
    levels: Sequence[int] = (),
    labels: Sequence[str] = (),
    num_switches: int = 0,
    shape: tuple[int, ...] = (),
    wraps: bool = False,
    half: Sequence[int] = (),
) -> Network:
    """Return the network of some cables.

    Args:
        name: of the network.
        num_hosts: hosts, numbered from 0 [1].
        cables: both ways each.
        levels: see `Network`; where given, it also says how many switches there are.
        labels: of the nodes; `host 3` and `switch 0` if left out.
        num_switches: switches, numbered after the hosts, if `levels` is left out [1].
        shape, wraps, half: see `Network`.

    Raises:
        GraphError: there is no host, or a cable's bandwidth or latency is not possible.
    """
    if num_hosts < 1:
        raise GraphError(f"{name} has {num_hosts} hosts; a network has at least 1")
    switches = len(levels) - num_hosts if levels else num_switches
    ends = np.array([(c.a, c.b) for c in cables], np.int64).reshape(-1, 2)
    bandwidth = np.array([cable.bandwidth for cable in cables], np.float64)
    latency = np.array([cable.latency for cable in cables], np.float64)
    if not np.all((bandwidth > 0) & np.isfinite(bandwidth)):
        raise GraphError(f"{name}: the bandwidth of a link is above 0 and finite")
    if not np.all((latency >= 0) & np.isfinite(latency)):
        raise GraphError(f"{name}: the latency of a link is at least 0 and finite")
    return Network(
        name=name,
        num_hosts=num_hosts,
        num_switches=switches,
        source=ends.reshape(-1),
        target=ends[:, ::-1].reshape(-1).copy(),
        bandwidth=np.repeat(bandwidth, 2),
        latency=np.repeat(latency, 2),
        labels=tuple(labels)
        or (
            *(f"host {host}" for host in range(num_hosts)),
            *(f"switch {switch}" for switch in range(switches)),
        ),
        levels=tuple(levels),
        shape=shape,
        wraps=wraps,
        half=tuple(half),
    )


def require(*, holds: bool, otherwise: str) -> None:
    """Raise `GraphError` with a message unless something holds."""
    if not holds:
        raise GraphError(otherwise)
