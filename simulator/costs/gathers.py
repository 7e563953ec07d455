"""How much do the one-way collectives send: gathers, scatters, broadcasts, reduces?

See `simulator.costs.collectives` for what the three numbers of a cost are, and for
the limits.
"""

from __future__ import annotations

from simulator.costs.collectives import (
    CollectiveCost,
    num_doublings,
    num_hops,
    num_pieces,
)
from simulator.costs.elementwise import minimum
from topologies.units import Bytes, Count


def ring_pass(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of one pass around a ring: an all-gather or a reduce-scatter.

    steps = n - 1, port = (n - 1) / n · S, wire = (n - 1) S

    Args:
        size: S, output of the all-gather or input of the reduce-scatter [B].
        num_ranks: n, at least 1 [1].

    Assumes: equal blocks.

    Source: nccl-tests doc/PERFORMANCE.md, AllGather and ReduceScatter; half of the
        all-reduce that the two make together.

    >>> ring_pass(800.0, 8).port_bytes
    700.0
    """
    steps = num_ranks - 1
    return CollectiveCost(
        steps=steps, port_bytes=steps * size / num_ranks, wire_bytes=steps * size
    )


def doubling_pass(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a recursive or Bruck all-gather, or a halving reduce-scatter.

    steps = ⌈log₂ n⌉, port = (n - 1) / n · S, wire = (n - 1) S

    Args:
        size: S, output of the all-gather or input of the reduce-scatter [B].
        num_ranks: n, at least 1 [1].

    Assumes: a power of two, or Bruck's algorithm, whose last round sends what is left.

    Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
        Operations in MPICH, 2005; Bruck et al., 1997 (from memory).

    >>> doubling_pass(800.0, 8).steps
    3
    """
    wire = (num_ranks - 1) * size
    return CollectiveCost(
        steps=num_doublings(num_ranks), port_bytes=wire / num_ranks, wire_bytes=wire
    )


def direct_pass(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of an all-gather or reduce-scatter, all at once.

    steps = 1, port = (n - 1) / n · S, wire = (n - 1) S

    Args:
        size: S, output of the all-gather or input of the reduce-scatter [B].
        num_ranks: n, at least 1 [1].

    Assumes: a rank may have n - 1 sends under way.

    Source: derived above.

    >>> direct_pass(800.0, 8).port_bytes
    700.0
    """
    wire = (num_ranks - 1) * size
    return CollectiveCost(
        steps=minimum(num_ranks - 1, 1), port_bytes=wire / num_ranks, wire_bytes=wire
    )


def binomial_tree(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a binomial broadcast or reduce.

    steps = ⌈log₂ n⌉, port = steps · S, wire = (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: whole buffers, no pipeline.

    Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
        Operations in MPICH, 2005 (from memory).

    >>> binomial_tree(1.0, 8).port_bytes
    3.0
    """
    steps = num_doublings(num_ranks)
    return CollectiveCost(
        steps=steps, port_bytes=steps * size, wire_bytes=(num_ranks - 1) * size
    )


def chain(size: Bytes, num_ranks: Count, grain: Bytes) -> CollectiveCost:
    """Return the cost of a broadcast or reduce from rank to rank, in pieces.

    steps = k + n - 2, port = steps / k · S, wire = (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        grain: sets the number of pieces k, see `num_pieces` [B].

    Assumes: k pieces, each forwarded while the next arrives.

    Source: derived above; the pipelined chain of NCCL's ring broadcast.

    >>> chain(0.0, 8, grain=1.0).steps
    7
    """
    pieces = num_pieces(size, num_ranks - 2, grain)
    steps = (pieces + num_ranks - 2) * minimum(num_ranks - 1, 1)
    return CollectiveCost(
        steps=steps, port_bytes=steps * size / pieces, wire_bytes=(num_ranks - 1) * size
    )


def scatter_all_gather(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a broadcast by a binomial scatter and a ring all-gather.

    steps = ⌈log₂ n⌉ + n - 1, port = 2 (n - 1) / n · S
    wire = (B(n) / n + n - 1) S, B as in `num_hops`

    Args:
        size: S, buffer [B].
        num_ranks: n, at least 1 [1].

    Assumes: equal blocks.

    Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
        Operations in MPICH, 2005 (from memory).

    >>> scatter_all_gather(800.0, 8).port_bytes
    1400.0
    """
    passes = num_ranks - 1
    hops = num_hops(num_ranks) / num_ranks
    return CollectiveCost(
        steps=num_doublings(num_ranks) + passes,
        port_bytes=2 * passes / num_ranks * size,
        wire_bytes=(hops + passes) * size,
    )


def binomial_gather(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a binomial gather or scatter.

    steps = ⌈log₂ n⌉, port = (n - 1) / n · S, wire = B(n) / n · S, B as in `num_hops`

    Args:
        size: S, all blocks, at the root [B].
        num_ranks: n, at least 1 [1].

    Assumes: the root's link is the busiest in every round.

    Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
        Operations in MPICH, 2005 (from memory).

    >>> binomial_gather(800.0, 8).wire_bytes
    1200.0
    """
    block = size / num_ranks
    wire = num_hops(num_ranks) * block
    return CollectiveCost(
        steps=num_doublings(num_ranks),
        port_bytes=(num_ranks - 1) * block,
        wire_bytes=wire,
    )


def direct_gather(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a gather or scatter, all at once.

    steps = 1, port = wire = (n - 1) / n · S

    Args:
        size: S, all blocks, at the root [B].
        num_ranks: n, at least 1 [1].

    Assumes: the root's link is the busiest.

    Source: derived above.

    >>> direct_gather(800.0, 8).wire_bytes
    700.0
    """
    wire = (num_ranks - 1) * size / num_ranks
    return CollectiveCost(
        steps=minimum(num_ranks - 1, 1), port_bytes=wire, wire_bytes=wire
    )
