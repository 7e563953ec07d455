"""The fluid network: jobs that share links at max-min fair rates, on an event clock.

A job is a vector of bytes per link, a transfer or a whole collective, that progresses
on all of its links alike. Its rate is what its busiest link carries of it. Rates
change only when a job starts or ends, and only for jobs connected to it by shared
links; whatever changes at one instant is solved once. Many flows may start in one
call, and those that end in one instant are reported in one.

The clock is a SimPy environment, or anything with `now`, `event` and `timeout`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simulator.network.clock import Clock
from simulator.network.fair import Flows
from simulator.network.jobs import Jobs, connected, limited_rates, one_flow, subset
from simulator.network.lone import LoneJob, LoneJobs
from topologies.graphs.arrays import Booleans, Floats, Integers, sums
from topologies.units import Bytes, BytesPerSecond, Count, Seconds

_SAME_TIME = 2.0**-48  # a few roundings of the clock: what ends so close ends together

OnEnd = Callable[[Integers], None]


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
        self._jobs = Jobs()
        self._batches: dict[int, _Batch] = {}
        self._next_owner = 0
        self._lone = LoneJobs(len(self.bandwidth))
        self._users = np.zeros(len(self.bandwidth), np.int64)  # jobs on each link
        self._carried = np.zeros(len(self.bandwidth))
        self._changed: Booleans = np.zeros(len(self.bandwidth), bool)
        self._is_waiting = False  # for the solution of this instant
        self._alarm = 0  # the timer that counts; older ones are ignored

    def start(  # noqa: PLR0913 - where it goes, and five options
        self,
        links: ArrayLike,
        sizes: ArrayLike,
        *,
        weight: Count = 1.0,
        latency: Seconds = 0.0,
        limit: BytesPerSecond = np.inf,
        alone: Seconds = 0.0,
    ) -> Any:
        """Return an event that triggers when a job is done, with the time as value.

        Args:
            links: that the job crosses, each once; none takes only the latency.
            sizes: bytes on each link; links with 0 do not count [B].
            weight: flows that the job stands for on its busiest link [1].
            latency: before the first byte moves [s].
            limit: of the job's rate on its busiest link [B/s].
            alone: how long it moves if it meets nobody; 0 if that is not known [s].
        """
        link, size = np.asarray(links, np.int64), np.asarray(sizes, np.float64)
        size = np.broadcast_to(size, link.shape)
        if not (weight > 0 and latency >= 0 and limit > 0 and np.all(size >= 0)):
            raise ValueError(
                "weight and limit are above 0, latency and sizes are at least 0"
            )
        done = self.clock.event()
        job, largest = one_flow(link, size, weight)

        def enter(_: Any = None) -> None:
            if not len(job.link):
                finish()
            elif alone > 0 and not self._users[job.link].any():
                self._begin_alone(job, float(largest[0]), limit, alone, done)
            else:
                self.start_flows(job, largest, finish, limit=limit)

        def finish(_: Any = None) -> None:
            done.succeed(self.clock.now)

        if latency > 0:
            self.clock.timeout(latency).callbacks.append(enter)
        else:
            enter()
        return done

    def start_flows(
        self,
        flows: Flows,
        sizes: Floats,
        on_end: OnEnd,
        *,
        limit: BytesPerSecond = np.inf,
    ) -> None:
        """Start flows in this instant.

        Args:
            flows: each with at least one link.
            sizes: of each flow, above 0; infinite for one that never ends [B].
            on_end: called with the places of those that end in one instant.
            limit: of the rate of each flow [B/s].
        """
        for number in self._lone.met_by(flows.link):
            self._join(number)
        np.add.at(self._users, flows.link, 1)
        owner = self._next_owner
        self._next_owner += 1
        self._batches[owner] = _Batch(len(sizes), on_end)
        self._jobs.add(flows, sizes, limit, self.clock.now, owner)
        self._change(flows.link)

    def rates(self) -> list[BytesPerSecond]:
        """Return the rate of every job that may share, in order of arrival [B/s]."""
        rates: list[float] = self._jobs.rate.tolist()
        return rates

    def carried(self) -> Floats:
        """Return the bytes that every link has carried until now [B]."""
        jobs, now = self._jobs, self.clock.now
        total = self._carried + jobs.loads(jobs.moved(now), len(self.bandwidth))
        self._lone.add_carried(total, now)
        return total

    def _begin_alone(
        self,
        flow: Flows,
        size: Bytes,
        limit: BytesPerSecond,
        alone: Seconds,
        done: Any,
    ) -> None:
        """Begin a job on links that nobody uses; its end is known."""
        now = self.clock.now
        job = LoneJob(
            flow=flow, size=size, limit=limit, since=now, end=now + alone, done=done
        )
        self._users[job.link] += 1
        timer = self.clock.timeout(alone, self._lone.add(job))
        timer.callbacks.append(self._finish_alone)

    def _finish_alone(self, timer: Any) -> None:
        """End a job that met nobody."""
        job = self._lone.take(timer.value)
        if job is not None:
            self._users[job.link] -= 1
            self._carried[job.link] += job.share * job.size
            job.done.succeed(self.clock.now)

    def _join(self, number: int) -> None:
        """Turn a lone job into one that shares its links, with what is left of it."""
        job = self._lone.take(number)
        assert job is not None, "it was under way"
        moved = job.size * min(job.moved(self.clock.now), 1.0)
        self._users[job.link] -= 1
        self._carried[job.link] += job.share * moved
        if moved == job.size:
            job.done.succeed(self.clock.now)
            return
        left = np.array([job.size - moved])
        finish = partial(_succeed, job.done, self.clock)
        self.start_flows(job.flow, left, finish, limit=job.limit)

    def _change(self, links: Integers) -> None:
        """Mark links; all changes of this instant are solved together."""
        self._changed[links] = True
        if not self._is_waiting:
            self._is_waiting = True
            self.clock.timeout(0.0).callbacks.append(self._solve)

    def _solve(self, _: Any) -> None:
        """Give new rates to all jobs that are connected to what changed."""
        self._is_waiting = False
        jobs = self._jobs
        if len(jobs):
            affected = np.flatnonzero(connected(jobs.flows, self._changed))
            if len(affected):
                is_all = len(affected) == len(jobs)
                flows = jobs.flows if is_all else subset(jobs.flows, affected)
                self.solved += len(affected)
                rates = limited_rates(flows, jobs.limit[affected], self.bandwidth)
                jobs.set_rates(affected, rates, self.clock.now)
        self._changed[:] = False
        self._set_alarm()

    def _set_alarm(self) -> None:
        """Wake up when the next job ends; earlier alarms no longer count."""
        self._alarm += 1
        first = float(self._jobs.ends().min(initial=np.inf))
        if first < np.inf:
            timer = self.clock.timeout(max(first - self.clock.now, 0.0), self._alarm)
            timer.callbacks.append(self._finish)

    def _finish(self, timer: Any) -> None:
        if timer.value != self._alarm:
            return
        jobs, ends = self._jobs, self._jobs.ends()
        is_over = ends <= max(self.clock.now * (1.0 + _SAME_TIME), ends.min())
        owner, place = jobs.owner[is_over], jobs.place[is_over]
        links = self._forget(is_over, jobs.size[is_over])
        # The solution comes after the calls and their events, so that what those
        # start is part of it.
        self._is_waiting = True
        for each in dict.fromkeys(owner.tolist()):
            mine = place[owner == each]
            self._batches[each].report(mine)
            if not self._batches[each].left:
                del self._batches[each]
        self._is_waiting = False
        self._change(links)

    def _forget(self, is_over: Booleans, moved: Floats) -> Integers:
        """Count the bytes of some jobs, drop them, and return their links."""
        flows = subset(self._jobs.flows, np.flatnonzero(is_over))
        each = np.repeat(moved, np.diff(flows.start)) * flows.share
        self._carried += sums(flows.link, each, len(self._carried))
        np.subtract.at(self._users, flows.link, 1)
        self._jobs.remove(is_over)
        return flows.link


@dataclass(slots=True, eq=False)
class _Batch:
    """Flows that started together: how many are left, and who is told of ends."""

    left: int
    on_end: OnEnd

    def report(self, places: Integers) -> None:
        self.left -= len(places)
        self.on_end(places)


def _succeed(done: Any, clock: Clock, _: Integers) -> None:
    """Trigger the event of a job that is over."""
    done.succeed(clock.now)
