"""What this machine can forward in all: the limit of what a study may draw.

Every host of a ring sends to the next, all at once, at growing rates of the cables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from calibration.emulation.exchange import Flow, exchange
from calibration.emulation.network import EmulatedNetwork
from calibration.torch_engine.studies import results
from calibration.torch_engine.timed.running import shape_at
from topologies.graphs.direct import ring
from topologies.graphs.wiring import Wiring
from topologies.units import Count, Ratio, Seconds, parse_quantity

_HOSTS = (4, 6, 8, 12)
_RATES = (200, 300, 400, 500)  # Mbit/s
_LONG: Seconds = 0.8  # of a flow


class Point(NamedTuple):
    """A ring whose hosts all send.

    Fields:
        hosts: how many [1].
        rate: of every cable, in Mbit/s.
        reached: of the rate that the slowest flow had, headers apart [1].
        load: of the machine, as `uptime` shows it [1].
    """

    hosts: Count
    rate: int
    reached: Ratio
    load: float


def measure() -> Iterator[Point]:
    """Yield what rings of all sizes and rates reach."""
    for hosts in _HOSTS:
        for rate in _RATES:
            yield _point(hosts, rate)


def _point(hosts: int, rate: int) -> Point:
    bandwidth = parse_quantity(f"{rate} Mbit/s", "B/s")
    wiring = Wiring(network=ring(hosts=hosts, bandwidth=bandwidth, latency=0.0))
    shape = shape_at(bandwidth)
    size = round(_LONG * bandwidth * shape.payload_share)
    flows = [Flow(host, (host + 1) % hosts, size) for host in range(hosts)]
    with EmulatedNetwork(wiring, shape) as network:
        slowest = max(exchange(network, flows))
    return Point(hosts, rate, _LONG / slowest, os.getloadavg()[0])


def report(points: list[Point]) -> list[str]:
    """Return the lines of a file."""
    title = "Rings whose hosts all send at once: what this machine forwards."
    entries = (
        {
            "hosts": int(each.hosts),
            "rate": f"{each.rate} Mbit/s",
            "all": f"{int(each.hosts) * each.rate} Mbit/s",
            "reached": round(each.reached, 3),
            "load": round(each.load, 2),
        }
        for each in points
    )
    return [*results.head(title, "capacity"), *results.rows(entries)]
