"""How much do exchanges send: all-to-all, servers, neighbours, a barrier?

See `simulator.costs.collectives` for what the three numbers of a cost are, and for
the limits.
"""

from __future__ import annotations

from simulator.costs.collectives import CollectiveCost, num_doublings, num_hops
from simulator.costs.elementwise import maximum, minimum, where
from topologies.units import Bytes, Count, Ratio


def pairwise_all_to_all(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a pairwise all-to-all.

    steps = n - 1, port = (n - 1) / n · S, wire = (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: one partner in a round.

    Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
        Operations in MPICH, 2005 (from memory).

    >>> pairwise_all_to_all(800.0, 8).port_bytes
    700.0
    """
    steps = num_ranks - 1
    return CollectiveCost(
        steps=steps, port_bytes=steps * size / num_ranks, wire_bytes=steps * size
    )


def direct_all_to_all(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of an all-to-all, all at once.

    steps = 1, port = (n - 1) / n · S, wire = (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: a rank may have n - 1 sends under way.

    Source: derived above.

    >>> direct_all_to_all(800.0, 8).steps
    1
    """
    wire = (num_ranks - 1) * size
    return CollectiveCost(
        steps=minimum(num_ranks - 1, 1), port_bytes=wire / num_ranks, wire_bytes=wire
    )


def bruck_all_to_all(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of Bruck's all-to-all.

    steps = ⌈log₂ n⌉, port = B(n) / n · S, wire = B(n) S, B as in `num_hops`

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: in round k a rank sends the blocks whose distance has bit k.

    Source: Bruck et al., Efficient Algorithms for All-to-All Communications in
        Multiport Message-Passing Systems, 1997 (from memory).

    >>> bruck_all_to_all(800.0, 8).port_bytes
    1200.0
    """
    wire = num_hops(num_ranks) * size
    return CollectiveCost(
        steps=num_doublings(num_ranks), port_bytes=wire / num_ranks, wire_bytes=wire
    )


def two_level_all_to_all(
    size: Bytes, num_ranks: Count, per_node: Count
) -> CollectiveCost:
    """Return the cost of a hierarchical all-to-all, pairwise at both levels.

    steps = (g - 1) + (n / g - 1), port = ((g - 1) / g + (n / g - 1) g / n) S
    wire = n · port

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        per_node: g, ranks in a node; divides n [1].

    Assumes: first inside nodes by the place of the receiver, then across nodes.

    Source: derived above.

    >>> two_level_all_to_all(800.0, 8, per_node=4).port_bytes
    1000.0
    """
    nodes = num_ranks / per_node
    inside = (per_node - 1) / per_node
    across = (nodes - 1) / nodes
    port = (inside + across) * size
    return CollectiveCost(
        steps=per_node - 1 + nodes - 1, port_bytes=port, wire_bytes=num_ranks * port
    )


def server_exchange(
    size: Bytes, num_ranks: Count, num_servers: Count, *, is_colocated: bool
) -> CollectiveCost:
    """Return the cost of a push to parameter servers, or a pull from them.

    steps = 1, port = max(1, n / m) S, wire = n S; colocated, n - 1 for n and no 1

    Args:
        size: S, parameters of a worker [B].
        num_ranks: n, at least 1 [1].
        num_servers: m, each with an equal part [1].
        is_colocated: whether server j is on worker j.

    Assumes: all at once; colocated servers are no more than workers.

    Source: Li et al., Scaling Distributed Machine Learning with the Parameter Server,
        2014, for the roles (from memory); bytes derived above.

    >>> server_exchange(800.0, 8, num_servers=2, is_colocated=False).port_bytes
    3200.0
    """
    workers = where(is_colocated, num_ranks - 1, num_ranks)  # that send to a server
    most = workers / num_servers
    port = where(is_colocated, most, maximum(1, most)) * size
    return CollectiveCost(
        steps=minimum(workers, 1), port_bytes=port, wire_bytes=workers * size
    )


def server_all_reduce(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of an all-reduce through one server, on a worker.

    steps = 2, port = wire = 2 (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: a push by all at once, then a pull by all at once.

    Source: twice `server_exchange`.

    >>> server_all_reduce(800.0, 8).port_bytes
    11200.0
    """
    return _twice(server_exchange(size, num_ranks, 1, is_colocated=True))


def sharded_all_reduce(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of an all-reduce through a server on every worker.

    steps = 2, port = 2 (n - 1) / n · S, wire = 2 (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: a push by all at once, then a pull by all at once.

    Source: twice `server_exchange`.

    >>> sharded_all_reduce(800.0, 8).port_bytes
    1400.0
    """
    return _twice(server_exchange(size, num_ranks, num_ranks, is_colocated=True))


def _twice(cost: CollectiveCost) -> CollectiveCost:
    return CollectiveCost(
        steps=2 * cost.steps,
        port_bytes=2 * cost.port_bytes,
        wire_bytes=2 * cost.wire_bytes,
    )


def neighbour_exchange(
    size: Bytes, num_ranks: Count, mean_sends: Ratio, most_sends: Count
) -> CollectiveCost:
    """Return the cost of an exchange between neighbours.

    steps = 1, port = most sends · S, wire = n · mean sends · S

    Args:
        size: S, of each send [B].
        num_ranks: n, at least 1 [1].
        mean_sends: of a rank, on average [1].
        most_sends: of one rank, or to one [1].

    Assumes: all at once.

    Source: derived above.

    >>> neighbour_exchange(10.0, 8, mean_sends=2, most_sends=2).wire_bytes
    160.0
    """
    wire = num_ranks * mean_sends * size
    return CollectiveCost(
        steps=minimum(most_sends, 1), port_bytes=most_sends * size, wire_bytes=wire
    )


def dissemination_barrier(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a barrier: empty messages.

    steps = ⌈log₂ n⌉, no bytes

    Args:
        size: S, of no effect [B].
        num_ranks: n, at least 1 [1].

    Assumes: every rank hears of all.

    Source: Hensgen, Finkel and Manber, Two Algorithms for Barrier Synchronization, 1988
        (from memory).

    >>> dissemination_barrier(0.0, 8).steps
    3
    """
    nothing = 0 * size
    return CollectiveCost(
        steps=num_doublings(num_ranks), port_bytes=nothing, wire_bytes=nothing
    )
