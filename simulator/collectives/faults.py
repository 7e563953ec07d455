"""Why an algorithm cannot be done with so many ranks, or with such options."""

from __future__ import annotations

from simulator.collectives.options import Options, chosen


def none(_num_ranks: int, _options: Options) -> str:
    """Return nothing: it can always be done."""
    return ""


def power_of_two(num_ranks: int, _options: Options) -> str:
    """Return what is wrong unless the ranks are a power of two.

    Args:
        num_ranks: n [1].
    """
    if num_ranks & (num_ranks - 1) == 0:
        return ""
    return f"takes a power of two of ranks, not {num_ranks}"


def root(num_ranks: int, options: Options) -> str:
    """Return what is wrong unless the root is a rank.

    Args:
        num_ranks: n [1].
        options: with the root.
    """
    if 0 <= options.root < num_ranks:
        return ""
    return f"root {options.root} is none of {num_ranks} ranks"


def nodes(num_ranks: int, options: Options) -> str:
    """Return what is wrong unless nodes are whole.

    Args:
        num_ranks: n [1].
        options: with the ranks per node.
    """
    return _divides(options.per_node, num_ranks, "per_node")


def torus(num_ranks: int, options: Options) -> str:
    """Return what is wrong unless rows are whole.

    Args:
        num_ranks: n [1].
        options: with the columns.
    """
    return _divides(
        chosen(["columns"], num_ranks, options)["columns"], num_ranks, "columns"
    )


def rings(num_ranks: int, options: Options) -> str:
    """Return what is wrong unless every ring has every rank once.

    Args:
        num_ranks: n [1].
        options: with the orders, or the number of rings.
    """
    if not options.orders and options.num_rings < 1:
        return f"takes at least one ring, not {options.num_rings}"
    for order in options.orders:
        if sorted(order) != list(range(num_ranks)):
            return f"order {order} does not have each of {num_ranks} ranks once"
    return ""


def servers(num_ranks: int, options: Options) -> str:
    """Return what is wrong unless there are servers, if colocated no more than workers.

    Args:
        num_ranks: n, workers [1].
        options: with the servers.
    """
    num = chosen(["num_servers"], num_ranks, options)["num_servers"]
    if num < 1:
        return f"takes at least one server, not {num}"
    if options.is_colocated and num > num_ranks:
        return f"{num} servers do not fit on {num_ranks} workers"
    return ""


def pairs(num_ranks: int, options: Options) -> str:
    """Return what is wrong unless pairs are two different ranks.

    Args:
        num_ranks: n [1].
        options: with the pairs.
    """
    for pair in options.pairs:
        if not all(0 <= rank < num_ranks for rank in pair) or pair[0] == pair[1]:
            return f"pair {pair} is not two of {num_ranks} ranks"
    return ""


def _divides(part: int, num_ranks: int, name: str) -> str:
    if part >= 1 and num_ranks % part == 0:
        return ""
    return f"{name} = {part} does not divide {num_ranks} ranks"
