"""Networks without switches: hosts joined to hosts, which pass traffic on.

Every generator takes the bandwidth [B/s] and latency [s] of its links, and names a
worst even cut where one is known; `tests/topologies/graphs` compares those with an
enumeration of all even cuts on small networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, product

from topologies.graphs.network import Cable, Network, require, wired
from topologies.units import BytesPerSecond, Seconds


def ring(*, hosts: int, bandwidth: BytesPerSecond, latency: Seconds) -> Network:
    """Return hosts in a circle, each joined to the next.

    Args:
        hosts: at least 3, or it is no ring; 2 give one cable [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].
    """
    require(holds=hosts >= 2, otherwise=f"a ring of {hosts}; hosts is at least 2")
    cables = [Cable(a, b, bandwidth, latency) for a, b in _circle(range(hosts))]
    return wired(f"ring of {hosts}", hosts, cables, half=range(hosts // 2))


def wheel(*, hosts: int, bandwidth: BytesPerSecond, latency: Seconds) -> Network:
    """Return a ring of hosts 1 … n - 1, all joined to the hub, host 0.

    The hub is a host like the others and passes traffic on, as in NetworkX.

    Args:
        hosts: hub included, at least 4 [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].
    """
    require(holds=hosts >= 4, otherwise=f"a wheel of {hosts}; hosts is at least 4")
    rim = range(1, hosts)
    ends = [*((0, host) for host in rim), *_circle(rim)]
    cables = [Cable(a, b, bandwidth, latency) for a, b in ends]
    return wired(f"wheel of {hosts}", hosts, cables, half=rim[: hosts // 2])


def full(*, hosts: int, bandwidth: BytesPerSecond, latency: Seconds) -> Network:
    """Return every host joined to every other.

    Args:
        hosts: at least 2 [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].
    """
    require(holds=hosts >= 2, otherwise=f"{hosts} hosts; hosts is at least 2")
    cables = [Cable(a, b, bandwidth, latency) for a, b in combinations(range(hosts), 2)]
    return wired(f"full of {hosts}", hosts, cables, half=range(hosts // 2))


def torus(
    *, shape: Sequence[int], bandwidth: BytesPerSecond, latency: Seconds
) -> Network:
    """Return a grid of hosts whose every dimension closes to a ring.

    A dimension of 2 has one cable between its two, not two in parallel.

    Args:
        shape: hosts along each dimension, usually two or three of them [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].
    """
    return _grid(shape, bandwidth, latency, wraps=True)


def mesh(
    *, shape: Sequence[int], bandwidth: BytesPerSecond, latency: Seconds
) -> Network:
    """Return a grid of hosts whose dimensions end at their borders.

    Args:
        shape: hosts along each dimension, usually two or three of them [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].
    """
    return _grid(shape, bandwidth, latency, wraps=False)


def hypercube(
    *, dimension: int, bandwidth: BytesPerSecond, latency: Seconds
) -> Network:
    """Return 2^dimension hosts, joined where their numbers differ in one bit.

    Args:
        dimension: from 1 to 20 [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].
    """
    require(
        holds=1 <= dimension <= 20,
        otherwise=f"dimension = {dimension}; a hypercube has 1 to 20",
    )
    hosts = 2**dimension
    cables = [
        Cable(host, host | 1 << bit, bandwidth, latency)
        for host in range(hosts)
        for bit in range(dimension)
        if not host >> bit & 1
    ]
    name = f"hypercube of {dimension} dimensions"
    half = range(hosts // 2)
    return wired(name, hosts, cables, shape=(2,) * dimension, wraps=True, half=half)


def _circle(nodes: Sequence[int]) -> list[tuple[int, int]]:
    """Return each node with the next; two nodes have one cable."""
    ends = list(zip(nodes, [*nodes[1:], nodes[0]], strict=True))
    return ends if len(nodes) > 2 else ends[:1]


def _grid(
    shape: Sequence[int],
    bandwidth: BytesPerSecond,
    latency: Seconds,
    *,
    wraps: bool,
) -> Network:
    name = f"{'torus' if wraps else 'mesh'} {'x'.join(map(str, shape))}"
    sizes = tuple(shape)
    require(
        holds=len(sizes) > 0 and min(sizes) >= 1 and math.prod(sizes) >= 2,
        otherwise=f"shape = {list(sizes)}; a list such as [4, 4], at least 1 each",
    )
    cables = [
        Cable(a, b, bandwidth, latency) for a, b in _neighbours(sizes, wraps=wraps)
    ]
    hosts = math.prod(sizes)
    longest = max(range(len(sizes)), key=lambda axis: sizes[axis])
    stride = math.prod(sizes[longest + 1 :])
    half = [
        host
        for host in range(hosts)
        # Only an even longest dimension is cut straight across.
        if sizes[longest] % 2 == 0
        and host // stride % sizes[longest] < sizes[longest] // 2
    ]
    return wired(name, hosts, cables, shape=sizes, wraps=wraps, half=half)


def _neighbours(sizes: tuple[int, ...], *, wraps: bool) -> Iterator[tuple[int, int]]:
    """Yield pairs of hosts one step apart, each pair once."""
    for place in product(*map(range, sizes)):
        for axis, size in enumerate(sizes):
            last = place[axis] == size - 1
            if last and (not wraps or size <= 2):
                continue
            step = 1 - size if last else 1
            host = 0
            for coordinate, length in zip(place, sizes, strict=True):
                host = host * length + coordinate
            yield host, host + step * math.prod(sizes[axis + 1 :])
