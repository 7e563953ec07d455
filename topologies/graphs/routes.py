"""Routes: for every pair of hosts, which share of its bytes crosses which link.

Two choices make a route. `paths` says which paths may be used: the `shortest` by hops,
those that go `up-down` in a network of tiers, or the one in `dimension-order` of a
grid. `spread` says how they are used: `one` of them, the least in latency and then by
link number; `split` evenly over all of them, as ideal multipath does; or `hashed`, at
every hop one of the next links by a hash of the pair, as real ECMP does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from topologies.graphs.arrays import Floats, Integers, sums
from topologies.graphs.dimension_order import dimension_order
from topologies.graphs.near import near_steps
from topologies.graphs.network import CutError, GraphError, Network
from topologies.graphs.paths import UNREACHED, block_size, distances, moves
from topologies.graphs.walking import Spread, Step, walk

Paths = Literal["shortest", "up-down", "dimension-order"]


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """Links of many pairs, one after the other.

    Fields:
        start: where each pair's links begin, with the end behind the last.
        link: the links, ascending in each pair.
        fraction: share of the pair's bytes that crosses the link [1].
        latency: of each pair, summed over its links; the mean of its paths [s].
    """

    start: Integers
    link: Integers
    fraction: Floats
    latency: Floats

    def of(self, pair: int) -> tuple[Integers, Floats]:
        """Return the links of a pair and the fraction on each."""
        part = slice(int(self.start[pair]), int(self.start[pair + 1]))
        return self.link[part], self.fraction[part]

    def loads(self, amounts: ArrayLike, num_links: int) -> Floats:
        """Return what crosses each link when every pair sends an amount.

        Args:
            amounts: of each pair, or one for all; bytes, or a rate.
            num_links: of the network [1].
        """
        pairs = len(self.start) - 1
        each = np.repeat(np.broadcast_to(amounts, pairs), np.diff(self.start))
        return sums(self.link, each * self.fraction, num_links)


def routes(  # noqa: PLR0913 - two arguments and four options
    network: Network,
    pairs: ArrayLike,
    *,
    paths: Paths = "shortest",
    spread: Spread = "split",
    seed: int = 0,
    failed: Iterable[int] = (),
) -> Routes:
    """Return the routes of some pairs of hosts; a host to itself crosses no link.

    Args:
        network: nodes and links.
        pairs: rows of sender and receiver.
        paths: that may be used; where a failed link is on the one path in
            dimension order, that pair takes a shortest path instead.
        spread: over these paths.
        seed: of the hash.
        failed: links that carry nothing.

    Raises:
        CutError: some pair is separated by the failed links.
        GraphError: the network has no such paths.
    """
    ends = np.asarray(pairs, np.int64).reshape(-1, 2)
    gone = tuple(sorted(set(failed)))
    _check(network, ends, paths, spread, gone)
    if paths == "dimension-order":
        return _in_dimension_order(network, ends, gone)
    graph = moves(network, up_down=paths == "up-down", failed=gone)
    descending = network.num_nodes if paths == "up-down" else 0
    apart = np.flatnonzero(ends[:, 0] != ends[:, 1])
    sender, receiver = ends[apart].T
    is_near, steps = near_steps(
        graph, sender, receiver + descending, receiver, spread=spread, seed=seed
    )
    far = apart[~is_near]
    parts = [(apart[which], links, shares) for which, links, shares in steps]
    destinations, of = np.unique(ends[far, 1], return_inverse=True)
    block = block_size(graph)
    for first in range(0, len(destinations), block):
        chunk = destinations[first : first + block]
        is_mine = (of >= first) & (of < first + block)
        mine, row = far[is_mine], of[is_mine] - first
        start = ends[mine, 0]
        found = distances(graph, chunk + descending, (row, start))
        lost = found.hops[row, start] == UNREACHED
        if np.any(lost):
            target = int(ends[mine[lost][0], 1])
            raise _cut(network, gone, target, up_down=paths == "up-down")
        pair_ends = start, ends[mine, 1]
        parts += [
            (mine[which], links, shares)
            for which, links, shares in walk(
                graph, found, row, pair_ends, spread=spread, seed=seed
            )
        ]
    return _collect(network, len(ends), parts)


def _collect(network: Network, num_pairs: int, steps: list[Step]) -> Routes:
    """Return steps in any order as routes."""
    none = np.zeros(0, np.int64)
    pair = np.concatenate([none, *(step[0] for step in steps)])
    link = np.concatenate([none, *(step[1] for step in steps)])
    share = np.concatenate([np.zeros(0), *(step[2] for step in steps)])
    key, inverse = np.unique(pair * network.num_links + link, return_inverse=True)
    fraction = sums(inverse, share, len(key))
    pair, link = np.divmod(key, max(network.num_links, 1))
    start = np.zeros(num_pairs + 1, np.int64)
    np.cumsum(np.bincount(pair, minlength=num_pairs), out=start[1:])
    delay = fraction * network.latency[link]
    return Routes(start, link, fraction, sums(pair, delay, num_pairs))


def _in_dimension_order(
    network: Network, ends: Integers, failed: tuple[int, ...]
) -> Routes:
    """Return the one path in dimension order, or a shortest one around failures."""
    pair, link = dimension_order(network, ends)
    hit = np.unique(pair[np.isin(link, failed)])
    keep = ~np.isin(pair, hit)
    steps = [(pair[keep], link[keep], np.ones(int(keep.sum())))]
    if len(hit):
        around = routes(network, ends[hit], spread="one", failed=failed)
        which = np.repeat(hit, np.diff(around.start))
        steps.append((which, around.link, around.fraction))
    return _collect(network, len(ends), steps)


def _check(
    network: Network,
    ends: Integers,
    paths: Paths,
    spread: Spread,
    failed: tuple[int, ...],
) -> None:
    if paths not in get_args(Paths) or spread not in get_args(Spread):
        raise GraphError(
            f"paths = {paths!r}, spread = {spread!r}; there are "
            f"{', '.join(get_args(Paths))} and {', '.join(get_args(Spread))}"
        )
    if ends.size and not 0 <= ends.min() <= ends.max() < network.num_hosts:
        raise GraphError(f"hosts are 0 … {network.num_hosts - 1} in {network.name}")
    if failed and not 0 <= failed[0] <= failed[-1] < network.num_links:
        raise GraphError(f"links are 0 … {network.num_links - 1} in {network.name}")
    if paths == "up-down" and not network.levels:
        raise GraphError(f"{network.name} has no tiers; up-down paths need them")


def _cut(
    network: Network, failed: tuple[int, ...], target: int, *, up_down: bool
) -> CutError:
    """Return an error that names the smaller side of the hosts that reach a target."""
    graph = moves(network, up_down=up_down, failed=failed)
    hosts = np.arange(network.num_hosts)
    end = np.array([target + (network.num_nodes if up_down else 0)])
    apart = distances(graph, end).hops[0, hosts] == UNREACHED
    apart[target] = False
    is_smaller = 2 * int(apart.sum()) <= len(hosts)
    side = np.flatnonzero(apart if is_smaller else ~apart).tolist()
    names = ", ".join(network.labels[host] for host in side)
    others = network.labels[target] if is_smaller else "the other hosts"
    over = " over up-down paths" if up_down else ""
    return CutError(
        f"{network.name} is cut by {failed_cables(failed)}: "
        f"{names} cannot reach {others}{over}",
        side,
    )


def failed_cables(failed: Iterable[int]) -> str:
    """Return how many cables some failed links are of.

    >>> failed_cables([2, 3])
    '1 failed cable'
    """
    number = len({link // 2 for link in failed})
    return f"{number} failed cable{'s' * (number != 1)}"
