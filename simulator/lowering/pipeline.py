"""A rank's forward and backward passes in the order of its schedule, and its sends."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.formats import element_bytes
from simulator.lowering.paired import Strand, Turns, emit_pair
from simulator.lowering.portions import emit_portions, left_portions
from simulator.lowering.rows import pairs_of
from simulator.lowering.schedules.actions import Action, Kind, Row, Schedule
from simulator.lowering.schedules.pairs import Pairs
from simulator.lowering.schedules.table import DESIGNS
from simulator.lowering.staged import LoweredStage, make_share, sends_parts
from simulator.plan import Plan
from simulator.workload import Message, Stream
from topologies.units import Bytes


class Step(NamedTuple):
    """What the passes of all ranks are emitted from.

    Fields:
        plan: of the step.
        stages: of all ranks.
        rows: of the schedule.
        places: the rank that runs each pass.
        pairs: passes that run as one.
    """

    plan: Plan
    stages: tuple[LoweredStage, ...]
    rows: Schedule
    places: Mapping[Action, int]
    pairs: Pairs


def make_step(plan: Plan, stages: tuple[LoweredStage, ...], rows: Schedule) -> Step:
    """Return a step whose passes are looked up by rank."""
    places = {action: rank for rank, row in enumerate(rows) for action in row}
    return Step(plan, stages, rows, places, pairs_of(plan, rows))


def last_gradients(row: Row) -> dict[int, Action]:
    """Return the pass after which each stage's gradients are complete on a rank."""
    return {action.stage: action for action in row if action.kind in {"B", "W"}}


class Passes(Protocol):
    """What emits the passes of one rank, in the order of its schedule."""

    def emit(
        self,
        emitter: Emitter,
        action: Action,
        after: tuple[Hashable, ...],
        *,
        waits: bool,
    ) -> None:
        """Emit a pass, under its own name as key.

        Args:
            emitter: of the step.
            action: the pass.
            after: what it waits for.
            waits: whether the host does not issue it before that.
        """

    def go_past(self, forward: Action, backward: Action) -> Sequence[Hashable] | None:
        """Return what else the next two passes wait for, which others then emit.

        None if either does more between its layers than to compute and to send.
        """


def emit_passes(emitter: Emitter, step: Step, rank: int, passes: Passes) -> None:
    """Emit a rank's forward and backward passes with the sends that follow them.

    Synchronous sends are those of Megatron until 2022: the rank's next pass waits for
    its last send, and the host for both ends of each transfer. Others follow one
    another on a stream of their own, and the host runs ahead. Without a pipeline the
    host waits once per micro-batch, to read its loss. What comes after a backward that
    ends with its sums waits for those.
    """
    program = _Program(emitter, step, rank, passes, Turns(step.plan, step.stages))
    before: list[Hashable] = []  # what the next pass waits for
    row = iter(step.rows[rank])
    for action in row:
        through = program.emit_pair(action, before)
        if through is None:
            through = program.emit_alone(action, before)
        else:
            next(row)  # which is the backward of the pair
        before = []
        for one in through:
            before += program.emit_what_follows(one)


class _Program(NamedTuple):
    """What the passes of a rank are emitted from.

    Fields:
        emitter, step: of all ranks.
        rank: of the pipeline.
        passes: that emit what a pass does.
        turns: that cut passes which run as one.
    """

    emitter: Emitter
    step: Step
    rank: int
    passes: Passes
    turns: Turns

    @property
    def is_waiting(self) -> bool:
        """Whether the rank goes on only when what it sends has arrived."""
        mesh = self.step.plan.parallelism
        return mesh.pipeline > 1 and not mesh.sends_overlap

    def emit_alone(
        self, action: Action, before: Sequence[Hashable]
    ) -> Iterator[Action]:
        """Emit a pass that runs by itself behind some ops, and yield it."""
        portions = self.step.stages[action.stage].portions
        after = (*_received(self.step, action, self.rank), *before)
        if portions and action.kind in {"B", "I"}:
            after = (*after, *left_portions(portions, action))
        is_single = self.step.plan.parallelism.pipeline == 1 and action.kind == "F"
        waits = self.is_waiting or is_single
        self.passes.emit(self.emitter, action, after, waits=waits)
        if portions and action.kind == "F":
            emit_portions(self.emitter, portions, action, self.rank)
        yield action

    def emit_pair(
        self, forward: Action, before: Sequence[Hashable]
    ) -> Iterator[Action] | None:
        """Emit a forward with its backward, and yield each when it is through.

        None if there is no such backward, or nothing to cut in either.
        """
        backward = self.step.pairs.get(forward)
        if backward is None or not self.turns.are_several(forward, backward):
            return None
        more = self.passes.go_past(forward, backward)
        if more is None:
            return None
        first, second = (
            Strand(
                action,
                (*_received(self.step, action, self.rank), *before, *more),
                self.turns.of(action),
            )
            for action in (forward, backward)
        )
        return emit_pair(self.emitter, self.rank, first, second, waits=self.is_waiting)

    def emit_what_follows(self, action: Action) -> list[Hashable]:
        """Emit a pass's send; return what the rank's next pass waits for."""
        sums = _sums_within(self.emitter, self.step.plan, action)
        sent = _emit_send(self.emitter, self.step, action, self.rank, sums)
        return [*sums, *([sent] if sent is not None and self.is_waiting else [])]


