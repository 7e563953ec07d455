"""How much does an all-reduce send, by each algorithm?

See `simulator.costs.collectives` for what the three numbers of a cost are, and for
the limits.
"""

from __future__ import annotations

from simulator.costs.collectives import CollectiveCost, num_doublings, num_pieces
from simulator.costs.elementwise import floor, log2, minimum, where
from topologies.units import Bytes, Count


def ring_all_reduce(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of an all-reduce in rings that share the buffer.

    steps = 2 (n - 1), port = 2 (n - 1) / n · S, wire = 2 (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: ring i has an equal part of the buffer; all rings go at once.

    Source: nccl-tests doc/PERFORMANCE.md, AllReduce, as cited in `costs.messages`.

    >>> ring_all_reduce(800.0, 8).port_bytes
    1400.0
    """
    steps = 2 * (num_ranks - 1)
    return CollectiveCost(
        steps=steps, port_bytes=steps * size / num_ranks, wire_bytes=steps * size
    )


def two_level_all_reduce(
    size: Bytes, num_ranks: Count, per_node: Count
) -> CollectiveCost:
    """Return the cost of an all-reduce by rings inside nodes and across them.

    steps = 2 (g - 1) + 2 (n / g - 1), port = 2 (n - 1) / n · S, wire = 2 (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        per_node: g, ranks in a node; divides n [1].

    Assumes: reduce-scatter inside nodes (rows), all-reduce of shards across nodes
        (columns), all-gather inside.

    Source: Mikami et al., Massively Distributed SGD, 2018, 2D-torus all-reduce; the
        bytes telescope, (g - 1) / g + (n / g - 1) / n = (n - 1) / n (from memory).

    >>> two_level_all_reduce(800.0, 8, per_node=4).steps
    8.0
    """
    steps = 2 * (per_node - 1) + 2 * (num_ranks / per_node - 1)
    wire = 2 * (num_ranks - 1) * size
    return CollectiveCost(steps=steps, port_bytes=wire / num_ranks, wire_bytes=wire)


def torus_all_reduce(size: Bytes, num_ranks: Count, columns: Count) -> CollectiveCost:
    """Return the cost of an all-reduce along rows, then columns, then rows of a torus.

    As `two_level_all_reduce`, with a row for a node.

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        columns: g, ranks in a row; divides n [1].

    Assumes: one ring of a row or column at a time.

    Source: Mikami et al., Massively Distributed SGD, 2018 (from memory).

    >>> torus_all_reduce(800.0, 12, columns=3).steps
    10.0
    """
    return two_level_all_reduce(size, num_ranks, columns)


def tree_all_reduce(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a binomial reduce followed by a binomial broadcast.

    steps = 2 ⌈log₂ n⌉, port = steps · S, wire = 2 (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: whole buffers, no pipeline.

    Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
        Operations in MPICH, 2005, section on reduce and broadcast (from memory).

    >>> tree_all_reduce(1.0, 8).port_bytes
    6.0
    """
    steps = 2 * num_doublings(num_ranks)
    return CollectiveCost(
        steps=steps, port_bytes=steps * size, wire_bytes=2 * (num_ranks - 1) * size
    )


def two_tree_all_reduce(size: Bytes, num_ranks: Count, grain: Bytes) -> CollectiveCost:
    """Return the cost of a double-binary-tree all-reduce, in pieces.

    steps = 2 (k + h - 1 + [3/2 · 2^h ≤ n < 2^(h+1) - 1]), h = ⌊log₂ n⌋
    port = (2 (k + h) - 3 + [n ≥ 3/2 · 2^h]) S / k, wire = 2 (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        grain: sets the number of pieces k, see `two_tree_pieces` [B].

    Assumes: k pieces of S / (2k) in each tree, as in `simulator.collectives.pipelines`.

    Source: Sanders, Speck and Träff, Two-tree algorithms for full bandwidth broadcast,
        reduction and scan, 2009 (from memory); rounds and bytes derived above.

    >>> two_tree_all_reduce(0.0, 8, grain=1.0).steps
    6
    """
    pieces = two_tree_pieces(size, num_ranks, grain)
    more, rounds = _has_half_more(num_ranks), pieces + floor(log2(num_ranks)) - 1
    is_perfect = where(num_ranks + 1 == 2 * _largest_power(num_ranks), 1, 0)
    others = minimum(num_ranks - 1, 1)  # nothing is sent by one rank alone
    return CollectiveCost(
        steps=2 * (rounds + more - is_perfect) * others,
        port_bytes=(2 * rounds - 1 + more) * others * size / pieces,
        wire_bytes=2 * (num_ranks - 1) * size,
    )


def two_tree_pieces(size: Bytes, num_ranks: Count, grain: Bytes) -> Count:
    """Return into how many pieces each of two trees cuts its half.

    k as in `num_pieces`, f = h - 3/2 + [n ≥ 3/2 · 2^h] / 2, h = ⌊log₂ n⌋

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        grain: α · bandwidth, or what stands for it [B].

    Assumes: what `two_tree_all_reduce` does.

    Source: derived above: the time is 2 k α + 2 f S / (k · bandwidth), and a constant.

    >>> two_tree_pieces(1600.0, 12, grain=1.0)
    57
    """
    fill = floor(log2(num_ranks)) - (3 - _has_half_more(num_ranks)) / 2
    return num_pieces(size, fill, grain)


def doubling_all_reduce(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of a recursive-doubling all-reduce.

    steps = log₂ p + 2 [n > p], p the largest power of two up to n
    port = steps · S, wire = (p log₂ p + 2 (n - p)) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: excess ranks add theirs to a partner before, and get the result after.

    Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
        Operations in MPICH, 2005 (from memory).

    >>> doubling_all_reduce(1.0, 6).wire_bytes
    12.0
    """
    power = _largest_power(num_ranks)
    excess = num_ranks - power
    rounds = floor(log2(num_ranks))
    steps = rounds + 2 * minimum(excess, 1)
    return CollectiveCost(
        steps=steps,
        port_bytes=steps * size,
        wire_bytes=(power * rounds + 2 * excess) * size,
    )


def halving_doubling_all_reduce(size: Bytes, num_ranks: Count) -> CollectiveCost:
    """Return the cost of Rabenseifner's all-reduce: recursive halving, then doubling.

    steps = 2 log₂ p + 2 [n > p], p the largest power of two up to n
    port = (2 (p - 1) / p + 2 [n > p]) S, wire = 2 (p - 1 + n - p) S = 2 (n - 1) S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].

    Assumes: excess ranks add theirs to a partner before, and get the result after.

    Source: Thakur, Rabenseifner and Gropp, Optimization of Collective Communication
        Operations in MPICH, 2005 (from memory).

    >>> halving_doubling_all_reduce(1.0, 4).port_bytes
    1.5
    """
    power = _largest_power(num_ranks)
    folds = 2 * minimum(num_ranks - power, 1)
    steps = 2 * floor(log2(num_ranks)) + folds
    shares = 2 * (power - 1) / power + folds
    return CollectiveCost(
        steps=steps, port_bytes=shares * size, wire_bytes=2 * (num_ranks - 1) * size
    )


def in_network_all_reduce(
    size: Bytes, num_ranks: Count, grain: Bytes
) -> CollectiveCost:
    """Return the cost of an all-reduce in the switch, which adds what comes up.

    steps = k + 1, port = (k + 1) / k · S, wire = 2 n S

    Args:
        size: S, buffer per rank [B].
        num_ranks: n, at least 1 [1].
        grain: sets the number of pieces k, see `num_pieces` [B].

    Assumes: k pieces; a piece goes down while the next goes up; the switch adds at line
        rate.

    Source: Graham et al., Scalable Hierarchical Aggregation Protocol (SHARP), 2016
        (from memory); rounds derived above.

    >>> in_network_all_reduce(0.0, 8, grain=1.0).steps
    2
    """
    pieces = num_pieces(size, 1, grain)
    others = minimum(num_ranks - 1, 1)  # nothing is sent by one rank alone
    steps = (pieces + 1) * others
    return CollectiveCost(
        steps=steps,
        port_bytes=steps * size / pieces,
        wire_bytes=2 * num_ranks * size * others,
    )


def _largest_power(num_ranks: Count) -> Count:
    """Largest power of two not above `num_ranks`."""
    return 2 ** floor(log2(num_ranks))


def _has_half_more(num_ranks: Count) -> Count:
    """One from 3/2 · 2^h on, else zero."""
    return where(3 * _largest_power(num_ranks) <= 2 * num_ranks, 1, 0)
