"""What each rank of a timed run does: its part of the simulator's own workload.

Limits: one device on a node; messages that a profile gives a time have no bytes to
send, and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from calibration.torch_engine.errors import UnrunnableError
from simulator.collectives.table import TABLE
from simulator.job import Job
from simulator.located.carrier import Arrangement
from simulator.workload import Axis, Op, Pattern, Stream
from topologies.units import Bytes, Seconds

Own = tuple[int, ...]
Kind = tuple[Pattern, Axis]


class Call(NamedTuple):
    """A message in which a rank takes part.

    Fields:
        arrangement: who sends what to whom; of one group.
        place: of the rank among the participants.
        kind: its pattern, and the axis of the mesh.
    """

    arrangement: Arrangement
    place: int
    kind: Kind

    @property
    def members(self) -> tuple[int, ...]:
        """Ranks in the order of participants."""
        return self.arrangement.groups[0]


class Part(NamedTuple):
    """An op as one rank sees it.

    Fields:
        op: its number in the workload, which sets its messages apart from others.
        name: for messages to people.
        stream: the in-order queue that it occupies.
        after: ops of this rank, and sends to it, that end before it begins.
        host_waits: whether the host does not issue it before all these ended.
        busy: device time of its kernels [s].
        issued: its end on an idle device, from the host's start [s].
        host: host time [s].
        call: its message; None of kernels.
    """

    op: int
    name: str
    stream: Stream
    after: Own
    host_waits: bool
    busy: Seconds
    issued: Seconds
    host: Seconds
    call: Call | None = None


class Receive(NamedTuple):
    """A message from a rank whose op sends it alone.

    Fields:
        op: number of that one in the workload.
        stream: of the sender.
        sender: rank.
        size: of the message [B].
    """

    op: int
    stream: Stream
    sender: int
    size: Bytes


class Program(NamedTuple):
    """What one rank does in a step.

    Fields:
        rank: which.
        parts: in program order.
        receives: what is sent to it by others' ops.
    """

    rank: int
    parts: tuple[Part, ...]
    receives: tuple[Receive, ...]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of its ops, each once."""
        return tuple(dict.fromkeys(part.stream for part in self.parts))


def programs(job: Job) -> list[Program]:
    """Return the programs of all ranks; rank k is device k.

    Args:
        job: with all ranks written out, and on a graph.

    Raises:
        UnrunnableError: some of it cannot be sent for real.
    """
    if job.cluster.devices_per_node != 1:
        raise UnrunnableError("timed runs need one device on a node")
    if job.located is None:
        raise UnrunnableError("timed runs need a network that is a graph, not a switch")
    arrangements = [_arrangement(job, op) for op in job.workload.ops]
    receivers = {
        index: found.groups[0][1]
        for index, found in enumerate(arrangements)
        if found is not None and found.pattern == "send"
    }
    return [
        Program(
            rank,
            tuple(_parts(job, rank, arrangements, receivers)),
            tuple(_receives(job.workload.ops, rank, arrangements, receivers)),
        )
        for rank in range(len(job.workload.roles))
    ]


def expected_bytes(job: Job) -> Bytes:
    """Return the bytes of all sends of a step, by the table of collectives [B]."""
    found = (_arrangement(job, op) for op in job.workload.ops)
    return sum(_wire_bytes(each) for each in found if each is not None)


def _wire_bytes(how: Arrangement) -> Bytes:
    if how.pattern == "send":
        return how.size
    row = TABLE[how.pattern, how.algorithm]
    return row.wire_bytes(how.size, len(how.groups[0]), how.options)


def _arrangement(job: Job, op: Op) -> Arrangement | None:
    """Return how the message of an op is carried; None if it has none."""
    assert job.located is not None, "checked before"
    sent = job.located.sent.get(op.body)
    if sent is None:
        return None
    if sent.message.time is not None:
        raise UnrunnableError(f"{op.name}: a message with a measured time has no bytes")
    found = job.located.carrier.arrangement(sent)
    if found is None:
        raise UnrunnableError(
            f"{op.name}: neighbours send unlike sizes, as only it does"
        )
    if len(found.groups) != 1:
        raise UnrunnableError(f"{op.name}: {len(found.groups)} groups in one op")
    return found if len(found.groups[0]) > 1 else None


def _parts(
    job: Job,
    rank: int,
    arrangements: Sequence[Arrangement | None],
    receivers: dict[int, int],
) -> Iterator[Part]:
    ops = job.workload.ops
    for index, op in enumerate(ops):
        if rank not in op.ranks:
            continue
        price, found = job.prices[op.body], arrangements[index]
        here = [
            other
            for other in op.after
            if rank in ops[other].ranks or receivers.get(other) == rank
        ]
        if len(here) < len(op.after) and len(op.ranks) == 1:
            raise UnrunnableError(f"{op.name} waits for another rank without a message")
        call = None if found is None else _call(job, op, found, rank)
        is_kernel = call is None
        yield Part(
            op=index,
            name=op.name,
            stream=op.stream,
            after=tuple(here),
            host_waits=op.host_waits,
            busy=float(price.busy) if is_kernel else 0.0,
            issued=float(price.issued) if is_kernel else float(price.host),
            host=float(price.host),
            call=call,
        )


def _call(job: Job, op: Op, how: Arrangement, rank: int) -> Call:
    assert job.located is not None, "checked before"
    message = job.located.sent[op.body].message
    return Call(how, how.groups[0].index(rank), (message.pattern, message.axis))


def _receives(
    ops: Sequence[Op],
    rank: int,
    arrangements: Sequence[Arrangement | None],
    receivers: dict[int, int],
) -> Iterator[Receive]:
    for index, receiver in receivers.items():
        found = arrangements[index]
        if receiver == rank and found is not None:
            sender, _ = found.groups[0]
            yield Receive(index, ops[index].stream, sender, found.size)
