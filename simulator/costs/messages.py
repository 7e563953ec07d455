"""How long does a transfer take on an idle network?

The bandwidth is what the sender gets: `simulator.pricing.placement` works out the share
of a node's adapters that is left to it. Collectives are in
`simulator.costs.collectives`.

Limits: no contention, for which there is the network.
"""

from __future__ import annotations

from simulator.costs.elementwise import maximum
from topologies.units import Bytes, BytesPerSecond, Seconds


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


def exchange_time(
    device: Bytes,
    node: Bytes,
    latency: Seconds,
    *,
    inside: BytesPerSecond,
    outside: BytesPerSecond,
) -> Seconds:
    """Return the time in which neighbours send to each other, all at once.

    T = α + max(D / inside, N / outside)

    Args:
        device: D, the most that one device sends or receives [B].
        node: N, the most that one node sends to others or receives [B].
        latency: α [s].
        inside: of a device's link [B/s].
        outside: of all adapters of a node [B/s].

    Assumes: full duplex; links between the busiest ports are no slower than they.

    Source: derived above.

    >>> exchange_time(1e9, 2e9, latency=0.5, inside=1e9, outside=1e9)
    2.5
    """
    return latency + maximum(device / inside, node / outside)
