"""How much does a collective send, and how long does that take on an idle crossbar?

On a crossbar every participant has one link of full duplex to a switch that never
blocks. A round of sends takes α and the time of its busiest link, so a collective is
three numbers: its rounds, the bytes of the busiest link summed over the rounds, and
the bytes of all sends.

Limits: rounds follow each other as if all waited for the last; reduction is free; no
contention between collectives, for which there is the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from sys import float_info

from simulator.costs.elementwise import (
    ceil,
    is_any_above_one,
    log2,
    maximum,
    minimum,
)
from topologies.units import Bytes, BytesPerSecond, Count, Seconds

_LEAST_GRAIN: Bytes = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveCost:
    """What a collective sends.

    Attributes:
        steps: rounds, one after the other [1].
        port_bytes: of the busiest link and direction of each round, summed [B].
        wire_bytes: of all sends [B].
    """

    steps: Count
    port_bytes: Bytes
    wire_bytes: Bytes


def collective_time(
    cost: CollectiveCost, latency: Seconds, bandwidth: BytesPerSecond
) -> Seconds:
    """Return the time of a collective on an idle crossbar.

    T = steps · α + port bytes / bandwidth

    Args:
        cost: what it sends.
        latency: α, per message [s].
        bandwidth: of each participant's link, per direction [B/s].

    Assumes: equal links, full duplex, rounds in step, reduction free.

    Source: the α-β model of Thakur, Rabenseifner and Gropp, Optimization of Collective
        Communication Operations in MPICH, 2005 (from memory).

    >>> cost = CollectiveCost(steps=14, port_bytes=1.75e9, wire_bytes=1.4e10)
    >>> collective_time(cost, latency=0.0, bandwidth=1e11)
    0.0175
    """
    return cost.steps * latency + cost.port_bytes / bandwidth


def num_pieces(size: Bytes, fill: Count, grain: Bytes) -> Count:
    """Return into how many pieces a pipeline cuts a buffer.

    k = max(1, ⌈√(f S / g)⌉)

    With k pieces a pipeline takes (k + f) (α + S / (k · bandwidth)), which is least at
    g = α · bandwidth. Where these are not known a typical product stands for them.

    Args:
        size: S, buffer [B].
        fill: f, rounds until the last link is busy [1].
        grain: g, latency times bandwidth [B].

    Assumes: all rounds of the pipeline cost the same.

    Source: derived above.

    >>> num_pieces(1600.0, 4, grain=1.0)
    80
    """
    return maximum(1, ceil((maximum(fill, 0) * size / grain) ** 0.5))


def grain_of(latency: Seconds, bandwidth: BytesPerSecond) -> Bytes:
    """Return the grain that cuts pipelines into the fewest rounds of least time.

    g = max(α · bandwidth, 1 B)

    Args:
        latency: α, per message [s].
        bandwidth: of each participant's link; infinite where there is none [B/s].

    Assumes: links without latency still send whole bytes.

    Source: derived in `num_pieces`.

    >>> grain_of(2.0, 8.0)
    16.0
    """
    return maximum(latency * minimum(bandwidth, float_info.max), _LEAST_GRAIN)


def num_hops(num_ranks: Count) -> Count:
    """Return the set bits of all numbers below n: hops of blocks in binomial trees.

    B(n) = Σ over k of 2^k ⌊n / 2^(k+1)⌋ + max(0, n mod 2^(k+1) - 2^k)

    Args:
        num_ranks: n, at least 1 [1].

    Assumes: a block for the rank i places on goes one hop for each set bit of i.

    Source: derived above, counting bit k of 0 … n - 1 by periods of 2^(k+1).

    >>> num_hops(8)
    12
    """
    total, power = 0 * num_ranks, 1
    while is_any_above_one(num_ranks / power):
        half, power = power, 2 * power
        total = total + half * (num_ranks // power)
        total = total + maximum(0, num_ranks % power - half)
    return total


def num_doublings(num_ranks: Count) -> Count:
    """Return the rounds in which one becomes n by doubling.

    ⌈log₂ n⌉

    Args:
        num_ranks: n, at least 1 [1].

    Assumes: nothing else.

    Source: derived above.

    >>> num_doublings(9)
    4
    """
    return ceil(log2(num_ranks))
