"""What is gathered or reduced at once: the units of a stage.

Under ZeRO-3 a unit is one layer, as torchtitan wraps them, with the layers behind it
that have no parameters. A table that embedding and head share makes one unit of both,
the root, which stays from forward to backward. Under ZeRO-1 and 2 a unit is a bucket of
gradients, filled in the order of the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from models.mixture import ExpertLinear
from models.model import Layer
from simulator.lowering.sharding.rule import Sharding
from simulator.lowering.staged import LoweredStage, copies_tied_table
from simulator.lowering.stages import (
    expert_parameters,
    layer_parameters,
    local_parameters,
)
from simulator.lowering.tensors import padding, tied_padding
from simulator.plan import Plan
from simulator.plans.layer_choices import (
    expert_of,
    recompute_of,
    reshard_of,
    zero_of,
)
from topologies.units import Count

_KEPT: Count = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Parameters that are gathered, dropped and reduced together.

    Fields:
        name: what a trace shows.
        parameters: on one tensor rank, whole [1].
        experts: those among them that not all replicas hold [1].
        is_root: whether it stays while any micro-batch is under way.
        weights: those among the others that are a message each; none for one of all
            [1].
        padding: numbers sent with them, so that ranks have equal parts of each [1].
        stage: of ZeRO; 0 where every rank holds them and all their states.
        is_resharded: whether they are dropped between forward and backward.
        is_regathered: whether weights by themselves are gathered once for the
            recomputation in a backward pass, and again for their gradients.
    """

    name: str
    parameters: Count
    experts: Count = 0.0
    is_root: bool = False
    weights: tuple[Count, ...] = ()
    padding: Count = 0.0
    stage: int = 3
    is_resharded: bool = True
    is_regathered: bool = False

    def joined(self, other: Unit, name: str, *, is_root: bool = False) -> Unit:
        """Return this unit and another as one, divided as whichever has parameters."""
        leading = self if self.parameters else other
        parameters = self.parameters + other.parameters
        experts = self.experts + other.experts
        weights = self.weights + other.weights
        padding = self.padding + other.padding
        return replace(
            leading,
            name=name,
            parameters=parameters,
            experts=experts,
            is_root=is_root,
            weights=weights,
            padding=padding,
        )


class Part(NamedTuple):
    """Consecutive layers of a stage that use one unit.

    Fields:
        unit: whose parameters they are.
        first, last: places of the layers in their stage.
        is_owner: whether the unit's gradients are complete after its backward.
    """

    unit: Unit
    first: int
    last: int
    is_owner: bool = True


def parts_of(
    plan: Plan, rule: Sharding, stages: Iterable[LoweredStage]
) -> Mapping[int, tuple[Part, ...]]:
    """Return the parts of a rank's stages, in forward order, by number of the stage."""
    if plan.stage_times is not None:
        return {low.stage.index: (_whole(plan, low),) for low in stages}
    if rule.stage < 3:
        bucket = plan.synchronization.bucket if rule.is_overlapped else float("inf")
        return {
            low.stage.index: _buckets(plan, low, bucket / rule.gradient)
            for low in stages
        }
    parts = {low.stage.index: _layers(plan, low) for low in stages}
    return parts if copies_tied_table(plan) else _with_root(parts, stages)


def _whole(plan: Plan, low: LoweredStage) -> Part:
    """Return a stage as one part, for passes whose time is known only as a whole."""
    name = f"stage {low.stage.index}"
    unit = Unit(
        name,
        low.parameters,
        low.expert_parameters,
        stage=plan.parallelism.zero,
        is_resharded=plan.parallelism.reshard,
    )
    return Part(unit, 0, len(low.stage.layers) - 1)


def _layers(plan: Plan, low: LoweredStage) -> tuple[Part, ...]:
    """Return a part for each layer with parameters."""
    parts: list[Part] = []
    for place, layer in enumerate(low.stage.layers):
        own = _unit(plan, layer)
        is_own = own.parameters and (not parts or parts[-1].unit.parameters)
        if parts and not is_own and layer.tied_to is None:
            before = parts[-1].unit
            name = layer.name if own.parameters else before.name
            parts[-1] = Part(before.joined(own, name), parts[-1].first, place)
        else:
            parts.append(Part(own, place, place))
    return tuple(parts)


