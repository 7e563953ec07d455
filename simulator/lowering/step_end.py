"""What follows the passes: gradient sums, the gradient norm, the optimizer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from models.work import memory_work
from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.experts import gradient_sums
from simulator.lowering.formats import NORM_BYTES, element_bytes
from simulator.lowering.held import Held, added
from simulator.lowering.pipeline import Step, last_gradients
from simulator.lowering.served import is_served, pulled, pushed
from simulator.lowering.sharding.broadcasts import has_owners
from simulator.lowering.sharding.rule import gradient_shards, state_shards
from simulator.lowering.staged import LoweredStage, copies_tied_table, stages_of
from simulator.lowering.stages import replicated_parameters, tied_parameters
from simulator.lowering.states import (
    held_by_zero,
    plan_traffic,
    updated_parameters,
)
from simulator.plan import Plan
from simulator.plans.layer_choices import zero_of
from simulator.workload import Body, HostTask, Item, Measured, Message
from topologies.units import Bytes


def emit_gradient_sync(
    emitter: Emitter, step: Step, rank: int, reduced: tuple[Hashable, ...] = ()
) -> None:
    """Emit what follows a rank's last backward: gradient sums that did not overlap.

    Args:
        emitter: of the step.
        step: whose passes are emitted.
        rank: of the pipeline.
        reduced: the last sums over replicas, of a rank that divides states.
    """
    plan = step.plan
    parallelism = plan.parallelism
    mine = stages_of(step.stages, rank)
    items: list[Item] = []
    if parallelism.sequence and plan.training.framework == "megatron":
        replicated = added(
            (zero_of(parallelism, layer), Held(replicated_parameters(layer)))
            for low in mine
            for layer in low.stage.layers
        )
        size = _reduced_bytes(plan, replicated)
        items.append(Message("norm gradients", "all-reduce", "tensor", size))
    is_whole = not parallelism.zero or has_owners(plan)
    is_late = not plan.synchronization.overlap and is_whole
    if is_served(plan) and is_late:
        total = sum(low.gradient_bytes for low in mine)
        items += [pushed(total), pulled(plan, total)]
    elif parallelism.replicas > 1 and is_late:
        total = sum(low.gradient_bytes for low in mine)
        gradient = element_bytes(plan.training.gradient_precision)
        of_experts = gradient * sum(low.expert_parameters for low in mine)
        has_copies = parallelism.replicas > parallelism.expert_ranks
        items += gradient_sums(total, of_experts, has_copies=has_copies)
    body = Body(f"gradients of rank {rank}", "message", tuple(items))
    after = (*last_gradients(step.rows[rank]).values(), *reduced)
    emitter.emit(("gradients", rank), Draft("gradients", (rank,), "data", body, after))


def emit_copies(emitter: Emitter, step: Step) -> None:
    """Emit the sums of gradients over pairs of ranks that hold the same stages."""
    pairs = {low.ranks for low in step.stages if len(low.ranks) > 1}
    for pair in sorted(pairs):
        first, second = pair
        size = _reduced_bytes(step.plan, held_by_zero(stages_of(step.stages, first)))
        message = Message("copies", "all-reduce", "pipeline", size, (first, second))
        body = Body(f"copies on ranks {first} and {second}", "message", (message,))
        after = tuple(("gradients", rank) for rank in pair)
        emitter.emit(("copies", pair), Draft("copies", pair, "data", body, after))


def emit_tied_embedding(
    emitter: Emitter, plan: Plan, stages: tuple[LoweredStage, ...]
) -> None:
    """Emit the sum of the shared table's gradients over first and last stage."""
    mesh = plan.parallelism
    tied = added(
        (zero_of(mesh, layer), Held(tied_parameters(layer, mesh.tensor)))
        for layer in stages[-1].stage.layers
        if layer.tied_to is not None
    )
    if not copies_tied_table(plan) or not tied:
        return
    size = _reduced_bytes(plan, tied)
    body = Body(
        "tied embedding",
        "message",
        (Message("tied embedding", "all-reduce", "embedding", size),),
    )
    ends = (0, plan.parallelism.pipeline - 1)
    after = tuple(("gradients", rank) for rank in ends)
    emitter.emit("embedding", Draft("tied embedding", ends, "data", body, after))


