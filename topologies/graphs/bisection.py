"""Bisection bandwidth: the least capacity between two equal halves of the hosts.

Which half is worst is known for some families, found by trying all of them for up to
16 hosts, and otherwise guessed, which gives an upper bound. Given the half, switches
go to whichever side makes the cut least, by maximum flow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from topologies.graphs.arrays import Booleans, Floats, Integers
from topologies.graphs.network import Network
from topologies.units import BytesPerSecond

MAX_ENUMERATED = 16
_MAX_FLOW = 2**31 - 1  # what scipy's maximum flow counts up to


class Bisection(NamedTuple):
    """The worst even cut found.

    Fields:
        bandwidth: across it, one way [B/s].
        half: hosts on one side.
        is_exact: whether no even cut is worse.
        method: how it was found.
    """

    bandwidth: BytesPerSecond
    half: tuple[int, ...]
    is_exact: bool
    method: str


def bisection(network: Network) -> Bisection:
    """Return the worst even cut of a network's hosts.

    Of an odd number, one side has one more.

    Source: derived above; the known halves are compared with enumeration in tests.
    """
    if network.num_hosts < 2:
        return Bisection(0.0, (), is_exact=True, method="a single host")
    if network.half:
        width = cut_bandwidth(network, network.half)
        method = "minimum cut at the half known for this family"
        return Bisection(width, network.half, is_exact=True, method=method)
    if network.num_hosts <= MAX_ENUMERATED:
        width, half = _least(network, _all_halves(network.num_hosts))
        method = "minimum over all even cuts"
        return Bisection(width, half, is_exact=True, method=method)
    width, half = _least(network, _guesses(network))
    method = "upper bound: hosts in order, and halved by the Fiedler vector with swaps"
    return Bisection(width, half, is_exact=False, method=method)


def cut_bandwidth(network: Network, half: Sequence[int]) -> BytesPerSecond:
    """Return the least capacity between some hosts and the others, in one direction.

    Assumes: switches may be on either side; the lesser of the two directions counts.

    Source: maximum flow is minimum cut; flows are whole multiples of a part of the
        least bandwidth, and the capacity of the cut they show is summed exactly.
    """
    inside = np.zeros(network.num_nodes, bool)
    inside[list(half)] = True
    if network.num_switches == 0:
        return _across(network, inside)
    there = _across_least(network, inside)
    if _is_symmetric(network):
        return there
    return min(there, _across_least(network, ~inside))


def _is_symmetric(network: Network) -> bool:
    """Return whether links are in pairs that lead there and back at one rate."""
    rate, source, target = network.bandwidth, network.source, network.target
    is_same_rate = np.array_equal(rate[::2], rate[1::2])
    return is_same_rate and np.array_equal(source[::2], target[1::2])


def _across(network: Network, inside: Booleans) -> BytesPerSecond:
    out = inside[network.source] & ~inside[network.target]
    back = ~inside[network.source] & inside[network.target]
    return float(min(network.bandwidth[out].sum(), network.bandwidth[back].sum()))


def _across_least(network: Network, inside: Booleans) -> BytesPerSecond:
    """Return the minimum cut from the hosts inside to the hosts outside."""
    from scipy.sparse import csr_array  # noqa: PLC0415 - a prediction does not pay
    from scipy.sparse.csgraph import (  # noqa: PLC0415
        breadth_first_order,
        maximum_flow,
    )

    hosts = np.arange(network.num_hosts)
    senders, receivers = hosts[inside[hosts]], hosts[~inside[hosts]]
    start, end = network.num_nodes, network.num_nodes + 1
    units = _in_units(network.bandwidth)
    total = int(units.sum())
    source = np.concatenate([network.source, np.full(len(senders), start), receivers])
    target = np.concatenate([network.target, senders, np.full(len(receivers), end)])
    ample = np.full(network.num_hosts, total)
    capacity = np.concatenate([units, ample])
    # Parallel links are summed as the matrix is made.
    shape = (network.num_nodes + 2,) * 2
    matrix = csr_array((capacity.astype(np.int32), (source, target)), shape=shape)
    left = matrix - maximum_flow(matrix, start, end).flow
    left.eliminate_zeros()
    near = np.zeros(network.num_nodes + 2, bool)
    near[breadth_first_order(left, start, return_predecessors=False)] = True
    crossing = near[network.source] & ~near[network.target]
    return float(network.bandwidth[crossing].sum())


def _in_units(bandwidth: Floats) -> Integers:
    """Return bandwidths as whole multiples of a unit, as fine as the flow can count."""
    finest = _MAX_FLOW / bandwidth.sum() / 4
    multiples = bandwidth / bandwidth.min()
    for parts in range(1, 65):
        if multiples.sum() * parts < _MAX_FLOW / 4:
            rounded = np.round(multiples * parts)
            if np.allclose(rounded, multiples * parts, rtol=1e-12, atol=0):
                return np.asarray(rounded, np.int64)
    return np.asarray(np.maximum(bandwidth * finest, 1), np.int64)


def _all_halves(num_hosts: int) -> Iterator[tuple[int, ...]]:
    """Yield one side of each even cut; the side of host 0 if both are equal."""
    for half in combinations(range(num_hosts), num_hosts // 2):
        if num_hosts % 2 == 0 and half[0] != 0:
            return
        yield half


def _guesses(network: Network) -> Iterator[tuple[int, ...]]:
    size = network.num_hosts // 2
    yield tuple(range(size))
    order = np.argsort(_fiedler(network)[: network.num_hosts], kind="stable")
    spectral = order[:size]
    yield tuple(spectral.tolist())
    if network.num_switches == 0:
        yield _swapped(network, spectral)


def _fiedler(network: Network) -> Floats:
    """Return the eigenvector of the Laplacian's second smallest eigenvalue."""
    weights = np.zeros((network.num_nodes,) * 2)
    np.add.at(weights, (network.source, network.target), network.bandwidth)
    weights = (weights + weights.T) / (2 * network.bandwidth.max())
    laplacian = np.diag(weights.sum(0)) - weights
    vector: Floats = np.linalg.eigh(laplacian)[1][:, 1]
    # Its sign is anyone's; ties are broken by number, on rounded values.
    vector = np.round(vector / np.abs(vector).max(), 9)
    return vector if vector[np.flatnonzero(vector)[0]] > 0 else -vector


def _swapped(network: Network, half: Integers) -> tuple[int, ...]:
    """Return a half that no exchange of two hosts makes better."""
    weights = np.zeros((network.num_hosts,) * 2)
    np.add.at(weights, (network.source, network.target), network.bandwidth)
    weights += weights.T
    side = np.full(network.num_hosts, -1.0)
    side[half] = 1.0
    tiny = weights.max() / 2  # every exchange that counts gains at least one link
    for _ in range(network.num_hosts):
        loss = side * (weights @ side)  # inner minus outer bandwidth
        one, other = np.flatnonzero(side > 0), np.flatnonzero(side < 0)
        between = weights[np.ix_(one, other)]
        gain = -loss[one][:, None] - loss[other][None, :] - 2 * between
        best = int(np.argmax(gain))
        if gain.flat[best] < tiny:
            break
        a, b = one[best // len(other)], other[best % len(other)]
        side[a], side[b] = -1.0, 1.0
    return tuple(np.flatnonzero(side > 0).tolist())


def _least(
    network: Network, halves: Iterator[tuple[int, ...]]
) -> tuple[BytesPerSecond, tuple[int, ...]]:
    return min((cut_bandwidth(network, half), half) for half in halves)
