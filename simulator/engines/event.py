"""The event engine: the same graph on a SimPy clock, one timeout per op.

An op starts when the last thing before it ends and its host has issued it, and ends
one timeout later. Times are read off the clock, never computed ahead, so whatever
shares a resource can be put between start and end: a message with links of its own
ends when the network says so (`shared.py`), and kernels slow down while messages of
their rank are under way, or others are on their cores (`pacing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import simpy

from simulator.engines.graph import Graph, Times
from simulator.engines.pacing import Pacing
from topologies.units import Seconds

Carry = Callable[[], Any]
"""Begins to send a message, and returns the event that it has arrived."""


def simulate_events(graph: Graph) -> Times:
    """Return ready and end times of every op; an op that cannot run ends at -1."""
    run = Run(simpy.Environment(), graph, {})
    run.begin()
    run.environment.run()
    return run.times()


class Run:
    """The mutable state of one step, on a clock that others may share.

    The graph's lists are named here again, and the clock is read without its property:
    one look-up less per event each, together a fifth of the time.
    """

    __slots__ = (
        "busy",
        "carry",
        "complete",
        "end",
        "environment",
        "graph",
        "host_free",
        "host_start",
        "host_waits",
        "issued",
        "missing",
        "on_end",
        "other_end",
        "pacing",
        "place",
        "ready",
        "sinks",
        "successors",
        "under_way",
    )

    def __init__(
        self,
        environment: simpy.Environment,
        graph: Graph,
        carry: Mapping[int, Carry],
        complete: Callable[[], None] | None = None,
    ) -> None:
        """Prepare to run a step.

        Args:
            environment: the clock.
            graph: priced ops.
            carry: what sends an op's message, for the ops that share links; their
                `busy` and `issued` only say when they can begin.
            complete: called when the last op has ended.
        """
        self.environment = environment
        self.graph = graph
        self.carry = carry
        self.complete = complete
        sinks = [op for op, after in enumerate(graph.successors) if not after]
        self.sinks = len(sinks)
        self.other_end = dict.fromkeys(sinks if complete else (), self.finish_last)
        self.other_end |= dict.fromkeys(carry, self.send)
        self.busy, self.issued = graph.busy, graph.issued
        self.successors, self.host_waits = graph.successors, graph.host_waits
        self.missing = graph.missing()
        now = environment.now
        self.ready = [now] * len(graph.busy)
        self.end = [-1.0] * len(graph.busy)
        self.host_start = [now] * len(graph.busy)
        self.host_free = [now] * len(graph.programs)
        self.place = [0] * len(graph.programs)
        self.on_end = self.finish
        self.under_way: dict[int, Seconds] = {}
        pace = graph.pace
        self.pacing = None if pace is None else Pacing(environment, graph, pace)

    def begin(self) -> None:
        """Let all hosts begin."""
        for rank in range(len(self.graph.programs)):
            self.issue(rank)

    def times(self) -> Times:
        """Return what the clock has shown so far."""
        slowed, crowded = {}, {}
        if self.pacing is not None:
            slowed, crowded = self.pacing.slowed, self.pacing.crowded
        return Times(self.ready, self.end, self.under_way, slowed, crowded)

    def issue(self, rank: int) -> None:
        """Let a host run ahead up to the first op that it must wait for."""
        graph, missing, host_start = self.graph, self.missing, self.host_start
        program = graph.programs[rank]
        position, free = self.place[rank], self.host_free[rank]
        while position < len(program):
            index = program[position]
            missing[index] -= 1
            if graph.host_waits[index]:
                self.place[rank], self.host_free[rank] = position, free
                if missing[index] == 0:
                    self.start(index)
                return
            if free > host_start[index]:  # noqa: PLR1730 - faster than max
                host_start[index] = free
            free += graph.host[index]
            position += 1
            if missing[index] == 0:
                self.start(index)
        self.place[rank], self.host_free[rank] = position, free

    def start(self, index: int) -> None:
        """Begin an op now and schedule its end."""
        environment = self.environment
        now = environment._now  # noqa: SLF001 - see the class
        is_waited_for = self.host_waits[index]
        host_begin = self.wait(index) if is_waited_for else self.host_start[index]
        finish = self.ready[index] + self.busy[index]
        issued = host_begin + self.issued[index]
        if issued > finish:  # noqa: PLR1730 - faster than max
            finish = issued
        timeout = simpy.Timeout(environment, finish - now, index)
        timeout.callbacks.append(self.other_end.get(index, self.on_end))
        if self.pacing is not None:
            begin = max(self.ready[index], host_begin)
            self.pacing.start(timeout, begin, finish)
        if is_waited_for:
            for rank in self.graph.ranks[index]:
                self.issue(rank)

    def send(self, event: simpy.Event) -> None:
        """Hand an op's message to the network; the op ends when it has arrived."""
        index = event._value  # noqa: SLF001 - as in `finish`
        begun = self.environment.now
        if self.pacing is not None:
            self.pacing.begin(index)
        arrived = self.carry[index]()
        arrived.callbacks.append(lambda _: self.arrive(index, begun))

    def arrive(self, index: int, begun: Seconds) -> None:
        """End an op now, as its own timeout would."""
        self.under_way[index] = self.environment.now - begun
        if self.pacing is not None:
            self.pacing.end(index)
        is_last = self.complete is not None and not self.successors[index]
        timeout = simpy.Timeout(self.environment, 0.0, index)
        timeout.callbacks.append(self.finish_last if is_last else self.on_end)

    def finish_last(self, event: simpy.Event) -> None:
        """Record the end of an op that nothing waits for, and perhaps of the step."""
        self.finish(event)
        self.sinks -= 1
        if self.sinks == 0 and self.complete:
            self.complete()

    def wait(self, index: int) -> float:
        """Free the hosts that waited for an op, and return when they issue it."""
        graph, host_free, place = self.graph, self.host_free, self.place
        ranks = graph.ranks[index]
        host_begin = self.ready[index]
        for rank in ranks:
            if host_free[rank] > host_begin:  # noqa: PLR1730 - faster than max
                host_begin = host_free[rank]
        for rank in ranks:
            host_free[rank] = host_begin + graph.host[index]
            place[rank] += 1
        return host_begin

    def finish(self, event: simpy.Event) -> None:
        """Record an op's end and start whatever waited only for it."""
        index = event._value  # noqa: SLF001 - the property checks what cannot fail
        missing, ready = self.missing, self.ready
        now = self.end[index] = self.environment._now  # noqa: SLF001 - see the class
        for other in self.successors[index]:
            ready[other] = now
            left = missing[other] - 1
            missing[other] = left
            if left == 0:
                self.start(other)
