"""Max-min fair rates of flows over links, by progressive filling.

All rates rise together, each by its weight, until links saturate; their flows keep the
rate they have, and the others go on. The level at which link l would saturate is

    level_l = (bandwidth_l - load of settled flows) / Σ weight · share of the others.

Filling in order of levels takes one round for each distinct level. It is enough that a
link is a bottleneck for all of its flows: no other link of theirs is lower. All such
links saturate in the same round, with the same rates in fewer rounds. A link is known
to be one by counting: as many flows have their lowest level there as cross it.

Flows with about as many links lie in one block, a column for each flow and a row for
each hop, so that NumPy finds the lowest link of every flow by whole rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from topologies.graphs.arrays import Booleans, Floats, Integers, expand, sums

_SAME_LEVEL = 1.0 + 2.0**-44  # levels closer than rounding moves them are one
_MAX_WHOLE = 2.0**53  # below this, sums of whole numbers are exact
_PADDING = 2  # more places than hops by this factor, and a block is divided


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
    level = np.full(len(flows.weight), np.inf)  # at which each flow settles
    if not len(flows.link):
        return level, 0
    # In this unit pulls are often whole numbers, whose sums are exact.
    weight = flows.weight / (flows.weight.min() * flows.share.min())
    blocks = list(_blocks(flows._replace(weight=weight), len(bandwidth)))
    links = _Links.crossed(blocks, bandwidth)
    rounds = 0
    # Links that no flow is left on divide by zero, and nobody asks.
    with np.errstate(divide="ignore", invalid="ignore"):
        while blocks:
            rounds += 1
            levels = links.levels(blocks)
            lows = [_lowest(block, levels) for block in blocks]
            is_full = links.full(lows)
            going = []
            for block, low in zip(blocks, lows, strict=True):
                own, others = _parted(block, low, is_full)
                mine = low.level.take(own)
                level[block.flow.take(own)] = mine
                if len(others):
                    going.append(block.columns(others))
                elif len(blocks) == 1:
                    break
                if len(own):
                    links.settle(block.columns(own), mine)
            blocks = going
    return level * weight, rounds


class _Block(NamedTuple):
    """Flows that still rise, a column for each.

    Fields:
        flow: which flow each column is.
        link: of every hop, a row each; one behind the last link where there is none.
        pull: weight · share of every hop; one row where the hops of a flow are alike,
            and one column too where those of all flows are.
    """

    flow: Integers
    link: Integers
    pull: Floats

    def of_hops(self, values: Floats) -> Floats:
        """Return values like `pull` for all hops, in the order of the links."""
        rows, columns = self.link.shape
        if len(values) < rows:
            values = values.repeat(rows, axis=0)
        if values.shape[1] < columns:
            values = values.repeat(columns, axis=1)
        return values.ravel()

    def columns(self, which: Integers) -> _Block:
        """Return some flows only."""
        is_one = self.pull.shape[1] == 1
        pull = self.pull if is_one else self.pull.take(which, axis=1)
        return _Block(self.flow.take(which), self.link.take(which, axis=1), pull)


class _Lowest(NamedTuple):
    """The lowest level of each flow, and the hops and links that have it."""

    level: Floats
    hop: Integers
    link: Integers


@dataclass(slots=True)
class _Links:
    """What is left of links while flows settle; one link more stands for none.

    Fields:
        left: bandwidth that settled flows leave [B/s].
        count: hops of flows that rise [1].
        pull: the sum of their pulls, the same array as `count` where all are 1 [1].
        is_exact: pulls are whole numbers, and their sum can be kept up to date.
    """

    left: Floats
    count: Integers
    pull: Floats | Integers
    is_exact: bool

    @classmethod
    def crossed(cls, blocks: list[_Block], bandwidth: Floats) -> _Links:
        """Return links at the start, crossed by all flows."""
        count = _counts([block.link for block in blocks], len(bandwidth) + 1)
        count[-1] = -1  # so that nowhere is never full
        left = np.append(bandwidth, np.inf)
        if all((block.pull == 1.0).all() for block in blocks):
            return cls(left, count, count, is_exact=True)
        pull = _pulls(blocks, len(count))
        is_whole = not any((block.pull % 1.0).any() for block in blocks)
        return cls(left, count, pull, is_whole and pull.max() < _MAX_WHOLE)

    def levels(self, blocks: list[_Block]) -> Floats:
        """Return the level at which each link would saturate, crossed by blocks."""
        if not self.is_exact:
            self.pull = _pulls(blocks, len(self.left))
        levels: Floats = self.left / self.pull
        levels[-1] = np.inf
        return levels

    def full(self, lows: list[_Lowest]) -> Booleans:
        """Return which links are the lowest of all flows that cross them."""
        votes = _counts([low.link for low in lows], len(self.left))
        return np.equal(votes, self.count)

    def settle(self, flows: _Block, level: Floats) -> None:
        """Give flows what they have at their level."""
        link = flows.link.ravel()
        load = flows.of_hops(flows.pull * level)
        self.left -= np.bincount(link, load, len(self.left))
        np.subtract.at(self.count, link, 1)
        if self.is_exact and self.pull is not self.count:
            np.subtract.at(self.pull, link, flows.of_hops(flows.pull))


def _counts(links: list[Integers], size: int) -> Integers:
    return reduce(np.add, [np.bincount(each.ravel(), None, size) for each in links])


def _pulls(blocks: list[_Block], size: int) -> Floats:
    each = [sums(b.link.ravel(), b.of_hops(b.pull), size) for b in blocks]
    return reduce(np.add, each)


def _lowest(block: _Block, levels: Floats) -> _Lowest:
    here = levels.take(block.link)
    # What is left of a full link may be below 0 by rounding.
    lowest = np.maximum(here.min(axis=0), 0.0)
    hop = (here <= lowest * _SAME_LEVEL).ravel().nonzero()[0]
    return _Lowest(lowest, hop, block.link.ravel().take(hop))


def _parted(block: _Block, low: _Lowest, full: Booleans) -> tuple[Integers, Integers]:
    """Return the columns that settle, on full links, and those that go on."""
    is_there = np.zeros(block.link.shape, bool)
    is_there.ravel()[low.hop.take(full.take(low.link).nonzero()[0])] = True
    settles = np.logical_or.reduce(is_there, axis=0)
    return settles.nonzero()[0], (~settles).nonzero()[0]


def _blocks(flows: Flows, nowhere: int) -> Iterator[_Block]:
    """Lay out flows that have links, in one block or by powers of 2 of their hops."""
    hops = flows.start[1:] - flows.start[:-1]
    if len(hops) * hops.max() <= _PADDING * len(flows.link) and hops.all():
        yield _block(np.arange(len(hops)), flows, nowhere)
        return
    power = np.frexp(hops)[1]  # 0 without hops
    for each in range(1, power.max() + 1):
        flow = (power == each).nonzero()[0]
        if len(flow):
            _, hop = expand(flows.start, flow)
            start = np.append(0, hops[flow].cumsum())
            link, share, weight = flows.link[hop], flows.share[hop], flows.weight[flow]
            yield _block(flow, Flows(start, link, share, weight), nowhere)


def _block(flow: Integers, flows: Flows, nowhere: int) -> _Block:
    hops = flows.start[1:] - flows.start[:-1]
    link = _by_hop(flows.link, hops, nowhere)
    pull = flows.weight[None]
    if (flows.share != 1.0).any():
        pull = _by_hop(flows.share, hops, 0.0) * pull
    elif (pull == pull[0, 0]).all():
        pull = pull[:, :1]
    return _Block(flow, link, pull)


def _by_hop(values: NDArray[Any], hops: Integers, none: float) -> NDArray[Any]:
    """Return values of hops with a column for each flow; where it has no hop, none."""
    most = int(hops.max())
    if most * len(hops) == len(values):
        return values.reshape(-1, most).T.copy()
    table = np.full((len(hops), most), none, values.dtype)
    table[np.arange(most) < hops[:, None]] = values
    return table.T.copy()
