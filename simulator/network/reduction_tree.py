"""Reduction in the network: what reaches a switch is added up and sent on once.

The routes of a group have to form a tree. Its root is in the middle: a link leads up
where fewer of the group are behind it than ahead. Every link of the tree then carries
a message once, however many ranks are behind it: the first of them has it on its
route, the others only the part below. On a star that is each host's own link.
"""

from __future__ import annotations

import numpy as np

from simulator.network.router import Router
from topologies.graphs.arrays import Floats, Integers
from topologies.graphs.network import GraphError
from topologies.graphs.routes import Routes


def tree_routes(
    router: Router, endpoints: Integers, sender: Integers, receiver: Integers
) -> Routes:
    """Return the routes of sends to and from a switch, group after group.

    Args:
        router: of the network.
        endpoints: a row for each group.
        sender, receiver: participants; the number of participants is the switch.

    Assumes: half of a route's latency lies on either side of the switch.

    Raises:
        GraphError: the routes of a group form no tree, or a send is between ranks.
    """
    switch = endpoints.shape[1]
    if np.any((sender == switch) == (receiver == switch)):
        raise GraphError("a reduction in the network sends to or from the switch only")
    links: list[list[int]] = []
    latency: list[Floats] = []
    rank = np.where(sender == switch, receiver, sender)
    for group in endpoints:
        up, down, delay = _branches(router, group)
        ways = zip(rank.tolist(), (sender == switch).tolist(), strict=True)
        links += [down[each] if falls else up[each] for each, falls in ways]
        latency.append(delay[rank])
    start = np.cumsum([0, *map(len, links)])
    link = np.array([link for each in links for link in each], np.int64)
    return Routes(start, link, np.ones(len(link)), np.concatenate(latency))


def _branches(
    router: Router, group: Integers
) -> tuple[list[list[int]], list[list[int]], Floats]:
    """Return each rank's own links up and down the tree, and its latency to the root.

    A tree is known by the routes to and from its first rank.
    """
    number, first = len(group), np.full(len(group), group[0])
    there, back = np.stack([first, group], 1), np.stack([group, first], 1)
    across = np.stack([group, np.roll(group, -1)], 1)
    routes = router.routes(np.concatenate([there, back, across]))
    ways = [set(routes.of(pair)[0].tolist()) for pair in range(3 * number)]
    falling, rising, crossing = (
        ways[part * number : (part + 1) * number] for part in range(3)
    )
    for rank, way in enumerate(crossing):
        after = (rank + 1) % number
        up, down = rising[rank] - rising[after], falling[after] - falling[rank]
        if way != up | down or np.any(routes.fraction != 1):
            raise GraphError(
                "reduction in the network needs switches in a tree: the routes of "
                f"endpoints {group[rank]} and {group[after]} do not go through one; "
                "choose another algorithm, or routes over one path"
            )
    behind = _counts(rising)  # ranks that reach the first one over a link
    ahead = _counts(falling)
    up = {link for link, ranks in behind.items() if 2 * ranks <= number}
    up |= {link for link, ranks in ahead.items() if 2 * ranks > number}
    ups: list[list[int]] = [[] for _ in group]
    downs: list[list[int]] = [[] for _ in group]
    _deal(ups, up, behind, rising, inside=True)
    _deal(ups, up, ahead, falling, inside=False)
    rest = (set(behind) | set(ahead)) - up
    _deal(downs, rest, ahead, falling, inside=True)
    _deal(downs, rest, behind, rising, inside=False)
    # Half of one way, from the mean of both ways; the first has the others' mean.
    delay = (routes.latency[number : 2 * number] + routes.latency[:number]) / 4
    delay[0] = delay[1:].mean() if number > 1 else 0.0
    return ups, downs, delay


def _counts(ways: list[set[int]]) -> dict[int, int]:
    """Return how many of some routes use each link."""
    counts: dict[int, int] = {}
    for way in ways:
        for link in way:
            counts[link] = counts.get(link, 0) + 1
    return counts


def _deal(
    branches: list[list[int]],
    wanted: set[int],
    counted: dict[int, int],
    ways: list[set[int]],
    *,
    inside: bool,
) -> None:
    """Give each wanted link to the first rank that is on its far side of the root."""
    for link in sorted(wanted & set(counted)):
        owner = next(r for r, way in enumerate(ways) if (link in way) == inside)
        branches[owner].append(link)
