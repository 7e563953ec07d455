"""Walks of many pairs towards their destinations, one hop of all pairs at a time."""

from __future__ import annotations

from typing import Literal

import numpy as np

from topologies.graphs.arrays import Floats, Integers, expand, sums
from topologies.graphs.paths import Distances, Moves

Step = tuple[Integers, Integers, Floats]
Spread = Literal["one", "split", "hashed"]


def walk(  # noqa: PLR0913 - the state of one search
    graph: Moves,
    found: Distances,
    row: Integers,
    ends: tuple[Integers, Integers],
    *,
    spread: Spread,
    seed: int,
) -> list[Step]:
    """Return the steps of all pairs: pair, link and fraction, hop after hop.

    Args:
        graph: the moves.
        found: the way to some destinations.
        row: of each pair's destination in `found`.
        ends: state where each pair begins, and the host that receives.
        spread: over the paths of fewest hops.
        seed: of the hash.
    """
    steps: list[Step] = []
    pair, share = np.arange(len(row)), np.ones(len(row))
    (sender, receiver), state = ends, ends[0]
    while True:
        left = found.hops[row[pair], state] > 0
        pair, state, share = pair[left], state[left], share[left]
        if not len(pair):
            return steps
        of, place = expand(graph.after_start, state)
        move = graph.after[place]
        ahead = row[pair[of]], graph.target[move]
        nearer = found.hops[ahead] == found.hops[row[pair[of]], state[of]] - 1
        of, move = of[nearer], move[nearer]
        ahead = ahead[0][nearer], ahead[1][nearer]
        if spread == "split":
            share = share[of] * found.paths[ahead]
            share /= found.paths[row[pair[of]], state[of]]
            pair = pair[of]
        else:
            if spread == "one":
                delay = graph.latency[move] + found.latency[ahead]
                chosen = first_of_each(of, np.round(delay, 15), graph.link[move])
            else:
                salt = (seed, sender[pair], receiver[pair], state)
                chosen = hashed(of, len(pair), salt)
            move = move[chosen]
        steps.append((pair, graph.link[move], share))
        key = pair * graph.num_states + graph.target[move]
        merged, inverse = np.unique(key, return_inverse=True)
        share = sums(inverse, share, len(merged))
        pair, state = np.divmod(merged, graph.num_states)


def first_of_each(of: Integers, delay: Floats, link: Integers) -> Integers:
    """Return, for each group, its member of least latency and then of least link."""
    order = np.lexsort((link, delay, of))
    is_first = np.diff(of[order], prepend=-1) != 0
    first: Integers = order[is_first]
    return first


def hashed(of: Integers, num_groups: int, salt: tuple[int | Integers, ...]) -> Integers:
    """Return one member of each group, by a hash of what the group is about."""
    value = np.zeros(num_groups, np.uint64)
    for part in salt:
        value = _mixed(value + np.asarray(part).astype(np.uint64))
    counts = np.bincount(of, minlength=num_groups)
    index = (value % counts.astype(np.uint64)).astype(np.int64)
    return np.cumsum(counts) - counts + index


def _mixed(
    value: np.ndarray[tuple[int], np.dtype[np.uint64]],
) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return a hash of 64 bits; the constants are those of SplitMix64."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
