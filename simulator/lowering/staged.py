"""What each virtual stage does and holds on one device, per micro-batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.model import Layer, Model
from models.work import Share
from simulator.lowering.context import ContextWay
from simulator.lowering.formats import (
    cast_reads,
    dispatch_bytes,
    element_bytes,
    operand_bytes,
)
from simulator.lowering.held import Held, added
from simulator.lowering.layer_shares import layer_share
from simulator.lowering.passes import Passes, Recompute, layer_passes
from simulator.lowering.portions import Portions, before_portions, make_portions
from simulator.lowering.profiled import profiled_pass
from simulator.lowering.scales import agreed_scales
from simulator.lowering.schedules.actions import Kind
from simulator.lowering.stages import (
    Stage,
    cut,
    expert_parameters,
    layer_parameters,
)
from simulator.lowering.stopping import stops
from simulator.lowering.tensor_split import gather_received
from simulator.lowering.ways import Ways
from simulator.plan import Plan
from simulator.plans.layer_choices import (
    expert_of,
    method_of,
    recompute_of,
    zero_of,
)
from simulator.workload import Body, HostTask, Item, Repeat
from topologies.units import Bytes, Count


@dataclass(frozen=True, slots=True, eq=False)
class LoweredStage:
    """What one virtual stage does and holds on one device.

    Fields:
        stage: its layers.
        ranks: pipeline ranks that hold it, each for micro-batches of its own.
        bodies: of one micro-batch, by kind of pass.
        before_forward: what precedes the first layer's forward.
        before_backward: what precedes the last layer's backward.
        passes: items layer by layer, runs of equal layers once.
        parameters: on one tensor rank [1].
        gradient_bytes: of one replica's gradients on one tensor rank [B].
        expert_parameters: those among them that not all replicas hold [1].
        by_zero: both, by which of their states the replicas divide (ZeRO).
        portions: of the dense layers behind it whose neurons replicas divide, if any.
    """

    stage: Stage
    ranks: tuple[int, ...]
    bodies: dict[Kind, Body]
    before_forward: tuple[Item, ...]
    before_backward: tuple[Item, ...]
    passes: tuple[tuple[Passes, int], ...]
    parameters: Count
    gradient_bytes: Bytes
    expert_parameters: Count
    by_zero: Mapping[int, Held]
    portions: Portions | None = None


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
    held = {layer: (zero_of(mesh, layer), _held(plan, layer)) for layer in known}
    portions = make_portions(plan, model)
    replicated = before_portions(model, portions)
    lowered = []
    for stage in cut(replicated, mesh.num_stages, sizes or mesh.stages):
        passes = tuple((known[layer], count) for layer, count in stage.runs())
        by_zero = added(held[layer] for layer in stage.layers)
        own = added((0, each) for each in by_zero.values())[0]
        behind_it = Held(portions.parameters if portions else 0.0)
        is_last = stage.index == mesh.num_stages - 1
        received = _received(plan, model, has_sender=stage.index > 0)
        before = (HostTask("batch and loss", "pass"), *received)
        behind = _received(plan, model, has_sender=not is_last)
        lowered.append(
            LoweredStage(
                stage,
                placement[stage.index],
                _bodies(plan, stage, passes, before, behind),
                before,
                behind,
                passes,
                own.parameters + behind_it.parameters,
                gradient * own.parameters,
                own.experts,
                added([*by_zero.items(), (mesh.zero, behind_it)]),
                portions,
            )
        )
    return tuple(lowered)


def _held(plan: Plan, layer: Layer) -> Held:
    """Return a layer's parameters on one tensor rank [1]."""
    mesh = plan.parallelism
    degrees = mesh.tensor, expert_of(mesh, layer)
    has_copy = copies_tied_table(plan)
    return Held(
        layer_parameters(layer, *degrees, is_tied_copy=has_copy),
        expert_parameters(layer, *degrees),
    )


def copies_tied_table(plan: Plan) -> bool:
    """Return whether first and last stage are on ranks of their own."""
    placement = plan.parallelism.placement
    return set(placement[0]) != set(placement[-1])


def sends_parts(plan: Plan) -> bool:
    """Return whether a tensor rank sends its part of an activation, or the whole."""
    mesh = plan.parallelism
    is_scattered = mesh.scatter_sends
    if is_scattered is None:
        is_scattered = plan.training.framework == "megatron"
    return is_scattered or mesh.sequence


