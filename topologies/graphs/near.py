"""Pairs one or two links apart: their paths are listed, without a search.

Neighbours and hosts on one switch are most of what a collective routes, and a search
from thousands of destinations is most of what it would cost. The answers are those of
`walk`, for every spread.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topologies.graphs.arrays import Booleans, Floats, Integers, expand
from topologies.graphs.paths import Moves
from topologies.graphs.walking import Spread, Step, first_of_each, hashed

_MAX_PATHS = 1 << 22  # listed at once, to bound memory


class _Paths(NamedTuple):
    """All paths of two moves of some pairs, in order of pairs and first moves."""

    pair: Integers
    first: Integers
    second: Integers


class _Options(NamedTuple):
    """Moves that pairs have to choose from, those of a pair in a row.

    Fields:
        pair, move: the pairs, and the moves.
        state: from which each move starts.
        behind: latency of the way behind each move, at the least [s].
    """

    pair: Integers
    move: Integers
    state: Integers
    behind: Floats


class _Choice(NamedTuple):
    """How to choose: by spread, and for the hash its seed and both ends of pairs."""

    spread: Spread
    seed: int
    sender: Integers
    receiver: Integers


def near_steps(  # noqa: PLR0913 - the state of one search
    graph: Moves,
    start: Integers,
    end: Integers,
    receiver: Integers,
    *,
    spread: Spread,
    seed: int,
) -> tuple[Booleans, list[Step]]:
    """Return which pairs are one or two moves apart, and their steps.

    Args:
        graph: the moves.
        start, end: states where each pair begins and ends; not the same.
        receiver: host at the end, for the hash.
        spread: over the paths of fewest hops.
        seed: of the hash.
    """
    index = _Index(graph)
    is_near = np.zeros(len(start), bool)
    pair, move = index.between(start, end)
    is_near[pair] = True
    choice = _Choice(spread, seed, start, receiver)
    steps = _last(graph, pair, move, choice)
    left = np.flatnonzero(~is_near)
    counts = np.diff(graph.after_start)[start[left]]
    for part in np.split(left, _cuts(counts)):
        paths = _two_moves(graph, index, start, end, part)
        is_near[paths.pair] = True
        steps += _steps(graph, paths, choice)
    return is_near, steps


class _Index:
    """Moves by the states before and after them."""

    def __init__(self, graph: Moves) -> None:
        self.num_states = graph.num_states
        key = graph.source * graph.num_states + graph.target
        self.order = np.argsort(key, kind="stable")
        self.key = key[self.order]

    def between(self, source: Integers, target: Integers) -> tuple[Integers, Integers]:
        """Return all moves from each source to its target: of which one, which move."""
        key = source * self.num_states + target
        low = np.searchsorted(self.key, key)
        counts = np.searchsorted(self.key, key, side="right") - low
        of = np.repeat(np.arange(len(key)), counts)
        first = np.cumsum(counts) - counts
        return of, self.order[np.arange(len(of)) - first[of] + low[of]]


def _cuts(counts: Integers) -> Integers:
    """Return where to cut so that no part lists too many first moves."""
    block = np.cumsum(counts) // _MAX_PATHS
    return np.flatnonzero(np.diff(block)) + 1


def _two_moves(
    graph: Moves, index: _Index, start: Integers, end: Integers, pairs: Integers
) -> _Paths:
    of, place = expand(graph.after_start, start[pairs])
    first = graph.after[place]
    which, second = index.between(graph.target[first], end[pairs][of])
    return _Paths(pairs[of[which]], first[which], second)


def _steps(graph: Moves, paths: _Paths, choice: _Choice) -> list[Step]:
    """Return the steps of pairs two moves apart."""
    if not len(paths.pair):
        return []
    # First moves that occur on several paths, once for each path, stay in a row.
    is_new = np.diff(paths.pair, prepend=-1) != 0
    is_new |= np.diff(paths.first, prepend=-1) != 0
    option = np.cumsum(is_new) - 1
    pair, first = paths.pair[is_new], paths.first[is_new]
    if choice.spread == "split":
        total = np.bincount(paths.pair)
        share = np.bincount(option) / total[pair]
        each = 1.0 / total[paths.pair]
        return [
            (pair, graph.link[first], share),
            (paths.pair, graph.link[paths.second], each),
        ]
    least = np.minimum.reduceat(graph.latency[paths.second], np.flatnonzero(is_new))
    taken = _chosen(graph, _Options(pair, first, graph.source[first], least), choice)
    is_taken = np.zeros(len(pair), bool)
    is_taken[taken] = True
    rest = is_taken[option]
    return [
        (pair[taken], graph.link[first[taken]], np.ones(len(taken))),
        *_last(graph, paths.pair[rest], paths.second[rest], choice),
    ]


def _last(graph: Moves, pair: Integers, move: Integers, choice: _Choice) -> list[Step]:
    """Return the steps of pairs over the moves that end them, those of a pair in a row.

    Nothing is behind them, so their own latency decides.
    """
    if not len(pair):
        return []
    if choice.spread == "split":
        return [(pair, graph.link[move], 1.0 / np.bincount(pair)[pair])]
    options = _Options(pair, move, graph.source[move], np.zeros(len(pair)))
    taken = _chosen(graph, options, choice)
    return [(pair[taken], graph.link[move[taken]], np.ones(len(taken)))]


def _chosen(graph: Moves, options: _Options, choice: _Choice) -> Integers:
    """Return which option each pair takes."""
    is_head = np.diff(options.pair, prepend=-1) != 0
    of = np.cumsum(is_head) - 1
    if choice.spread == "one":
        delay = graph.latency[options.move] + options.behind
        return first_of_each(of, np.round(delay, 15), graph.link[options.move])
    pair = options.pair[is_head]
    ends = choice.sender[pair], choice.receiver[pair]
    return hashed(of, len(pair), (choice.seed, *ends, options.state[is_head]))
