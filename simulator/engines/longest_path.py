"""The analytical engine for one plan: the exact longest path, without a clock.

Ops are visited as soon as everything before them is known, in no particular order of
time. The answer is the same in any order, because nothing is shared.
"""

from __future__ import annotations

from simulator.engines.graph import Graph, Times


def longest_path(graph: Graph) -> Times:
    """Return ready and end times of every op; an op that cannot run ends at -1."""
    busy, issued, host = graph.busy, graph.issued, graph.host
    successors, host_waits = graph.successors, graph.host_waits
    ranks = graph.ranks
    missing = [
        before + len(on) for before, on in zip(graph.num_before, ranks, strict=True)
    ]
    ready = [0.0] * len(busy)
    host_start = [0.0] * len(busy)
    end = [-1.0] * len(busy)
    host_free = [0.0] * len(graph.programs)
    place = [0] * len(graph.programs)
    work: list[int] = []

    def issue(rank: int) -> None:
        """Let a host run ahead up to the first op that it must wait for."""
        program = graph.programs[rank]
        while place[rank] < len(program):
            index = program[place[rank]]
            missing[index] -= 1
            if missing[index] == 0:
                work.append(index)
            if host_waits[index]:
                return
            host_start[index] = max(host_start[index], host_free[rank])
            host_free[rank] += host[index]
            place[rank] += 1

    for rank in range(len(graph.programs)):
        issue(rank)
    while work:
        index = work.pop()
        begin = ready[index]
        if host_waits[index]:
            host_begin = max(begin, *(host_free[rank] for rank in ranks[index]))
            for rank in ranks[index]:
                host_free[rank] = host_begin + host[index]
                place[rank] += 1
        else:
            host_begin = host_start[index]
        finish = max(begin + busy[index], host_begin + issued[index])
        end[index] = finish
        for other in successors[index]:
            ready[other] = max(ready[other], finish)
            missing[other] -= 1
            if missing[other] == 0:
                work.append(other)
        if host_waits[index]:
            for rank in ranks[index]:
                issue(rank)
    return Times(ready, end)
