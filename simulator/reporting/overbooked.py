"""Which links are wanted by more messages at once than they can carry?

The analytical engine gives every message its links alone. Where the spans of several
overlap, their rates may add up to more than a link has; the event engine then slows
them down. This says so, and where it would matter most.

Limits: a message's rate on a link is its bytes over its span, so that short peaks
inside it are not seen; only the links that carry most are looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.results.links import link_bytes, located_of
from simulator.results.result import Result
from topologies.graphs.arrays import Floats
from topologies.units import Ratio, Seconds, format_quantity

_MOST_LINKS = 256
_ROUNDING = 1e-7


class Overbooked(NamedTuple):
    """A link, and how much more is wanted of it than it has.

    Fields:
        name: its ends.
        demand: highest sum of rates, over its bandwidth [1].
        time: for which the sum is above the bandwidth [s].
    """

    name: str
    demand: Ratio
    time: Seconds


def overbooked(result: Result) -> Overbooked | None:
    """Return the link that is overbooked for longest; None if none is."""
    located = located_of(result)
    router = located.carrier.router
    carried = link_bytes(result)
    links = np.argsort(-carried, kind="stable")[:_MOST_LINKS]
    links = links[carried[links] > 0]
    spans = {
        id(span.op): span
        for span in result.timeline.spans
        if span.op.body in located.traffic and span.end > span.start
    }.values()
    if not spans or not links.size:
        return None
    bodies = list(dict.fromkeys(span.op.body for span in spans))
    places = {body: place for place, body in enumerate(bodies)}
    sent = np.stack([located.traffic[b].bytes_on_links()[links] for b in bodies])
    body = np.array([places[span.op.body] for span in spans])
    start = np.array([span.start for span in spans])
    end = np.array([span.end for span in spans])
    worst: Overbooked | None = None
    for place, link in enumerate(links):
        rate = sent[body, place] / (end - start) / router.bandwidth[link]
        demand, time = _above_one(start, end, rate)
        if time > (worst.time if worst else 0.0):
            worst = Overbooked(router.link_name(int(link)), demand, time)
    return worst


def _above_one(start: Floats, end: Floats, rate: Floats) -> tuple[Ratio, Seconds]:
    """Return the highest sum of rates under way at once, and how long it is above 1."""
    used = rate > 0
    times = np.concatenate([start[used], end[used]])
    change = np.concatenate([rate[used], -rate[used]])
    order = np.lexsort((change, times))  # what ends at an instant ends before others
    sums = np.cumsum(change[order])[:-1]
    lasting = np.diff(times[order])
    is_above = (sums > 1 + _ROUNDING) & (lasting > 0)
    return float(sums[is_above].max(initial=0.0)), float(lasting[is_above].sum())


def overbooked_text(result: Result) -> str:
    """Return why the event engine would say something else; empty if it would not."""
    worst = overbooked(result)
    if worst is None:
        return ""
    lasting = format_quantity(worst.time, "s")
    share = worst.time / result.step_time_s
    return (
        f"messages want up to {worst.demand:.3g} x what {worst.name} carries, for"
        f" {lasting} ({share:.1%} of the step): this engine lets each pass alone,"
        " `--engine event` shares the link"
    )
