"""The analytical engine for one plan: the exact longest path, without a clock.

Ops are visited as soon as everything before them is known, in no particular order of
time. The answer is the same in any order, because nothing is shared.

Where messages slow the kernels beside them, the path is a fixed point: kernels are
stretched by the messages that they ran beside, which moves the messages, until nothing
moves. It ends: if all is right that happens before an instant, the next round gets
right what happens at it, because kernels up to there are stretched by what is known,
and there are finitely many instants. A shift of kernels together with the messages
beside them changes no stretch, so that a few rounds do.

Rounds have been seen to alternate all the same, by 8e-6 of a step, with Llama 3 405B in
16 x 8 stages of which the first and the last have no block; why is not known. So after
a number of rounds stretches only grow, which ends and is at most that much too slow.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from simulator.engines.graph import Graph, Pace, Times
from simulator.engines.stretch import stretched
from topologies.units import Seconds

_STILL = 1e-13
"""Stretches that move less than this share of the step are rounding."""
_FREE_ROUNDS = 60
"""Rounds after which stretches only grow."""


def longest_path(graph: Graph) -> Times:
    """Return ready and end times of every op; an op that cannot run ends at -1."""
    walk = _walked(graph)
    if graph.pace is not None:
        return _slowed_path(graph, graph.pace, walk)
    return Times(walk.ready, walk.end)


def _walked(graph: Graph) -> _Walk:
    """Return what is known when every op that can run has run."""
    walk = _Walk(graph)
    for rank in range(len(graph.programs)):
        walk.issue(rank)
    walk.visit_all()
    return walk


def _slowed_path(graph: Graph, pace: Pace, walk: _Walk) -> Times:
    """Return the times at which kernels are as slow as the messages beside them say.

    Args:
        graph: with the device times of ops alone.
        pace: how messages slow kernels.
        walk: of that graph.
    """
    busy = graph.busy
    for turn in count():
        begins = _larger(walk.ready, walk.host_start)
        now = stretched(graph, pace, begins, walk.end)
        if turn >= _FREE_ROUNDS:
            now = _larger(busy, now)
        moved = max(abs(one - other) for one, other in zip(busy, now, strict=True))
        busy = now
        if moved <= _STILL * max(walk.end):
            break
        issued = _larger(graph.issued, busy)  # which begins with its host
        walk = _walked(replace(graph, busy=busy, issued=issued))
    slowed: dict[int, Seconds] = {}
    for index, share in enumerate(pace.kernels):
        if share:
            at_host = walk.host_start[index] + graph.issued[index]
            alone = max(walk.ready[index] + graph.busy[index], at_host)
            slowed[index] = walk.end[index] - alone
    return Times(walk.ready, walk.end, slowed=slowed)


def _larger(ones: list[float], others: list[float]) -> list[float]:
    """Return the larger of each pair."""
    return [max(pair) for pair in zip(ones, others, strict=True)]


class _Walk:
    """What is known so far; `work` holds the ops whose ends can be computed next."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.work: list[int] = []
        self.missing = graph.missing()
        self.ready = [0.0] * len(graph.busy)
        self.end = [-1.0] * len(graph.busy)
        self.host_start = [0.0] * len(graph.busy)
        self.host_free = [0.0] * len(graph.programs)
        self.place = [0] * len(graph.programs)

    def issue(self, rank: int) -> None:
        """Let a host run ahead up to the first op that it must wait for."""
        graph, missing, host_start = self.graph, self.missing, self.host_start
        program, waits, host = graph.programs[rank], graph.host_waits, graph.host
        position, free = self.place[rank], self.host_free[rank]
        while position < len(program):
            index = program[position]
            missing[index] -= 1
            if missing[index] == 0:
                self.work.append(index)
            if waits[index]:
                break
            if free > host_start[index]:  # noqa: PLR1730 - faster than max
                host_start[index] = free
            free += host[index]
            position += 1
        self.place[rank], self.host_free[rank] = position, free

    def visit_all(self) -> None:
        """Compute ends, and tell whatever waits for them, until nothing can run."""
        graph, work, ready, missing = self.graph, self.work, self.ready, self.missing
        busy, issued, host_waits = graph.busy, graph.issued, graph.host_waits
        while work:
            index = work.pop()
            is_waited_for = host_waits[index]
            host_begin = self.wait(index) if is_waited_for else self.host_start[index]
            finish = ready[index] + busy[index]
            if host_begin + issued[index] > finish:  # noqa: PLR1730 - faster than max
                finish = host_begin + issued[index]
            self.end[index] = finish
            for other in graph.successors[index]:
                if finish > ready[other]:  # noqa: PLR1730 - faster than max
                    ready[other] = finish
                left = missing[other] - 1
                missing[other] = left
                if left == 0:
                    work.append(other)
            if is_waited_for:
                for rank in graph.ranks[index]:
                    self.issue(rank)

    def wait(self, index: int) -> float:
        """Return when the hosts of a blocking op start it, once all have arrived."""
        host_free, ranks = self.host_free, self.graph.ranks[index]
        host_begin = self.ready[index]
        for rank in ranks:
            if host_free[rank] > host_begin:  # noqa: PLR1730 - faster than max
                host_begin = host_free[rank]
        for rank in ranks:
            host_free[rank] = host_begin + self.graph.host[index]
            self.place[rank] += 1
        self.host_start[index] = host_begin
        return host_begin
