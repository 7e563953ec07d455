"""A rank's forward and backward passes, its sends, and its gradient buckets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple, Protocol

from simulator.lowering.buckets import Bucket, buckets
from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.experts import gradient_sums
from simulator.lowering.formats import element_bytes
from simulator.lowering.portions import emit_portions, left_portions
from simulator.lowering.recomputed import backward_of
from simulator.lowering.schedules.actions import Action, Kind, Row, Schedule
from simulator.lowering.served import (
    emit_pull,
    emit_pulled_forward,
    is_pulled_first,
    is_served,
    pushed,
)
from simulator.lowering.staged import (
    LoweredStage,
    copies_tied_table,
    make_share,
    sends_parts,
)
from simulator.plan import Plan
from simulator.workload import Body, Item, Message, Stream
from topologies.units import Bytes


class Step(NamedTuple):
    """What the passes of all ranks are emitted from.

    Fields:
        plan: of the step.
        stages: of all ranks.
        rows: of the schedule.
        places: the rank that runs each pass.
    """

    plan: Plan
    stages: tuple[LoweredStage, ...]
    rows: Schedule
    places: Mapping[Action, int]


def make_step(plan: Plan, stages: tuple[LoweredStage, ...], rows: Schedule) -> Step:
    """Return a step whose passes are looked up by rank."""
    places = {action: rank for rank, row in enumerate(rows) for action in row}
    return Step(plan, stages, rows, places)


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


def emit_passes(emitter: Emitter, step: Step, rank: int, passes: Passes) -> None:
    """Emit a rank's forward and backward passes with the sends that follow them.

    Synchronous sends are those of Megatron until 2022: the rank's next pass waits for
    its last send, and the host for both ends of each transfer. Others follow one
    another on a stream of their own, and the host runs ahead. Without a pipeline the
    host waits once per micro-batch, to read its loss.
    """
    plan = step.plan
    is_waiting = plan.parallelism.pipeline > 1 and not plan.parallelism.sends_overlap
    sends: tuple[Hashable, ...] = ()
    for action in step.rows[rank]:
        after = (*_received(step, action, rank), *sends)
        portions = step.stages[action.stage].portions
        if portions and action.kind in {"B", "I"}:
            after = (*after, *left_portions(portions, action))
        is_alone = plan.parallelism.pipeline == 1 and action.kind == "F"
        passes.emit(emitter, action, after, waits=is_waiting or is_alone)
        if portions and action.kind == "F":
            emit_portions(emitter, portions, action, rank)
        sent = _emit_send(emitter, step, action, rank)
        sends = (sent,) if sent is not None and is_waiting else ()


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


def _emit_send(
    emitter: Emitter, step: Step, action: Action, rank: int
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
    emitter.emit(sent, Draft(f"send {action}", (rank,), stream, body, (action,)))
    return sent


def boundary_bytes(plan: Plan, lowered: LoweredStage) -> Bytes:
    """Return the activations that a tensor rank hands to the next stage [B]."""
    samples = make_share(plan).samples
    elements = lowered.stage.layers[-1].output_elements * samples
    size = element_bytes(plan.training.precision) * elements
    return size / plan.parallelism.tensor if sends_parts(plan) else size


class PlainPasses(NamedTuple):
    """Passes of a rank whose replicas hold everything; see `Passes`.

    Fields:
        step: of which they are.
        rank: of the pipeline.
        bucketed: passes in which gradients are summed over replicas.
    """

    step: Step
    rank: int
    bucketed: frozenset[Action]

    @classmethod
    def of(cls, step: Step, rank: int) -> PlainPasses:
        """Return what emits the passes of a rank."""
        plan = step.plan
        is_several = plan.parallelism.replicas > 1 or is_served(plan)
        is_bucketed = plan.synchronization.overlap and is_several
        last = last_gradients(step.rows[rank]).values() if is_bucketed else ()
        return cls(step, rank, frozenset(last))

    def emit(
        self,
        emitter: Emitter,
        action: Action,
        after: tuple[Hashable, ...],
        *,
        waits: bool,
    ) -> None:
        """Emit a pass."""
        if action in self.bucketed:
            _emit_bucketed_backward(emitter, self.step, action, after)
            return
        plan, lowered = self.step.plan, self.step.stages[action.stage]
        if is_pulled_first(plan) and action == self.step.rows[self.rank][0]:
            emit_pulled_forward(emitter, plan, lowered, action, self.rank)
            return
        body, again = backward_of(emitter, plan, lowered, action)
        if again is not None:
            early = Draft(f"{action} again", (self.rank,), "compute", again)
            emitter.emit(("again", action), early)
        draft = Draft(str(action), (self.rank,), "compute", body, after, waits)
        emitter.emit(action, draft)


def _emit_bucketed_backward(
    emitter: Emitter, step: Step, action: Action, after: tuple[Hashable, ...]
) -> None:
    """Emit the last backward in segments, each followed by its bucket's all-reduce.

    Profiled passes are of one segment. What a bucket holds of experts is summed over
    those that have them.
    """
    plan, lowered = step.plan, step.stages[action.stage]
    mesh = plan.parallelism
    layers = [
        (passes.backward if action.kind == "B" else passes.backward_weight, layer)
        for (passes, count), (layer, _) in reversed(
            list(zip(lowered.passes, lowered.stage.runs(), strict=True))
        )
        for _ in range(count)
    ]
    has_copy = copies_tied_table(plan)
    closed = buckets(plan, [layer for _, layer in layers], has_copy=has_copy)
    is_profiled = plan.stage_times is not None
    has_copies = mesh.replicas > mesh.expert_ranks
    items: list[Item] = []
    if action.kind == "B":
        items += lowered.before_backward
    ready: list[Bucket] = []
    number, is_first = 0, True
    ranks = (step.places[action],)
    for position, (backward, _) in enumerate(layers):
        items += backward
        ready += closed[position]
        is_last = position == len(layers) - 1
        if (not ready or is_profiled) and not is_last:
            continue
        key: Hashable = action if is_last else (action, number)
        body = Body(f"backward of bucket {number}", "backward", tuple(items))
        if is_profiled:
            body = lowered.bodies[action.kind]
        waits = mesh.pipeline > 1 and is_first and not mesh.sends_overlap
        emitter.emit(key, Draft(str(action), ranks, "compute", body, after, waits))
        if is_profiled:
            ready = [Bucket(*map(sum, zip(*ready, strict=True)))]
        for bucket in ready:
            sums = gradient_sums(*bucket, has_copies=has_copies)
            if is_served(plan):
                sums = (pushed(bucket.size),)
            body = Body(f"gradients of bucket {number}", "message", sums)
            name = f"bucket {number} of stage {action.stage}"
            sent = ("bucket", action, number)
            emitter.emit(sent, Draft(name, ranks, "data", body, (key,)))
            emit_pull(emitter, plan, sent, bucket.size)
            number += 1
        items, ready, after, is_first = [], [], (), False
