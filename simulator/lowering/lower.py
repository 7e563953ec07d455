"""Lowering: from a plan to the ops of one training step.

One rank is emitted per pipeline rank; it stands for the tensor x data ranks that do
the same. The way of a step: forward and backward passes in the schedule's order, with
transfers between stages; gradients all-reduced over data, in buckets during the last
backward passes or at the end; tied embeddings summed; the gradient norm agreed on;
the optimizer.
"""

from __future__ import annotations

from collections.abc import Hashable

from simulator.lowering.emitter import Emitter
from simulator.lowering.pipeline import emit_passes, make_step
from simulator.lowering.plain import PlainPasses
from simulator.lowering.rows import rows_of
from simulator.lowering.schedules.actions import Schedule
from simulator.lowering.sharding.broadcasts import emit_broadcasts, has_owners
from simulator.lowering.sharding.emission import ShardedPasses, emit_new_parameters
from simulator.lowering.sharding.rule import sharding_of
from simulator.lowering.staged import LoweredStage
from simulator.lowering.step_end import (
    emit_copies,
    emit_gradient_norm,
    emit_gradient_sync,
    emit_optimizer,
    emit_tied_embedding,
)
from simulator.plan import Plan
from simulator.workload import Role, Workload


def lower(
    plan: Plan, stages: tuple[LoweredStage, ...], rows: Schedule | None = None
) -> Workload:
    """Return the workload of one training step, folded to one pipeline rank each.

    Args:
        plan: of the step.
        stages: of the model.
        rows: of the schedule; left out, what the plan alone says.
    """
    if rows is None:
        rows = rows_of(plan)
    step = make_step(plan, stages, rows)
    emitter = Emitter()
    rule = sharding_of(plan)
    for rank in range(len(rows)):
        reduced: tuple[Hashable, ...] = ()
        if rule is None or has_owners(plan):
            emit_passes(emitter, step, rank, PlainPasses.of(step, rank))
        else:
            sharded = ShardedPasses.of(step, rank, rule)
            emit_passes(emitter, step, rank, sharded)
            reduced = tuple(sharded.ends.values())
        emit_gradient_sync(emitter, step, rank, reduced)
    emit_copies(emitter, step)
    emit_tied_embedding(emitter, plan, stages)
    if not plan.training.post_validation:
        emit_gradient_norm(emitter, plan)
    for rank in range(plan.parallelism.pipeline):
        emit_optimizer(emitter, plan, stages, rank)
        if rule is not None and has_owners(plan):
            emit_broadcasts(emitter, plan, stages, rank)
        elif rule is not None:
            emit_new_parameters(emitter, plan, rule, stages, rank)
    multiplicity = int(plan.parallelism.degrees.plane)
    roles = tuple(Role(0, rank, 0, multiplicity) for rank in range(len(rows)))
    return Workload(roles, emitter.resolve())
