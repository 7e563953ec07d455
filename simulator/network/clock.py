"""Clocks: what the network needs of one, and a small one to run a network alone."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

from topologies.units import Seconds


class Clock(Protocol):
    """What the network needs of a SimPy environment."""

    @property
    def now(self) -> Seconds:
        """Simulated time [s]."""

    def event(self) -> Any:
        """Return an event that somebody triggers."""

    def timeout(self, delay: Seconds, value: Any = None) -> Any:
        """Return an event that triggers itself after a delay."""


class _Event:
    """An event of a private clock, with what is to be called when it triggers."""

    def __init__(self, clock: PrivateClock) -> None:
        self.callbacks: list[Callable[[Any], None]] = []
        self.value: Any = None
        self._clock = clock

    def succeed(self, value: Any = None) -> None:
        """Trigger now, after what is already due."""
        self.value = value
        self._clock.schedule(self, 0.0)


class PrivateClock:
    """An event clock like SimPy's, in the same order, without its processes."""

    def __init__(self) -> None:
        self._now: Seconds = 0.0
        self._order = count()
        self._due: list[tuple[Seconds, int, _Event]] = []

    @property
    def now(self) -> Seconds:
        """Simulated time [s]."""
        return self._now

    def event(self) -> _Event:
        """Return an event that somebody triggers."""
        return _Event(self)

    def timeout(self, delay: Seconds, value: Any = None) -> _Event:
        """Return an event that triggers itself after a delay."""
        event = _Event(self)
        event.value = value
        self.schedule(event, delay)
        return event

    def schedule(self, event: _Event, delay: Seconds) -> None:
        """Trigger an event after a delay, behind others of the same time."""
        heapq.heappush(self._due, (self._now + delay, next(self._order), event))

    def run(self) -> None:
        """Go on until nothing is left to happen."""
        while self._due:
            self._now, _, event = heapq.heappop(self._due)
            for callback in event.callbacks:
                callback(event)
