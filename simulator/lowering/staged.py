"""What each virtual stage does and holds on one device, per micro-batch."""

from __future__ import annotations

from dataclasses import dataclass

from models.model import Layer, Model
from models.work import Share
from simulator.lowering.formats import element_bytes
from simulator.lowering.passes import Passes, gather_received, layer_passes
from simulator.lowering.profiled import profiled_pass
from simulator.lowering.schedules.actions import Kind
from simulator.lowering.stages import Stage, cut, layer_parameters
from simulator.plan import Plan
from simulator.workload import Body, HostTask, Item, Repeat
from topologies.units import Bytes, Count


@dataclass(frozen=True, slots=True, eq=False)
class LoweredStage:
    """What one virtual stage does and holds on one device.

    Fields:
        stage: its layers.
        ranks: pipeline ranks that hold it, each for micro-batches of its own.
        bodies: of one micro-batch, by kind of pass.
        before_backward: what precedes the first layer's backward.
        passes: items layer by layer, runs of equal layers once.
        parameters: on one tensor rank [1].
        gradient_bytes: of one replica's gradients on one tensor rank [B].
    """

    stage: Stage
    ranks: tuple[int, ...]
    bodies: dict[Kind, Body]
    before_backward: tuple[Item, ...]
    passes: tuple[tuple[Passes, int], ...]
    parameters: Count
    gradient_bytes: Bytes


def lower_stages(
    plan: Plan, model: Model, sizes: tuple[int, ...] | None = None
) -> tuple[LoweredStage, ...]:
    """Return every virtual stage with its bodies and parameters.

    Args:
        plan: whose stages they are.
        model: to be cut.
        sizes: blocks of each stage; left out, what the plan says.
    """
    mesh = plan.parallelism
    share = make_share(plan)
    placement = mesh.placement
    gradient = element_bytes(plan.training.gradient_precision)
    known = {layer: plan_passes(plan, layer, share) for layer in set(model.layers)}
    has_copy = copies_tied_table(plan)
    lowered = []
    for stage in cut(model, mesh.num_stages, sizes or mesh.stages):
        passes = tuple((known[layer], count) for layer, count in stage.runs())
        parameters = sum(
            layer_parameters(layer, mesh.tensor, is_tied_copy=has_copy)
            for layer in stage.layers
        )
        is_last = stage.index == mesh.num_stages - 1
        before_backward = _received(plan, model, has_sender=not is_last)
        lowered.append(
            LoweredStage(
                stage,
                placement[stage.index],
                _bodies(plan, model, stage, passes),
                before_backward,
                passes,
                parameters,
                gradient * parameters,
            )
        )
    return tuple(lowered)


def copies_tied_table(plan: Plan) -> bool:
    """Return whether first and last stage are on ranks of their own."""
    placement = plan.parallelism.placement
    return set(placement[0]) != set(placement[-1])


def sends_parts(plan: Plan) -> bool:
    """Return whether a tensor rank sends its part of an activation, or the whole."""
    return plan.training.framework == "megatron" or plan.parallelism.sequence


def _bodies(
    plan: Plan, model: Model, stage: Stage, passes: tuple[tuple[Passes, int], ...]
) -> dict[Kind, Body]:
    """Return the bodies of a stage's passes, by kind."""
    if plan.stage_times is not None:
        return {kind: profiled_pass(plan, stage, kind) for kind in ("F", "B", "I", "W")}
    is_last = stage.index == plan.parallelism.num_stages - 1
    forward = (
        HostTask("batch and loss", "pass"),
        *_received(plan, model, has_sender=stage.index > 0),
        *(Repeat(p.forward, count) for p, count in passes),
    )
    before = _received(plan, model, has_sender=not is_last)
    behind = tuple(reversed(passes))
    whole = (*before, *(Repeat(p.backward, count) for p, count in behind))
    inputs = (*before, *(Repeat(p.backward_input, count) for p, count in behind))
    weights = tuple(Repeat(p.backward_weight, count) for p, count in behind)
    where = f"of stage {stage.index}"
    return {
        "F": Body(f"forward {where}", "forward", forward),
        "B": Body(f"backward {where}", "backward", whole),
        "I": Body(f"backward for inputs {where}", "backward", inputs),
        "W": Body(f"backward for weights {where}", "backward", weights),
    }


def plan_passes(plan: Plan, layer: Layer, share: Share) -> Passes:
    """Return a layer's items under the plan's recomputation and overlap."""
    mesh = plan.parallelism
    return layer_passes(
        layer,
        share,
        mesh.recompute,
        is_overlapped=mesh.overlap_tensor,
        is_torch=plan.training.framework == "torch",
    )


def _received(plan: Plan, model: Model, *, has_sender: bool) -> tuple[Item, ...]:
    """Return what a stage does with what it receives, before it can use it.

    Each tensor rank was sent its part only (Megatron's scatter/gather optimization,
    arXiv:2104.04473, section 4.1), and the ranks gather the whole in their node.
    Under sequence parallelism they work on parts anyway.
    """
    is_divided = plan.parallelism.tensor > 1 and not plan.parallelism.sequence
    if not has_sender or not is_divided or not sends_parts(plan):
        return ()
    block = next(layer for layer in model.layers if layer.role == "block")
    elements = block.output_elements * plan.batch.micro
    return (gather_received(element_bytes(plan.training.precision) * elements),)


def make_share(plan: Plan) -> Share:
    """Return one device's share of a layer for one micro-batch."""
    tensor = plan.parallelism.tensor
    return Share(
        samples=plan.batch.micro,
        tensor=tensor,
        sequence=tensor if plan.parallelism.sequence else 1,
        element=element_bytes(plan.training.precision),
        gradient=element_bytes(plan.training.gradient_precision),
    )


def stages_of(stages: tuple[LoweredStage, ...], rank: int) -> tuple[LoweredStage, ...]:
    """Return the virtual stages of one pipeline rank."""
    return tuple(lowered for lowered in stages if rank in lowered.ranks)
