"""Background traffic: what others send over the same links while a step runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.network.fair import Flows
from simulator.network.fluid import FluidNetwork
from simulator.network.router import Router
from topologies.graphs.arrays import Floats, Integers
from topologies.units import Bytes, BytesPerSecond, Seconds

GoesOn = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """A steady flow between two endpoints.

    Fields:
        link: that it crosses.
        fraction: of its rate on each link [1].
        rate: that it takes where its fair share allows so much [B/s].
    """

    link: Integers
    fraction: Floats
    rate: BytesPerSecond

    def begin(self, network: FluidNetwork, goes_on: GoesOn) -> None:
        """Flow until the clock is no longer looked at."""
        del goes_on
        start = np.array([0, len(self.link)])
        flow = Flows(start, self.link, self.fraction, np.ones(1))
        network.start_flows(flow, np.full(1, np.inf), _ignore, limit=self.rate)


@dataclass(frozen=True, slots=True, eq=False)
class Pulses:
    """A message that is sent at equal intervals, or as soon as the last has arrived.

    Fields:
        link: that it crosses.
        fraction: of its bytes on each link [1].
        size: of a message [B].
        period: from one to the next [s].
    """

    link: Integers
    fraction: Floats
    size: Bytes
    period: Seconds

    def begin(self, network: FluidNetwork, goes_on: GoesOn) -> None:
        """Send a message now, and the next when its time has come and this arrived."""
        if goes_on():
            next_one = _Second(lambda: self.begin(network, goes_on))
            sent = network.start(self.link, self.size * self.fraction)
            for each in (sent, network.clock.timeout(self.period)):
                each.callbacks.append(next_one)


class _Second:
    """Calls a function when it is called for the second time."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, _: Any) -> None:
        self.calls += 1
        if self.calls == 2:
            self.function()


def stream(router: Router, ends: tuple[int, int], rate: BytesPerSecond) -> Stream:
    """Return a steady flow from one endpoint to another.

    Args:
        router: of the network.
        ends: sender and receiver.
        rate: at most [B/s].
    """
    link, fraction = router.routes([ends]).of(0)
    return Stream(link, fraction, rate)


def pulses(
    router: Router, ends: tuple[int, int], size: Bytes, period: Seconds
) -> Pulses:
    """Return messages from one endpoint to another.

    Args:
        router: of the network.
        ends: sender and receiver.
        size: of a message [B].
        period: from one to the next [s].
    """
    link, fraction = router.routes([ends]).of(0)
    return Pulses(link, fraction, size, period)


def _ignore(_: Integers) -> None:
    """Take no note of ends that never come."""
