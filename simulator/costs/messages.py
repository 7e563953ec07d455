"""How long do collectives and transfers take on an idle network?

Closed forms of the textbook algorithms, α and bandwidth per hop.
The bandwidth is what one ring of the group gets: `simulator.placement` works out the
share of a node's adapters that is left to it.

Limits: no contention between different collectives, no protocol regimes by message
size; the network issue brings both.
"""

from __future__ import annotations

from simulator.costs.elementwise import ceil, log2
from topologies.units import Bytes, BytesPerSecond, Count, Seconds


def ring_all_reduce_time(
    size: Bytes, num_ranks: Count, latency: Seconds, bandwidth: BytesPerSecond
) -> Seconds:
    """Return the time of a ring all-reduce on an idle ring.

    T = 2 (n - 1) α + 2 (n - 1) / n · S / bandwidth

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        latency: α, per message and hop [s].
        bandwidth: per link and direction [B/s].

    Assumes: equal links, full duplex, reduction free.

    Source: bandwidth term, nccl-tests doc/PERFORMANCE.md, AllReduce; latency term,
        2 (n - 1) sequential messages.

    >>> ring_all_reduce_time(1e9, 8, latency=0.0, bandwidth=1e11)
    0.0175
    """
    steps = 2 * (num_ranks - 1)
    return steps * latency + steps / num_ranks * size / bandwidth


def ring_gather_time(
    size: Bytes, num_ranks: Count, latency: Seconds, bandwidth: BytesPerSecond
) -> Seconds:
    """Return the time of a ring all-gather or reduce-scatter on an idle ring.

    T = (n - 1) α + (n - 1) / n · S / bandwidth

    Args:
        size: S, the whole output of the all-gather, or input of the
            reduce-scatter [B].
        num_ranks: n, at least 1 [1].
        latency: α, per message and hop [s].
        bandwidth: per link and direction [B/s].

    Assumes: equal links, full duplex, reduction free.

    Source: nccl-tests doc/PERFORMANCE.md, AllGather and ReduceScatter; half of the
        all-reduce that the two make together.

    >>> ring_gather_time(1e9, 8, latency=0.0, bandwidth=1e11)
    0.00875
    """
    steps = num_ranks - 1
    return steps * latency + steps / num_ranks * size / bandwidth


def tree_all_reduce_time(
    size: Bytes, num_ranks: Count, latency: Seconds, bandwidth: BytesPerSecond
) -> Seconds:
    """Return the time of a double-binary-tree all-reduce on an idle crossbar.

    T = 2 ⌈log₂ n⌉ α + 2 S / bandwidth

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        latency: α, per message and hop [s].
        bandwidth: per link and direction [B/s].

    Assumes: both trees together use each link fully, in pieces small enough that the
        pipeline's fill is free.

    Source: Sanders, Speck and Träff, Two-tree algorithms for full bandwidth broadcast,
        reduction and scan, Parallel Computing 35(12), 2009; NCCL uses it for small
        messages over many nodes.

    >>> float(tree_all_reduce_time(0.0, 8, latency=0.5, bandwidth=1e9))
    3.0
    """
    return 2 * ceil(log2(num_ranks)) * latency + 2 * size / bandwidth


def transfer_time(size: Bytes, latency: Seconds, bandwidth: BytesPerSecond) -> Seconds:
    """Return the time of one message over one idle link.

    T = α + S / bandwidth

    Args:
        size: S [B].
        latency: α [s].
        bandwidth: of the narrowest link on the way [B/s].

    Assumes: the receiver has posted its receive.

    Source: Hockney's model, Parallel Computing 20(3), 1994.

    >>> transfer_time(1e9, latency=0.5, bandwidth=1e9)
    1.5
    """
    return latency + size / bandwidth