def _bodies(
    plan: Plan,
    stage: Stage,
    passes: tuple[tuple[Passes, int], ...],
    before_forward: tuple[Item, ...],
    before_backward: tuple[Item, ...],
) -> dict[Kind, Body]:
    """Return the bodies of a stage's passes, by kind."""
    if plan.stage_times is not None:
        return {kind: profiled_pass(plan, stage, kind) for kind in ("F", "B", "I", "W")}
    there, back = agreed_scales(plan, stage)
    layers = (Repeat(p.forward, count) for p, count in passes)
    forward: tuple[Item, ...] = (*before_forward, *layers, *there)
    behind, before = tuple(reversed(passes)), before_backward
    layers = (Repeat(p.backward, count) for p, count in behind)
    whole: tuple[Item, ...] = (*before, *layers, *back)
    layers = (Repeat(p.backward_input, count) for p, count in behind)
    inputs: tuple[Item, ...] = (*before, *layers, *back)
    weights = tuple(Repeat(p.backward_weight, count) for p, count in behind)
    where = f"of stage {stage.index}"
    return {
        "F": Body(f"forward {where}", "forward", forward),
        "B": Body(f"backward {where}", "backward", whole),
        "I": Body(f"backward for inputs {where}", "backward", inputs),
        "W": Body(f"backward for weights {where}", "backward", weights),
    }


def plan_passes(
    plan: Plan, layer: Layer, share: Share, recompute: Recompute | None = None
) -> Passes:
    """Return a layer's items under the plan's recomputation, or another's."""
    mesh = plan.parallelism
    context = ContextWay(method_of(mesh, layer), mesh.context_balanced)
    is_torch = plan.training.framework == "torch"
    ways = Ways(mesh.overlap_tensor, context, mesh.async_tensor, is_torch, stops(plan))
    own = recompute or recompute_of(mesh, layer)
    return layer_passes(layer, layer_share(mesh, layer, share), own, ways)


def _received(plan: Plan, model: Model, *, has_sender: bool) -> tuple[Item, ...]:
    """Return what a stage does with what it receives, before it can use it.

    Each tensor rank was sent its part only (Megatron's scatter/gather optimization,
    arXiv:2104.04473, section 4.1), and the ranks gather the whole in their node.
    Under sequence parallelism, or where they divide places, they work on parts anyway.
    """
    is_divided = plan.parallelism.tensor > 1 and not plan.parallelism.sequence
    if not has_sender or not is_divided or not sends_parts(plan):
        return ()
    if model.smallest_grid is not None:
        return ()
    block = next(layer for layer in model.layers if layer.role == "block")
    elements = block.output_elements * make_share(plan).samples
    return (gather_received(element_bytes(plan.training.precision) * elements),)


def make_share(plan: Plan) -> Share:
    """Return one device's share of a layer for one micro-batch."""
    mesh = plan.parallelism
    return Share(
        samples=plan.batch.micro / mesh.context,
        tensor=mesh.tensor,
        sequence=mesh.tensor if mesh.sequence else 1,
        element=element_bytes(plan.training.precision),
        operand=operand_bytes(plan.training.precision),
        cast_reads=cast_reads(plan.model.kernels),
        cast_parts=mesh.tensor if casts_before_sending(plan) else 1,
        gradient=element_bytes(plan.training.gradient_precision),
        expert=mesh.expert,
        context=mesh.context,
        load=mesh.expert_imbalance if mesh.expert > 1 else 1.0,
        sums_within=plan.training.fused_accumulation,
        dispatched=dispatch_bytes(plan.training.dispatch_precision),
        neighbours=mesh.expert_neighbours,
        nodes=mesh.expert_nodes or 0,
        has_whole_experts=mesh.has_whole_experts,
    )


def casts_before_sending(plan: Plan) -> bool:
    """Return whether tensor ranks gather what is cast already, as torch's do."""
    return plan.training.framework == "torch" and plan.parallelism.sequence


def stages_of(stages: tuple[LoweredStage, ...], rank: int) -> tuple[LoweredStage, ...]:
    """Return the virtual stages of one pipeline rank."""
    return tuple(lowered for lowered in stages if rank in lowered.ranks)
