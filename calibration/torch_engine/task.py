"""What ranks are told of a plan, and what they report: plain data both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple, cast

from calibration.torch_engine.data.choosing import Samples
from simulator.job import Job
from simulator.located.carrier import Arrangement
from simulator.lowering.schedules.actions import Schedule
from simulator.plan import Plan
from simulator.results.metrics import LedgerRow
from simulator.workload import Axis, Pattern
from topologies.units import Bytes, Flop, Seconds

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A plan, ready to run.

    Fields:
        plan: what to train and how to split it.
        rows: of the schedule, as it was simulated.
        layers: numbers of the layers of every virtual stage.
        device: what computes.
        warm_up: steps before anything is recorded [1].
        steps: that are timed [1].
        seed: of parameters and data.
        samples: from disk; None if they are random numbers.
        patience: of a rank for another [s].
        keeps_parameters: whether ranks report what they have learnt.
        is_looked_at: whether a further step is taken apart.
        ways: how gradients of each size are summed; by torch if there are none.
    """

    plan: Plan
    rows: Schedule
    layers: tuple[tuple[int, int], ...]
    device: Device = "cpu"
    warm_up: int = 3
    steps: int = 5
    seed: int = 0
    samples: Samples | None = None
    patience: Seconds = 60.0
    keeps_parameters: bool = False
    is_looked_at: bool = False
    ways: tuple[Arrangement, ...] = ()


def num_steps(warm_up: int, steps: int) -> int:
    """Return how many steps are done, with those recorded and looked at [1]."""
    return warm_up + 1 + steps + 1


class Span(NamedTuple):
    """Something that a rank did.

    Fields:
        name: such as `addmm`.
        stream: `compute` or `communication`.
        begin, end: since the step's start [s].
    """

    name: str
    stream: str
    begin: Seconds
    end: Seconds


Spans = tuple[Span, ...]


class Calls(NamedTuple):
    """Messages of one kind that a rank took part in.

    Fields:
        pattern: which collective; for a send, that of the sender only.
        axis: whose group.
        members: ranks that count the same call [1].
        bytes: message sizes summed over calls [B].
        calls: how many [1].
    """

    pattern: str
    axis: Axis
    members: int
    bytes: int
    calls: int


def ledger_of(reports: Iterable[Report]) -> tuple[LedgerRow, ...]:
    """Return what all ranks sent, each group's call once."""
    rows: dict[tuple[str, Axis], list[Fraction]] = {}
    for report in reports:
        for each in report.calls:
            sums = rows.setdefault((each.pattern, each.axis), [Fraction(), Fraction()])
            sums[0] += Fraction(each.bytes, each.members)
            sums[1] += Fraction(each.calls, each.members)
    return tuple(
        LedgerRow(cast("Pattern", pattern), axis, float(size), int(count))
        for (pattern, axis), (size, count) in sorted(rows.items())
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one rank saw.

    Fields:
        calls: what it took part in sending, in one step.
        carried: bytes of sends that carried out pushes and pulls, in one step [B].
        flop: of one step, its own [FLOP].
        parameters: that it holds [1].
        memory_peak: bytes of live tensors at most, in one step [B].
        times: of the timed steps [s].
        spans: of one step, which is not timed.
        losses: of every step, mean over the micro-batches; empty where none is known.
        gradient_norm: of the last step, over the whole model but for experts and
            neurons on other ranks [1].
        learnt: parameters after the last step, by their names in the whole model.
    """

    calls: tuple[Calls, ...]
    flop: Flop
    parameters: int
    memory_peak: Bytes
    times: tuple[Seconds, ...]
    carried: Bytes = 0
    spans: Spans = ()
    losses: tuple[float, ...] = ()
    gradient_norm: float = 0.0
    learnt: Mapping[str, Any] = field(default_factory=dict)


def assign(job: Job, **options: Any) -> Assignment:
    """Return what the ranks of a prepared job are told.

    Args:
        job: of a plan, with the order of its schedule.
        options: further fields of the assignment.
    """
    ends = accumulate((len(low.stage.layers) for low in job.stages), initial=0)
    layers = tuple(pairwise(ends))
    ways = tuple(sums_of(job)) if options.get("device", "cpu") == "cpu" else ()
    return Assignment(plan=job.plan, rows=job.rows, layers=layers, ways=ways, **options)


def sums_of(job: Job) -> Iterator[Arrangement]:
    """Yield how gradients are summed over replicas, where the plan's graph says it.

    A buffer that several rings share at once is torch's to sum.
    """
    if job.located is None:
        return
    carrier = job.located.carrier
    for sent in job.located.sent.values():
        message = sent.message
        if (message.pattern, message.axis) == ("all-reduce", "data"):
            found = carrier.arrangement(sent)
            ranks = [rank for group in found.groups for rank in group] if found else []
            if found and len(set(ranks)) == len(ranks) > 1:
                yield found
