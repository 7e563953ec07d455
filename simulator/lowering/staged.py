"""What each virtual stage does and holds on one device, per micro-batch."""

from __future__ import annotations

from dataclasses import dataclass

from models.model import Layer, Model
from models.work import Share
from simulator.lowering.formats import element_bytes
from simulator.lowering.passes import Passes, gather_received, layer_passes
from simulator.lowering.stages import Stage, cut, layer_parameters
from simulator.plan import Plan
from simulator.workload import Body, HostTask, Item, Repeat
from topologies.units import Bytes, Count


@dataclass(frozen=True, slots=True, eq=False)
class LoweredStage:
    """What one virtual stage does and holds on one device.

    Fields:
        stage: its layers.
        forward, backward: bodies of one micro-batch.
        before_backward: what precedes the first layer's backward.
        passes: items layer by layer, runs of equal layers once.
        parameters: on one tensor rank [1].
        gradient_bytes: of one replica's gradients on one tensor rank [B].
    """

    stage: Stage
    forward: Body
    backward: Body
    before_backward: tuple[Item, ...]
    passes: tuple[tuple[Passes, int], ...]
    parameters: Count
    gradient_bytes: Bytes


def lower_stages(plan: Plan, model: Model) -> tuple[LoweredStage, ...]:
    """Return every virtual stage with its bodies and parameters."""
    tensor = plan.parallelism.tensor
    share = make_share(plan)
    num_stages = plan.parallelism.pipeline * plan.parallelism.virtual_stages
    gradient = element_bytes(plan.training.gradient_precision)
    known = {layer: plan_passes(plan, layer, share) for layer in set(model.layers)}
    lowered = []
    for stage in cut(model, num_stages):
        passes = tuple((known[layer], count) for layer, count in stage.runs())
        parameters = sum(
            layer_parameters(layer, tensor, is_tied_copy=num_stages > 1)
            for layer in stage.layers
        )
        forward = (
            HostTask("batch and loss", "pass"),
            *_received(plan, model, has_sender=stage.index > 0),
            *(Repeat(p.forward, count) for p, count in passes),
        )
        before_backward = _received(
            plan, model, has_sender=stage.index < num_stages - 1
        )
        backward = (Repeat(p.backward, count) for p, count in reversed(passes))
        lowered.append(
            LoweredStage(
                stage,
                Body(f"forward of stage {stage.index}", "forward", forward),
                Body(
                    f"backward of stage {stage.index}",
                    "backward",
                    (*before_backward, *backward),
                ),
                before_backward,
                passes,
                parameters,
                gradient * parameters,
            )
        )
    return tuple(lowered)


def plan_passes(plan: Plan, layer: Layer, share: Share) -> Passes:
    """Return a layer's items under the plan's recomputation and overlap."""
    mesh = plan.parallelism
    return layer_passes(layer, share, mesh.recompute, is_overlapped=mesh.overlap_tensor)


def _received(plan: Plan, model: Model, *, has_sender: bool) -> tuple[Item, ...]:
    """Return what a stage does with what it receives, before it can use it.

    Each tensor rank was sent its part only (Megatron's scatter/gather optimization,
    arXiv:2104.04473, section 4.1), and the ranks gather the whole in their node.
    Under sequence parallelism they work on parts anyway.
    """
    tensor = plan.parallelism.tensor
    if not has_sender or tensor == 1 or plan.parallelism.sequence:
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


def stages_of(
    stages: tuple[LoweredStage, ...], rank: int, pipeline: int
) -> tuple[LoweredStage, ...]:
    """Return the virtual stages of one pipeline rank."""
    return stages[rank::pipeline]
