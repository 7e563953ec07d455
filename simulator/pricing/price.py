"""What an op costs, in a form that composes: a max-plus pair of device and host.

The host issues kernels one after the other; the device runs each when it has been
issued and the one before is finished. For a run of kernels this collapses to

    end = max(device ready + busy, host start + issued),    host end = host start + host

where `busy` is the sum of device times and `issued` the end, counted from the host's
start, on a device that has been idle. Two runs in a row are again such a run, so whole
stages are priced without simulating their kernels, exactly.

Fields may be NumPy arrays, one entry per plan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.costs.elementwise import maximum, minimum
from topologies.units import Count, Ratio, Seconds


@dataclass(frozen=True, slots=True)
class Price:
    """Cost of a run of kernels and messages on one rank.

    Fields:
        busy: device time, sum over the items [s].
        issued: end on an idle device, from the host's start [s].
        host: host time to issue all of it [s].
        compute: the kernels' part of `busy` [s].
        communication: the rest of `busy`: messages, and how much longer kernels
            take for those beside them [s].
        hidden: the part of `compute` that a message of the same run is beside [s].
    """

    busy: Seconds
    issued: Seconds
    host: Seconds
    compute: Seconds
    communication: Seconds
    hidden: Seconds = 0.0

    def then(self, other: Price) -> Price:
        """Return the price of this run followed by `other`."""
        return Price(
            self.busy + other.busy,
            maximum(self.issued + other.busy, self.host + other.issued),
            self.host + other.host,
            self.compute + other.compute,
            self.communication + other.communication,
            self.hidden + other.hidden,
        )

    def beside(self, other: Price, slowdown: Ratio = 0.0) -> Price:
        """Return the price of this message while `other`, issued after it, runs.

        Both wait for what is before them; what follows waits for both. With κ the
        slowdown, m the message and c the kernels, kernels have done m / (1 + κ) of
        their work when a shorter message ends, and go on at their full rate:

        busy = max(m, m + c - m / (1 + κ)) = max(m, c + m · κ / (1 + κ))
        """
        done = self.busy / (1.0 + slowdown)
        busy = maximum(self.busy, other.busy + (self.busy - done))
        issued = maximum(self.issued, self.host + other.issued)
        return Price(
            busy,
            maximum(issued, self.host + busy),
            self.host + other.host,
            other.compute,
            busy - other.compute,
            minimum(done, other.compute),
        )

    def repeat(self, count: Count) -> Price:
        """Return the price of `count` such runs in a row; `count` at least 1.

        issued = issued₁ + (count - 1) · max(busy₁, host₁): after each run either the
        device or the host is the one that lags, and always the same one.
        """
        return Price(
            count * self.busy,
            self.issued + (count - 1) * maximum(self.busy, self.host),
            count * self.host,
            count * self.compute,
            count * self.communication,
            count * self.hidden,
        )


NOTHING = Price(0.0, 0.0, 0.0, 0.0, 0.0)


def kernel(busy: Seconds, host: Seconds) -> Price:
    """Return the price of one kernel."""
    return Price(busy, host + busy, host, busy, 0.0)


def message(busy: Seconds, host: Seconds) -> Price:
    """Return the price of one inline message."""
    return Price(busy, host + busy, host, 0.0, busy)


def blocking(price: Price) -> Price:
    """Return the price of a kernel or message whose end the host waits for.

    The host's time is then that of issuing and of running it, so that nothing is
    issued ahead.
    """
    return replace(price, host=price.host + price.busy)
