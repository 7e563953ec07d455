"""The jobs under way on a network, as arrays in order of arrival.

What is left of a job is a straight line, kept as a point and a slope, so nothing is
rounded off by going through steps.
"""

from __future__ import annotations

import numpy as np

from simulator.network.fair import Flows, fair_rates
from topologies.graphs.arrays import Booleans, Floats, Integers, expand, sums
from topologies.units import BytesPerSecond, Count, Seconds, SecondsPerByte


class Jobs:
    """Jobs under way: `left` bytes at time `since`, going at `rate` from there.

    Fields:
        flows: links, shares and weights.
        size: bytes where the share is 1; infinite for what only stops when told [B].
        limit: that the rate never passes [B/s].
        left, through: bytes to go, and gone, at time `since` [B].
        since: when the rate was set [s].
        rate: from then on [B/s].
        owner, place: who is told of the end, and which of its jobs it is.
        work: that every byte on every link makes for processors [s/B].
    """

    def __init__(self) -> None:
        none, zeros = np.zeros(0, np.int64), np.zeros(0)
        self.flows = Flows(np.zeros(1, np.int64), none, zeros, zeros)
        self.size = self.limit = self.left = self.through = zeros
        self.since = self.rate = self.work = zeros
        self.owner = self.place = none

    def __len__(self) -> int:
        """Jobs under way."""
        return len(self.size)

    def add(  # noqa: PLR0913 - a job, whose it is, and what it is worth
        self,
        flows: Flows,
        size: Floats,
        limit: BytesPerSecond,
        now: Seconds,
        owner: int,
        *,
        work: SecondsPerByte = 0.0,
    ) -> None:
        """Add jobs that stand still until their rates are set."""
        number, mine = len(size), self.flows
        self.flows = Flows(
            np.concatenate([mine.start, flows.start[1:] + mine.start[-1]]),
            np.concatenate([mine.link, flows.link]),
            np.concatenate([mine.share, flows.share]),
            np.concatenate([mine.weight, flows.weight]),
        )
        zeros = np.zeros(number)
        self.size = np.concatenate([self.size, size])
        self.left = np.concatenate([self.left, size])
        self.through = np.concatenate([self.through, zeros])
        self.rate = np.concatenate([self.rate, zeros])
        self.limit = np.concatenate([self.limit, np.full(number, limit)])
        self.since = np.concatenate([self.since, np.full(number, now)])
        self.owner = np.concatenate([self.owner, np.full(number, owner, np.int64)])
        self.place = np.concatenate([self.place, np.arange(number)])
        self.work = np.concatenate([self.work, np.full(number, work)])

    def remove(self, is_over: Booleans) -> None:
        """Forget some jobs."""
        keep = ~is_over
        self.flows = subset(self.flows, np.flatnonzero(keep))
        for name in ("size", "limit", "left", "through"):
            setattr(self, name, getattr(self, name)[keep])
        for name in ("since", "rate", "owner", "place", "work"):
            setattr(self, name, getattr(self, name)[keep])

    def ends(self) -> Floats:
        """Return when each is finished if nothing changes [s]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ends: Floats = self.since + self.left / self.rate
        ends[self.rate <= 0] = np.inf
        return ends

    def moved(self, now: Seconds) -> Floats:
        """Return the bytes of each that are through where its share is 1 [B]."""
        went = np.zeros(len(self)) + self.rate * (now - self.since)
        return np.minimum(self.through + went, self.size)

    def set_rates(self, which: Integers, rates: Floats, now: Seconds) -> None:
        """Give some jobs new rates from now on; those of unchanged rate go on."""
        is_new = rates != self.rate[which]
        which, rates = which[is_new], rates[is_new]
        went = self.rate[which] * (now - self.since[which])
        self.left[which] = np.maximum(self.left[which] - went, 0.0)
        self.through[which] += went
        self.since[which] = now
        self.rate[which] = rates

    def demand(self) -> Count:
        """Return how many processors all jobs keep busy at their rates [1]."""
        each = np.repeat(self.rate * self.work, np.diff(self.flows.start))
        return float(each @ self.flows.share)

    def loads(self, amounts: Floats, num_links: int) -> Floats:
        """Return what is on each link, given an amount of each job."""
        each = np.repeat(amounts, np.diff(self.flows.start))
        return sums(self.flows.link, each * self.flows.share, num_links)


def one_flow(links: Integers, sizes: Floats, weight: Count) -> tuple[Flows, Floats]:
    """Return a job as a flow, with the bytes of its busiest link.

    Args:
        links: that it crosses, each once.
        sizes: on each of them [B].
        weight: flows that it stands for [1].
    """
    if _has_repeated(links):
        raise ValueError("a link appears twice in one job; sum its bytes")
    link, size = links[sizes > 0], sizes[sizes > 0]
    largest = size.max(initial=0.0)
    share = size / largest if len(link) else size
    flow = Flows(np.array([0, len(link)]), link, share, np.array([weight], np.float64))
    return flow, np.array([largest])


def _has_repeated(links: Integers) -> bool:
    """Return whether a link appears twice; without sorting, as there may be many."""
    place = np.arange(len(links))
    last = np.empty(links.max(initial=-1) + 1, np.int64)
    last[links] = place
    return bool((last[links] != place).any())


def subset(flows: Flows, which: Integers) -> Flows:
    """Return some flows, in the order asked for."""
    _, place = expand(flows.start, which)
    start = np.zeros(len(which) + 1, np.int64)
    np.cumsum(flows.start[which + 1] - flows.start[which], out=start[1:])
    return Flows(start, flows.link[place], flows.share[place], flows.weight[which])


def connected(flows: Flows, links: Booleans) -> Booleans:
    """Return which flows are connected to some links by links that flows share."""
    touched: Booleans = np.zeros(len(flows.weight), bool)
    reached = links.copy()
    counts = np.diff(flows.start)
    while True:
        now: Booleans = np.logical_or.reduceat(reached[flows.link], flows.start[:-1])
        if now.all() or np.array_equal(now, touched):
            return now
        touched = now
        reached[flows.link[np.repeat(touched, counts)]] = True


def limited_rates(flows: Flows, limit: Floats, bandwidth: Floats) -> Floats:
    """Return the fair rates of flows, none above its own limit [B/s].

    A limit is a link that the flow has to itself, so the rates are max-min fair.

    Args:
        flows: with their links and weights.
        limit: of each flow; infinite for none [B/s].
        bandwidth: of every link [B/s].

    Source: derived above.
    """
    link, width = flows.link, bandwidth
    if len(width) > 2 * len(link):  # only links in use: a small part stays cheap
        is_used = np.zeros(len(width), bool)
        is_used[link] = True
        link, width = (np.cumsum(is_used) - 1)[link], width[is_used]
    start, share = flows.start, flows.share
    own = np.flatnonzero(np.isfinite(limit))
    if len(own):
        link = np.insert(link, start[own + 1], len(width) + np.arange(len(own)))
        share = np.insert(share, start[own + 1], 1.0)
        width = np.concatenate([width, limit[own]])
        start = start.copy()
        start[1:] += np.cumsum(np.isfinite(limit))
    return fair_rates(Flows(start, link, share, flows.weight), width)
