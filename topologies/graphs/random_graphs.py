"""Random networks of hosts: seeded, and connected or an error.

A sample that is not connected is thrown away and the next one is drawn from the next
child of the seed, so what comes out is uniform among the connected ones. The same seed
gives the same graph, within one version of NumPy and NetworkX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from topologies.graphs.network import Cable, GraphError, Network, require, wired
from topologies.units import BytesPerSecond, Ratio, Seconds

_TRIES = 100

Ends = list[tuple[int, int]]


def erdos_renyi(
    *,
    hosts: int,
    probability: Ratio,
    seed: int = 0,
    bandwidth: BytesPerSecond,
    latency: Seconds,
) -> Network:
    """Return hosts of whom each two are joined with a probability.

    Args:
        hosts: at least 2 [1].
        probability: of each cable, above 0 and at most 1 [1].
        seed: of the sample [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].

    Raises:
        GraphError: no sample was connected; (ln n) / n is where they begin to be.
    """
    require(holds=hosts >= 2, otherwise=f"{hosts} hosts; hosts is at least 2")
    require(
        holds=0 < probability <= 1,
        otherwise=f"probability = {probability}; it is above 0 and at most 1",
    )
    a, b = np.triu_indices(hosts, 1)

    def sample(rng: np.random.Generator) -> Ends:
        chosen = rng.random(len(a)) < probability
        return list(zip(a[chosen].tolist(), b[chosen].tolist(), strict=True))

    name = f"random of {hosts}, probability {probability:g}, seed {seed}"
    threshold = np.log(hosts) / hosts
    advice = f"a probability above (ln n) / n = {threshold:.3g} connects most samples"
    ends = _connected(sample, hosts, seed, name, advice)
    cables = [Cable(*pair, bandwidth, latency) for pair in ends]
    return wired(name, hosts, cables)


def random_regular(
    *,
    hosts: int,
    degree: int,
    seed: int = 0,
    bandwidth: BytesPerSecond,
    latency: Seconds,
) -> Network:
    """Return hosts that are each joined to as many others, at random.

    Args:
        hosts: at least 3 [1].
        degree: cables of each host, from 2 to hosts - 1; hosts · degree is even [1].
        seed: of the sample [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].

    Raises:
        GraphError: no such graph exists, or no sample was connected.
    """
    require(
        holds=2 <= degree < hosts and hosts * degree % 2 == 0,
        otherwise=f"{hosts} hosts of degree {degree}; degree is from 2 to hosts - 1, "
        "and hosts · degree is even",
    )

    def sample(rng: np.random.Generator) -> Ends:
        import networkx as nx  # noqa: PLC0415 - a prediction does not pay for it

        graph = nx.random_regular_graph(degree, hosts, seed=rng)
        return sorted((min(pair), max(pair)) for pair in graph.edges)

    name = f"random of {hosts}, degree {degree}, seed {seed}"
    ends = _connected(sample, hosts, seed, name, "a larger degree connects more")
    cables = [Cable(*pair, bandwidth, latency) for pair in ends]
    return wired(name, hosts, cables)


def _connected(
    sample: Callable[[np.random.Generator], Ends],
    hosts: int,
    seed: int,
    name: str,
    advice: str,
) -> Ends:
    """Return the first connected sample of the seed's children."""
    for child in range(_TRIES):
        ends = sample(np.random.default_rng([seed, child]))
        if is_connected(hosts, ends):
            return ends
    raise GraphError(f"{name}: none of {_TRIES} samples is connected; {advice}")


def is_connected(num_nodes: int, ends: Iterable[tuple[int, int]]) -> bool:
    """Return whether every node can reach every other, by merging sets."""
    parent = list(range(num_nodes))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    parts = num_nodes
    for a, b in ends:
        one, other = root(a), root(b)
        if one != other:
            parent[one] = other
            parts -= 1
    return parts == 1
