"""Kernels that slow down and speed up on a clock, as messages and others come and go.

Every op with kernels has work left, and a rate; when the first message of its rank
begins, or the last one ends, the work done so far is written off, and its end is
scheduled anew. Where ranks share cores, so is that of all ops with kernels when one
of them begins or ends, or when messages need more of the cores, or less.

Limits: cores are shared evenly, as by a scheduler with short turns; a kernel that its
host issues late holds its share from when all before it has ended. What messages need
they have at once, up to half of the cores: they are sent by threads that sleep most of
the time, and passed on by the kernel of the system. They are not slowed themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import simpy

from simulator.engines.graph import Graph, Pace
from topologies.units import Count, Ratio, Seconds

_LEAST: Ratio = 0.5  # of all cores, that are left to kernels


@dataclass(slots=True)
class _Running:
    """An op under way.

    Fields:
        timeout: at which it ends, as things are.
        finish: when that is [s].
        alone: when it would end with no message beside it [s].
        left: device time that is left, at full rate, at `since` [s].
        since: when it was left, or when the device will begin [s].
        rate: of progress [1].
        alone_rate: the same with the cores for itself [1].
        crowded: how long it was kept from progress by others on its cores [s].
    """

    timeout: simpy.Timeout
    finish: Seconds
    alone: Seconds
    left: Seconds
    since: Seconds
    rate: Ratio = 1.0
    alone_rate: Ratio = 1.0
    crowded: Seconds = 0.0


class Pacing:
    """Who sends, and what is computed meanwhile: the part of a `Run` that is slowed.

    Fields:
        slowed: how much later ops ended for the messages beside them, by op [s].
        crowded: how much later for kernels that shared their cores, by op [s].
    """

    __slots__ = (
        "_environment",
        "_graph",
        "_left",
        "_on_rank",
        "_pace",
        "_running",
        "_sending",
        "crowded",
        "slowed",
    )

    def __init__(
        self, environment: simpy.Environment, graph: Graph, pace: Pace
    ) -> None:
        """Prepare to pace a step's kernels."""
        self._environment = environment
        self._graph = graph
        self._pace = pace
        self._left: Count = pace.cores
        self._sending = [0] * len(graph.programs)
        self._on_rank = [-1] * len(graph.programs)
        self._running: dict[int, _Running] = {}
        self.slowed: dict[int, Seconds] = {}
        self.crowded: dict[int, Seconds] = {}

    @property
    def is_crowded(self) -> bool:
        """Whether ranks share cores."""
        return self._pace.cores < inf

    def start(self, timeout: simpy.Timeout, begin: Seconds, finish: Seconds) -> None:
        """Note that an op starts, and let it end when its kernels are through.

        Args:
            timeout: at which it ends with no message beside it.
            begin: when the device can begin it, now or later [s].
            finish: the time of the timeout [s].
        """
        index = _index(timeout)
        busy = self._graph.busy[index]
        if self._pace.kernels[index]:
            self._running[index] = _Running(timeout, finish, finish, busy, begin)
            _before(timeout, self._finish)
            for rank in self._graph.ranks[index]:
                self._on_rank[rank] = index
            self._adjust(index)
            self._share()
        elif self._pace.is_message[index] and busy:
            delay = max(finish - busy - self._environment.now, 0.0)  # rounding
            sending = simpy.Timeout(self._environment, delay, index)
            _before(sending, self._send)
            _before(timeout, self._arrive)

    def begin(self, index: int) -> None:
        """Slow the kernels on the ranks of a message, which begins now."""
        if self._pace.is_message[index]:
            self._count(index, 1)

    def end(self, index: int) -> None:
        """Speed up the kernels on the ranks of a message, which ends now."""
        if self._pace.is_message[index]:
            self._count(index, -1)

    def demand(self, cores: Count) -> None:
        """Leave kernels what messages do not need of the cores.

        Args:
            cores: that all messages under way keep busy [1].
        """
        left = max(self._pace.cores - cores, _LEAST * self._pace.cores)
        if left != self._left:
            self._left = left
            self._share()

    def _send(self, event: simpy.Event) -> None:
        self._count(_index(event), 1)

    def _arrive(self, event: simpy.Event) -> None:
        self._count(_index(event), -1)

    def _count(self, index: int, change: int) -> None:
        """Change how many messages are under way on the ranks of one."""
        for rank in self._graph.ranks[index]:
            self._sending[rank] += change
            if self._on_rank[rank] >= 0:
                self._adjust(self._on_rank[rank])

    def _adjust(self, index: int) -> None:
        """Let an op go on at the rate of now."""
        op = self._running[index]
        is_slowed = any(self._sending[rank] for rank in self._graph.ranks[index])
        slowdown = self._pace.slowdown if is_slowed else 0.0
        kernels = self._pace.kernels[index]
        turns = max(1.0, len(self._running) / self._left)
        rate = 1.0 / (1.0 + kernels * ((1.0 + slowdown) * turns - 1.0))
        if rate == op.rate:
            return
        now = self._environment.now
        _write_off(op, now)
        op.rate, op.alone_rate = rate, 1.0 / (1.0 + kernels * slowdown)
        finish = max(op.since + op.left / rate, op.alone)
        if finish != op.finish:
            op.finish = finish
            op.timeout = _moved(op.timeout, finish - now)

    def _finish(self, event: simpy.Event) -> None:
        """Forget an op that has ended."""
        index = _index(event)
        op = self._running.pop(index)
        for rank in self._graph.ranks[index]:
            self._on_rank[rank] = -1
        _write_off(op, self._environment.now)
        self.crowded[index] = op.crowded
        self.slowed[index] = op.finish - op.alone - op.crowded
        self._share()

    def _share(self) -> None:
        """Let all ops go on at their share of the cores."""
        if self.is_crowded:
            for index in list(self._running):
                self._adjust(index)


def _write_off(op: _Running, now: Seconds) -> None:
    """Write off the work that was done up to now."""
    passed = now - op.since
    if passed > 0:
        op.left = max(op.left - passed * op.rate, 0.0)
        op.crowded += passed * (1.0 - op.rate / op.alone_rate)
        op.since = now


def _index(event: simpy.Event) -> int:
    """Return the op that an event is about."""
    index: int = event._value  # noqa: SLF001 - the property checks what cannot fail
    return index


def _before(event: simpy.Event, callback: Callable[[simpy.Event], None]) -> None:
    """Call something first when an event happens."""
    assert event.callbacks is not None
    event.callbacks.insert(0, callback)


def _moved(timeout: simpy.Timeout, delay: Seconds) -> simpy.Timeout:
    """Return a timeout that does what another one would have done, which does not."""
    later = simpy.Timeout(timeout.env, delay, timeout.value)
    later.callbacks, timeout.callbacks = timeout.callbacks, []
    return later
