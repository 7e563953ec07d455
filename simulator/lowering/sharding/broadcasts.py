"""ZeRO-1 as torch's `ZeroRedundancyOptimizer` does it: owners broadcast.

Replicas sum whole gradients, as if nothing were divided. Each parameter tensor has one
owner among the ranks that divide the optimizer's state, who updates and broadcasts it.

Source: torch 2.13, distributed/optim/zero_redundancy_optimizer.py, `_sync_params`.
"""

from __future__ import annotations

from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.formats import element_bytes
from simulator.lowering.staged import LoweredStage, copies_tied_table, stages_of
from simulator.lowering.tensors import layer_tensors
from simulator.plan import Plan
from simulator.workload import Body, Message


def has_owners(plan: Plan) -> bool:
    """Return whether each parameter tensor has an owner who updates it.

    Owners broadcast after the optimizer; a plan that gathers in forward passes divides
    buckets evenly, as ZeRO-2 does.
    """
    mesh = plan.parallelism
    is_torch = plan.training.framework == "torch"
    return mesh.zero == 1 and is_torch and not mesh.overlap_gather


def emit_broadcasts(
    emitter: Emitter, plan: Plan, stages: tuple[LoweredStage, ...], rank: int
) -> None:
    """Emit the broadcasts of a rank's tensors after its optimizer."""
    if plan.parallelism.shard == 1:
        return
    has_copy, tensor = copies_tied_table(plan), plan.parallelism.tensor
    element = element_bytes(plan.training.precision)
    messages = tuple(
        Message("parameters broadcast", "broadcast", "shard", element * size)
        for low in stages_of(stages, rank)
        for layer in low.stage.layers
        for size in layer_tensors(layer, tensor, is_tied_copy=has_copy)
    )
    body = Body(f"parameters of rank {rank}", "message", messages)
    after = (("optimizer", rank),)
    draft = Draft("parameters", (rank,), "gather", body, after)
    emitter.emit(("parameters", rank), draft)
