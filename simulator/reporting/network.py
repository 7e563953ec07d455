"""What a report says of a network: how it looks, its ring, its busiest links.

Loaded only for results on a graph, whose figures are NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from simulator.located.carrier import Carrier
from simulator.network import RingOrder
from simulator.plans.network_records import BackgroundSection
from simulator.results.links import BusyLink, approximate_of, busiest, located_of
from simulator.results.result import Result
from topologies.units import format_quantity

_MOST_HOSTS = 16
_MOST_APPROXIMATE = 4
_MOST_DESCRIBED = 512  # devices; figures of large graphs take seconds


def network_text(result: Result) -> str:
    """Return what a report says of the network."""
    carrier = located_of(result).carrier
    lines = network_lines(carrier, approximate_of(carrier), busiest(result, 3), "step")
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


def _shown(hosts: tuple[int, ...]) -> str:
    text = "-".join(map(str, hosts[:_MOST_HOSTS]))
    return text if len(hosts) <= _MOST_HOSTS else f"{text}-…"


def _gain(order: RingOrder) -> str:
    gain = order.given_load / order.load if order.load else 1.0
    return f"; in rank order its busiest link would carry {gain:.3g} x" * (gain > 1.001)
