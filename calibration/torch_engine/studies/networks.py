"""Networks drawn at random: a graph, its hosts and the rate of its cables.

Rates are held so that all hosts together send no more than the machine can forward;
what that is, `python -m calibration.torch_engine.studies capacity` measures.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from calibration.torch_engine.studies.rows import Keys
from topologies.units import Bytes, BytesPerSecond, Count, Seconds, parse_quantity

TOPOLOGIES = ("ring", "wheel", "star", "random")
_RATES = (50, 500)  # Mbit/s


class Network(NamedTuple):
    """The network of a drawn plan.

    Fields:
        hosts: how many [1].
        rate: of every link, in Mbit/s.
        keys: of `[cluster.network]`.
    """

    hosts: Count
    rate: int
    keys: Keys

    def bytes_in(self, time: Seconds) -> Bytes:
        """Return what a link carries in a time [B]."""
        return time * self.bandwidth

    @property
    def bandwidth(self) -> BytesPerSecond:
        """Of every link [B/s]."""
        return parse_quantity(f"{self.rate} Mbit/s", "B/s")


def drawn_network(rng: Random, topology: str, hosts: int, most: int) -> Network:
    """Return a network of a family.

    Args:
        rng: of the draws.
        topology: the family.
        hosts: how many [1].
        most: that all hosts together may send, in Mbit/s.
    """
    low, high = _RATES[0], min(_RATES[1], most // hosts)
    rate = round(low * (high / low) ** rng.random() / 10) * 10
    keys: Keys = {
        "topology": topology,
        "link": "ethernet-1",
        "bandwidth": f"{rate} Mbit/s",
        "multipath": "one",
    }
    if topology == "random":
        keys |= {"probability": rng.choice((0.3, 0.4, 0.5)), "seed": rng.randrange(99)}
    return Network(hosts, rate, keys)


def times_sent(algorithm: str, hosts: Count) -> float:
    """Return about how often the busiest port carries an all-reduce's buffer [1]."""
    if algorithm == "parameter-server":
        return 2 * (hosts - 1)
    if algorithm == "tree":
        return 2 * (int(hosts) - 1).bit_length()
    return 2 * (hosts - 1) / hosts
