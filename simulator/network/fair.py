"""Max-min fair rates of flows over links, by progressive filling.

All rates rise together, each by its weight, until links saturate; their flows keep the
rate they have, and the others go on. The level at which link l would saturate is

    level_l = (bandwidth_l - load of settled flows) / Σ weight · share of the others.

Filling in order of levels takes one round for each distinct level. It is enough that a
link is a bottleneck for all of its flows: no other link of theirs is lower. All such
links saturate in the same round, with the same rates in fewer rounds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topologies.graphs.arrays import Booleans, Floats, Integers, sums

_SAME_LEVEL = 1.0 + 2.0**-44  # levels closer than rounding moves them are one


class Flows(NamedTuple):
    """Flows, each over some links; the links of all in one array.

    Fields:
        start: where each flow's links begin, with the end behind the last.
        link: the links.
        share: of the flow's rate that crosses each link, above 0 [1].
        weight: of each flow, above 0; rates rise in this proportion [1].
    """

    start: Integers
    link: Integers
    share: Floats
    weight: Floats


def fair_rates(flows: Flows, bandwidth: Floats) -> Floats:
    """Return the weighted max-min fair rate of every flow [B/s].

    No flow can gain except from one that has less or equal for its weight: each has a
    link that is full, and on which no flow has more for its weight.

    Args:
        flows: with their links and weights; one without links has no limit.
        bandwidth: of every link, above 0 [B/s].

    Assumes: flows take any rate at once, without slow start or losses.

    Source: Bertsekas and Gallager, Data Networks, section 6.5.2, from memory; rounds
        by local minima derived above, and compared with a slow reference in tests.
    """
    rates, _ = fill(flows, bandwidth)
    return rates


def fill(flows: Flows, bandwidth: Floats) -> tuple[Floats, int]:
    """Return the fair rates [B/s] and the number of rounds it took [1]."""
    counts = np.diff(flows.start)
    rates = np.full(len(counts), np.inf)
    active = np.flatnonzero(counts)  # flows with links, that are not settled
    counts, weight = counts[active], flows.weight[active]
    link, share = flows.link, flows.share * np.repeat(weight, counts)
    left = bandwidth.copy()
    num_links, rounds = len(bandwidth), 0
    while len(active):
        rounds += 1
        slope = sums(link, share, num_links)
        with np.errstate(divide="ignore", invalid="ignore"):
            level = left / slope
        here = level[link]
        lowest = np.minimum.reduceat(here, np.cumsum(counts) - counts)
        own = np.repeat(lowest, counts)
        is_free = np.zeros(num_links, bool)
        is_free[link[here > own * _SAME_LEVEL]] = True  # a flow is slower elsewhere
        settles = _any_of_each(~is_free[link], counts)
        rates[active[settles]] = weight[settles] * lowest[settles]
        done = np.repeat(settles, counts)
        left -= sums(link[done], share[done] * own[done], num_links)
        np.maximum(left, 0.0, out=left)
        active, weight, counts = active[~settles], weight[~settles], counts[~settles]
        link, share = link[~done], share[~done]
    return rates, rounds


def _any_of_each(holds: Booleans, counts: Integers) -> Booleans:
    """Return, for each group, whether something holds for any of its members."""
    any_: Booleans = np.logical_or.reduceat(holds, np.cumsum(counts) - counts)
    return any_