def _buckets(plan: Plan, low: LoweredStage, size: Count) -> tuple[Part, ...]:
    """Return a stage's buckets; one closes with the layer that fills it.

    Or before one that is divided otherwise.

    Args:
        plan: of the step.
        low: the stage.
        size: parameters that fill a bucket [1].
    """
    parts: list[Part] = []
    last = len(low.stage.layers) - 1
    filled = empty = Unit("", 0.0)
    for place in range(last, -1, -1):
        own = _unit(plan, low.stage.layers[place])
        if filled.parameters and own.parameters and own.stage != filled.stage:
            parts.append(Part(_filled_up(plan, filled), place + 1, last))
            filled, last = empty, place
        name = f"bucket {len(parts)} of stage {low.stage.index}"
        filled = filled.joined(own, name)
        if filled.parameters >= size or place == 0:
            parts.append(Part(_filled_up(plan, filled), place, last))
            filled, last = empty, place - 1
    return tuple(reversed(parts))


def _filled_up(plan: Plan, unit: Unit) -> Unit:
    """Return a bucket whose ranks have equal parts, as torch's collectives ask."""
    if plan.training.framework != "torch" or not unit.stage:
        return unit
    rest = (unit.experts - unit.parameters) % plan.parallelism.shard
    return replace(unit, padding=rest)


def _with_root(
    parts: Mapping[int, tuple[Part, ...]], stages: Iterable[LoweredStage]
) -> Mapping[int, tuple[Part, ...]]:
    """Return parts in which a layer and the one it is tied to use one unit."""
    named = {
        low.stage.layers[part.first].name: (low.stage.index, number)
        for low in stages
        for number, part in enumerate(parts[low.stage.index])
    }
    changed = {stage: list(own) for stage, own in parts.items()}
    for low in stages:
        for number, part in enumerate(parts[low.stage.index]):
            source = low.stage.layers[part.last].tied_to
            if source not in named:
                continue
            stage, place = named[source]
            owner = parts[stage][place]
            root = owner.unit.joined(part.unit, "root", is_root=True)
            changed[stage][place] = owner._replace(unit=root)
            changed[low.stage.index][number] = part._replace(unit=root, is_owner=False)
    return {stage: tuple(own) for stage, own in changed.items()}


def _unit(plan: Plan, layer: Layer) -> Unit:
    """Return a layer as a unit by itself."""
    mesh = plan.parallelism
    tensor, expert = mesh.tensor, expert_of(mesh, layer)
    has_copy = copies_tied_table(plan)
    return Unit(
        layer.name,
        layer_parameters(layer, tensor, expert, is_tied_copy=has_copy),
        expert_parameters(layer, tensor, expert),
        weights=_weights(plan, layer),
        padding=_padding(plan, layer),
        stage=zero_of(mesh, layer),
        is_resharded=reshard_of(mesh, layer),
        is_regathered=mesh.gather == "weight" and recompute_of(mesh, layer) == "full",
    )


def _padding(plan: Plan, layer: Layer) -> Count:
    """Return the numbers that pad a layer's tensors to equal parts, as FSDP2 does [1].

    Experts that not all replicas hold are not padded.

    Source: torch 2.13, `_fsdp_param.py`, `_init_sharded_param`: `torch.chunk` cuts
        dimension 0, and every part is as large as the first.
    """
    mesh = plan.parallelism
    is_fsdp = zero_of(mesh, layer) == 3 and plan.training.framework == "torch"
    if not is_fsdp or mesh.replicas == 1:
        return 0.0
    is_whole = expert_of(mesh, layer) == 1
    own = sum(
        padding(operator, mesh.tensor, mesh.shard)
        for operator in layer.operators
        if is_whole or not isinstance(operator, ExpertLinear)
    )
    has_copy = copies_tied_table(plan) and layer.tied_to is not None
    return own + (tied_padding(layer, mesh.tensor, mesh.shard) if has_copy else 0.0)


def _weights(plan: Plan, layer: Layer) -> tuple[Count, ...]:
    """Return the parameters of each message of a layer, where weights are gathered.

    Gains and biases that are no more than a threshold stay on every device.

    Source: DeepSpeed, `stage3_param_persistence_threshold`, 100 000 by default.
    """
    mesh = plan.parallelism
    if mesh.gather == "layer" or zero_of(mesh, layer) < 3:
        return ()
    each = (local_parameters(operator, mesh.tensor) for operator in layer.operators)
    return tuple(count for count in each if count > _KEPT)
