"""Where a step's time went: the same functions for every engine's timeline.

Each rank's step is cut without gaps or overlaps into

* compute: kernels, as long as they take by themselves, or in turn with others on
  cores that devices share;
* exposed communication: messages on the compute stream, how much longer kernels take
  for messages beside them, and idle time while a message of the same rank is under
  way;
* host: the device waits for kernels to be issued;
* bubble: it idles for lack of input, or until all stages can agree on the norm;
* synchronization: it waits for the others' optimizer at the end of the step;
* other: what none of these explains.

Parts are averaged over devices, so that they add up to the step time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum

from simulator.mesh import Degrees
from simulator.results.timeline import Span, Timeline
from simulator.workload import Axis, Beside, Body, Message, Pattern, Workload, leaves
from topologies.units import Bytes, Seconds

_ROUNDING = 1e-13  # of sums in another order


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Parts of the step, averaged over devices; they add up to it [s each]."""

    compute_s: Seconds
    exposed_communication_s: Seconds
    bubble_s: Seconds
    synchronization_s: Seconds
    host_s: Seconds
    other_s: Seconds

    @property
    def total(self) -> Seconds:
        """The step time [s]."""
        return (
            self.compute_s
            + self.exposed_communication_s
            + self.bubble_s
            + self.synchronization_s
            + self.host_s
            + self.other_s
        )


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Messages of one kind in one step, over the whole job.

    Fields:
        op: the pattern.
        axis: whose groups took part.
        bytes: message sizes summed over calls; each group's call counts once [B].
        count: calls [1].
    """

    op: Pattern
    axis: Axis
    bytes: Bytes
    count: int


def breakdown(timeline: Timeline) -> Breakdown:
    """Return the parts of the step, averaged over devices."""
    spans: dict[int, list[Span]] = defaultdict(list)
    for span in timeline.spans:
        spans[span.rank].append(span)
    sums = [0.0] * 6
    devices = 0
    for rank, role in enumerate(timeline.roles):
        begin = timeline.begins[rank]
        parts = _rank_parts(spans[rank], begin, timeline.step_time)
        sums = [
            total + role.multiplicity * part
            for total, part in zip(sums, parts, strict=True)
        ]
        devices += role.multiplicity
    return Breakdown(*(total / devices for total in sums))


def _rank_parts(
    spans: list[Span], begin: Seconds, step_time: Seconds
) -> tuple[float, ...]:
    """Return the six parts of one rank's step, in the order of `Breakdown`."""
    overlap = _Overlap([(span.start, span.end) for span in messages_of(spans)])
    idle = gaps(spans, begin, begin + step_time)
    hidden = [overlap.within(low, high) for low, high in idle]
    bare = [high - low - under for (low, high), under in zip(idle, hidden, strict=True)]
    compute = exposed = host = 0.0
    for span in spans:
        if span.stream == "compute":
            compute += span.compute
            exposed += span.communication
            host += (span.end - span.start) - span.compute - span.communication
    exposed += sum(hidden)
    parts = (compute, exposed, sum(bare[:-1]), bare[-1], host)
    rest = step_time - sum(parts)
    return (*parts, rest if abs(rest) > _ROUNDING * step_time else 0.0)


def messages_of(spans: list[Span]) -> list[Span]:
    """Return the messages on streams of their own, as they begin.

    A group of one sends nothing, however late its host.
    """
    sent = [s for s in spans if s.stream != "compute" and s.communication > 0]
    return sorted(sent, key=lambda span: (span.start, span.end))


def gaps(
    spans: list[Span], begin: Seconds, end: Seconds
) -> list[tuple[Seconds, Seconds]]:
    """Return when the compute stream of a rank idles: before each op, and at the end.

    Args:
        spans: of the rank, in program order.
        begin, end: of the step on it [s].
    """
    computing = [span for span in spans if span.stream == "compute"]
    starts = [*(span.start for span in computing), end]
    ends = [begin, *(span.end for span in computing)]
    return list(zip(ends, starts, strict=True))


class _Overlap:
    """Measures how much of ascending, disjoint intervals a list of others covers."""

    def __init__(self, intervals: list[tuple[float, float]]) -> None:
        self._intervals = _merged(intervals)
        self._next = 0

    def within(self, start: float, end: float) -> float:
        """Return the covered length of [start, end]; calls must ascend."""
        covered = 0.0
        intervals = self._intervals
        while self._next < len(intervals) and intervals[self._next][1] <= start:
            self._next += 1
        position = self._next
        while position < len(intervals) and intervals[position][0] < end:
            low, high = intervals[position]
            covered += max(0.0, min(high, end) - max(low, start))
            position += 1
        return covered


def _merged(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start, end in intervals:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def ledger(workload: Workload, degrees: Degrees) -> tuple[LedgerRow, ...]:
    """Return what is sent in one step, by pattern and axis, over the whole job.

    Calls of one size are counted before anything is multiplied, so that the sums are
    the same to the last bit however many ranks stand for all.
    """
    calls: dict[tuple[Pattern, Axis, Bytes], int] = defaultdict(int)
    sums = {body: list(_sent(body)) for body in {op.body for op in workload.ops}}
    axes = {item.axis for found in sums.values() for item, _ in found}
    members = {axis: int(degrees.span(axis).ranks) for axis in axes}
    for op in workload.ops:
        multiplicity = workload.roles[op.ranks[0]].multiplicity
        for item, count in sums[op.body]:
            groups = max(1, multiplicity // members[item.axis])
            calls[item.pattern, item.axis, item.size] += count * groups
    kinds: dict[tuple[Pattern, Axis], list[tuple[Bytes, int]]] = defaultdict(list)
    for (pattern, axis, size), count in calls.items():
        kinds[pattern, axis].append((size, count))
    return tuple(
        LedgerRow(
            op=pattern,
            axis=axis,
            bytes=fsum(size * count for size, count in sizes),
            count=sum(count for _, count in sizes),
        )
        for (pattern, axis), sizes in sorted(kinds.items())
    )


def _sent(body: Body) -> Iterator[tuple[Message, int]]:
    """Yield each message of a body with how often it is sent."""
    for item, _, count in leaves(body.items, body.phase):
        message = item.message if isinstance(item, Beside) else item
        if isinstance(message, Message):
            yield message, int(count)
