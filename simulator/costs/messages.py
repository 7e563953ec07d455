"""How long does a transfer take on an idle network?

The bandwidth is what the sender gets: `simulator.placement` works out the share of a
node's adapters that is left to it. Collectives are in `simulator.costs.collectives`.

Limits: no contention, for which there is the network.
"""

from __future__ import annotations

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
