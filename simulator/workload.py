"""The one form in the middle: operations that state work and dependencies, no time.

Lowering writes a `Workload`; unfolding rewrites it; engines read it.
It is plain data: an `Op` names the ranks that take part, the in-order stream it
occupies on each of them, what it does (a `Body`) and what must be finished before.

Two orders bind an op besides its `after` list: on every rank, ops of one stream run
in the order of `Workload.ops`, and the rank's host issues all its ops in that order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.work import Work
from topologies.units import Bytes, Seconds

Pattern = Literal[
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "broadcast",
    "reduce",
    "all-to-all",
    "neighbour-exchange",
    "send",
    "push",
    "pull",
]
Axis = Literal[
    "tensor",
    "context",
    "expert",
    "expert-inside",
    "expert-across",
    "data",
    "expert-data",
    "shard",
    "replicate",
    "stage",
    "pipeline",
    "embedding",
    "model",
]
Stream = Literal[
    "compute",
    "tensor",
    "exchange",
    "data",
    "pull",
    "gather",
    "reduce",
    "send-forward",
    "send-backward",
]
Phase = Literal["forward", "backward", "step", "message"]


class Transfer(NamedTuple):
    """What one rank of a group sends to another.

    Fields:
        source, to: places in the group.
        size: of the message [B].
    """

    source: int
    to: int
    size: Bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One collective or transfer, seen from one of the ranks that take part.

    Fields:
        name: what a trace shows.
        pattern: which collective.
        axis: whose group takes part, as `simulator.mesh` says; `embedding` is the
            first and last pipeline rank, `model` all tensor and pipeline ranks of a
            replica.
        size: message size in NCCL's convention: all-reduce, the buffer per rank;
            all-gather, the whole output; reduce-scatter, the whole input; broadcast and
            reduce, the buffer of a rank; all-to-all, the buffer of the fullest rank;
            neighbour-exchange, what each rank sends to the next around a ring, or all
            of `sends`; push and pull, a worker's parameters [B].
        pair: for a send, the pipeline ranks of sender and receiver; for another
            message on the pipeline's axis, the two that take part.
        time: as measured on the machine, if it is not to be priced [s].
        sends: of a neighbour-exchange, all at once.
    """

    name: str
    pattern: Pattern
    axis: Axis
    size: Bytes
    pair: tuple[int, int] = (0, 1)
    time: Seconds | None = None
    sends: tuple[Transfer, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same items `count` times in a row, such as the equal blocks of a stage.

    Fields:
        items: what is repeated.
        count: repetitions [1].
        phase: whose host costs apply inside, if not the body's: a recomputed
            forward is issued as a forward.
    """

    items: tuple[Item, ...]
    count: float
    phase: Phase | None = None


@dataclass(frozen=True, slots=True)
class HostTask:
    """What the host does by itself, with nothing to issue.

    Fields:
        name: what a trace shows.
        kind: `pass`, data loading and Python around a forward pass; `step`,
            bookkeeping around an optimizer step.
    """

    name: str
    kind: Literal["pass", "step"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A run of kernels whose time a plan states, as profiled on the machine.

    Fields:
        name: what a trace shows.
        time: of all of them, host included [s].
    """

    name: str
    time: Seconds


Leaf = Work | Message | HostTask | Measured


@dataclass(frozen=True, slots=True)
class Beside:
    """A message on a stream of its own while kernels run; both end before the next.

    Fields:
        message: issued first.
        works: the kernels beside it, in order.
    """

    message: Message
    works: tuple[Work, ...]


Item = Leaf | Beside | Repeat


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """What an op does: items back to back on one stream.

    Ops that do the same share one body, so that it is priced once.

    Fields:
        name: such as `forward of stage 2`.
        phase: decides which host costs apply.
        items: kernels and inline messages in order.
    """

    name: str
    phase: Phase
    items: tuple[Item, ...]


class Op(NamedTuple):
    """One step of one or several ranks.

    Fields:
        name: `2F0` for stage 2, forward, micro-batch 0; else what it is.
        ranks: indices into `Workload.roles`; several ranks start together.
        stream: the in-order queue that it occupies on each of its ranks.
        body: the work.
        after: indices of ops that must be finished before it starts.
        host_waits: the host does not issue it before everything ahead of it on
            its stream and in `after` is finished, as with a blocking receive.
    """

    name: str
    ranks: tuple[int, ...]
    stream: Stream
    body: Body
    after: tuple[int, ...]
    host_waits: bool


class Role(NamedTuple):
    """One simulated rank, standing for `multiplicity` identical real ones.

    Fields:
        data, pipeline, tensor, context: coordinates on the mesh; of the first rank
            it stands for, where ranks are folded.
        multiplicity: real ranks it stands for [1].
    """

    data: int
    pipeline: int
    tensor: int
    multiplicity: int
    context: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """Everything one training step does.

    Fields:
        roles: the simulated ranks.
        ops: in an order that contains each rank's program order.
    """

    roles: tuple[Role, ...]
    ops: tuple[Op, ...]


def flatten(
    items: tuple[Item, ...], phase: Phase
) -> Iterator[tuple[Leaf | Beside, Phase]]:
    """Yield the parts of `items`, repetitions written out, each with its phase."""
    for item in items:
        if isinstance(item, Repeat):
            for _ in range(int(item.count)):
                yield from flatten(item.items, item.phase or phase)
        else:
            yield item, phase


def leaves(
    items: tuple[Item, ...], phase: Phase, count: float = 1.0
) -> Iterator[tuple[Leaf | Beside, Phase, float]]:
    """Yield the parts of `items`, each with its phase and how often it runs.

    Args:
        items: of a body.
        phase: of the body.
        count: how often all of them run [1].
    """
    for item in items:
        if isinstance(item, Repeat):
            yield from leaves(item.items, item.phase or phase, count * item.count)
        else:
            yield item, phase, count
