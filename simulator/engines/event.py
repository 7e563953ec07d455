"""The event engine: the same graph on a SimPy clock, one timeout per op.

An op starts when the last thing before it ends and its host has issued it, and ends
one timeout later. Times are read off the clock, never computed ahead, so whatever
shares a resource can be put between start and end: messages go through `network`.
"""

from __future__ import annotations

import simpy

from simulator.engines.graph import Graph, Times


def simulate_events(graph: Graph) -> Times:
    """Return ready and end times of every op; an op that cannot run ends at -1."""
    run = _Run(graph)
    for rank in range(len(graph.programs)):
        run.issue(rank)
    run.environment.run()
    return Times(run.ready, run.end)


class _Run:
    """The mutable state of one simulation; it owns the clock."""

    def __init__(self, graph: Graph) -> None:
        self.environment = simpy.Environment()
        self.graph = graph
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
        graph, missing = self.graph, self.missing
        program, host_free = graph.programs[rank], self.host_free
        position = self.place[rank]
        while position < len(program):
            index = program[position]
            if not graph.host_waits[index]:
                if host_free[rank] > self.host_start[index]:
                    self.host_start[index] = host_free[rank]
                host_free[rank] += graph.host[index]
                position += 1
            self.place[rank] = position
            missing[index] -= 1
            if missing[index] == 0:
                self.start(index)
            if graph.host_waits[index]:
                return

    def start(self, index: int) -> None:
        """Begin an op now and schedule its end."""
        graph, now = self.graph, self.environment.now
        self.ready[index] = now
        finish = now + graph.busy[index]
        if graph.host_waits[index]:
            ranks = graph.ranks[index]
            host_begin = now
            for rank in ranks:
                host_begin = max(host_begin, self.host_free[rank])
            for rank in ranks:
                self.host_free[rank] = host_begin + graph.host[index]
                self.place[rank] += 1
        else:
            host_begin = self.host_start[index]
        issued = host_begin + graph.issued[index]
        if issued > finish:
            finish = issued
        timeout = simpy.Timeout(self.environment, finish - now, index)
        timeout.callbacks.append(self.finish)
        if graph.host_waits[index]:
            for rank in graph.ranks[index]:
                self.issue(rank)

    def finish(self, event: simpy.Event) -> None:
        """Record an op's end and start whatever waited only for it."""
        index = event._value  # noqa: SLF001 - the property checks what cannot fail
        graph, missing = self.graph, self.missing
        self.end[index] = self.environment.now
        for other in graph.successors[index]:
            missing[other] -= 1
            if missing[other] == 0:
                self.start(other)
