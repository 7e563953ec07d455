"""What is sent in a step, how long it would take alone, and what waits for it.

Every message of a body is one of a kind: what it does, between whom, of which size, run
how. Of its time, that part is exposed during which its device computes nothing:

* all of it, if it is between kernels; of a message beside kernels, what it adds;
* of a message on a stream of its own, the idle time of the compute stream while it is
  under way. An instant with several under way counts for the one that began first.

With how much longer kernels take for messages beside them, exposed times add up to the
exposed communication of `simulator.results.metrics`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from simulator.collectives.use import Collective
from simulator.results.metrics import gaps, messages_of
from simulator.results.timeline import Span, Timeline
from simulator.workload import Axis, Beside, Body, Message, Pattern, leaves
from topologies.units import Bytes, Count, Seconds

if TYPE_CHECKING:
    from simulator.job import Job

_ROUNDING = 1e-11  # of sums in another order
_WITHOUT_CHOICE = {"send", "neighbour-exchange"}


class Kind(NamedTuple):
    """What tells one message from another in a report.

    Fields:
        name: the pattern; of a send also its direction, `send F` or `send B`.
        op: the pattern.
        axis: of the mesh, whose group takes part.
        ranks: that take part [1].
        algorithm: name in the table of collectives; empty for others.
        protocol: of the links; empty where there is no algorithm.
        bytes: of each, in NCCL's convention [B].
    """

    name: str
    op: Pattern
    axis: Axis
    ranks: int
    algorithm: str
    protocol: str
    bytes: Bytes


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of one kind in one step.

    Fields:
        kind: of all of them.
        count: in which a device takes part, mean over those that do [1].
        alone_s: how long they take on idle links, mean over all devices [s].
        exposed_s: how long nothing is computed for them, mean over all devices [s].
    """

    kind: Kind
    count: Count
    alone_s: Seconds
    exposed_s: Seconds

    def to_json(self) -> dict[str, str | float]:
        """Return plain data, every number in SI base units."""
        figures = {"count": self.count, "alone_s": self.alone_s}
        return {**self.kind._asdict(), **figures, "exposed_s": self.exposed_s}


class _Content(NamedTuple):
    """Messages of one kind in one body: how many, and their time alone and inline."""

    number: Count
    alone: Seconds
    inline: Seconds


_Contents = dict[Kind, _Content]


def step_messages(job: Job, timeline: Timeline) -> tuple[list[Messages], Seconds]:
    """Return the messages of a step by kind, and what kernels lose beside them [s].

    Both are means over devices.
    """
    contents = _contents(job)
    counts: dict[Kind, Count] = defaultdict(float)
    alone: dict[Kind, Seconds] = defaultdict(float)
    exposed: dict[Kind, Seconds] = defaultdict(float)
    takers: dict[Kind, int] = defaultdict(int)
    slowed, num_devices = 0.0, 0
    on_rank: list[list[Span]] = [[] for _ in timeline.roles]
    for span in timeline.spans:
        on_rank[span.rank].append(span)
    for role, spans, begin in zip(
        timeline.roles, on_rank, timeline.begins, strict=True
    ):
        weight = role.multiplicity
        num_devices += weight
        here: set[Kind] = set()
        for span in spans:
            for kind, content in contents[span.op.body].items():
                here.add(kind)
                counts[kind] += weight * content.number
                alone[kind] += weight * content.alone
        for kind in here:
            takers[kind] += weight
        lost = _inline(job, spans, contents, exposed, weight)
        slowed += weight * lost
        for span, time in _waited_for(spans, begin, begin + timeline.step_time):
            _share(contents[span.op.body], weight * time, exposed)
    rows = [
        Messages(
            kind,
            counts[kind] / takers[kind],
            alone[kind] / num_devices,
            exposed[kind] / num_devices,
        )
        for kind in counts
    ]
    is_slowed = slowed > _ROUNDING * timeline.step_time * num_devices
    return rows, slowed / num_devices if is_slowed else 0.0


