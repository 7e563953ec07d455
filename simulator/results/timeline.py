"""What happened when: the spans that every engine returns and every report reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from simulator.engines.graph import Times
from simulator.job import Job
from simulator.workload import Op, Role, Stream
from topologies.units import Seconds


class Span(NamedTuple):
    """One op on one rank.

    Fields:
        op: what ran.
        rank: index into `Timeline.roles`.
        start: its stream and all it depends on were ready [s].
        end: it finished [s].
        compute, communication: how much of it kernels and messages took; to the
            latter counts how much longer kernels took for the messages beside them;
            the rest is the device waiting for its host [s].
    """

    op: Op
    rank: int
    start: Seconds
    end: Seconds
    compute: Seconds
    communication: Seconds

    @property
    def stream(self) -> Stream:
        """The stream that it occupied."""
        return self.op.stream


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The spans of one step, in program order per rank and stream.

    Fields:
        roles: the ranks simulated, and how many real ones each stands for.
        spans: one per op and rank.
        step_time: end of the last span, or, where steps follow one another without
            a gap, the longest time of a rank from its first span to its last [s].
        begins: when the step begins on each rank [s].
    """

    roles: tuple[Role, ...]
    spans: tuple[Span, ...]
    step_time: Seconds
    begins: tuple[Seconds, ...]


def timeline(job: Job, times: Times) -> Timeline:
    """Return the spans of a job whose ops ran at `times`."""
    parts = {
        body: (float(price.compute), float(price.communication))
        for body, price in job.prices.items()
    }
    under_way, slowed = times.under_way, times.slowed
    ends = zip(job.workload.ops, times.ready, times.end, strict=True)
    spans = tuple(
        Span(op, rank, ready, end, computed, lost + slowed.get(index, 0.0))
        for index, (op, ready, end) in enumerate(ends)
        for compute, communication in (parts[op.body],)
        for lost in (under_way.get(index, communication),)
        for computed in (compute + times.crowded.get(index, 0.0),)
        for rank in op.ranks
    )
    begins = step_begins(job, times)
    return Timeline(job.workload.roles, spans, step_time(job, times), begins)


def step_time(job: Job, times: Times) -> Seconds:
    """Return how long after a step the next one can begin [s].

    With all ranks meeting at its end, that is the end of its last op. If they never
    meet (post-validation), the next step begins on a rank while others are still at
    this one, and the rank that is busy longest sets the pace.
    """
    if not job.plan.training.post_validation:
        return max(times.end)
    begins = step_begins(job, times)
    ends = [0.0] * len(begins)
    for op, end in zip(job.workload.ops, times.end, strict=True):
        for rank in op.ranks:
            ends[rank] = max(ends[rank], end)
    return max(end - begin for begin, end in zip(begins, ends, strict=True))


def step_begins(job: Job, times: Times) -> tuple[Seconds, ...]:
    """Return when the step begins on each rank [s]."""
    ranks = len(job.workload.roles)
    if not job.plan.training.post_validation:
        return (0.0,) * ranks
    begins = [float("inf")] * ranks
    for op, ready in zip(job.workload.ops, times.ready, strict=True):
        for rank in op.ranks:
            begins[rank] = min(begins[rank], ready)
    return tuple(begins)
