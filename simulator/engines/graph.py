"""The priced workload as flat lists, read by both engines.

Both engines answer the same recursion. For op i with rank set R(i):

    ready_i = max over everything before it (its streams and `after`) of end
    host_i  = max over R(i) of the host's free time (and ready_i, if the host waits)
    end_i   = max(ready_i + busy_i, host_i + issued_i)
    the host of each rank in R(i) is then free its host time of i later: after host_i
    if it waits, else after it was free before; it does not wait for other ranks

Where messages slow the kernels beside them (`Pace`), `busy_i` of kernels is stretched:
they begin at max(ready_i, host_i), and progress at 1 / (1 + κ) of their rate while a
message of another stream of their rank is under way, be it one or several. Where
devices are threads that share C cores, of which messages under way need D, the k
kernels under way progress at (C - D) / k of that when they are more; this is of the
event engine only, as is all that ranks share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from simulator.errors import Infeasible
from simulator.pricing.price import Price
from simulator.workload import Body, Message, Workload
from topologies.units import Count, Ratio, Seconds


class Pace(NamedTuple):
    """How messages slow the kernels beside them, and kernels each other.

    A message is under way for the last `busy` seconds before its end. Kernels and
    messages in a row on one stream are taken to be mixed evenly: such an op is slowed
    by the kernels' share.

    Limits: kernels do not slow messages; where a host is late, gaps between kernels
    are taken to absorb what they lose. A folded op says less of either than its parts,
    so that folding changes answers, by a fraction of a percent.

    Fields:
        slowdown: κ [1].
        kernels: share of an op's device time that messages beside it slow [1].
        is_message: whether the op slows kernels of its ranks; pushes and pulls do not,
            which engines copy and no kernels do.
        cores: that all ranks share; infinite where each device is one of its own [1].
    """

    slowdown: Ratio
    kernels: list[Ratio]
    is_message: list[bool]
    cores: Count = inf


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Index-based dependencies and durations; op i is `workload.ops[i]`.

    Fields:
        busy, issued, host: the three numbers of each op's price [s].
        successors: ops that wait for the end of op i.
        num_before: how many ends op i waits for [1].
        programs: ops of each rank in the order its host issues them.
        ranks: ranks of each op.
        host_waits: whether the host blocks on op i.
        pace: how messages slow kernels; None if they do not.
    """

    busy: list[float]
    issued: list[float]
    host: list[float]
    successors: list[list[int]]
    num_before: list[int]
    programs: list[list[int]]
    ranks: list[tuple[int, ...]]
    host_waits: list[bool]
    pace: Pace | None = None

    def missing(self) -> list[int]:
        """Return what each op still waits for: ends before it, and its hosts [1]."""
        pairs = zip(self.num_before, self.ranks, strict=True)
        return [before + len(on) for before, on in pairs]


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """When each op was ready and when it ended; index i is op i.

    Fields:
        ready: everything before it finished [s].
        end: finished [s].
        under_way: how long messages on shared links took, host apart, by op [s].
        slowed: how much later ops ended for the messages beside them, by op [s].
        crowded: how much later for the kernels that shared their cores, by op [s].
    """

    ready: list[float]
    end: list[float]
    under_way: Mapping[int, Seconds] = field(default_factory=dict)
    slowed: Mapping[int, Seconds] = field(default_factory=dict)
    crowded: Mapping[int, Seconds] = field(default_factory=dict)


class DeadlockError(Infeasible):
    """No op can start although some have not run; names of the first few."""


def build_graph(
    workload: Workload,
    prices: dict[Body, Price],
    slowdown: Ratio = 0.0,
    cores: Count = inf,
) -> Graph:
    """Return the graph of `workload`, with stream order written out as edges.

    Args:
        workload: the ops.
        prices: of their bodies.
        slowdown: κ, of kernels while a message of their rank is under way [1].
        cores: that all ranks share [1].
    """
    numbers = {
        body: (float(price.busy), float(price.issued), float(price.host))
        for body, price in prices.items()
    }
    ops = workload.ops
    busy, issued, host = (
        list(column) for column in zip(*(numbers[op.body] for op in ops), strict=True)
    )
    successors: list[list[int]] = [[] for _ in ops]
    num_before = [0] * len(ops)
    programs: list[list[int]] = [[] for _ in workload.roles]
    last: list[dict[str, int]] = [{} for _ in workload.roles]
    for index, op in enumerate(ops):
        before = op.after
        for rank in op.ranks:
            programs[rank].append(index)
            latest = last[rank]
            previous = latest.get(op.stream)
            if previous is not None and previous not in before:
                before = (*before, previous)
            latest[op.stream] = index
        num_before[index] = len(before)
        for other in before:
            successors[other].append(index)
    return Graph(
        busy,
        issued,
        host,
        successors,
        num_before,
        programs,
        [op.ranks for op in ops],
        [op.host_waits for op in ops],
        make_pace(workload, [prices[op.body] for op in ops], slowdown, cores),
    )


_COPIED = frozenset({"push", "pull"})


def _is_copied(body: Body) -> bool:
    """Return whether engines copy a message to a host and back, and no kernels."""
    sent = (item for item in body.items if isinstance(item, Message))
    return any(message.pattern in _COPIED for message in sent)


def make_pace(
    workload: Workload, prices: Sequence[Price], slowdown: Ratio, cores: Count = inf
) -> Pace | None:
    """Return what slows the kernels of a workload, or None if nothing does.

    Args:
        workload: the ops.
        prices: of every op.
        slowdown: κ [1].
        cores: that all ranks share [1].
    """
    if not slowdown and cores == inf:
        return None
    on_compute = [op.stream == "compute" for op in workload.ops]
    kernels = [
        _slowed_share(price) if is_compute else 0.0
        for price, is_compute in zip(prices, on_compute, strict=True)
    ]
    is_message = [
        not is_compute and not _is_copied(op.body)
        for op, is_compute in zip(workload.ops, on_compute, strict=True)
    ]
    return Pace(slowdown, kernels, is_message, cores)


def _slowed_share(price: Price) -> Ratio:
    """Return the share of a run's device time that messages beside it would slow.

    Its kernels, but for those that a message of its own slows already.
    """
    if not price.busy:
        return 0.0
    return float((price.compute - price.hidden) / price.busy)


def raise_deadlock(workload: Workload, end: list[float]) -> None:
    """Raise DeadlockError naming ops that never ran (their end is negative)."""
    stuck = [op.name for op, time in zip(workload.ops, end, strict=True) if time < 0]
    shown = ", ".join(stuck[:5])
    raise DeadlockError(f"{len(stuck)} ops can never start, the first are {shown}")
