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
        compute, communication: how much of it kernels and messages took; the rest
            is the device waiting for its host [s].
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
        step_time: end of the last span [s].
    """

    roles: tuple[Role, ...]
    spans: tuple[Span, ...]
    step_time: Seconds


def timeline(job: Job, times: Times) -> Timeline:
    """Return the spans of a job whose ops ran at `times`."""
    parts = {
        body: (float(price.compute), float(price.communication))
        for body, price in job.prices.items()
    }
    spans = tuple(
        Span(op, rank, ready, end, *parts[op.body])
        for op, ready, end in zip(job.workload.ops, times.ready, times.end, strict=True)
        for rank in op.ranks
    )
    return Timeline(job.workload.roles, spans, max(times.end))
