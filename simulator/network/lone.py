"""Jobs that have all their links for themselves: no rates to share, one timer each.

Most messages of a training step meet nobody. Their end is known when they begin; only
if somebody else comes to one of their links do they become jobs like others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.network.fair import Flows
from topologies.graphs.arrays import Floats, Integers
from topologies.units import (
    Bytes,
    BytesPerSecond,
    Count,
    Ratio,
    Seconds,
    SecondsPerByte,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoneJob:
    """A job alone on its links.

    Fields:
        flow: the links that it crosses, and its share on each.
        size: bytes on its busiest link [B].
        limit: of its rate on the busiest link [B/s].
        since, end: of its transfer, as long as it is alone [s].
        done: event that it is over.
        work: that every byte on every link makes for processors [s/B].
    """

    flow: Flows
    size: Bytes
    limit: BytesPerSecond
    since: Seconds
    end: Seconds
    done: Any
    work: SecondsPerByte = 0.0

    @property
    def link(self) -> Integers:
        """Links that it crosses."""
        return self.flow.link

    @property
    def share(self) -> Floats:
        """Bytes on each of them, over those of the busiest [1]."""
        return self.flow.share

    @property
    def demand(self) -> Count:
        """How many processors it keeps busy [1]."""
        return float(self.work * self.size * self.share.sum() / (self.end - self.since))

    def moved(self, now: Seconds) -> Ratio:
        """Return which part of its bytes is through [1]."""
        return (now - self.since) / (self.end - self.since)


class LoneJobs:
    """The lone jobs under way, and which of them each link has."""

    def __init__(self, num_links: int) -> None:
        self._jobs: dict[int, LoneJob] = {}
        self._next = 0
        self._on_link = np.full(num_links, -1)

    def add(self, job: LoneJob) -> int:
        """Note that a job has its links; return its number."""
        number, self._next = self._next, self._next + 1
        self._jobs[number] = job
        self._on_link[job.link] = number
        return number

    def take(self, number: int) -> LoneJob | None:
        """Return a job and forget it; None if somebody has come and it is no more."""
        job = self._jobs.pop(number, None)
        if job is not None:
            self._on_link[job.link] = -1
        return job

    def met_by(self, links: Integers) -> list[int]:
        """Return the numbers of the jobs that have some of these links."""
        if not self._jobs:
            return []
        found = np.unique(self._on_link[links])
        numbers: list[int] = found[found >= 0].tolist()
        return numbers

    def demand(self) -> Count:
        """Return how many processors they keep busy [1]."""
        return sum(job.demand for job in self._jobs.values() if job.work)

    def add_carried(self, total: Floats, now: Seconds) -> None:
        """Add what each link has carried of them until now [B]."""
        for job in self._jobs.values():
            total[job.link] += job.share * job.size * job.moved(now)