def _inline(
    job: Job,
    spans: list[Span],
    contents: dict[Body, _Contents],
    exposed: dict[Kind, Seconds],
    weight: int,
) -> Seconds:
    """Count messages on a rank's compute stream; return what its kernels lose [s]."""
    carried = {} if job.located is None else job.located.traffic
    slowed = 0.0
    for span in spans:
        if span.stream != "compute":
            continue
        content = contents[span.op.body]
        if span.op.body in carried:
            _share(content, weight * span.communication, exposed)
            continue
        slowed += span.communication
        for kind, each in content.items():
            exposed[kind] += weight * each.inline
            slowed -= each.inline
    return slowed


def _share(content: _Contents, time: Seconds, exposed: dict[Kind, Seconds]) -> None:
    """Divide a time among the messages of a body as they take time alone."""
    whole = sum(each.alone for each in content.values())
    for kind, each in content.items():
        exposed[kind] += time * (each.alone / whole if whole else 1 / len(content))


def _waited_for(
    spans: list[Span], begin: Seconds, end: Seconds
) -> list[tuple[Span, Seconds]]:
    """Return messages on streams of their own, and how long a rank idles for each."""
    found: list[tuple[Span, Seconds]] = []
    idle = gaps(spans, begin, end)
    clock, first = begin, 0
    for span in messages_of(spans):
        start, clock = max(span.start, clock), max(span.end, clock)
        while first < len(idle) and idle[first][1] <= start:
            first += 1
        time, place = 0.0, first
        while place < len(idle) and idle[place][0] < span.end:
            low, high = idle[place]
            time += max(0.0, min(high, span.end) - max(low, start))
            place += 1
        if time > 0:
            found.append((span, time))
    return found


def _contents(job: Job) -> dict[Body, _Contents]:
    """Return the messages in every body of a job."""
    how = _Ways(job)
    return {body: how.contents(body) for body in job.prices}


class _Ways:
    """Says how messages are run; of each it works that out once."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._kinds: dict[tuple[Message, bool], Kind] = {}
        located = job.located
        self._carried = {} if located is None else located.traffic
        chosen = () if located is None else located.carrier.chosen
        self._chosen = {each.opened: each for each in chosen}

    def contents(self, body: Body) -> _Contents:
        """Return the messages in a body."""
        found: _Contents = {}
        pricer = self._job.pricer
        is_carried = body in self._carried
        for item, phase, count in leaves(body.items, body.phase):
            message = item.message if isinstance(item, Beside) else item
            if not isinstance(message, Message):
                continue
            if is_carried:
                alone = inline = float(self._job.prices[body].communication)
            else:
                alone = float(pricer.message_time(message))
                inline = float(pricer.item(item, phase).communication)
            kind = self._kind(message, is_carried=is_carried)
            if alone == 0 and kind.ranks < 2:
                continue
            before = found.get(kind, _Content(0.0, 0.0, 0.0))
            found[kind] = _Content(
                before.number + count,
                before.alone + count * alone,
                before.inline + count * inline,
            )
        return found

    def _kind(self, message: Message, *, is_carried: bool) -> Kind:
        key = (message, is_carried)
        if key not in self._kinds:
            self._kinds[key] = self._new_kind(message, is_carried=is_carried)
        return self._kinds[key]

    def _new_kind(self, message: Message, *, is_carried: bool) -> Kind:
        op, axis, size = message.pattern, message.axis, float(message.size)
        ranks = int(self._job.pricer.group(message).num_ranks)
        name = message.name if op == "send" else op
        algorithm = protocol = ""
        if message.time is None and op not in _WITHOUT_CHOICE and ranks > 1:
            own = Collective(op, axis, size, ranks)
            how = self._chosen[own] if is_carried else self._job.pricer.choice(message)
            algorithm, protocol = how.algorithm, how.protocol
        return Kind(name, op, axis, ranks, algorithm, protocol, size)
