"""What a real run measured, as records and as JSON; the counterpart of a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

from calibration.torch_engine.task import Report, Spans, ledger_of
from simulator.plan import Plan
from simulator.results.metrics import LedgerRow
from topologies.units import Bytes, Count, Flop, PerSecond, Seconds


class Parts(NamedTuple):
    """Where a step's time went, averaged over ranks; the parts add up to it [s each].

    Fields:
        compute_s: torch computes.
        exposed_communication_s: it does not, and something of this rank is on its way:
            a collective, or what it sends. What it waits to receive is not.
        other_s: neither: Python, a bubble, or waiting for others.
    """

    compute_s: Seconds
    exposed_communication_s: Seconds
    other_s: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A plan that ran.

    Fields:
        times: of every timed step, until the last rank had ended it [s].
        warm_up: steps before them [1].
        world_size: ranks [1].
        samples, tokens: of one step [1].
        ledger: what was sent in one step.
        flop: of all ranks in one step; None where nothing computed [FLOP].
        parameters: that all ranks hold [1].
        memory_peak_bytes: of live tensors on the fullest rank; None as above [B].
        parts: of the median step, None if not taken apart [s].
        losses: of every step.
        spans: of one step, by rank.
    """

    times: tuple[Seconds, ...]
    warm_up: int
    world_size: int
    samples: Count
    tokens: Count
    ledger: tuple[LedgerRow, ...]
    flop: Flop | None = None
    parameters: Count | None = None
    memory_peak_bytes: Bytes | None = None
    parts: Parts | None = None
    losses: tuple[float, ...] = ()
    spans: tuple[Spans, ...] = ()

    @property
    def step_time_s(self) -> Seconds:
        """The median step [s]."""
        return median(self.times)

    @property
    def interval_s(self) -> tuple[Seconds, Seconds]:
        """The fastest and the slowest step [s]."""
        return min(self.times), max(self.times)

    @property
    def samples_per_s(self) -> PerSecond:
        """Throughput of the median step."""
        return self.samples / self.step_time_s

    def to_json(self) -> dict[str, Any]:
        """Return plain data, every number in SI base units."""
        return {
            "status": "completed",
            "engine": "torch",
            "step_time_s": self.step_time_s,
            "interval_s": list(self.interval_s),
            "step_times_s": list(self.times),
            "warm_up_steps": self.warm_up,
            "samples_per_s": self.samples_per_s,
            "tokens_per_s": self.tokens / self.step_time_s,
            "world_size": self.world_size,
            "memory_peak_bytes": self.memory_peak_bytes,
            "flop": self.flop,
            "parameters": self.parameters,
            "breakdown": self.parts._asdict() if self.parts else None,
            "losses": list(self.losses),
            "ledger": [asdict(row) for row in self.ledger],
        }


def measured_of(plan: Plan, warm_up: int, reports: Sequence[Report]) -> Measured:
    """Return what the reports of all ranks say together.

    Of hosts that serve devices only their times and what they sent count.

    Args:
        plan: that ran.
        warm_up: steps before any was timed [1].
        reports: of all processes, devices first.
    """
    devices = reports[: plan.world_size]
    times = tuple(max(each) for each in zip(*(r.times for r in reports), strict=True))
    losses = next((each.losses for each in reports if each.losses), ())
    return Measured(
        times=times,
        warm_up=warm_up,
        world_size=len(devices),
        samples=plan.batch.global_,
        tokens=plan.batch.global_ * plan.build_model().tokens_per_sample,
        ledger=ledger_of(reports),
        flop=sum(each.flop for each in devices),
        parameters=sum(each.parameters for each in devices),
        memory_peak_bytes=max(each.memory_peak for each in devices),
        parts=_parts([each.spans for each in devices], median(times)),
        losses=losses,
        spans=tuple(each.spans for each in devices),
    )


def _parts(ranks: Sequence[Spans], step_time: Seconds) -> Parts:
    """Return the parts of the median step, in the proportions of the step taken apart.

    Looking at it slowed that one down.
    """
    sums = [0.0, 0.0]
    for spans in ranks:
        end = max((span.end for span in spans), default=1.0)
        compute = [(s.begin, s.end) for s in spans if s.stream == "compute"]
        moved = [(s.begin, s.end) for s in spans if s.stream == "communication"]
        busy, either = _length(compute), _length([*compute, *moved])
        sums[0] += busy / end
        sums[1] += (either - busy) / end
    computed, sent = (step_time * each / len(ranks) for each in sums)
    return Parts(computed, sent, step_time - computed - sent)


def _length(intervals: Sequence[tuple[Seconds, Seconds]]) -> Seconds:
    """Return how much intervals cover together [s]."""
    covered, reached = 0.0, 0.0
    for begin, end in sorted(intervals):
        covered += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return covered
