"""How much longer kernels take for the messages beside them, given when those run.

The messages of a rank, whatever their streams, make disjoint intervals. Work w that
begins at t, and is slowed by x = κ · (share of kernels), ends at

    t + w + x / (1 + x) · (time of [t, end] in those intervals)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from simulator.engines.graph import Graph, Pace
from topologies.units import Ratio, Seconds

Interval = tuple[Seconds, Seconds]


def stretched(
    graph: Graph, pace: Pace, begins: Sequence[Seconds], end: Sequence[Seconds]
) -> list[Seconds]:
    """Return the device time of every op among messages that ended at `end` [s].

    Args:
        graph: with the device times of ops alone.
        pace: how messages slow kernels.
        begins: when the device can begin each op [s].
        end: when each op ended [s].
    """
    spans: list[list[Interval]] = [[] for _ in graph.programs]
    for index, is_message in enumerate(pace.is_message):
        if is_message and graph.busy[index] > 0:
            for rank in graph.ranks[index]:
                spans[rank].append((end[index] - graph.busy[index], end[index]))
    intervals = [_merged(each) for each in spans]
    busy = list(graph.busy)
    for index, share in enumerate(pace.kernels):
        beside = _beside(graph.ranks[index], intervals) if share else ()
        if beside:
            slowdown = pace.slowdown * share
            busy[index] += _extra(begins[index], busy[index], slowdown, beside)
    return busy


def _beside(
    ranks: tuple[int, ...], intervals: list[list[Interval]]
) -> Sequence[Interval]:
    """Return when any rank of an op has a message under way."""
    if len(ranks) == 1:
        return intervals[ranks[0]]
    return _merged(one for rank in ranks for one in intervals[rank])


def _extra(
    begin: Seconds, work: Seconds, slowdown: Ratio, beside: Sequence[Interval]
) -> Seconds:
    """Return how much longer work takes that begins at a time among messages [s]."""
    now, left, extra = begin, work, 0.0
    lost = slowdown / (1.0 + slowdown)
    first = max(bisect_right(beside, (begin, begin)) - 1, 0)
    for low, high in beside[first:]:
        if high <= now:
            continue
        left -= max(low - now, 0.0)
        if left <= 0:
            break
        now = max(now, low)
        slowed = min(high - now, left * (1.0 + slowdown))
        extra += lost * slowed
        left -= slowed - lost * slowed
        now = high
    return extra


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the same times as ascending, disjoint intervals."""
    merged: list[Interval] = []
    for low, high in sorted(intervals):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
