"""ZeRO-1 as torch's `ZeroRedundancyOptimizer` does it: owners broadcast.

Replicas sum whole gradients, as if nothing were divided. Each parameter tensor has one
owner among the ranks that divide the optimizer's state, who updates and broadcasts it;
those of experts that not all replicas hold, among the ranks that hold the same.

Source: torch 2.13, distributed/optim/zero_redundancy_optimizer.py, `_sync_params`.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.mixture import ExpertLinear
from models.model import Layer
from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.formats import element_bytes
from simulator.lowering.staged import LoweredStage, copies_tied_table, stages_of
from simulator.lowering.stages import local_parameters
from simulator.lowering.tensors import layer_tensors
from simulator.plan import Plan
from simulator.plans.layer_choices import expert_of, zero_of
from simulator.workload import Axis, Body, Message
from topologies.units import Count


def has_owners(plan: Plan) -> bool:
    """Return whether each parameter tensor has an owner who updates it."""
    return plan.parallelism.zero == 1 and plan.training.framework == "torch"


def emit_broadcasts(
    emitter: Emitter, plan: Plan, stages: tuple[LoweredStage, ...], rank: int
) -> None:
    """Emit the broadcasts of a rank's tensors after its optimizer."""
    mesh = plan.parallelism
    if mesh.shard == 1:
        return
    element = element_bytes(plan.training.precision)
    messages = tuple(
        Message("parameters broadcast", "broadcast", axis, element * size)
        for low in stages_of(stages, rank)
        for layer in low.stage.layers
        if zero_of(mesh, layer)
        for axis, size in _tensors(plan, layer)
    )
    body = Body(f"parameters of rank {rank}", "message", messages)
    after = (("optimizer", rank),)
    draft = Draft("parameters", (rank,), "gather", body, after)
    emitter.emit(("parameters", rank), draft)


def _tensors(plan: Plan, layer: Layer) -> Iterator[tuple[Axis, Count]]:
    """Yield the parameter tensors of a layer: who has the same, and their sizes [1]."""
    mesh, has_copy = plan.parallelism, copies_tied_table(plan)
    tensor, expert = mesh.tensor, expert_of(mesh, layer)
    for size in layer_tensors(layer, tensor, expert, is_tied_copy=has_copy):
        yield "shard", size
    if 1 < expert < mesh.replicas:
        for operator in layer.operators:
            if isinstance(operator, ExpertLinear):
                yield "expert-data", local_parameters(operator, tensor, expert)
