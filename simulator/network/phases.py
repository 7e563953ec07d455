"""Phases: a round with its repetitions as one job on the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulator.network.jobs import limited_rates, subset
from simulator.network.placing import PlacedRound
from topologies.graphs.arrays import Floats, Integers
from topologies.units import Bytes, BytesPerSecond, Count, Seconds

_SAME = 2.0**-40  # what differs by less does so by rounding


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """One job, and how long it takes alone.

    Fields:
        link: that it crosses.
        share: of the bytes of its busiest link, on each link [1].
        size: bytes on its busiest link [B].
        weight: messages on its busiest link [1].
        latency: of all repetitions [s].
        limit: of its rate on the busiest link [B/s].
        transfer: alone on the network, latency apart [s].
    """

    link: Integers
    share: Floats
    size: Bytes
    weight: Count
    latency: Seconds
    limit: BytesPerSecond
    transfer: Seconds

    def time(self) -> Seconds:
        """Return how long it takes alone [s]."""
        return self.latency + self.transfer

    def repeats(self, other: Phase) -> bool:
        """Return whether it treats the links as another does, however long."""
        if (self.weight, self.limit) != (other.weight, other.limit):
            return False
        if not np.array_equal(self.link, other.link):
            return False
        return bool(np.all(np.abs(self.share - other.share) <= _SAME))


def even_phase(
    round_: PlacedRound, bandwidth: Floats, flow_limit: BytesPerSecond
) -> Phase | None:
    """Return a round as a job, or None if its messages do not go and end together.

    Args:
        round_: with its repetitions.
        bandwidth: of every link [B/s].
        flow_limit: of the rate of one message [B/s].
    """
    times = transfer_times(round_, bandwidth, flow_limit)
    if not (is_one(round_.latency) and is_one(times)):
        return None
    least = float(round_.size.max()) / flow_limit
    latency = float(round_.latency.max())
    return _phase(round_, bandwidth, latency, float(times.max()), least)


def paced_phase(
    round_: PlacedRound, bandwidth: Floats, flow_limit: BytesPerSecond
) -> Phase | None:
    """Return a round that is all there is as a job, or None if that is not exact.

    If no message slows another, each always takes the same time, and all wait, by way
    of their neighbours, for the one that takes longest: n repetitions take n times as
    long as that one, from the first on, however far the others run ahead.

    So it is where messages do slow each other but are equal in size and latency. The
    least rate of all, r, is that of the messages on some link that is full. Each pair
    has one message under way at most, so no link is ever more crowded than when all
    move at once, and no message is ever slower than r. Hence at the end of a turn of
    the slowest everyone is ready, and they begin the next one together, at r again.

    Args:
        round_: with its repetitions.
        bandwidth: of every link [B/s].
        flow_limit: of the rate of one message [B/s].

    Source: derived above; the longest chain of messages has n of the longest.
    """
    times = transfer_times(round_, bandwidth, flow_limit)
    if _are_equal(round_.size) and _are_equal(round_.latency):
        time = float(times.max())
        return _phase(round_, bandwidth, float(round_.latency[0]), time, time)
    alone = np.zeros(len(times))
    owner = np.repeat(np.arange(len(times)), np.diff(round_.flows.start))
    each = round_.size[owner] * round_.flows.share / bandwidth[round_.flows.link]
    np.maximum.at(alone, owner, each)
    np.maximum(alone, round_.size / flow_limit, out=alone, where=alone > 0)
    if np.any(times - alone > times * _SAME):
        return None
    slowest = int((round_.latency + times).argmax())
    time = float(times[slowest])
    return _phase(round_, bandwidth, float(round_.latency[slowest]), time, time)


def _are_equal(values: Floats) -> bool:
    return bool(np.ptp(values) <= values.max() * _SAME)


def transfer_times(
    round_: PlacedRound, bandwidth: Floats, flow_limit: BytesPerSecond
) -> Floats:
    """Return how long each message moves if all of a round move at once [s].

    Args:
        round_: with its messages.
        bandwidth: of every link [B/s].
        flow_limit: of the rate of one message [B/s].
    """
    times = np.zeros(len(round_.size))
    moving = np.flatnonzero(np.diff(round_.flows.start))
    if len(moving):
        is_all = len(moving) == len(times)
        flows = round_.flows if is_all else subset(round_.flows, moving)
        limits = np.full(len(moving), flow_limit)
        rates = limited_rates(flows, limits, bandwidth)
        times[moving] = round_.size[moving] / rates
    return times


def is_one(values: Floats) -> bool:
    """Return whether values differ by no more than rounding."""
    return bool(values.max() - values.min() <= values.max() * _SAME)


def timed_phase(round_: PlacedRound, bandwidth: Floats, time: Seconds) -> Phase:
    """Return a round as a job of a given length.

    Args:
        round_: with its repetitions.
        bandwidth: of every link [B/s].
        time: of one repetition alone [s].
    """
    size = round_.link_bytes(len(bandwidth))
    # Those that start early have moved before the last one starts.
    moving = float((size / bandwidth).max())
    latency = max(min(float(round_.latency.max()), time - moving), 0.0)
    return _phase(round_, bandwidth, latency, time - latency, time - latency)


def _phase(
    round_: PlacedRound,
    bandwidth: Floats,
    latency: Seconds,
    transfer: Seconds,
    least: Seconds,
) -> Phase:
    """Return a round as a job.

    Args:
        round_: with its repetitions.
        bandwidth: of every link [B/s].
        latency: of one repetition [s].
        transfer: of one repetition, alone on the network [s].
        least: that one repetition takes on whatever links [s].
    """
    size = round_.link_bytes(len(bandwidth))
    link = np.flatnonzero(size)
    size = size[link]
    largest = float(size.max(initial=0.0))
    flows = round_.link_flows(len(bandwidth))[link]
    return Phase(
        link=link,
        share=size / largest if len(link) else size,
        size=largest * round_.count,
        weight=float(flows[size.argmax()]) if len(link) else 1.0,
        latency=latency * round_.count,
        limit=largest / least if least > 0 else np.inf,
        transfer=transfer * round_.count,
    )


def merged(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """Return phases with those in a row that treat the links alike as one."""
    result: list[Phase] = []
    for phase in phases:
        if result and phase.repeats(result[-1]):
            last = result[-1]
            result[-1] = replace(
                last,
                size=last.size + phase.size,
                latency=last.latency + phase.latency,
                transfer=last.transfer + phase.transfer,
            )
        else:
            result.append(phase)
    return tuple(result)
