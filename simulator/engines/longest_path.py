"""The analytical engine for one plan: the exact longest path, without a clock.

Ops are visited as soon as everything before them is known, in no particular order of
time. The answer is the same in any order, because nothing is shared.
"""

from __future__ import annotations

from simulator.engines.graph import Graph, Times


def longest_path(graph: Graph) -> Times:
    """Return ready and end times of every op; an op that cannot run ends at -1."""
    walk = _Walk(graph)
    for rank in range(len(graph.programs)):
        walk.issue(rank)
    while walk.work:
        walk.visit(walk.work.pop())
    return Times(walk.ready, walk.end)


class _Walk:
    """What is known so far; `work` holds the ops whose ends can be computed next."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.work: list[int] = []
        self.missing = [
            before + len(on)
            for before, on in zip(graph.num_before, graph.ranks, strict=True)
        ]
        self.ready = [0.0] * len(graph.busy)
        self.end = [-1.0] * len(graph.busy)
        self.host_start = [0.0] * len(graph.busy)
        self.host_free = [0.0] * len(graph.programs)
        self.place = [0] * len(graph.programs)

    def issue(self, rank: int) -> None:
        """Let a host run ahead up to the first op that it must wait for."""
        graph = self.graph
        program = graph.programs[rank]
        while self.place[rank] < len(program):
            index = program[self.place[rank]]
            self.count_down(index)
            if graph.host_waits[index]:
                return
            host_free = self.host_free[rank]
            self.host_start[index] = max(self.host_start[index], host_free)
            self.host_free[rank] = host_free + graph.host[index]
            self.place[rank] += 1

    def visit(self, index: int) -> None:
        """Compute an op's end and tell whatever waits for it."""
        graph, ready = self.graph, self.ready
        begin = ready[index]
        host_begin = self.host_start[index]
        if graph.host_waits[index]:
            host_begin = self.wait(index, begin)
        finish = max(begin + graph.busy[index], host_begin + graph.issued[index])
        self.end[index] = finish
        for other in graph.successors[index]:
            ready[other] = max(ready[other], finish)
            self.count_down(other)
        if graph.host_waits[index]:
            for rank in graph.ranks[index]:
                self.issue(rank)

    def wait(self, index: int, begin: float) -> float:
        """Return when the hosts of a blocking op start it, once all have arrived."""
        ranks = self.graph.ranks[index]
        host_begin = max(begin, *(self.host_free[rank] for rank in ranks))
        for rank in ranks:
            self.host_free[rank] = host_begin + self.graph.host[index]
            self.place[rank] += 1
        return host_begin

    def count_down(self, index: int) -> None:
        """Note that one thing which an op waits for is known."""
        self.missing[index] -= 1
        if self.missing[index] == 0:
            self.work.append(index)
