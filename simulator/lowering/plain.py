"""Passes of a rank whose replicas hold everything, and its buckets of gradients."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from simulator.lowering.buckets import Bucket, buckets
from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.experts import gradient_sums
from simulator.lowering.pipeline import Step, last_gradients
from simulator.lowering.recomputed import backward_of, recomputes_apart
from simulator.lowering.schedules.actions import Action
from simulator.lowering.served import (
    emit_pull,
    emit_pulled_forward,
    is_pulled_first,
    is_served,
    pushed,
)
from simulator.lowering.staged import copies_tied_table
from simulator.workload import Body, Item


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

    def go_past(self, forward: Action, backward: Action) -> tuple[Hashable, ...] | None:
        """Return what else two passes wait for; None if they are not to be cut."""
        is_bucketed = not self.bucketed.isdisjoint({forward, backward})
        is_special = recomputes_apart(self.step.plan, backward)
        return None if is_bucketed or is_special else ()


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
    items: list[Item] = []
    if action.kind == "B":
        items += lowered.before_backward
    has_copies = mesh.replicas > mesh.expert_ranks
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
