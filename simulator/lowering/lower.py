"""Lowering: from a plan to the ops of one training step.

One rank is emitted per pipeline rank; it stands for the tensor x data ranks that do
the same. The way of a step: forward and backward passes in the schedule's order, with
transfers between stages; gradients all-reduced over data, in buckets during the last
backward passes or at the end; tied embeddings summed; the gradient norm agreed on;
the optimizer.
"""

from __future__ import annotations

from simulator.lowering.emitter import Emitter
from simulator.lowering.pipeline import emit_passes
from simulator.lowering.schedules import Schedule, schedule
from simulator.lowering.staged import LoweredStage
from simulator.lowering.step_end import (
    emit_gradient_norm,
    emit_gradient_sync,
    emit_optimizer,
    emit_tied_embedding,
)
from simulator.plan import Plan
from simulator.workload import Role, Workload


def lower(plan: Plan, stages: tuple[LoweredStage, ...]) -> Workload:
    """Return the workload of one training step, folded to one rank a stage."""
    rows = rows_of(plan)
    emitter = Emitter()
    for rank, row in enumerate(rows):
        emit_passes(emitter, plan, stages, rank, row)
        emit_gradient_sync(emitter, plan, stages, rank)
    emit_tied_embedding(emitter, plan, stages)
    emit_gradient_norm(emitter, plan)
    for rank in range(plan.parallelism.pipeline):
        emit_optimizer(emitter, plan, stages, rank)
    multiplicity = plan.parallelism.tensor * plan.parallelism.data
    roles = tuple(Role(0, rank, 0, multiplicity) for rank in range(len(rows)))
    return Workload(roles, emitter.resolve())


def rows_of(plan: Plan) -> Schedule:
    """Return the plan's schedule."""
    return schedule(
        plan.parallelism.schedule,
        plan.parallelism.pipeline,
        plan.num_microbatches,
        plan.parallelism.virtual_stages,
    )
