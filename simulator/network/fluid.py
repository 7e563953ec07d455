"""The fluid network: jobs that share links at max-min fair rates, on an event clock.

A job is a vector of bytes per link, a transfer or a whole collective, that progresses
on all of its links alike. Its rate is what its busiest link carries of it. Rates
change only when a job starts or ends, and only for jobs connected to it by shared
links; whatever changes at one instant is solved once. In between, what is left of a
job is a straight line, kept as a point and a slope, and nothing is rounded off by
going through steps.

The clock is a SimPy environment, or anything with `now`, `event` and `timeout`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from simulator.network.fair import Flows, fair_rates
from topologies.graphs.arrays import Booleans, Floats, Integers
from topologies.units import Bytes, BytesPerSecond, Count, Seconds

_SAME_TIME = 2.0**-48  # a few roundings of the clock: what ends so close ends together


class Clock(Protocol):
    """What the network needs of a SimPy environment."""

    @property
    def now(self) -> Seconds:
        """Simulated time [s]."""

    def event(self) -> Any:
        """Return an event that somebody triggers."""

    def timeout(self, delay: Seconds, value: Any = None) -> Any:
        """Return an event that triggers itself after a delay."""


@dataclass(slots=True, eq=False)
class _Job:
    """A job under way: `left` bytes at time `since`, going at `rate` from there."""

    link: Integers
    share: Floats
    size: Bytes
    weight: Count
    done: Any
    left: Bytes
    since: Seconds
    rate: BytesPerSecond = 0.0

    def end(self) -> Seconds:
        """Return when it is finished if nothing changes [s]."""
        return self.since + self.left / self.rate if self.rate > 0 else np.inf

    def moved(self, now: Seconds) -> Bytes:
        """Return the bytes of its busiest link that are through [B]."""
        return self.size - max(self.left - self.rate * (now - self.since), 0.0)


class FluidNetwork:
    """Links that jobs share; it owns the jobs under way.

    Fields:
        solved: flows whose rates were computed, summed over all changes [1].
    """

    def __init__(self, clock: Clock, bandwidth: ArrayLike) -> None:
        """Begin with idle links.

        Args:
            clock: a SimPy environment.
            bandwidth: of every link, above 0 [B/s].
        """
        self.clock = clock
        self.bandwidth: Floats = np.array(bandwidth, np.float64)
        if not np.all((self.bandwidth > 0) & np.isfinite(self.bandwidth)):
            raise ValueError("the bandwidth of a link is above 0 and finite")
        self.solved = 0
        self._jobs: dict[int, _Job] = {}  # in order of arrival
        self._next_job = 0
        self._carried = np.zeros(len(self.bandwidth))
        self._changed: Booleans = np.zeros(len(self.bandwidth), bool)
        self._is_waiting = False  # for the solution of this instant
        self._alarm = 0  # the timer that counts; older ones are ignored

    def start(
        self,
        links: ArrayLike,
        sizes: ArrayLike,
        *,
        weight: Count = 1.0,
        latency: Seconds = 0.0,
    ) -> Any:
        """Return an event that triggers when a job is done, with the time as value.

        Args:
            links: that the job crosses, each once; none takes only the latency.
            sizes: bytes on each link; links with 0 do not count [B].
            weight: flows that the job stands for on its busiest link [1].
            latency: before the first byte moves [s].
        """
        link, size = np.asarray(links, np.int64), np.asarray(sizes, np.float64)
        size = np.broadcast_to(size, link.shape)
        if not (weight > 0 and latency >= 0 and np.all(size >= 0)):
            raise ValueError("weight is above 0, latency and sizes are at least 0")
        if len(np.unique(link)) < len(link):
            raise ValueError("a link appears twice in one job; sum its bytes")
        link, size = link[size > 0], size[size > 0]
        done = self.clock.event()
        largest = float(size.max(initial=0.0))
        share = size / largest if largest else size
        job = _Job(link, share, largest, weight, done, largest, self.clock.now)
        if latency > 0:
            self.clock.timeout(latency).callbacks.append(lambda _: self._enter(job))
        else:
            self._enter(job)
        return done

    def rates(self) -> list[BytesPerSecond]:
        """Return the rate of every job under way, in order of arrival [B/s]."""
        return [job.rate for job in self._jobs.values()]

    def carried(self) -> Floats:
        """Return the bytes that every link has carried until now [B]."""
        total = self._carried.copy()
        for job in self._jobs.values():
            total[job.link] += job.share * job.moved(self.clock.now)
        return total

    def _enter(self, job: _Job) -> None:
        if not len(job.link):
            job.done.succeed(self.clock.now)
            return
        job.since = self.clock.now
        self._jobs[self._next_job] = job
        self._next_job += 1
        self._change(job)

    def _change(self, job: _Job) -> None:
        """Mark a job's links; all changes of this instant are solved together."""
        self._changed[job.link] = True
        if not self._is_waiting:
            self._is_waiting = True
            self.clock.timeout(0.0).callbacks.append(self._solve)

    def _solve(self, _: Any) -> None:
        """Give new rates to all jobs that are connected to what changed."""
        self._is_waiting = False
        jobs = list(self._jobs.values())
        if jobs:
            now = self.clock.now
            flows = _flows(jobs)
            affected = connected(flows, self._changed)
            mine = [job for job, is_one in zip(jobs, affected, strict=True) if is_one]
            self.solved += len(mine)
            part = _flows(mine) if len(mine) < len(jobs) else flows
            for job, rate in zip(mine, self._fair(part), strict=True):
                if rate != job.rate:
                    job.left = max(job.left - job.rate * (now - job.since), 0.0)
                    job.since, job.rate = now, rate
        self._changed[:] = False
        self._set_alarm()

    def _fair(self, flows: Flows) -> list[BytesPerSecond]:
        if not len(flows.weight):
            return []
        # Only links in use, so that a small component of a large network is cheap.
        used, link = np.unique(flows.link, return_inverse=True)
        own = Flows(flows.start, link, flows.share, flows.weight)
        rates: list[float] = fair_rates(own, self.bandwidth[used]).tolist()
        return rates

    def _set_alarm(self) -> None:
        """Wake up when the next job ends; earlier alarms no longer count."""
        self._alarm += 1
        if self._jobs:
            first = min(job.end() for job in self._jobs.values())
            delay = max(first - self.clock.now, 0.0)
            timer = self.clock.timeout(delay, self._alarm)
            timer.callbacks.append(self._finish)

    def _finish(self, timer: Any) -> None:
        if timer.value != self._alarm:
            return
        limit = self.clock.now * (1.0 + _SAME_TIME)
        first = min(job.end() for job in self._jobs.values())
        limit = max(limit, first)
        over = [key for key, job in self._jobs.items() if job.end() <= limit]
        ended = [self._jobs.pop(key) for key in over]
        for job in ended:
            self._carried[job.link] += job.share * job.size
            job.done.succeed(self.clock.now)
        # After the events, so that what they start is part of the same solution.
        for job in ended:
            self._change(job)


def connected(flows: Flows, links: Booleans) -> Booleans:
    """Return which flows are connected to some links by links that flows share."""
    touched: Booleans = np.zeros(len(flows.weight), bool)
    reached = links.copy()
    counts = np.diff(flows.start)
    while True:
        now: Booleans = np.logical_or.reduceat(reached[flows.link], flows.start[:-1])
        if np.array_equal(now, touched):
            return touched
        touched = now
        reached[flows.link[np.repeat(touched, counts)]] = True


def _flows(jobs: Iterable[_Job]) -> Flows:
    """Return jobs, each with at least one link, as flows."""
    all_ = list(jobs)
    if not all_:
        none = np.zeros(0, np.int64)
        return Flows(np.zeros(1, np.int64), none, np.zeros(0), np.zeros(0))
    start = np.zeros(len(all_) + 1, np.int64)
    np.cumsum([len(job.link) for job in all_], out=start[1:])
    return Flows(
        start,
        np.concatenate([job.link for job in all_]),
        np.concatenate([job.share for job in all_]),
        np.array([job.weight for job in all_], np.float64),
    )