def _reduced_bytes(plan: Plan, held: Mapping[int, Held]) -> Bytes:
    """Return what a device has of the summed gradients of some parameters [B]."""
    element = element_bytes(plan.training.gradient_precision)
    return sum(
        element * own.parameters / gradient_shards(plan, zero)
        for zero, own in held.items()
    )


def emit_gradient_norm(emitter: Emitter, plan: Plan) -> None:
    """Emit the agreement on the gradient norm, which ends the step's passes.

    Ranks that have parts of the gradients first add up the squares of their parts.
    """
    parallelism = plan.parallelism
    ranks = tuple(range(parallelism.pipeline))
    after: tuple[Hashable, ...] = tuple(("gradients", rank) for rank in ranks)
    if state_shards(plan) > 1 and not has_owners(plan):
        after = tuple(_emit_norm_of_parts(emitter, rank) for rank in ranks)
    after = (*after, *(key for key in emitter.index if _is_between_ranks(key)))
    items: tuple[Item, ...] = ()
    if parallelism.pipeline * parallelism.tensor > 1:
        items = (Message("gradient norm", "all-reduce", "model", NORM_BYTES),)
    body = Body("gradient norm", "message", items)
    emitter.emit("norm", Draft("gradient norm", ranks, "compute", body, after))


def _emit_norm_of_parts(emitter: Emitter, rank: int) -> Hashable:
    """Emit the norm of a rank's gradients over the ranks that have parts of them."""
    message = Message("gradient norm", "all-reduce", "shard", NORM_BYTES)
    body = emitter.body("norm of parts", "norm of parts", "message", message)
    key, after = ("norm of parts", rank), _before_optimizer(emitter, rank)
    emitter.emit(key, Draft("norm of parts", (rank,), "compute", body, after))
    return key


def _is_between_ranks(key: Hashable) -> bool:
    """Return whether a key is that of a sum over pipeline ranks."""
    return key == "embedding" or (isinstance(key, tuple) and key[0] == "copies")


def _before_optimizer(emitter: Emitter, rank: int) -> tuple[Hashable, ...]:
    """Return what a rank's optimizer waits for."""
    if "norm" in emitter.index:
        return ("norm",)
    between = [key for key in emitter.index if _is_between_ranks(key)]
    own = (key for key in between if rank in emitter.drafts[emitter.index[key]].ranks)
    return (("gradients", rank), *own)


def emit_optimizer(
    emitter: Emitter, plan: Plan, stages: tuple[LoweredStage, ...], rank: int
) -> None:
    """Emit the optimizer step: a few passes over parameters and their state.

    It waits for the gradient norm, or, where that is checked afterwards, for the
    rank's own gradients.
    """
    mine = stages_of(stages, rank)
    changed = (low.portions for low in mine if low.portions)
    parameters = updated_parameters(plan, mine) - sum(
        portions.parameters for portions in changed if portions.is_updating
    )
    traffic = plan_traffic(plan)
    items: tuple[Item, ...] = (
        HostTask("step", "step"),
        memory_work(
            "optimizer",
            traffic * parameters,
            function=f"{plan.training.optimizer} optimizer",
        ),
    )
    if is_served(plan):
        items = (HostTask("step", "step"),)  # servers update
    if plan.stage_times is not None and plan.stage_times.optimizer is not None:
        items = (Measured("optimizer", plan.stage_times.optimizer),)
    body = Body(f"optimizer of rank {rank}", "step", items)
    after = _before_optimizer(emitter, rank)
    draft = Draft("optimizer", (rank,), "compute", body, after, host_waits=True)
    emitter.emit(("optimizer", rank), draft)
