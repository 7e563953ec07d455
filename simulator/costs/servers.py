"""How long do parameter servers' parts of an exchange take?

Gradients go from the devices of a node to where the node adds them, from there to the
servers, which add again and update; parameters come back the same way.

See `simulator.pricing.servers` for how they are put together.
"""

from __future__ import annotations

from simulator.costs.elementwise import maximum
from topologies.units import Bytes, BytesPerSecond, Count, Seconds


def host_copy_time(
    size: Bytes, num_devices: Count, own: BytesPerSecond, root: BytesPerSecond
) -> Seconds:
    """Return the time in which devices under a root copy to their host, or from it.

    T = max(S / own, g S / root)

    Args:
        size: S, of each device [B].
        num_devices: g, that copy at once [1].
        own: of one device's link [B/s].
        root: of all their links together [B/s].

    Assumes: the other direction does not disturb.

    Source: derived above.

    >>> host_copy_time(8.0, 4, own=8.0, root=16.0)
    2.0
    """
    return maximum(size / own, num_devices * size / root)


def summing_time(size: Bytes, num_inputs: Count, rate: BytesPerSecond) -> Seconds:
    """Return the time in which a host adds what it received.

    T = (k + 1) S / rate: reads every input, writes the sum.

    Args:
        size: S, of each input [B].
        num_inputs: k [1].
        rate: of a host's memory under such sums [B/s].

    Assumes: no sum fits into caches.

    Source: derived above.

    >>> summing_time(8.0, 3, rate=16.0)
    2.0
    """
    return (num_inputs + 1) * size / rate
