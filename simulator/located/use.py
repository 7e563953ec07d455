"""What a step asks of its network: bytes on links, ring orders, and how exactly.

Loaded only for results on a graph; all of this is NumPy.

Limits: bytes are those of the step itself, without what others send over the links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simulator.located.carrier import Carrier
from simulator.located.locate import Located
from simulator.network import RingOrder, Router, Traffic
from simulator.plans.network_records import BackgroundSection
from simulator.result import Result
from topologies.graphs.arrays import Floats
from topologies.units import Bytes, Ratio, Seconds, format_quantity

_MOST_HOSTS = 16
_MOST_APPROXIMATE = 4
_MOST_DESCRIBED = 512  # devices; figures of large graphs take seconds


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
    located = _located(result)
    total = np.zeros(len(located.carrier.router.bandwidth))
    for op in result.job.workload.ops:
        if op.body in located.traffic:
            total += located.traffic[op.body].bytes_on_links()
    return total


def utilization(result: Result) -> Floats:
    """Return bytes ÷ (bandwidth · step time) of every link [1]."""
    bandwidth = _located(result).carrier.router.bandwidth
    return link_bytes(result) / (bandwidth * result.step_time_s)


def busiest(result: Result, count: int) -> list[BusyLink]:
    """Return the links that are used most, first the busiest."""
    router = _located(result).carrier.router
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
    carrier = _located(result).carrier
    return network_json(carrier, _approximate(carrier), busiest(result, 8))


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


def network_text(result: Result) -> str:
    """Return what a report says of the network."""
    carrier = _located(result).carrier
    lines = network_lines(carrier, _approximate(carrier), busiest(result, 3), "step")
    others = [_others(one) for one in result.job.plan.cluster.background]
    if others:
        lines = chain(lines, [f"  beside it, not counted: {'; '.join(others)}"])
    return "\n".join(f"  {line}" for line in lines)


def _others(section: BackgroundSection) -> str:
    """Return cross traffic in words."""
    if section.plan is not None:
        return f"{Path(section.plan).name} from node {section.first_node} on"
    ends = f"node {section.from_} → node {section.to}"
    if section.rate is not None:
        return f"{ends} at {format_quantity(section.rate, 'B/s')}"
    assert section.size is not None
    assert section.period is not None
    size, period = (
        format_quantity(section.size, "B"),
        format_quantity(section.period, "s"),
    )
    return f"{ends}, {size} every {period}"


def approximation(what: str, traffic: Traffic) -> str:
    """Return how a collective that is not exact was timed.

    Args:
        what: it is, such as `all-reduce of 1 GB over 512 ranks by tree`.
        traffic: of it, timed round by round.
    """
    number = traffic.rounds.num_messages
    return f"{what}: {number} messages, so every round waits for all of the last"


def network_lines(
    carrier: Carrier, approximate: list[str], links: Iterable[BusyLink], span: str
) -> Iterator[str]:
    """Yield what a report says of a network and what it carried.

    Args:
        carrier: that carried it.
        approximate: what is not exact, and why.
        links: first the busiest.
        span: that utilization refers to, such as `step`.
    """
    router = carrier.router
    if router.num_endpoints <= _MOST_DESCRIBED:
        first, *others = router.describe().splitlines()
        yield f"network: {first}"
        yield from (f"  {line}" for line in others)
    else:
        yield f"network: {router.num_endpoints:,} devices"
    orders = list(carrier.rings.orders.values())
    if orders:
        yield f"  ring order {_shown(orders[0].hosts)}{_gain(orders[0])}"
    for link in links:
        carried = format_quantity(link.bytes, "B")
        yield f"  {link.name:<25}{carried:>9}{link.utilization:>8.1%} of the {span}"
    for text in approximate[:_MOST_APPROXIMATE]:
        yield f"  approximate: {text}"
    if len(approximate) > _MOST_APPROXIMATE:
        yield f"  approximate: {len(approximate) - _MOST_APPROXIMATE} more"


def _approximate(carrier: Carrier) -> list[str]:
    """Return which collectives of a step are not exact, and why."""
    return [
        approximation(f"{kind.described} by {kind.algorithm}", traffic)
        for kind, traffic in carrier.chosen.items()
        if not traffic.is_exact
    ]


def _shown(hosts: tuple[int, ...]) -> str:
    text = "-".join(map(str, hosts[:_MOST_HOSTS]))
    return text if len(hosts) <= _MOST_HOSTS else f"{text}-…"


def _gain(order: RingOrder) -> str:
    gain = order.given_load / order.load if order.load else 1.0
    return f"; in rank order its busiest link would carry {gain:.3g} x" * (gain > 1.001)


def _located(result: Result) -> Located:
    located = result.job.located
    assert located is not None, "only results on a graph have a network"
    return located
