"""The table of collectives: a row for each pattern and algorithm.

Message sizes are in NCCL's convention: all-reduce, broadcast, reduce and all-to-all,
the buffer per rank; all-gather, the total output; reduce-scatter, the total input;
gather and scatter, all blocks at the root; push and pull, a worker's parameters;
neighbour-exchange, each send.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from simulator.collectives import faults
from simulator.collectives.algorithm import Algorithm, Pattern
from simulator.collectives.options import Options
from simulator.costs import all_reduces, exchanges, gathers
from simulator.costs.collectives import CollectiveCost

_ONE_SERVER = partial(exchanges.server_exchange, num_servers=1)


def _row(  # noqa: PLR0913 - the columns of the table
    pattern: Pattern,
    name: str,
    formula: Callable[..., CollectiveCost],
    source: str,
    *options: str,
    priced: tuple[str, ...] = (),
    fault: Callable[[int, Options], str] = faults.none,
    is_in_switch: bool = False,
    is_only_asked: bool = False,
) -> Algorithm:
    return Algorithm(
        pattern=pattern,
        name=name,
        formula=formula,
        source=source,
        options=options,
        priced=priced,
        fault=fault,
        is_in_switch=is_in_switch,
        is_only_asked=is_only_asked,
    )


def _reductions() -> list[Algorithm]:
    row = partial(_row, "all-reduce")
    return [
        row("ring", all_reduces.ring_all_reduce, "rings.all_reduce"),
        row(
            "bidirectional-ring",
            all_reduces.ring_all_reduce,
            "rings.bidirectional_all_reduce",
        ),
        row(
            "multi-ring",
            all_reduces.ring_all_reduce,
            "rings.multi_ring_all_reduce",
            *("num_rings", "orders"),
            fault=faults.rings,
        ),
        row("tree", all_reduces.tree_all_reduce, "trees.all_reduce"),
        row(
            "double-binary-tree",
            all_reduces.two_tree_all_reduce,
            "pipelines.two_tree_all_reduce",
            "grain",
            priced=("grain",),
        ),
        row(
            "recursive-doubling",
            all_reduces.doubling_all_reduce,
            "doubling.doubling_all_reduce",
        ),
        row(
            "halving-doubling",
            all_reduces.halving_doubling_all_reduce,
            "doubling.halving_doubling_all_reduce",
        ),
        row(
            "hierarchical",
            all_reduces.two_level_all_reduce,
            "hierarchical.all_reduce",
            "per_node",
            priced=("per_node",),
            fault=faults.nodes,
        ),
        row(
            "torus-2d",
            all_reduces.torus_all_reduce,
            "hierarchical.torus_all_reduce",
            "columns",
            priced=("columns",),
            fault=faults.torus,
        ),
        row(
            "in-network",
            all_reduces.in_network_all_reduce,
            "pipelines.in_network_all_reduce",
            "grain",
            priced=("grain",),
            is_in_switch=True,
        ),
        row(
            "parameter-server",
            exchanges.server_all_reduce,
            "servers.all_reduce",
            is_only_asked=True,
        ),
        row(
            "sharded-servers",
            exchanges.sharded_all_reduce,
            "servers.sharded_all_reduce",
            is_only_asked=True,
        ),
    ]


def _passes() -> list[Algorithm]:
    scatter = partial(_row, "reduce-scatter")
    gather = partial(_row, "all-gather")
    doubling = gathers.doubling_pass
    return [
        scatter("ring", gathers.ring_pass, "rings.reduce_scatter"),
        scatter(
            "recursive-halving",
            doubling,
            "doubling.halving_reduce_scatter",
            fault=faults.power_of_two,
        ),
        scatter("direct", gathers.direct_pass, "exchange.direct_reduce_scatter"),
        gather("ring", gathers.ring_pass, "rings.all_gather"),
        gather(
            "recursive-doubling",
            doubling,
            "doubling.doubling_all_gather",
            fault=faults.power_of_two,
        ),
        gather("bruck", doubling, "doubling.bruck_all_gather"),
        gather("direct", gathers.direct_pass, "exchange.direct_all_gather"),
    ]


def _rooted() -> list[Algorithm]:
    row = partial(_row, fault=faults.root)
    chain = partial(row, priced=("grain",))
    return [
        row("broadcast", "binomial", gathers.binomial_tree, "trees.broadcast", "root"),
        chain(
            "broadcast",
            "chain",
            gathers.chain,
            "pipelines.chain_broadcast",
            *("root", "grain"),
        ),
        row(
            "broadcast",
            "scatter-all-gather",
            gathers.scatter_all_gather,
            "trees.scatter_all_gather_broadcast",
            "root",
        ),
        row("reduce", "binomial", gathers.binomial_tree, "trees.reduce", "root"),
        chain(
            "reduce",
            "chain",
            gathers.chain,
            "pipelines.chain_reduce",
            *("root", "grain"),
        ),
        row("gather", "direct", gathers.direct_gather, "trees.direct_gather", "root"),
        row("gather", "binomial", gathers.binomial_gather, "trees.gather", "root"),
        row("scatter", "direct", gathers.direct_gather, "trees.direct_scatter", "root"),
        row("scatter", "binomial", gathers.binomial_gather, "trees.scatter", "root"),
    ]


def _exchanges() -> list[Algorithm]:
    row = partial(_row, "all-to-all")
    return [
        row("pairwise", exchanges.pairwise_all_to_all, "exchange.pairwise_all_to_all"),
        row("bruck", exchanges.bruck_all_to_all, "exchange.bruck_all_to_all"),
        row("direct", exchanges.direct_all_to_all, "exchange.direct_all_to_all"),
        row(
            "hierarchical",
            exchanges.two_level_all_to_all,
            "hierarchical.all_to_all",
            "per_node",
            priced=("per_node",),
            fault=faults.nodes,
        ),
        _row(
            "neighbour-exchange",
            "direct",
            exchanges.neighbour_exchange,
            "exchange.neighbour_exchange",
            "pairs",
            priced=("mean_sends", "most_sends"),
            fault=faults.pairs,
        ),
        _row(
            "barrier",
            "dissemination",
            exchanges.dissemination_barrier,
            "exchange.barrier",
        ),
    ]


def _servers() -> list[Algorithm]:
    colocated = "is_colocated"
    central = partial(_row, priced=(colocated,))
    sharded = partial(_row, priced=("num_servers", colocated), fault=faults.servers)
    every = exchanges.server_exchange
    return [
        central("push", "central", _ONE_SERVER, "servers.central_push", colocated),
        central("pull", "central", _ONE_SERVER, "servers.central_pull", colocated),
        sharded("push", "sharded", every, "servers.push", *("num_servers", colocated)),
        sharded("pull", "sharded", every, "servers.pull", *("num_servers", colocated)),
    ]


TABLE: dict[tuple[Pattern, str], Algorithm] = {
    (algorithm.pattern, algorithm.name): algorithm
    for algorithm in (
        *_reductions(),
        *_passes(),
        *_rooted(),
        *_exchanges(),
        *_servers(),
    )
}
