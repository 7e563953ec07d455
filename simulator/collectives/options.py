"""What an algorithm may be told besides the ranks and the size, and its defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isqrt
from typing import Any

from topologies.units import Bytes, Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Choices within algorithms; each algorithm names those that matter to it.

    Attributes:
        root: rank that has or gets the whole, where one does.
        per_node: ranks in a node, numbered node by node [1].
        columns: of a torus, numbered row by row; None for the squarest torus [1].
        num_rings: of multi-ring, if `orders` does not say [1].
        orders: of the ranks, one for each ring of multi-ring.
        grain: latency times bandwidth, which sets the pieces of pipelines, see
            `simulator.costs.collectives.num_pieces` [B].
        num_servers: of a sharded parameter server; None for one per worker [1].
        is_colocated: whether servers are on workers, from worker 0 on.
        pairs: senders and receivers of a neighbour exchange; if none, every rank
            sends to both neighbours on a ring.
    """

    root: int = 0
    per_node: int = 1
    columns: int | None = None
    num_rings: int = 2
    orders: tuple[tuple[int, ...], ...] = ()
    grain: Bytes = 131_072.0
    num_servers: int | None = None
    is_colocated: bool = False
    pairs: tuple[tuple[int, int], ...] = ()


DEFAULTS = Options()


def chosen(names: Iterable[str], num_ranks: Count, options: Options) -> dict[str, Any]:
    """Return the arguments of these names; what was left open depends on n.

    Args:
        names: fields of `Options`, or `mean_sends` and `most_sends` of neighbours.
        num_ranks: n, ranks [1].
        options: to look them up in.
    """
    return {
        name: _DERIVED[name](num_ranks, options)
        if name in _DERIVED
        else getattr(options, name)
        for name in names
    }


def _columns(num_ranks: Count, options: Options) -> Count:
    """The given number, or the largest divisor of n that is not above √n."""
    if options.columns is not None:
        return options.columns
    ranks = int(num_ranks)
    return next(c for c in range(isqrt(ranks), 0, -1) if ranks % c == 0)


def _num_servers(num_ranks: Count, options: Options) -> Count:
    return num_ranks if options.num_servers is None else options.num_servers


def _mean_sends(num_ranks: Count, options: Options) -> Count:
    if options.pairs:
        return len(options.pairs) / num_ranks
    return 2 * (num_ranks > 1)


def _most_sends(num_ranks: Count, options: Options) -> Count:
    if not options.pairs:
        return 2 * (num_ranks > 1)
    senders, receivers = zip(*options.pairs, strict=True)
    return max(*Counter(senders).values(), *Counter(receivers).values())


_DERIVED: dict[str, Callable[[Count, Options], Count]] = {
    "columns": _columns,
    "num_servers": _num_servers,
    "mean_sends": _mean_sends,
    "most_sends": _most_sends,
}
