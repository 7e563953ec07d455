"""What a step puts on the links of its network, and how exactly that is known.

Loaded only for results on a graph; all of this is NumPy.

Limits: bytes are those of the step itself, without what others send over the links.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from simulator.located.carrier import Carrier
from simulator.located.locate import Located
from simulator.network import Router, Traffic
from simulator.results.result import Result
from topologies.graphs.arrays import Floats
from topologies.units import Bytes, Ratio, Seconds


class BusyLink(NamedTuple):
    """A link and what the step does to it.

    Fields:
        name: its ends.
        bytes: that it carries in the step [B].
        utilization: bytes ÷ (bandwidth · step time) [1].
    """

    name: str
    bytes: Bytes
    utilization: Ratio


def link_bytes(result: Result) -> Floats:
    """Return the bytes that a step puts on every link, in the order of the router."""
    located = located_of(result)
    total = np.zeros(len(located.carrier.router.bandwidth))
    for op in result.job.workload.ops:
        if op.body in located.traffic:
            total += located.traffic[op.body].bytes_on_links()
    return total


def utilization(result: Result) -> Floats:
    """Return bytes ÷ (bandwidth · step time) of every link [1]."""
    bandwidth = located_of(result).carrier.router.bandwidth
    return link_bytes(result) / (bandwidth * result.step_time_s)


def busiest(result: Result, count: int) -> list[BusyLink]:
    """Return the links that are used most, first the busiest."""
    router = located_of(result).carrier.router
    return busiest_of(router, link_bytes(result), result.step_time_s, count)


def busiest_of(
    router: Router, carried: Floats, time: Seconds, count: int
) -> list[BusyLink]:
    """Return the links that are used most, first the busiest.

    Args:
        router: of the network.
        carried: bytes on every link [B].
        time: in which they cross it [s].
        count: of links, at most [1].
    """
    used = carried / (router.bandwidth * (time or np.inf))
    order = np.argsort(-used, kind="stable")[:count]
    return [
        BusyLink(router.link_name(int(link)), float(carried[link]), float(used[link]))
        for link in order
        if used[link] > 0
    ]


def to_json(result: Result) -> dict[str, Any]:
    """Return plain data, every number in SI base units."""
    carrier = located_of(result).carrier
    return network_json(carrier, approximate_of(carrier), busiest(result, 8))


def network_json(
    carrier: Carrier, approximate: list[str], links: Iterable[BusyLink]
) -> dict[str, Any]:
    """Return plain data on a network and what it carried.

    Args:
        carrier: that carried it.
        approximate: what is not exact, and why.
        links: first the busiest.
    """
    return {
        "ring_orders": [list(order.hosts) for order in carrier.rings.orders.values()],
        "busiest_links": [link._asdict() for link in links],
        "approximate": approximate,
    }


def approximate_of(carrier: Carrier) -> list[str]:
    """Return which collectives of a step are not exact, and why."""
    return [
        approximation(f"{kind.described} by {kind.algorithm}", traffic)
        for kind, traffic in carrier.chosen.items()
        if not traffic.is_exact
    ]


def approximation(what: str, traffic: Traffic) -> str:
    """Return how a collective that is not exact was timed.

    Args:
        what: it is, such as `all-reduce of 1 GB over 512 ranks by tree`.
        traffic: of it, timed round by round.
    """
    number = traffic.rounds.num_messages
    return f"{what}: {number} messages, so every round waits for all of the last"


def located_of(result: Result) -> Located:
    """Return where the messages of a result on a graph are."""
    located = result.job.located
    assert located is not None, "only results on a graph have a network"
    return located
