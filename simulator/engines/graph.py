"""The priced workload as flat lists, read by both engines.

Both engines answer the same recursion. For op i with rank set R(i):

    ready_i = max over everything before it (its streams and `after`) of end
    host_i  = max over R(i) of the host's free time (and ready_i, if the host waits)
    end_i   = max(ready_i + busy_i, host_i + issued_i)
    the host of each rank in R(i) is then free its host time of i later: after host_i
    if it waits, else after it was free before; it does not wait for other ranks
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.errors import Infeasible
from simulator.price import Price
from simulator.workload import Body, Workload
from topologies.units import Seconds


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
    """

    busy: list[float]
    issued: list[float]
    host: list[float]
    successors: list[list[int]]
    num_before: list[int]
    programs: list[list[int]]
    ranks: list[tuple[int, ...]]
    host_waits: list[bool]

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
    """

    ready: list[float]
    end: list[float]
    under_way: Mapping[int, Seconds] = field(default_factory=dict)


class DeadlockError(Infeasible):
    """No op can start although some have not run; names of the first few."""


def build_graph(workload: Workload, prices: dict[Body, Price]) -> Graph:
    """Return the graph of `workload`, with stream order written out as edges."""
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
    )


def raise_deadlock(workload: Workload, end: list[float]) -> None:
    """Raise DeadlockError naming ops that never ran (their end is negative)."""
    stuck = [op.name for op, time in zip(workload.ops, end, strict=True) if time < 0]
    shown = ", ".join(stuck[:5])
    raise DeadlockError(f"{len(stuck)} ops can never start, the first are {shown}")
