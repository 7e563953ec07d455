"""What follows the passes: gradient sums, the gradient norm, the optimizer."""

from __future__ import annotations

from collections.abc import Hashable

from models.work import Work, memory_work
from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.formats import NORM_BYTES, element_bytes, optimizer_traffic
from simulator.lowering.schedules import Action
from simulator.lowering.staged import LoweredStage, stages_of
from simulator.lowering.stages import replicated_parameters, tied_parameters
from simulator.plan import Plan
from simulator.workload import Body, HostTask, Item, Message


def emit_gradient_sync(
    emitter: Emitter, plan: Plan, stages: tuple[LoweredStage, ...], rank: int
) -> None:
    """Emit what follows a rank's last backward: gradient sums that did not overlap."""
    parallelism = plan.parallelism
    mine = stages_of(stages, rank, parallelism.pipeline)
    items: list[Item] = []
    if parallelism.sequence:
        replicated = sum(
            replicated_parameters(layer) for low in mine for layer in low.stage.layers
        )
        size = element_bytes(plan.training.gradient_precision) * replicated
        items.append(Message("norm gradients", "all-reduce", "tensor", size))
    if parallelism.data > 1 and not plan.synchronization.overlap:
        total = sum(low.gradient_bytes for low in mine)
        items.append(Message("gradients", "all-reduce", "data", total))
    body = Body(f"gradients of rank {rank}", "message", tuple(items))
    last = plan.num_microbatches - 1
    after = tuple(Action(low.stage.index, "B", last) for low in mine)
    emitter.emit(("gradients", rank), Draft("gradients", (rank,), "data", body, after))


def emit_tied_embedding(
    emitter: Emitter, plan: Plan, stages: tuple[LoweredStage, ...]
) -> None:
    """Emit the sum of the shared table's gradients over first and last stage."""
    pipeline = plan.parallelism.pipeline
    tied = [
        tied_parameters(layer, plan.parallelism.tensor)
        for layer in stages[-1].stage.layers
        if layer.tied_to is not None
    ]
    if pipeline == 1 or not tied:
        return
    size = element_bytes(plan.training.gradient_precision) * sum(tied)
    body = Body(
        "tied embedding",
        "message",
        (Message("tied embedding", "all-reduce", "embedding", size),),
    )
    ends = (0, pipeline - 1)
    after = tuple(("gradients", rank) for rank in ends)
    emitter.emit("embedding", Draft("tied embedding", ends, "data", body, after))


def emit_gradient_norm(emitter: Emitter, plan: Plan) -> None:
    """Emit the agreement on the gradient norm, which ends the step's passes."""
    parallelism = plan.parallelism
    ranks = tuple(range(parallelism.pipeline))
    after: tuple[Hashable, ...] = tuple(("gradients", rank) for rank in ranks)
    if "embedding" in emitter.index:
        after = (*after, "embedding")
    items: tuple[Item, ...] = ()
    if parallelism.pipeline * parallelism.tensor > 1:
        items = (Message("gradient norm", "all-reduce", "model", NORM_BYTES),)
    body = Body("gradient norm", "message", items)
    emitter.emit("norm", Draft("gradient norm", ranks, "compute", body, after))


def emit_optimizer(
    emitter: Emitter, plan: Plan, stages: tuple[LoweredStage, ...], rank: int
) -> None:
    """Emit the optimizer step: a few passes over parameters and their state."""
    mine = stages_of(stages, rank, plan.parallelism.pipeline)
    parameters = sum(low.parameters for low in mine)
    training = plan.training
    traffic = optimizer_traffic(
        training.optimizer, training.precision, training.gradient_precision
    )
    work: Work = memory_work("optimizer", traffic * parameters)
    body = Body(f"optimizer of rank {rank}", "step", (HostTask("step", "step"), work))
    draft = Draft("optimizer", (rank,), "compute", body, ("norm",), host_waits=True)
    emitter.emit(("optimizer", rank), draft)