def _neighbour(step: Step, action: Action, towards: int) -> Action | None:
    """Return the pass before (-1) or after (1) an F, B or I; None at the ends.

    Backward passes of the stages may be whole or in parts.
    """
    stage = action.stage + (towards if action.kind == "F" else -towards)
    kinds: tuple[Kind, ...] = ("F",) if action.kind == "F" else ("I", "B")
    for kind in kinds:
        other = Action(stage, kind, action.microbatch)
        if other in step.places:
            return other
    return None


def _received(step: Step, action: Action, rank: int) -> tuple[Hashable, ...]:
    """Return what a pass waits for: a transfer, or a pass of its own rank."""
    if action.kind == "W":
        return (action._replace(kind="I"),)
    source = _neighbour(step, action, -1)
    if source is None:
        return ()
    return (source if step.places[source] == rank else ("send", source),)


def _sums_within(emitter: Emitter, plan: Plan, action: Action) -> tuple[Hashable, ...]:
    """Return the sums of buckets without which a backward pass does not end.

    A backward of torch's DDP returns when its buckets are summed, so that a pipeline
    hands its gradients on after that. Passes in two parts are not DDP's.

    Source: torch 2.13, distributed/pipelining/stage.py, backward_maybe_with_nosync,
        and, from memory, c10/d/reducer.cpp, finalize_backward.
    """
    mesh = plan.parallelism
    is_whole = action.kind == "B" and not DESIGNS[mesh.schedule].has_parts
    if plan.training.framework != "torch" or mesh.pipeline == 1 or not is_whole:
        return ()
    keys = (("bucket", action, number) for number in itertools.count())
    return tuple(itertools.takewhile(emitter.index.__contains__, keys))


def _emit_send(
    emitter: Emitter,
    step: Step,
    action: Action,
    rank: int,
    after: tuple[Hashable, ...],
) -> Hashable | None:
    """Emit the send that follows a pass, and return its key; None if there is none."""
    target = None if action.kind == "W" else _neighbour(step, action, 1)
    if target is None or step.places[target] == rank:
        return None
    to = step.places[target]
    boundary = min(action.stage, target.stage)
    letter = "F" if action.kind == "F" else "B"
    key = ("send", letter, boundary, rank)
    if key not in emitter.bodies:
        size = boundary_bytes(step.plan, step.stages[boundary])
        times = step.plan.stage_times
        time = None if times is None else times.transfer
        emitter.body(
            key,
            f"send {letter} between stages {boundary} and {boundary + 1}",
            "message",
            Message(f"send {letter}", "send", "pipeline", size, (rank, to), time),
        )
    stream: Stream = "send-forward" if letter == "F" else "send-backward"
    sent = ("send", action)
    body = emitter.bodies[key]
    emitter.emit(sent, Draft(f"send {action}", (rank,), stream, body, (action, *after)))
    return sent


def boundary_bytes(plan: Plan, lowered: LoweredStage) -> Bytes:
    """Return the activations that a tensor rank hands to the next stage [B]."""
    samples = make_share(plan).samples
    elements = lowered.stage.layers[-1].output_elements * samples
    size = element_bytes(plan.training.precision) * elements
    return size / plan.parallelism.tensor if sends_parts(plan) else size
