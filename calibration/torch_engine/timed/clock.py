"""When things are over: events of one rank on the machine's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Lock

from topologies.units import Seconds


def sleep_until(moment: Seconds) -> None:
    """Sleep until a moment of the monotonic clock."""
    left = moment - time.monotonic()
    if left > 0:
        time.sleep(left)


class Ending:
    """The end of an op, for others to wait for."""

    def __init__(self) -> None:
        self._over = Event()
        self._error: BaseException | None = None

    def set(self, error: BaseException | None = None) -> None:
        """Say that it has ended, or that it never will."""
        self._error = error
        self._over.set()

    def wait(self) -> None:
        """Wait for it; raise what kept it from ending."""
        self._over.wait()
        if self._error is not None:
            raise self._error


class Arrival:
    """A message under way to this rank; whoever waits first takes it in."""

    def __init__(self, take: Callable[[], None]) -> None:
        self._take: Callable[[], None] | None = take
        self._taking = Lock()

    def wait(self) -> None:
        """Wait until it is here."""
        with self._taking:
            if self._take is not None:
                self._take()
                self._take = None
