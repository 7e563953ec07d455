"""Shortest paths over many destinations at once: hops, latency and number of paths.

`Moves` is a graph of states. For plain shortest paths a state is a node; for up/down
paths it is a node together with whether the path has begun to descend. All searches
run breadth first from the destinations backwards, a whole frontier at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from topologies.graphs.arrays import Booleans, Floats, Integers, expand, grouped
from topologies.graphs.network import Network

UNREACHED = -1
_BLOCK = 1 << 22  # states × destinations searched at once, to bound memory


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What a message may do next.

    Fields:
        num_states: states are numbered from 0 [1].
        source, target: states before and after each move.
        link: that the move crosses.
        latency: of that link [s].
        after: moves out of each state, state by state.
        after_start: where each state's moves begin in `after`.
        before, before_start: the same for moves into each state.
    """

    num_states: int
    source: Integers
    target: Integers
    link: Integers
    latency: Floats
    after: Integers
    after_start: Integers
    before: Integers
    before_start: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Distances:
    """From every state to some destinations; one row for each of those.

    Fields:
        hops: links on a shortest path; `UNREACHED` where there is none [1].
        latency: the least among the paths of fewest hops [s].
        paths: number of paths of fewest hops [1].
    """

    hops: Integers
    latency: Floats
    paths: Floats


def moves(
    network: Network, *, up_down: bool = False, failed: tuple[int, ...] = ()
) -> Moves:
    """Return the moves over a network's working links.

    Args:
        network: nodes and links.
        up_down: never up again after the first step down; state n is node n while
            climbing, state n + num_nodes the same node while descending.
        failed: links that no path may cross.
    """
    works = np.ones(network.num_links, bool)
    works[list(failed)] = False
    link = np.flatnonzero(works)
    source, target = network.source[link], network.target[link]
    num_states = network.num_nodes
    if up_down:
        levels = np.array(network.levels)
        climbs = levels[target] > levels[source]
        falls = ~climbs
        source = np.concatenate(
            [source[climbs], source[falls], source[falls] + num_states]
        )
        target = np.concatenate(
            [target[climbs], target[falls] + num_states, target[falls] + num_states]
        )
        link = np.concatenate([link[climbs], link[falls], link[falls]])
        num_states *= 2
    after, after_start = grouped(source, num_states)
    before, before_start = grouped(target, num_states)
    return Moves(
        num_states=num_states,
        source=source,
        target=target,
        link=link,
        latency=network.latency[link],
        after=after,
        after_start=after_start,
        before=before,
        before_start=before_start,
    )


def block_size(graph: Moves) -> int:
    """Return how many destinations to search at once [1]."""
    return max(1, _BLOCK // graph.num_states)


def distances(
    graph: Moves,
    destinations: Integers,
    origins: tuple[Integers, Integers] | None = None,
) -> Distances:
    """Return the way from every state to each destination.

    Args:
        graph: the moves.
        destinations: states; one row of the result each.
        origins: rows and states that are asked for, all if left out; what is not on
            the way from any of them may stay unreached.
    """
    shape = (len(destinations), graph.num_states)
    hops = np.full(shape, UNREACHED, np.int64)
    latency, paths = np.full(shape, np.inf), np.zeros(shape)
    row, state = np.arange(len(destinations)), destinations
    hops[row, state], latency[row, state], paths[row, state] = 0, 0.0, 1.0
    is_wanted = np.ones(shape, bool)
    if origins is not None:
        is_wanted[:] = ~_dead_ends(graph)
        is_wanted[origins] = True
    step = 0
    while len(row):
        step += 1
        of, place = expand(graph.before_start, state)
        move = graph.before[place]
        origin = graph.source[move]
        is_new = (hops[row[of], origin] == UNREACHED) & is_wanted[row[of], origin]
        of, move, origin = of[is_new], move[is_new], origin[is_new]
        key = row[of] * graph.num_states + origin
        ahead = row[of], state[of]
        delay = graph.latency[move] + latency[ahead]
        np.minimum.at(latency.reshape(-1), key, delay)
        np.add.at(paths.reshape(-1), key, paths[ahead])
        # Each state once, without sorting: the place that was written last.
        place = np.arange(len(key))
        hops.reshape(-1)[key] = place
        found = key[hops.reshape(-1)[key] == place]
        hops.reshape(-1)[found] = step
        row, state = np.divmod(found, graph.num_states)
        if origins is not None:
            goes_on = np.zeros(len(destinations), bool)
            goes_on[origins[0][hops[origins] == UNREACHED]] = True
            row, state = row[goes_on[row]], state[goes_on[row]]
    return Distances(hops, latency, paths)


def _dead_ends(graph: Moves) -> Booleans:
    """Return which states only lead back to where one came from; most hosts do."""
    before, after = np.diff(graph.before_start), np.diff(graph.after_start)
    is_end: Booleans = before == 0
    single = np.flatnonzero((before == 1) & (after == 1))
    came = graph.source[graph.before[graph.before_start[single]]]
    goes = graph.target[graph.after[graph.after_start[single]]]
    is_end[single] = came == goes
    return is_end
